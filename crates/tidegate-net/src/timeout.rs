//! The four deadlines of a connection: connect, idle, lifetime, linger.
//!
//! A read or a write only notes the time of the poll; when a deadline comes up, the loop says
//! by when it happened at the latest, so no deadline is early. One heap per loop holds at most one live entry for
//! each connection; when it comes up, the connection is looked at, and the entry put back for
//! later if bytes moved meanwhile. One timer of the loop's runs for the first entry.
//!
//! | deadline | counts from | when it passes |
//! |---|---|---|
//! | connect | `connect` | the kernel is asked once more; then closed |
//! | idle | the last byte, either way | the kernel is asked once more; then `on_timeout` |
//! | lifetime | accepted or connected | closed |
//! | linger | an end of either side, and the last byte after it | the kernel is asked once more; then closed |
//!
//! None of them keeps a loop alive.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use tidegate_loop::{Bits, Cx, Driver, TimerKey};

use crate::error::{Reason, Stage};
use crate::key::SocketKey;
use crate::layer::Layer;
use crate::socket::{Life, Socket};

/// Which deadline of a connection passed.
///
/// ```
/// assert_eq!(tidegate_net::Timeout::Idle.to_string(), "idle timeout");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Timeout {
    /// It was not connected in time; looking up its name counts.
    Connect,
    /// No byte moved, either way, for so long.
    Idle,
    /// It was open for so long.
    Lifetime,
    /// One side had ended, and then no byte moved for so long.
    Linger,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timeout::Connect => "connect timeout",
            Timeout::Idle => "idle timeout",
            Timeout::Lifetime => "lifetime",
            Timeout::Linger => "linger timeout",
        })
    }
}

impl std::error::Error for Timeout {}

/// Deadlines as options give them: milliseconds, 0 for none.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Deadlines {
    pub(crate) idle_ms: u32,
    pub(crate) lifetime_ms: u32,
    pub(crate) linger_ms: u32,
}

impl Deadlines {
    pub(crate) fn has_any(&self) -> bool {
        self.idle_ms != 0 || self.lifetime_ms != 0 || self.linger_ms != 0
    }
}

/// Whole milliseconds, rounded up: a deadline is never early. More than fits, 49 days, is
/// never.
pub(crate) fn millis(d: Duration) -> u32 {
    let up = d.as_nanos().div_ceil(1_000_000);
    u32::try_from(up).unwrap_or(0)
}

/// What the clocks have to know of their connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) connecting: bool,
    pub(crate) open: bool,
    pub(crate) half_closed: bool,
}

/// What a connection knows of its deadlines. Times are nanoseconds of the loop's.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    idle_ms: u32,
    linger_ms: u32,
    /// The end of the connect, and then of the lifetime; 0 for none.
    until_ns: u64,
    /// When a byte moved last, or the idle timeout was set; see `activity`.
    active_ns: u64,
    /// When a side ended.
    ended_ns: u64,
    /// What its live entry says; 0 for none.
    pub(crate) armed_ns: u64,
    activity: Activity,
    /// The peer's end was seen while nothing was read.
    peer_gone: bool,
    /// Its server shuts down: the end of the lifetime only comes nearer.
    grace: bool,
    expiry: Expiry,
}

/// What `active_ns` says, and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Activity {
    /// A byte moved in the turn of this time, or a moment after it.
    #[default]
    InTurn,
    /// No byte has moved since this time.
    Exact,
    /// The idle deadline was told, and no byte has moved since.
    Told,
}

/// What the entry that came up last led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Expiry {
    #[default]
    Waiting,
    /// The kernel is asked once more, in the connection's next dispatch.
    Probing,
    /// To be told or closed in the pending phase.
    Due,
}

impl Clocks {
    pub(crate) fn start(&mut self, deadlines: Deadlines, now: u64) {
        self.idle_ms = deadlines.idle_ms;
        self.linger_ms = deadlines.linger_ms;
        self.touch(now);
        self.set_until(deadlines.lifetime_ms, now);
    }

    /// A byte moved.
    #[inline]
    pub(crate) fn touch(&mut self, now: u64) {
        self.active_ns = now;
        self.activity = Activity::InTurn;
    }

    /// Makes `active_ns` exact: `latest` is asked once for each time that bytes moved.
    pub(crate) fn place_activity(&mut self, latest: impl FnOnce(u64) -> u64) {
        if self.activity == Activity::InTurn {
            self.active_ns = latest(self.active_ns);
            self.activity = Activity::Exact;
        }
    }

    /// A side has ended, now.
    pub(crate) fn side_ended(&mut self, now: u64) {
        self.ended_ns = now;
    }

