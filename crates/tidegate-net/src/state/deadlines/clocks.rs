//! The deadlines of a connection: connect, handshake, idle, lifetime, linger. Pure: times go in, the
//! next deadline comes out.
//!
//! A read or a write only notes the time of the poll; when a deadline comes up, the loop says
//! by when it happened at the latest, so no deadline is early.
//!
//! | deadline | counts from | when it passes |
//! |---|---|---|
//! | connect | `connect` | the kernel is asked once more; then closed |
//! | handshake | accepted | the kernel is asked once more; then closed |
//! | idle | the last byte, either way | the kernel is asked once more; then `on_timeout` |
//! | lifetime | accepted or connected | closed |
//! | linger | an end of either side, and the last byte after it | the kernel is asked once more; then closed |
//!
//! `socket/expire.rs` looks at them when they come up.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::fault::Timeout;
use crate::options::stream::{DeadlineOptions, millis};

/// What the clocks have to know of their connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) connecting: bool,
    /// Its filters are to be ready in time.
    pub(crate) gated: bool,
    pub(crate) open: bool,
    pub(crate) half_closed: bool,
}

/// What a connection knows of its deadlines. Times are nanoseconds of the loop's.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    idle_ms: u32,
    /// From the first time on that there is such a deadline.
    linger: Option<Box<Linger>>,
    /// The end of the connect, or of the handshake, and then of the lifetime; 0 for none.
    until_ns: u64,
    /// When a byte moved last, or the idle timeout was set; see `activity`.
    active_ns: u64,
    /// What its live entry says; 0 for none.
    pub(crate) armed_ns: u64,
    activity: Activity,
    /// The peer's end was seen while nothing was read.
    peer_gone: bool,
    grace: Grace,
    expiry: Expiry,
}

/// The deadline of a connection that is half closed. Few have one.
#[derive(Clone, Copy, Debug)]
struct Linger {
    /// 0 for none.
    after_ms: u32,
    /// When a side ended.
    ended_ns: u64,
}

/// Whether its server shuts down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Grace {
    #[default]
    No,
    /// It does; the lifetime ends before the grace, and only comes nearer.
    Later,
    /// It does, and `until_ns` is the end of the grace.
    Ends,
}

