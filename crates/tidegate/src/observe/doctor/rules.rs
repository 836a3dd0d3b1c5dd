//! The rules: what comes in is what happened and when, what comes out are findings. They know no
//! loop, no socket and no clock, so a file of events is judged as a loop is.
//!
//! `W` names a handle: the [`Id`](super::super::Id) of a running loop, a text of a file.
//!
//! | sign | rule |
//! |---|---|
//! | blocked loop | a call takes `slow_call` or longer |
//! | long turns | in 10 s, one turn of a hundred takes over 10 ms, and no call over 2 ms |
//! | slow reader | a connection is full for 5 s |
//! | accept queue | 3/4 of it used for 1 s; or nine of ten batches in 1 s stopped by the budget |
//! | no descriptors | a server holds or sheds |
//! | lossy path | 5 segments sent again in 10 s, with a congestion window of at most 10 |
//! | unhandled errors | their counter grows |
//! | late timers | a timer comes over 20 ms late |
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use super::finding::{Finding, Sign};

const LONG_TURN: Duration = Duration::from_millis(10);
const SHORT_CALL: Duration = Duration::from_millis(2);
const WINDOW: Duration = Duration::from_secs(10);
/// Fewer turns say nothing.
const FEW_TURNS: u64 = 20;
const FULL_FOR: Duration = Duration::from_secs(5);
const QUEUED_FOR: Duration = Duration::from_secs(1);
const FEW_BATCHES: u32 = 10;
const LATE: Duration = Duration::from_millis(20);
const SENT_AGAIN: u32 = 5;
const SMALL_WINDOW: u32 = 10;
/// Connections that are watched at most.
const WATCHED: usize = 65_536;

/// What is known of a connection that is full.
struct Full {
    since: Duration,
    queued: u64,
    peer_window: Option<u64>,
    /// Segments that were sent again, when that was first asked in this window.
    sent_again: Option<(Duration, u32)>,
    is_said: bool,
}

/// Of a server.
#[derive(Default)]
struct Door {
    deep_since: Option<Duration>,
    since: Duration,
    batches: u32,
    by_budget: u32,
}

/// A call that took long. It is said when the next turn is over: until then, connections that came
/// meanwhile are accepted.
struct Blocked<W> {
    by: W,
    kind: String,
    took: Duration,
    turns: u32,
    accepted: u64,
}

/// What the kernel says of a connection that is full.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Kernel {
    pub(super) peer_window: Option<u64>,
    pub(super) sent_again: Option<u32>,
    pub(super) congestion_segments: Option<u32>,
}

pub(super) struct Rules<W> {
    slow_call: Duration,
    blocked: Option<Blocked<W>>,
    /// When the next timer is due, as the poller was told in this turn.
    due: Option<Duration>,
    /// The longest call since then.
    longest: Option<(W, String, Duration)>,
    waited: Duration,
    calls: u64,
    window: Window,
    full: HashMap<W, Full>,
    doors: HashMap<W, Door>,
    unhandled: u64,
    /// The last connection that failed, and why.
    failed: Option<(W, String)>,
    findings: Vec<Finding>,
}

/// The turns of some seconds.
#[derive(Default)]
struct Window {
    since: Duration,
    turns: u64,
    long: u64,
    longest: Duration,
    longest_calls: u64,
    longest_call: Duration,
}

/// What a handle of this kind is called in a text.
fn word(kind: &str) -> &str {
    if kind == "socket" { "connection" } else { kind }
}

impl<W: Clone + Eq + Hash + Display> Rules<W> {
    pub(super) fn new(slow_call: Duration) -> Rules<W> {
        Rules {
            slow_call,
            blocked: None,
            due: None,
            longest: None,
            waited: Duration::ZERO,
            calls: 0,
            window: Window::default(),
            full: HashMap::new(),
            doors: HashMap::new(),
            unhandled: 0,
            failed: None,
            findings: Vec::new(),
        }
    }

    pub(super) fn set_slow_call(&mut self, from: Duration) {
        self.slow_call = from;
    }

    // What happened.

    /// The poller is asked. If it may wait, it waits until the next timer at most.
    pub(super) fn poll(&mut self, at: Duration, timeout: Option<Duration>) {
        self.due = timeout.filter(|t| !t.is_zero()).map(|timeout| at + timeout);
        self.longest = None;
    }

    pub(super) fn polled(&mut self, waited: Duration) {
        self.waited = waited;
    }

    /// A handle was called, up to now.
    pub(super) fn called(
        &mut self,
        at: Duration,
        by: impl FnOnce() -> W,
        kind: &str,
        took: Duration,
    ) {
        self.calls += 1;
        self.window.longest_call = self.window.longest_call.max(took);
        if took >= SHORT_CALL.min(self.slow_call) || kind == "timer" {
            self.timer_or_long(at, &by(), kind, took);
        }
    }