    /// The peer has ended, as the poller says, and nobody reads. Noted once.
    pub(crate) fn peer_gone(&mut self, now: u64) {
        if !self.peer_gone {
            self.peer_gone = true;
            self.side_ended(now);
        }
    }

    pub(crate) fn set_idle(&mut self, idle: Duration, now: u64) {
        self.idle_ms = millis(idle);
        self.touch(now);
        self.expiry = Expiry::Waiting;
    }

    pub(crate) fn set_linger(&mut self, linger: Duration, now: u64) {
        self.linger_ms = millis(linger);
        // Counts from now, if a side has ended before.
        self.ended_ns = now;
        self.expiry = Expiry::Waiting;
    }

    pub(crate) fn set_until(&mut self, after_ms: u32, now: u64) {
        let until = if after_ms == 0 { 0 } else { now.saturating_add(nanos(after_ms)) };
        if !self.grace {
            self.until_ns = until;
        } else if until != 0 {
            self.until_ns = self.until_ns.min(until);
        }
        self.expiry = Expiry::Waiting;
    }

    /// The lifetime ends then, if not before.
    pub(crate) fn end_by(&mut self, at: u64) {
        if self.until_ns == 0 || self.until_ns > at {
            self.until_ns = at;
        }
        self.grace = true;
    }

    /// No deadline has come up, or it was taken.
    pub(crate) fn wait(&mut self) {
        self.expiry = Expiry::Waiting;
    }

    /// The kernel is asked once more, in the connection's next dispatch.
    pub(crate) fn probe(&mut self) {
        self.expiry = Expiry::Probing;
    }

    /// To be told or closed in the pending phase.
    pub(crate) fn fall_due(&mut self) {
        self.expiry = Expiry::Due;
    }

    /// The idle deadline is told, once for each time that bytes moved.
    pub(crate) fn idle_was_told(&mut self) {
        self.activity = Activity::Told;
    }

    pub(crate) fn is_due(&self) -> bool {
        self.expiry == Expiry::Due
    }

    /// Whether no deadline has come up.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.expiry == Expiry::Waiting
    }

    /// Whether the kernel was asked once more, just now: the deadline is due.
    pub(crate) fn was_probed(&mut self) -> bool {
        let probed = self.expiry == Expiry::Probing;
        if probed {
            self.expiry = Expiry::Due;
        }
        probed
    }

    pub(crate) fn has_any(&self) -> bool {
        self.idle_ms != 0 || self.until_ns != 0 || self.linger_ms != 0
    }

    pub(crate) fn has_linger(&self) -> bool {
        self.linger_ms != 0
    }

    /// The next deadline, if any, and which it is.
    pub(crate) fn next(&self, view: View) -> Option<(u64, Timeout)> {
        let after = |from: u64, ms: u32| (ms != 0).then(|| from.saturating_add(nanos(ms)));
        let hard = if view.connecting { Timeout::Connect } else { Timeout::Lifetime };
        let until = (self.until_ns != 0).then_some((self.until_ns, hard));
        let idles = view.open && self.activity != Activity::Told;
        let idle =
            after(self.active_ns, self.idle_ms).filter(|_| idles).map(|t| (t, Timeout::Idle));
        let since = self.active_ns.max(self.ended_ns);
        let linger = after(since, self.linger_ms).filter(|_| view.half_closed);
        let linger = linger.map(|t| (t, Timeout::Linger));
        [until, linger, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When to look again: at the next deadline; and if idleness was told, after as long
    /// again, since only then bytes can have made the next.
    pub(crate) fn look_at(&self, view: View, now: u64) -> Option<u64> {
        let told = self.activity == Activity::Told;
        let again = told && self.idle_ms != 0 && view.open;
        let again = again.then(|| now.saturating_add(nanos(self.idle_ms)));
        let next = self.next(view).map(|(at, _)| at);
        next.into_iter().chain(again).min()
    }
}

fn nanos(ms: u32) -> u64 {
    u64::from(ms) * 1_000_000
}

/// The entries of a loop, and the timer for the first.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, SocketKey)>>,
    /// And when it fires.
    pub(crate) timer: Option<(TimerKey, u64)>,
}

impl Queue {
    /// Entries that wait, also those of connections that are over.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// No connection is left.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }

    pub(crate) fn push(&mut self, at: u64, key: SocketKey) {
        self.heap.push(Reverse((at, key)));
    }

    /// Whether entries of connections that are over, or have a sooner one, have piled up.
    pub(crate) fn is_overgrown(&self, connections: usize) -> bool {
        self.heap.len() > 2 * connections + 64
    }

    /// These are all, from now on.
    pub(crate) fn replace(&mut self, live: impl Iterator<Item = (u64, SocketKey)>) {
        self.heap = live.map(Reverse).collect();
    }

