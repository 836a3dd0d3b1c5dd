//! [`Clocks`]: the deadlines of one connection. Pure: times go in, what is due comes out.
//!
//! A connection has at most one live entry among the loop's [`Deadlines`], for the first of its
//! clocks. A clock that moves to later only notes that. What is done when one is due is in
//! `server/protocol.rs`.
//!
//! [`Deadlines`]: crate::state::deadlines::Deadlines
#![forbid(unsafe_code)]

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// The head of a request, or its first byte.
    Head,
    /// The whole request.
    Request,
    /// Progress of writes that wait.
    Write,
    /// The answer: set by the user.
    Answer,
}

const ALL: [Clock; 4] = [Clock::Head, Clock::Request, Clock::Write, Clock::Answer];

/// Times are nanoseconds of the loop's.
#[derive(Clone, Copy, Default, Debug)]
struct Deadline {
    /// 0: the clock is off.
    after: u64,
    from: u64,
    /// It was not set after `from`. Before that is known, `from` is the time of the turn in which
    /// it was set.
    is_exact: bool,
}

impl Deadline {
    #[inline]
    fn at(&self) -> Option<u64> {
        (self.after != 0).then(|| self.from.saturating_add(self.after))
    }
}

#[derive(Default, Debug)]
pub(crate) struct Clocks {
    all: [Deadline; ALL.len()],
    /// What the live entry says; 0: there is none.
    armed: u64,
}

impl Clocks {
    /// Starts or moves a clock; 0: it is off. `Some`: an entry is needed at this time, which is
    /// live from now on.
    #[inline]
    pub(crate) fn set(&mut self, which: Clock, noted: u64, after: u64) -> Option<u64> {
        self.all[which as usize] = Deadline { after, from: noted, is_exact: false };
        let at = noted.saturating_add(after);
        if after == 0 || (self.armed != 0 && self.armed <= at) {
            return None;
        }
        self.armed = at;
        Some(at)
    }

    #[inline]
    pub(crate) fn clear(&mut self, which: Clock) {
        self.all[which as usize].after = 0;
    }

    pub(crate) fn clear_all(&mut self) {
        ALL.into_iter().for_each(|which| self.clear(which));
    }

    #[inline]
    pub(crate) fn is_on(&self, which: Clock) -> bool {
        self.all[which as usize].after != 0
    }

    /// What the live entry says.
    pub(crate) fn armed(&self) -> u64 {
        self.armed
    }

    /// The live entry came up. `latest` says by when something happened that was noted with a
    /// time. Whether a clock is due.
    pub(crate) fn come_up(&mut self, now: u64, latest: impl Fn(u64) -> u64) -> bool {
        self.armed = 0;
        for clock in &mut self.all {
            if !clock.is_exact && clock.at().is_some_and(|at| at <= now) {
                clock.from = latest(clock.from);
                clock.is_exact = true;
            }
        }
        self.first().is_some_and(|(at, _)| at <= now)
    }

    /// Takes the next clock that is due; it is off then.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<Clock> {
        let due = |at: u64, which: Clock| at <= now && self.all[which as usize].is_exact;
        let (_, which) = self.first().filter(|(at, which)| due(*at, *which))?;
        self.clear(which);
        Some(which)
    }

    /// `Some`: a clock runs and there is no live entry; one is needed at this time, which is live
    /// from now on.
    pub(crate) fn arm(&mut self) -> Option<u64> {
        let (at, _) = self.first().filter(|_| self.armed == 0)?;
        self.armed = at;
        Some(at)
    }

    fn first(&self) -> Option<(u64, Clock)> {
        let running = ALL.into_iter().filter_map(|c| Some((self.all[c as usize].at()?, c)));
        running.min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Set(Clock, u64),
        Clear(Clock),
        Look,
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let clock = || proptest::sample::select(&ALL[..]);
        let step = prop_oneof![
            3 => (clock(), 0..60u64).prop_map(|(c, after)| Step::Set(c, after)),
            1 => clock().prop_map(Step::Clear),
            4 => Just(Step::Look),
        ];
        proptest::collection::vec((0..20u64, step), 0..60)
    }

    proptest! {
        /// Against clocks with a plain deadline each, in a loop whose turns end 3 after their time:
        /// none is early, each comes at the first look after its time, and there is one live
        /// entry, not later than the first.
        #[test]
        fn clocks_are_never_early_and_never_lost(steps in steps()) {
            const TURN: u64 = 3;
            let (mut clocks, mut model) = (Clocks::default(), [None::<u64>; 4]);
            let (mut now, mut entry) = (1, None::<u64>);
            for (later, step) in steps {
                now += later;
                match step {
                    Step::Set(which, after) => {
                        entry = clocks.set(which, now, after).or(entry);
                        model[which as usize] = (after != 0).then_some(now + after);
                    }
                    Step::Clear(which) => {
                        clocks.clear(which);
                        model[which as usize] = None;
                    }
                    Step::Look => {
                        if entry.take_if(|at| *at <= now).is_some() {
                            if clocks.come_up(now, |noted| (noted + TURN).min(now)) {
                                while let Some(which) = clocks.take_due(now) {
                                    let at = model[which as usize].take();
                                    prop_assert!(at.is_some_and(|at| at <= now));
                                }
                            }
                            entry = clocks.arm();
                        }
                        let late = |at: &Option<u64>| at.is_some_and(|at| at + TURN <= now);
                        prop_assert!(!model.iter().any(late), "{:?} at {}", model, now);
                    }
                }
                let first = model.iter().flatten().min();
                prop_assert!(first.is_none_or(|first| entry.is_some_and(|at| at <= first + TURN)));
                prop_assert_eq!(entry.unwrap_or(0), clocks.armed());
            }
        }
    }
}