    fn timer_or_long(&mut self, at: Duration, by: &W, kind: &str, took: Duration) {
        if kind == "timer" {
            let began = at.saturating_sub(took);
            if let Some(late) = self.due.take().and_then(|due| began.checked_sub(due)) {
                if late > LATE {
                    self.late_timer(at, by, late);
                }
            }
        }
        if took >= SHORT_CALL && self.longest.as_ref().is_none_or(|(_, _, most)| took > *most) {
            self.longest = Some((by.clone(), kind.to_owned(), took));
        }
        if took < self.slow_call {
            return;
        }
        if self.blocked.as_ref().is_some_and(|b| b.turns > 0) {
            self.say_blocked(at);
        }
        // Of one turn, the longest.
        if self.blocked.as_ref().is_none_or(|b| took > b.took) {
            let (by, kind) = (by.clone(), kind.to_owned());
            self.blocked = Some(Blocked { by, kind, took, turns: 0, accepted: 0 });
        }
    }

    /// A turn is over.
    pub(super) fn turn_end(&mut self, at: Duration, took: Duration) {
        let busy = took.saturating_sub(std::mem::take(&mut self.waited));
        let calls = std::mem::take(&mut self.calls);
        let window = &mut self.window;
        window.turns += 1;
        window.long += u64::from(busy > LONG_TURN);
        if busy > window.longest {
            (window.longest, window.longest_calls) = (busy, calls);
        }
        if at.saturating_sub(window.since) >= WINDOW {
            self.window_is_over(at);
        }
        if let Some(blocked) = &mut self.blocked {
            blocked.turns += 1;
            if blocked.turns > 1 {
                self.say_blocked(at);
            }
        }
        if !self.full.is_empty() {
            self.look_at_full(at);
        }
    }

    /// A connection takes no more bytes.
    pub(super) fn full(&mut self, at: Duration, of: &W, queued: u64) {
        if self.full.len() < WATCHED || self.full.contains_key(of) {
            let new =
                Full { since: at, queued, peer_window: None, sent_again: None, is_said: false };
            self.full.entry(of.clone()).or_insert(new).queued = queued;
        }
    }

    pub(super) fn queued(&mut self, of: &W, bytes: u64) {
        if let Some(full) = self.full.get_mut(of) {
            full.queued = bytes;
        }
    }

    /// A connection takes bytes again, or is over.
    pub(super) fn not_full(&mut self, of: &W) {
        self.full.remove(of);
    }

    pub(super) fn failed(&mut self, of: &W, why: String) {
        self.failed = Some((of.clone(), why));
    }

    pub(super) fn accepted(&mut self, at: Duration, server: &W, connections: u64, budget: bool) {
        if let Some(blocked) = &mut self.blocked {
            blocked.accepted += connections;
        }
        let Some(door) = self.door(at, server) else { return };
        door.batches += 1;
        door.by_budget += u32::from(budget);
        if at.saturating_sub(door.since) < QUEUED_FOR {
            return;
        }
        let (batches, by_budget) = (door.batches, door.by_budget);
        (door.since, door.batches, door.by_budget) = (at, 0, 0);
        if batches >= FEW_BATCHES && by_budget * 10 >= batches * 9 {
            let text = format!(
                "more connections come to {server} than it accepts: {by_budget} of {batches} \
                 batches ended because `accept_budget` was used up"
            );
            self.say(at, Sign::AcceptQueue, server, text);
        }
    }

    pub(super) fn server_is_over(&mut self, server: &W) {
        self.doors.remove(server);
    }

    /// A server has no descriptors: connections wait, or were closed.
    pub(super) fn no_descriptors(&mut self, at: Duration, server: &W, closed: Option<u64>) {
        let text = match closed {
            None => format!("{server} cannot accept: no file descriptor is left, and clients wait"),
            Some(n) => {
                format!("{server} closed {n} connections at once: no file descriptor is left")
            }
        };
        self.say(at, Sign::NoDescriptors, server, text);
    }

    // What was asked.

    /// How many connections wait in the kernel, and how many may.
    pub(super) fn accept_queue(&mut self, at: Duration, server: &W, depth: u32, limit: u32) {
        let Some(door) = self.door(at, server) else { return };
        if u64::from(depth) * 4 <= u64::from(limit) * 3 {
            door.deep_since = None;
            return;
        }
        let since = *door.deep_since.get_or_insert(at);
        if at.saturating_sub(since) >= QUEUED_FOR {
            let text = format!("{depth} connections wait to be accepted by {server}; {limit} may");
            self.say(at, Sign::AcceptQueue, server, text);
        }
    }

    /// Connections that are full, at most so many: the kernel may be asked about them.
    pub(super) fn full_ones(&self, most: usize) -> Vec<W> {
        self.full.keys().take(most).cloned().collect()
    }

