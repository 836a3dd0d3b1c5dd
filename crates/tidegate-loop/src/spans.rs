//! When turns ended, so that a moment noted with the time of a poll can be placed: what was
//! noted happened in that turn, and so not after its end.
//!
//! Only long turns are kept, the others are shorter than a known bound: a turn costs one
//! comparison. Deadlines are in `tidegate-net`.
#![forbid(unsafe_code)]

/// A turn that is longer than this, in nanoseconds, is kept.
const LONG: u64 = 1_000_000;
/// So many spans are kept; when they are more, each two become one.
const SPANS: usize = 64;

/// One long turn, or several with what was between them. Nanoseconds of the loop's time.
#[derive(Clone, Copy, Debug)]
struct Span {
    began: u64,
    ended: u64,
    /// The longest turn in it.
    longest: u64,
}

pub(crate) struct Spans {
    /// The longest of the turns that are not kept.
    short: u64,
    /// In the order of time.
    long: Vec<Span>,
}

impl Default for Spans {
    fn default() -> Spans {
        Spans { short: 0, long: Vec::with_capacity(SPANS) }
    }
}

impl Spans {
    /// A turn is over.
    #[inline(always)]
    pub(crate) fn note(&mut self, began: u64, ended: u64) {
        if ended.saturating_sub(began) > self.short {
            self.note_longer(began, ended);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_longer(&mut self, began: u64, ended: u64) {
        let longest = ended.saturating_sub(began);
        if longest <= LONG {
            self.short = longest;
            return;
        }
        if self.long.len() == SPANS {
            // In place: a turn allocates nothing.
            for i in 0..SPANS / 2 {
                let (first, last) = (self.long[2 * i], self.long[2 * i + 1]);
                let longest = first.longest.max(last.longest);
                self.long[i] = Span { began: first.began, ended: last.ended, longest };
            }
            self.long.truncate(SPANS / 2);
        }
        self.long.push(Span { began, ended, longest });
    }

    /// By when something happened that was noted with this time, the poll of its turn or a
    /// moment in it.
    pub(crate) fn latest(&self, noted: u64) -> u64 {
        let after = self.long.partition_point(|span| span.began <= noted);
        let span = after.checked_sub(1).map(|at| self.long[at]);
        match span.filter(|span| noted < span.ended) {
            Some(span) => span.ended.min(noted.saturating_add(span.longest)),
            None => noted.saturating_add(self.short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What was noted in a turn is placed at its end or later, by less than a turn.
        #[test]
        fn bounds_hold(turns in prop::collection::vec((0u64..4 * LONG, 0u64..3 * LONG), 1..300)) {
            let mut spans = Spans::default();
            let (mut now, mut noted) = (0, Vec::new());
            for (wait, length) in turns {
                now += wait;
                noted.push((now, length));
                spans.note(now, now + length);
                now += length;
            }
            let longest = noted.iter().map(|(_, length)| *length).max().unwrap_or(0);
            for (began, length) in noted {
                prop_assert!(spans.latest(began) >= began + length);
                prop_assert!(spans.latest(began) <= began + longest);
                // And what was noted later in it.
                prop_assert!(spans.latest(began + length / 2) >= began + length);
            }
            prop_assert!(spans.long.len() <= SPANS);
        }
    }

    /// A turn that was long does not touch what happened after it.
    #[test]
    fn a_long_turn_is_forgotten_with_its_time() {
        let mut spans = Spans::default();
        spans.note(0, 1_500 * LONG);
        spans.note(2_000 * LONG, 2_000 * LONG + 50);
        assert_eq!(spans.latest(10), 1_500 * LONG);
        assert_eq!(spans.latest(3_000 * LONG), 3_000 * LONG + 50);
    }
}
