//! Tuning accept: what each option of a listener trades, measured.
//!
//! The tables were written by the report (`cargo run --release -p tidegate-bench -- report`),
//! on the machine that `BENCHMARKS.md` names; your figures differ, the shapes do not. Where
//! connections wait before you see them is in [`accept`](super::accept).
//!
//! # First find out what is short
//!
//! ```text
//!  clients say connected,      accept_queue().depth    turn_lengths p99     then look at
//!  and wait for an answer      against its limit       of Metrics
//!  ------------------------    --------------------    -----------------    ----------------------
//!  slow connects, of 1 s       at the limit            long                 the long callback, then
//!                                                                           accept_budget, backlog
//!  slow connects, of 1 s       at the limit, briefly   short                backlog
//!  slow first answers          deep, not full          long                 accept_budget; reuse_port
//!  slow answers for all        empty                   long                 your callbacks; reuse_port
//!  closed without an answer    empty                   short                max_connections,
//!                                                                           out_of_descriptors
//! ```
//! [`ServerCx::accept_queue`](crate::net::ServerCx::accept_queue) says how many wait in the kernel and how
//! many may; [`ServerCx::accept_gauge`](crate::net::ServerCx::accept_gauge) says it to another thread, also
//! while the loop is inside a callback;
//! [`turn_lengths`](crate::metrics::Metrics::turn_lengths) says how long the kernel was not asked;
//! [`ServerCx::stats`](crate::net::ServerCx::stats) counts what was carried over, dropped,
//! shed. The example `accept_pressure` shows such a queue grow and drain.
//!
//! # `accept_budget`: who waits in a busy loop
//!
//! [`accept_budget`](crate::net::ListenOptions::accept_budget) is how many connections one
//! turn takes; 64 unless you say otherwise. What is left is carried over, and the next poll
//! does not wait. The budget decides between two kinds of clients: those who come, and those
//! who are there already and wait for the turn to end.
//!
#![doc = include_str!("../../../../docs/tuning/accept_budget.md")]
//!
//! - A loop whose turns are short needs no tuning: the queue is empty again before it matters.
//! - Turns are long, and newcomers should not starve: raise it. One accept in each turn, as
//!   libuv does since 1.45, lets in a thousand connections a second if a turn takes 1 ms.
//! - Each accepted connection costs much in its first callback, and those who are there must
//!   not feel it: lower it.
//!
//! It is per turn, not per second. For a rate, [`ServerCx::pause`](crate::net::ServerCx::pause)
//! and a timer.
//!
//! # `backlog`: how long a burst may be
//!
//! [`backlog`](crate::net::ListenOptions::backlog) is how many may wait in the kernel; 511
//! unless you say otherwise, and never more than `net.core.somaxconn`. It is room for the
//! connections that come while the loop is inside one callback: rate times the longest turn.
//!
#![doc = include_str!("../../../../docs/tuning/backlog.md")]
//!
//! The jump to a second is the client's first retransmitted SYN (RFC 6298, 2.1): nothing on
//! your side makes that faster. `nstat -az TcpExtListenOverflows` counts such connections. A
//! loop that is too slow all the time is not helped: a longer backlog only makes the wait in it
//! longer.
//!
//! # `reuse_port`: more loops
//!
//! With [`reuse_port`](crate::net::ListenOptions::reuse_port) each loop, in its own thread or
//! process, has a listener and a queue of its own on the same port. The kernel chooses by a
//! hash of the addresses, for good: a connection in the queue of a busy loop waits there while
//! another loop is idle, and is reset if that listener closes (socket(7), `SO_REUSEPORT`).
//!
#![doc = include_str!("../../../../docs/tuning/reuse_port.md")]
//!
//! If connections differ much in what they cost, take them in one loop and hand them on:
//! [`detach`](crate::net::Incoming::detach) and [`adopt`](crate::net::Net::adopt). The example
//! `many_loops` has a loop for each core on one port.
//!
//! # `defer_accept`: one wake-up instead of two
//!
//! With [`defer_accept`](crate::net::ListenOptions::defer_accept) (`TCP_DEFER_ACCEPT`, tcp(7))
//! the kernel keeps a connection for itself until its first bytes are there, or about that
//! time has passed. For protocols in which the client speaks first.
//!
#![doc = include_str!("../../../../docs/tuning/defer_accept.md")]
//!
//! Fewer turns need not be less work, nor a sooner answer: the kernel then finishes the
//! connection when the bytes come, and they wait for that. Measure it with your clients.
//!
//! You do not see who connects and says nothing, so [`idle_timeout`] counts for them later;
//! and a server that greets first would wait for a client that waits for it. Without it a
//! connection whose request is in already is answered in the turn that accepted it, as long as
//! most of them are: the loop tries the first read at once while that pays.
//!
//! # `max_connections`: hold or drop
//!
//! [`max_connections`](crate::net::ListenOptions::max_connections) bounds what is open, and
//! with it memory and descriptors. Beyond it:
//!
#![doc = include_str!("../../../../docs/tuning/max_connections.md")]
//!
//! - [`Drop`](crate::net::AtLimit::Drop) for clients that have somewhere else to go, such as
//!   those behind a balancer: they know at once. It costs an `accept4` and a `close` each.
//! - [`Hold`](crate::net::AtLimit::Hold) for clients that can wait: they stand in the backlog,
//!   and beyond that in retransmitted SYNs. The listener leaves the poller, so waiting costs
//!   nothing.
//!
//! The same choice, for want of descriptors, is
//! [`out_of_descriptors`](crate::net::ListenOptions::out_of_descriptors). Either way
//! [`on_overload`](crate::net::ServerHandler::on_overload) is told.
//!
//! # All together
//!
//! ```
//! use tidegate::net::AtLimit;
//! use tidegate::prelude::*;
//!
//! let mut lp = Loop::new()?;
//! let options = ListenOptions::new("127.0.0.1:0")
//!     .backlog(1024)
//!     .accept_budget(16)
//!     .max_connections(10_000, AtLimit::Hold);
//! let server = lp.listen(options, |conn| {
//!     conn.accept(On::new().data(|s, chunk| { let _ = s.write(chunk); }));
//! })?;
//! if let Some(limit) = lp.server(server).accept_queue()?.limit {
//!     println!("at most {limit} wait"); // less than 1024 where somaxconn is
//! }
//! assert_eq!(lp.server(server).stats()?.carried_over, 0);
//! # lp.server(server).close()?;
//! # lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`idle_timeout`]: crate::net::ListenOptions::idle_timeout
#![forbid(unsafe_code)]
