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

use crate::attempts;
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
    pub(crate) idle: u32,
    pub(crate) lifetime: u32,
    pub(crate) linger: u32,
}

impl Deadlines {
    pub(crate) fn has_any(&self) -> bool {
        self.idle != 0 || self.lifetime != 0 || self.linger != 0
    }
}

/// Whole milliseconds, rounded up: a deadline is never early. More than fits, 49 days, is
/// never.
pub(crate) fn millis(d: Duration) -> u32 {
    let up = d.as_nanos().div_ceil(1_000_000);
    u32::try_from(up).unwrap_or(0)
}

/// What a connection knows of its deadlines. Times are nanoseconds of the loop's.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    idle: u32,
    linger: u32,
    /// The end of the connect, and then of the lifetime; 0 for none.
    until: u64,
    /// When a byte moved last, or the idle timeout was set; see `activity`.
    active: u64,
    /// When a side ended.
    ended: u64,
    /// What its live entry says; 0 for none.
    armed: u64,
    activity: Activity,
    /// The peer's end was seen while nothing was read.
    peer_gone: bool,
    /// Its server shuts down: the end of the lifetime only comes nearer.
    grace: bool,
    expiry: Expiry,
}

/// What `active` says, and what came of it.
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
        self.idle = deadlines.idle;
        self.linger = deadlines.linger;
        self.touch(now);
        self.set_until(deadlines.lifetime, now);
    }

    /// A byte moved.
    #[inline]
    pub(crate) fn touch(&mut self, now: u64) {
        self.active = now;
        self.activity = Activity::InTurn;
    }

    /// Makes `active` exact: `latest` is asked once for each time that bytes moved.
    fn place_activity(&mut self, latest: impl FnOnce(u64) -> u64) {
        if self.activity == Activity::InTurn {
            self.active = latest(self.active);
            self.activity = Activity::Exact;
        }
    }

    /// A side has ended, now.
    pub(crate) fn side_ended(&mut self, now: u64) {
        self.ended = now;
    }

    /// The peer has ended, as the poller says, and nobody reads. Noted once.
    pub(crate) fn peer_gone(&mut self, now: u64) {
        if !self.peer_gone {
            self.peer_gone = true;
            self.side_ended(now);
        }
    }

    pub(crate) fn set_idle(&mut self, idle: Duration, now: u64) {
        self.idle = millis(idle);
        self.touch(now);
        self.expiry = Expiry::Waiting;
    }

    pub(crate) fn set_linger(&mut self, linger: Duration, now: u64) {
        self.linger = millis(linger);
        // Counts from now, if a side has ended before.
        self.ended = now;
        self.expiry = Expiry::Waiting;
    }

    pub(crate) fn set_until(&mut self, after: u32, now: u64) {
        let until = if after == 0 { 0 } else { now.saturating_add(nanos(after)) };
        if !self.grace {
            self.until = until;
        } else if until != 0 {
            self.until = self.until.min(until);
        }
        self.expiry = Expiry::Waiting;
    }

    /// The lifetime ends then, if not before.
    pub(crate) fn end_by(&mut self, at: u64) {
        if self.until == 0 || self.until > at {
            self.until = at;
        }
        self.grace = true;
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
        self.idle != 0 || self.until != 0 || self.linger != 0
    }

    pub(crate) fn has_linger(&self) -> bool {
        self.linger != 0
    }

    /// The next deadline, if any, and which it is.
    fn next(&self, life: Life, half_closed: bool) -> Option<(u64, Timeout)> {
        let after = |from: u64, ms: u32| (ms != 0).then(|| from.saturating_add(nanos(ms)));
        let hard = if life == Life::Connecting { Timeout::Connect } else { Timeout::Lifetime };
        let until = (self.until != 0).then_some((self.until, hard));
        let idles = life == Life::Open && self.activity != Activity::Told;
        let idle = after(self.active, self.idle).filter(|_| idles).map(|t| (t, Timeout::Idle));
        let since = self.active.max(self.ended);
        let linger = after(since, self.linger).filter(|_| half_closed);
        let linger = linger.map(|t| (t, Timeout::Linger));
        [until, linger, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When to look again: at the next deadline; and if idleness was told, after as long
    /// again, since only then bytes can have made the next.
    fn look_at(&self, life: Life, half_closed: bool, now: u64) -> Option<u64> {
        let told = self.activity == Activity::Told;
        let again = told && self.idle != 0 && life == Life::Open;
        let again = again.then(|| now.saturating_add(nanos(self.idle)));
        let next = self.next(life, half_closed).map(|(at, _)| at);
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
    timer: Option<(TimerKey, u64)>,
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
    let (half_closed, now) = (s.is_half_closed(&d), d.nanos());
    let Some(at) = s.clocks.look_at(s.life, half_closed, now) else { return };
    push(cx, key, at);
}

fn push(cx: &mut Cx<'_>, key: SocketKey, at: u64) {
    let (layer, d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key) else { return };
    if s.clocks.armed != 0 && s.clocks.armed <= at {
        return;
    }
    s.clocks.armed = at;
    layer.deadlines.heap.push(Reverse((at, key)));
    // Entries of connections that are over, or have a sooner one, must not pile up.
    if layer.deadlines.heap.len() > 2 * layer.sockets.len() + 64 {
        let live = layer.sockets.iter().map(|(_, s)| (s.clocks.armed, s.key));
        let live = live.filter(|(armed, _)| *armed != 0).map(Reverse).collect();
        layer.deadlines.heap = live;
    }
    start_timer(cx);
}

/// A timer for the first entry, if the one that runs is later.
fn start_timer(cx: &mut Cx<'_>) {
    let (layer, d) = cx.parts::<Layer>();
    let Some(Reverse((first, _))) = layer.deadlines.heap.peek() else { return };
    let first = *first;
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
    loop {
        let deadlines = &mut cx.parts::<Layer>().0.deadlines;
        match deadlines.heap.peek() {
            Some(Reverse((due, key))) if *due <= at => {
                let (due, key) = (*due, *key);
                deadlines.heap.pop();
                look(cx, key, due, at);
            }
            _ => break,
        }
    }
    start_timer(cx);
}

fn look(cx: &mut Cx<'_>, key: SocketKey, entry: u64, now: u64) {
    let (layer, mut d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key).filter(|s| s.duplex.is_open()) else { return };
    if s.clocks.armed != entry {
        return;
    }
    s.clocks.armed = 0;
    s.clocks.place_activity(|noted| d.latest(noted));
    let half_closed = s.is_half_closed(&d);
    let due = s.clocks.next(s.life, half_closed).filter(|(at, _)| *at <= now);
    let Some((_, which)) = due else {
        s.clocks.expiry = Expiry::Waiting;
        if let Some(at) = s.clocks.look_at(s.life, half_closed, now) {
            push(cx, key, at);
        }
        return;
    };
    let reads = s.life == Life::Open && s.duplex.read.wants_read();
    let soft = which == Timeout::Connect || which != Timeout::Lifetime && reads;
    if soft {
        // The loop may be late: the kernel is asked before it is called silent.
        s.clocks.expiry = Expiry::Probing;
        if reads {
            d.assume(key.into(), Bits::READABLE);
        }
        return d.queue(key.into());
    }
    s.clocks.expiry = Expiry::Due;
    d.pend(key.into());
}

/// What is due for this connection, once. An idle one is to be told, unless it has closed by
/// then; the others are its end.
pub(crate) fn take_due(s: &mut Socket, d: &mut Driver<'_>) -> Option<Due> {
    if !s.clocks.is_due() {
        return None;
    }
    s.clocks.expiry = Expiry::Waiting;
    s.clocks.place_activity(|noted| d.latest(noted));
    let now = d.nanos();
    let half_closed = s.is_half_closed(d);
    // Bytes may have moved since, or it was taken back.
    let due = s.clocks.next(s.life, half_closed).filter(|(at, _)| *at <= now);
    let Some((_, which)) = due else { return Some(Due::NotYet) };
    if which == Timeout::Idle {
        s.clocks.activity = Activity::Told;
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
    attempts::give_up_on_running(s, d);
    let stage = if which == Timeout::Connect { Stage::Connect } else { Stage::Open };
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, which);
    Reason::TimedOut(which, s.error(stage, source, d))
}