/// What `active_ns` says, and whether its idle deadline was told.
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
    pub(crate) fn start(&mut self, deadlines: DeadlineOptions, now: u64) {
        self.idle_ms = deadlines.idle_ms;
        if deadlines.linger_ms != 0 {
            self.linger = Some(Box::new(Linger { after_ms: deadlines.linger_ms, ended_ns: 0 }));
        }
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
        if let Some(linger) = &mut self.linger {
            linger.ended_ns = now;
        }
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
        (self.active_ns, self.activity) = (now, Activity::Exact);
        self.expiry = Expiry::Waiting;
    }

    pub(crate) fn set_linger(&mut self, linger: Duration, now: u64) {
        // Counts from now, if a side has ended before.
        self.linger = Some(Box::new(Linger { after_ms: millis(linger), ended_ns: now }));
        self.expiry = Expiry::Waiting;
    }

    pub(crate) fn set_until(&mut self, after_ms: u32, now: u64) {
        let until = if after_ms == 0 { 0 } else { now.saturating_add(nanos(after_ms)) };
        if self.grace == Grace::No {
            self.until_ns = until;
        } else if until != 0 && until < self.until_ns {
            (self.until_ns, self.grace) = (until, Grace::Later);
        }
        self.expiry = Expiry::Waiting;
    }

    /// Its server shuts down: it ends then, if not before.
    pub(crate) fn end_by(&mut self, at: u64) {
        if self.until_ns == 0 || self.until_ns > at {
            (self.until_ns, self.grace) = (at, Grace::Ends);
        } else if self.grace == Grace::No {
            self.grace = Grace::Later;
        }
    }

    /// Whether its server shuts down.
    pub(crate) fn has_grace(&self) -> bool {
        self.grace != Grace::No
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

    /// The idle deadline has passed; once after each time that bytes moved.
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
        self.idle_ms != 0 || self.until_ns != 0 || self.has_linger()
    }

    #[inline]
    pub(crate) fn has_linger(&self) -> bool {
        self.linger.as_ref().is_some_and(|linger| linger.after_ms != 0)
    }

    /// The next deadline, if any, and which it is.
    pub(crate) fn next(&self, view: View) -> Option<(u64, Timeout)> {
        let after = |from: u64, ms: u32| (ms != 0).then(|| from.saturating_add(nanos(ms)));
        let hard = match (view.connecting, view.gated) {
            (true, _) => Timeout::Connect,
            (_, true) => Timeout::Handshake,
            _ if self.grace == Grace::Ends => Timeout::Shutdown,
            _ => Timeout::Lifetime,
        };
        let until = (self.until_ns != 0).then_some((self.until_ns, hard));
        let idles = view.open && self.activity != Activity::Told;
        let idle =
            after(self.active_ns, self.idle_ms).filter(|_| idles).map(|t| (t, Timeout::Idle));
        let linger = self.linger.as_ref().filter(|_| view.half_closed);
        let linger = linger.and_then(|l| after(self.active_ns.max(l.ended_ns), l.after_ms));
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

pub(crate) fn as_nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// What a deadline that came up turned out to be.
pub(crate) enum Due {
    NotYet,
    Now(Timeout),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Byte,
        SideEnds,
        PeerGone,
        Idle(u32),
        Linger(u32),
        Lifetime(u32),
        Shutdown(u32),
    }

    /// The same deadlines with a word for each, and no number that means "none".
    #[derive(Default)]
    struct Model {
        idle: Option<u64>,
        linger: Option<u64>,
        until: Option<u64>,
        no_later: Option<u64>,
        active: u64,
        ended: u64,
        peer_gone: bool,
    }

    impl Model {
        fn step(&mut self, step: Step, now: u64) {
            let some = |ms: u32| (ms != 0).then_some(u64::from(ms) * MS);
            match step {
                Step::Byte => self.active = now,
                Step::SideEnds => self.ended = now,
                Step::PeerGone if self.peer_gone => {}
                Step::PeerGone => (self.peer_gone, self.ended) = (true, now),
                Step::Idle(ms) => (self.idle, self.active) = (some(ms), now),
                Step::Linger(ms) => (self.linger, self.ended) = (some(ms), now),
                Step::Lifetime(ms) => {
                    let until = some(ms).map(|after| now + after);
                    self.until = match self.no_later {
                        // Once it shuts down, a lifetime only comes nearer.
                        Some(_) => self.until.into_iter().chain(until).min(),
                        None => until,
                    };
                }
                Step::Shutdown(ms) => {
                    let at = now + u64::from(ms) * MS;
                    self.no_later = Some(at);
                    self.until = self.until.into_iter().chain([at]).min();
                }
            }
        }

        fn next(&self, view: View) -> Option<u64> {
            let idle = self.idle.filter(|_| view.open).map(|after| self.active + after);
            let linger = self.linger.filter(|_| view.half_closed);
            let linger = linger.map(|after| self.active.max(self.ended) + after);
            [idle, linger, self.until].into_iter().flatten().min()
        }
    }

    fn apply(c: &mut Clocks, step: Step, now: u64) {
        let after = |ms: u32| Duration::from_millis(ms.into());
        match step {
            Step::Byte => c.touch(now),
            Step::SideEnds => c.side_ended(now),
            Step::PeerGone => c.peer_gone(now),
            Step::Idle(ms) => c.set_idle(after(ms), now),
            Step::Linger(ms) => c.set_linger(after(ms), now),
            Step::Lifetime(ms) => c.set_until(ms, now),
            Step::Shutdown(ms) => c.end_by(now + u64::from(ms) * MS),
        }
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let ms = 0..50u32;
        let step = prop_oneof![
            4 => Just(Step::Byte),
            1 => Just(Step::SideEnds),
            1 => Just(Step::PeerGone),
            1 => ms.clone().prop_map(Step::Idle),
            1 => ms.clone().prop_map(Step::Linger),
            1 => ms.clone().prop_map(Step::Lifetime),
            1 => ms.prop_map(Step::Shutdown),
        ];
        proptest::collection::vec((1..20 * MS, step), 0..40)
    }

    proptest! {
        #[test]
        fn the_next_deadline_is_that_of_the_model(
            steps in steps(),
            connecting: bool,
            half_closed: bool,
        ) {
            let view = View { connecting, gated: false, open: !connecting, half_closed };
            let (mut clocks, mut model) = (Clocks::default(), Model::default());
            let mut now = 0;
            for (later, step) in steps {
                now += later;
                apply(&mut clocks, step, now);
                model.step(step, now);
                prop_assert_eq!(clocks.next(view).map(|(at, _)| at), model.next(view));
                prop_assert_eq!(clocks.look_at(view, now), model.next(view));
            }
        }

        #[test]
        fn idleness_is_told_once_for_each_time_that_bytes_moved(
            idle_ms in 1..50u32,
            quiet in 0..5u64,
        ) {
            let view = View { connecting: false, gated: false, open: true, half_closed: false };
            let mut clocks = Clocks::default();
            let idle = u64::from(idle_ms) * MS;
            clocks.set_idle(Duration::from_millis(idle_ms.into()), MS);
            prop_assert_eq!(clocks.next(view), Some((MS + idle, Timeout::Idle)));
            clocks.idle_was_told();
            prop_assert_eq!(clocks.next(view), None);
            // It is looked at all the same: bytes may move by then.
            let now = MS + idle * (1 + quiet);
            prop_assert_eq!(clocks.look_at(view, now), Some(now + idle));
            clocks.touch(now);
            prop_assert_eq!(clocks.next(view), Some((now + idle, Timeout::Idle)));
        }
    }
}