    pub(super) fn kernel(&mut self, at: Duration, of: &W, kernel: Kernel) {
        let Some(full) = self.full.get_mut(of) else { return };
        full.peer_window = kernel.peer_window;
        let Some(now) = kernel.sent_again else { return };
        let (since, first) = *full.sent_again.get_or_insert((at, now));
        if at.saturating_sub(since) > WINDOW {
            full.sent_again = Some((at, now));
            return;
        }
        let (lost, window) = (now.saturating_sub(first), kernel.congestion_segments);
        if lost >= SENT_AGAIN && window.is_some_and(|segments| segments <= SMALL_WINDOW) {
            full.sent_again = Some((at, now));
            let text = format!(
                "the way to the peer of connection {of} loses packets: {lost} segments were sent \
                 again in {:.0?}, and the congestion window is {} segments",
                at.saturating_sub(since),
                window.unwrap_or_default(),
            );
            self.say(at, Sign::LossyPath, of, text);
        }
    }

    /// The counter of errors that no code handled.
    pub(super) fn unhandled(&mut self, at: Duration, errors: u64) {
        let more = errors.saturating_sub(self.unhandled);
        self.unhandled = errors;
        if more == 0 {
            return;
        }
        let (of, last) = match self.failed.clone() {
            Some((of, why)) => (of.to_string(), format!("; the last connection failed: {why}")),
            None => (String::new(), String::new()),
        };
        let text = format!("{more} errors came that no code handled{last}");
        self.push(at, Sign::UnhandledErrors, of, text);
    }

    /// Whether something was found since the last [`take`](Rules::take).
    pub(super) fn has_found(&self) -> bool {
        !self.findings.is_empty()
    }

    /// What was found since the last call. With `all`, also what waits for the end of a turn.
    pub(super) fn take(&mut self, at: Duration, all: bool) -> Vec<Finding> {
        if all && self.blocked.is_some() {
            self.say_blocked(at);
        }
        std::mem::take(&mut self.findings)
    }

    // What follows.

    fn door(&mut self, at: Duration, server: &W) -> Option<&mut Door> {
        if self.doors.len() >= WATCHED && !self.doors.contains_key(server) {
            return None;
        }
        let new = || Door { since: at, ..Door::default() };
        Some(self.doors.entry(server.clone()).or_insert_with(new))
    }

    fn late_timer(&mut self, at: Duration, timer: &W, late: Duration) {
        let cause = match &self.longest {
            Some((by, kind, took)) => {
                format!("; at that time {} {by} was called for {took:.0?}", word(kind))
            }
            None => String::new(),
        };
        let text = format!("timer {timer} came {late:.0?} late{cause}");
        self.say(at, Sign::LateTimers, timer, text);
    }

    fn window_is_over(&mut self, at: Duration) {
        let w = std::mem::replace(&mut self.window, Window { since: at, ..Window::default() });
        let many = w.turns >= FEW_TURNS && w.long * 100 > w.turns;
        if many && w.longest_call <= SHORT_CALL {
            let text = format!(
                "{} of {} turns took longer than {LONG_TURN:?}, the longest {:.0?} with {} calls, \
                 and no call took longer than {SHORT_CALL:?}",
                w.long, w.turns, w.longest, w.longest_calls
            );
            self.push(at, Sign::LongTurns, String::new(), text);
        }
    }

    fn say_blocked(&mut self, at: Duration) {
        let Some(blocked) = self.blocked.take() else { return };
        let Blocked { by, kind, took, accepted, .. } = blocked;
        let waited = match accepted {
            0 => String::new(),
            1 => "; one connection waited to be accepted".to_owned(),
            n => format!("; {n} connections waited to be accepted"),
        };
        let text = format!(
            "a callback of {} {by} took {took:.0?}, and nothing else ran meanwhile{waited}",
            word(&kind)
        );
        self.say(at, Sign::BlockedLoop, &by, text);
    }

    fn look_at_full(&mut self, at: Duration) {
        let mut found = Vec::new();
        for (of, full) in &mut self.full {
            let during = at.saturating_sub(full.since);
            if full.is_said || during < FULL_FOR {
                continue;
            }
            full.is_said = true;
            let why = match full.peer_window {
                Some(0) => ": its peer does not read, its window is 0",
                Some(_) => ": its peer reads too slowly, or the way there is slow",
                None => ": its peer does not read, or reads too slowly",
            };
            let queued = full.queued;
            let text =
                format!("connection {of} is full for {during:.0?}{why}. {queued} bytes are kept");
            found.push((of.clone(), text));
        }
        for (of, text) in found {
            self.say(at, Sign::SlowReader, &of, text);
        }
    }

    fn say(&mut self, at: Duration, sign: Sign, of: &W, text: String) {
        self.push(at, sign, of.to_string(), text);
    }

    fn push(&mut self, at: Duration, sign: Sign, of: String, text: String) {
        let advice = sign.advice();
        self.findings.push(Finding { number: 0, sign, at, of, text, advice, unsaid: 0 });
    }
}
