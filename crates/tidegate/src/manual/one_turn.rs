//! One turn: the phases of the loop, and when it waits.
//!
//! # The phases
//!
//! ```text
//!  +-> pending -> idle -> prepare -> poll -> ready -> pending -> check -> closing -> timers -+
//!  |                                  |                                                     |
//!  |                                  +-- asks the kernel: sets bits, queues handles,       |
//!  |                                      runs no callback. Waits if nothing is left to do  |
//!  |                                                                                        |
//!  +-------------------- while the loop is alive and stop was not called -------------------+
//! ```
//!
//! | phase | calls | at most |
//! |---|---|---|
//! | pending | effects of API calls and deadlines: `on_finish`, `on_written`, `on_shutdown`, `on_timeout`, a lookup of your own | what is queued, in up to 8 rounds |
//! | idle, prepare | hooks, in start order | each hook once |
//! | poll | nothing: events of the kernel become bits, and their handles are queued | 1,024 events |
//! | ready | the queued handles: connections, servers, watchers, posts; then the connections accepted meanwhile | each handle once, up to its budget |
//! | pending | effects of what the ready pass did to *other* connections | as above |
//! | check | hooks | each once |
//! | closing | `on_close`, in the order of closing | what was closed before the phase |
//! | timers | what is due, by deadline, then by start | what was due when it began |
//!
//! The order is libuv's (`uv_run`, since 1.45), with two differences. Hooks and close callbacks run
//! first-in first-out; in libuv the last one runs first. And I/O callbacks run in a bounded pass
//! after the poll; in libuv they run inside the poll.
//!
//! After each callback, and before the next one, the loop runs the ticks that it queued
//! ([`next_tick`](crate::Cx::next_tick)) and drops the values that it replaced.
//!
//! # When it waits
//!
//! A poll waits until the kernel has something, or the next timer is due. It does not wait if there
//! is something to do without the kernel: a handle is queued, ticks or posts are left over, a close
//! callback is due, there is an idle hook, [`stop`](crate::Cx::stop) was called, or nothing keeps
//! the loop alive.
//!
//! | call | turns | waits | due timers first |
//! |---|---|---|---|
//! | [`run`](crate::Loop::run) | until nothing is alive, or `stop` | yes | once, before the first turn |
//! | [`run_once`](crate::Loop::run_once) | one | yes, unless there were callbacks to run before the poll | no |
//! | [`run_nowait`](crate::Loop::run_nowait) | one | never | no |
//! | [`run_phase`](crate::Loop::run_phase) | one phase of one | as `run_once` | no |
//!
//! The example `phases` has one turn of each kind. Each line is a callback, with its phase:
//!
//! ```text
//! cargo run --release --example phases
//!
//! A turn that waits (run_once): for the kernel, or for the next timer
//!
//! turn 1
//!   poll     may wait as long as it takes: 2 events
//!   ready    on_connection
//!   ready    on_connect
//! turn 2
//!   poll     may wait until the next timer: 0 events
//!   timers   a timer of 5 ms
//! ...
//! A turn that has something to tell does not wait (run_once)
//!
//! turn 2
//!   pending  on_finish
//!   poll     does not wait: 2 events
//! ...
//! A turn with something in every phase, step by step (run_phase)
//!
//! turn 3
//!   pending  a tick from outside
//!   pending  on_finish of an end() before the turn
//!   pending  - is over
//!   idle     an idle hook: while there is one, poll does not wait
//!   idle     - is over
//!   prepare  a prepare hook
//!   prepare  - is over
//!   poll     does not wait: 4 events
//!   poll     - is over
//!   ready    a post
//!   ready    on_data of a server's connection, which ends its client's side
//!   ready      a tick of that call
//!   ready    on_end of another, so our side ends, too
//!   ready    on_finish of that one
//!   ready    - is over
//!   pending  on_finish of an end() in the ready pass
//!   pending  - is over
//!   check    a check hook
//!   check    - is over
//!   closing  on_close of that one: both sides ended
//!   closing  - is over
//!   timers   a timer of 0 ms
//!   timers     a tick of that call
//!   timers   - is over
//! ...
//! ```
//!
//! # Budgets
//!
//! Everything that could make a turn too long has a budget ([`Limits`](crate::Limits)). A handle
//! that reaches its budget is queued again, behind the others, and the next poll does not wait:
//!
//! ```text
//! cargo run --release --example phases
//!
//! ...
//! Turns that carry over: 5 connections wait, accept_budget is 2
//!
//! turn 1
//!   poll     may wait as long as it takes: 1 events
//!   ready    on_connection
//!   ready    on_connection
//! turn 2
//!   poll     does not wait: 1 events
//!   ready    on_connection
//!   ready    on_connection
//! turn 3
//!   poll     does not wait: 1 events
//!   ready    on_connection
//! carried over: 2 times
//! ...
//! ```
//!
//! No budget can limit one of your callbacks: while it runs, nothing else in the loop runs. An
//! event waits for all callbacks before it. [`Metrics`](crate::metrics::Metrics) counts how long
//! turns were; with an observer it also has the longest call.
//!
//! # Time
//!
//! [`Cx::now`](crate::Cx::now) is the time when the poll returned, read anew before timers. A timer
//! counts from the call that starts it, and is never early, even if `now` is old. A timer that is
//! started with 0 in the timers phase waits for the next turn, so it cannot starve others. Of two
//! timers with the same deadline the one that was started first fires first.
//!
//! ```
//! # thread_local! { static LOG: std::cell::RefCell<Vec<&'static str>> = const { std::cell::RefCell::new(Vec::new()) } }
//! # fn say(what: &'static str) { LOG.with_borrow_mut(|log| log.push(what)) }
//! # fn said() -> Vec<&'static str> { LOG.take() }
//! # use std::time::Duration;
//! use tidegate::{AsCx, Loop};
//! let mut lp = Loop::new()?;
//! let mut cx = lp.cx();
//! cx.after(Duration::ZERO, |cx| {
//!     say("timer");
//!     cx.after(Duration::ZERO, |_| say("the other timer"));
//!     cx.next_tick(|_| say("its tick"));
//! });
//! cx.after(Duration::ZERO, |_| say("second timer"));
//! cx.check(|cx, me| { say("check"); cx.close(me).unwrap() });
//! cx.prepare(|cx, me| { say("prepare"); cx.close(me).unwrap() });
//! lp.run_once()?;
//! assert_eq!(said(), ["prepare", "check", "timer", "its tick", "second timer"]);
//! lp.run_once()?;
//! assert_eq!(said(), ["the other timer"]);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What goes wrong in practice
//!
//! - **The loop does not end.** Something keeps it alive:
//!   [`why_alive`](crate::Cx::why_alive) names it. [`set_ref`](crate::Cx::set_ref) takes a
//!   handle out of the count.
//! - **It ends at once.** Nothing kept it alive: a [`Remote`](crate::Remote) does not; a
//!   [`KeepAlive`](crate::KeepAlive) does.
//! - **It takes all of a core.** There is an idle hook, or a timer of 0 that starts itself again;
//!   [`Metrics::blocking_polls`](crate::metrics::Metrics::blocking_polls) does not grow then.
//! - **A callback panics.** The panic leaves `run`. The connection is destroyed, timers and
//!   servers keep their closures, and the next `run` goes on with the rest of the batch.
#![forbid(unsafe_code)]
