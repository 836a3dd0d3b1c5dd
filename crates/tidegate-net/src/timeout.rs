//! The four deadlines of a connection: connect, idle, lifetime, linger.
//!
//! A read or a write only notes the time. One heap per loop holds at most one live entry for
//! each connection; when it comes up, the connection is looked at, and the entry put back for
//! later if bytes moved meanwhile. One timer of the loop's runs for the first entry.
//!
//! | deadline | counts from | when it passes |
//! |---|---|---|
//! | connect | `connect` | closed |
//! | idle | the last byte, either way | one more read is tried; then `on_timeout` |
//! | lifetime | accepted or connected | closed |
//! | linger | an end of either side, and the last byte after it | one more read is tried; then closed |
//!
//! None of them keeps a loop alive.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use tidegate_loop::{Bits, Cx, TimerKey};

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

/// Whole milliseconds, rounded up: a deadline is never early.
pub(crate) fn millis(d: Duration) -> u32 {
    let up = d.as_nanos().div_ceil(1_000_000);
    u32::try_from(up).unwrap_or(u32::MAX)
}

/// What a connection knows of its deadlines. Times are nanoseconds of the loop's.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    idle: u32,
    linger: u32,
    /// The end of the connect, and then of the lifetime; 0 for none.
    until: u64,
    /// When a byte moved last.
    pub(crate) active: u64,
    /// What its live entry says; 0 for none.
    armed: u64,
    /// The idle deadline was told at this activity, and is not told again before the next.
    told: u64,
    expiry: Expiry,
}

/// What the entry that came up last led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Expiry {
    #[default]
    Waiting,
    /// One more read is under way.
    Probing,
    /// To be told or closed in the pending phase.
    Due(Timeout),
}

impl Clocks {
    pub(crate) fn start(&mut self, deadlines: Deadlines, now: u64) {
        self.idle = deadlines.idle;
        self.linger = deadlines.linger;
        self.active = now;
        self.set_until(deadlines.lifetime, now);
    }

    pub(crate) fn set_idle(&mut self, idle: Duration, now: u64) {
        self.idle = millis(idle);
        self.active = now;
        self.told = 0;
    }

    pub(crate) fn set_linger(&mut self, linger: Duration) {
        self.linger = millis(linger);
    }

    pub(crate) fn set_until(&mut self, after: u32, now: u64) {
        self.until = if after == 0 { 0 } else { now.saturating_add(nanos(after)) };
    }

    /// The lifetime ends then, if not before.
    pub(crate) fn end_by(&mut self, at: u64) {
        if self.until == 0 || self.until > at {
            self.until = at;
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        matches!(self.expiry, Expiry::Due(_))
    }

    pub(crate) fn has_any(&self) -> bool {
        self.idle != 0 || self.until != 0 || self.linger != 0
    }

    pub(crate) fn has_linger(&self) -> bool {
        self.linger != 0
    }

    /// The next deadline, if any, and which it is.
    fn next(&self, life: Life, half_closed: bool) -> Option<(u64, Timeout)> {
        let after = |ms: u32| (ms != 0).then(|| self.active.saturating_add(nanos(ms)));
        let hard = if life == Life::Connecting { Timeout::Connect } else { Timeout::Lifetime };
        let until = (self.until != 0).then_some((self.until, hard));
        let idle = after(self.idle).filter(|_| life == Life::Open).map(|t| (t, Timeout::Idle));
        let linger = after(self.linger).filter(|_| half_closed).map(|t| (t, Timeout::Linger));
        [until, linger, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
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
    let half_closed = s.is_half_closed(&d);
    let Some((at, _)) = s.clocks.next(s.life, half_closed) else { return };
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
    if let Some((timer, _)) = running {
        let _ = cx.timer_stop(timer);
    }
    let timer = cx.timer(after, |cx, _| come_up(cx));
    let _ = cx.set_ref(timer, false);
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
    let half_closed = s.is_half_closed(&d);
    let Some((at, which)) = s.clocks.next(s.life, half_closed) else { return };
    let told = which == Timeout::Idle && s.clocks.told == s.clocks.active;
    if at > now || told {
        s.clocks.expiry = Expiry::Waiting;
        let again = if told { now.saturating_add(nanos(s.clocks.idle)) } else { at };
        return push(cx, key, again);
    }
    let soft = matches!(which, Timeout::Idle | Timeout::Linger);
    if soft && s.duplex.read.wants_read() && s.clocks.expiry == Expiry::Waiting {
        // The loop may be late: what waits in the kernel is read before it is called idle.
        s.clocks.expiry = Expiry::Probing;
        d.assume(key.into(), Bits::READABLE);
        d.queue(key.into());
        return push(cx, key, now);
    }
    s.clocks.expiry = Expiry::Due(which);
    d.pend(key.into());
}

/// What is due for this connection, once. An idle one is to be told, unless it has closed by
/// then; the others are its end.
pub(crate) fn take_due(s: &mut Socket) -> Option<Timeout> {
    let Expiry::Due(which) = s.clocks.expiry else { return None };
    s.clocks.expiry = Expiry::Waiting;
    if which == Timeout::Idle {
        s.clocks.told = s.clocks.active;
    }
    Some(which)
}

/// The end of a connection by a deadline.
pub(crate) fn reason(s: &Socket, d: &tidegate_loop::Driver<'_>, which: Timeout) -> Reason {
    let stage = if which == Timeout::Connect { Stage::Connect } else { Stage::Open };
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, which);
    Reason::TimedOut(which, s.error(stage, source, d))
}
