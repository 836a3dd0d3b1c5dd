//! The timers of one connection, by the user's tokens. Pure: times go in, tokens come out.
//!
//! | state | set | clear | its deadline has passed | told |
//! |---|---|---|---|---|
//! | none | Noted | - | - | - |
//! | Noted | Noted | none | Exact: looked at once more | - |
//! | Exact | Noted | none | Due | - |
//! | Due | Noted | none | - | none |
//!
//! They have no separate entries in the loop: the connection's one entry among the
//! [`Deadlines`](crate::state::deadlines::queue::Deadlines) comes up for all of them, and for what
//! `clocks.rs` has. A timer that moves to later only notes that.
#![forbid(unsafe_code)]

/// Timers of a connection. There are few, so that they are searched one by one.
#[derive(Debug, Default)]
pub(crate) struct OwnTimers {
    all: Vec<OwnTimer>,
    /// So many of them are due.
    due: u32,
    /// How often one was set; it may start again.
    sets: u32,
}

#[derive(Debug)]
struct OwnTimer {
    token: u64,
    /// Nanoseconds of the loop's.
    from: u64,
    after: u64,
    /// Of those with the same deadline, the lowest comes first.
    order: u32,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// It was set in the turn of the time `from`, or a moment after that.
    Noted,
    /// It was not set after `from`.
    Exact,
    Due,
}

impl OwnTimer {
    #[inline]
    fn deadline(&self) -> u64 {
        self.from.saturating_add(self.after)
    }
}

impl OwnTimers {
    /// Starts the timer of this token, or moves it; when to look at it.
    #[inline(always)]
    pub(crate) fn set(&mut self, token: u64, noted: u64, after: u64) -> u64 {
        self.sets = self.sets.wrapping_add(1);
        match self.all.iter_mut().find(|t| t.token == token) {
            Some(timer) => {
                self.due -= u32::from(timer.step == Step::Due);
                (timer.from, timer.after) = (noted, after);
                (timer.order, timer.step) = (self.sets, Step::Noted);
            }
            None => self.add(token, noted, after),
        }
        noted.saturating_add(after)
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, token: u64, from: u64, after: u64) {
        self.all.push(OwnTimer { token, from, after, order: self.sets, step: Step::Noted });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn clear(&mut self, token: u64) {
        if let Some(at) = self.all.iter().position(|t| t.token == token) {
            self.take(at);
        }
    }

    fn take(&mut self, at: usize) -> u64 {
        let timer = self.all.swap_remove(at);
        self.due -= u32::from(timer.step == Step::Due);
        timer.token
    }

    /// Those whose deadline has passed are due. `latest` says by when something happened that was
    /// noted with this time. Whether there is one to tell.
    pub(crate) fn fall_due(&mut self, now: u64, latest: impl Fn(u64) -> u64) -> bool {
        for timer in &mut self.all {
            if timer.step == Step::Noted && timer.deadline() <= now {
                timer.from = latest(timer.from);
                timer.step = Step::Exact;
            }
            if timer.step == Step::Exact && timer.deadline() <= now {
                timer.step = Step::Due;
                self.due += 1;
            }
        }
        self.is_due()
    }

    /// The next one to tell, in the order of the deadlines.
    pub(crate) fn take_due(&mut self) -> Option<u64> {
        let due = self.all.iter().enumerate().filter(|(_, t)| t.step == Step::Due);
        let (at, _) = due.min_by_key(|(_, t)| (t.deadline(), t.order))?;
        Some(self.take(at))
    }

    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due > 0
    }

    /// When to look at them again: not later than the first deadline.
    pub(crate) fn look_at(&self) -> Option<u64> {
        let waiting = self.all.iter().filter(|t| t.step != Step::Due);
        waiting.map(OwnTimer::deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Set(u64, u64),
        Clear(u64),
        Tell,
    }

    fn acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
        let act = prop_oneof![
            3 => (0..4u64, 0..40u64).prop_map(|(token, after)| Act::Set(token, after)),
            1 => (0..4u64).prop_map(Act::Clear),
            1 => Just(Act::Tell),
        ];
        proptest::collection::vec((0..15u64, act), 0..60)
    }

    proptest! {
        /// Against a list of deadlines. The time is noted up to 7 too low, as by a poll before
        /// the call, and `latest` knows no better than that.
        #[test]
        fn told_in_order_and_never_early(acts in acts()) {
            let mut timers = OwnTimers::default();
            // Token, when it was set, after how long, and its place among all that were set.
            let mut model: Vec<(u64, u64, u64, usize)> = Vec::new();
            let mut due: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for (i, (later, act)) in acts.into_iter().enumerate() {
                now += later;
                match act {
                    Act::Set(token, after) => {
                        model.retain(|t| t.0 != token);
                        due.retain(|t| t.0 != token);
                        model.push((token, now, after, i));
                        timers.set(token, now - now % 8, after);
                    }
                    Act::Clear(token) => {
                        model.retain(|t| t.0 != token);
                        due.retain(|t| t.0 != token);
                        timers.clear(token);
                    }
                    Act::Tell => {
                        let latest = |noted: u64| noted + 7;
                        let told = timers.fall_due(now, latest);
                        let at = |t: &(u64, u64, u64, usize)| t.1 - t.1 % 8 + 7 + t.2;
                        model.sort_by_key(|t| (at(t), t.3));
                        let (gone, left): (Vec<_>, Vec<_>) =
                            model.into_iter().partition(|t| at(t) <= now);
                        // Not before it is due, and by no more than what is not known late.
                        prop_assert!(gone.iter().all(|t| t.1 + t.2 <= now));
                        prop_assert!(left.iter().all(|t| t.1 + t.2 + 7 > now));
                        due.extend(gone.iter().map(|t| (t.0, at(t))));
                        model = left;
                        prop_assert_eq!(told, !due.is_empty());
                        prop_assert_eq!(timers.take_due(), due.first().map(|t| t.0));
                        due.drain(..due.len().min(1));
                    }
                }
                prop_assert_eq!(timers.is_due(), !due.is_empty());
                let first = model.iter().map(|t| t.1 + t.2).min();
                prop_assert_eq!(timers.look_at().is_some(), first.is_some());
            }
        }
    }
}