    /// When the next is due.
    pub(crate) fn first(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next out, if it is due.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<(u64, SocketKey)> {
        self.first().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

fn now(cx: &mut Cx<'_>) -> u64 {
    as_nanos(cx.driver().now())
}

pub(crate) fn as_nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes sure that the connection is looked at when its next deadline comes. Cheap if there
/// is none, or an entry that is early enough.
pub(crate) fn arm(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key).filter(|s| s.duplex.is_open()) else { return };
    let (view, now) = (s.view(&d), d.nanos());
    let Some(at) = s.clocks.look_at(view, now) else { return };
    push(cx, key, at);
}

fn push(cx: &mut Cx<'_>, key: SocketKey, at: u64) {
    let (layer, d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key) else { return };
    if s.clocks.armed_ns != 0 && s.clocks.armed_ns <= at {
        return;
    }
    s.clocks.armed_ns = at;
    layer.deadlines.push(at, key);
    if layer.deadlines.is_overgrown(layer.sockets.len()) {
        let live = layer.sockets.iter().map(|(_, s)| (s.clocks.armed_ns, s.key));
        layer.deadlines.replace(live.filter(|(armed, _)| *armed != 0));
    }
    start_timer(cx);
}

/// A timer for the first entry, if the one that runs is later.
fn start_timer(cx: &mut Cx<'_>) {
    let (layer, d) = cx.parts::<Layer>();
    let Some(first) = layer.deadlines.first() else { return };
    let running = layer.deadlines.timer;
    if running.is_some_and(|(_, at)| at <= first) {
        return;
    }
    let after = Duration::from_nanos(first.saturating_sub(as_nanos(d.clock())));
    let reset = running.filter(|(timer, _)| cx.timer_reset(*timer, after).is_ok());
    let timer = match reset {
        Some((timer, _)) => timer,
        None => {
            let timer = cx.timer(after, |cx, _| come_up(cx));
            cx.driver().set_internal(timer.into());
            timer
        }
    };
    cx.parts::<Layer>().0.deadlines.timer = Some((timer, first));
}

/// The first entries are due.
fn come_up(cx: &mut Cx<'_>) {
    let at = now(cx);
    cx.parts::<Layer>().0.deadlines.timer = None;
    while let Some((due, key)) = cx.parts::<Layer>().0.deadlines.take_due(at) {
        look(cx, key, due, at);
    }
    start_timer(cx);
}

fn look(cx: &mut Cx<'_>, key: SocketKey, entry: u64, now: u64) {
    let (layer, mut d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key).filter(|s| s.duplex.is_open()) else { return };
    if s.clocks.armed_ns != entry {
        return;
    }
    s.clocks.armed_ns = 0;
    s.clocks.place_activity(|noted| d.latest(noted));
    let view = s.view(&d);
    let due = s.clocks.next(view).filter(|(at, _)| *at <= now);
    let Some((_, which)) = due else {
        s.clocks.wait();
        if let Some(at) = s.clocks.look_at(view, now) {
            push(cx, key, at);
        }
        return;
    };
    let reads = s.life == Life::Open && s.duplex.read.wants_read();
    let soft = which == Timeout::Connect || which != Timeout::Lifetime && reads;
    if soft {
        // The loop may be late: the kernel is asked before it is called silent.
        s.clocks.probe();
        if reads {
            d.assume(key.into(), Bits::READABLE);
        }
        return d.queue(key.into());
    }
    s.clocks.fall_due();
    d.pend(key.into());
}

/// What is due for this connection, once. An idle one is to be told, unless it has closed by
/// then; the others are its end.
pub(crate) fn take_due(s: &mut Socket, d: &mut Driver<'_>) -> Option<Due> {
    if !s.clocks.is_due() {
        return None;
    }
    s.clocks.wait();
    s.clocks.place_activity(|noted| d.latest(noted));
    let now = d.nanos();
    let view = s.view(d);
    // Bytes may have moved since, or it was taken back.
    let due = s.clocks.next(view).filter(|(at, _)| *at <= now);
    let Some((_, which)) = due else { return Some(Due::NotYet) };
    if which == Timeout::Idle {
        s.clocks.idle_was_told();
    }
    Some(Due::Now(which))
}

/// What came of a deadline.
pub(crate) enum Due {
    NotYet,
    Now(Timeout),
}

/// The end of a connection by a deadline.
pub(crate) fn reason(s: &mut Socket, d: &Driver<'_>, which: Timeout) -> Reason {
    let alone = s.remote.filter(|_| s.stream.is_some());
    if let Some(c) = &mut s.connecting {
        c.give_up_on_running(alone, d.nanos());
    }
    let stage = if which == Timeout::Connect { Stage::Connect } else { Stage::Open };
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, which);
    Reason::TimedOut(which, s.error(stage, source, d))
}
