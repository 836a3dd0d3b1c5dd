//! How long turns took, so that a moment noted with the time of a poll can be placed: what
//! was noted happened in that turn, and so not later than the length of the turn after it.
//!
//! A turn's length costs one comparison. Lengths are kept as the longest of a segment of
//! time; a segment begins when a deadline is looked at. Deadlines are in `tidegate-net`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

/// Segments are at least this long, in nanoseconds.
const SEGMENT: u64 = 1 << 30;
/// So many are kept; the oldest two become one.
const SEGMENTS: usize = 64;

/// Nanoseconds all.
#[derive(Default)]
pub(crate) struct Spans {
    /// When the segment of now began, and its longest turn.
    began: u64,
    longest: u64,
    /// The same of earlier ones, in order.
    earlier: VecDeque<(u64, u64)>,
}

impl Spans {
    /// A turn took so long.
    #[inline(always)]
    pub(crate) fn note(&mut self, length: u64) {
        if length > self.longest {
            self.longest = length;
        }
    }

    /// The longest turn of the segment in which a turn began at this moment.
    pub(crate) fn longest_at(&self, began: u64) -> u64 {
        if began >= self.began {
            return self.longest;
        }
        let after = self.earlier.partition_point(|(at, _)| *at <= began);
        let segment = self.earlier.get(after.saturating_sub(1));
        segment.map_or(self.longest, |(_, longest)| *longest)
    }

    /// A new segment begins with the turn that began at this moment, if the last is long
    /// enough.
    pub(crate) fn cut(&mut self, began: u64) {
        if began.saturating_sub(self.began) < SEGMENT {
            return;
        }
        self.earlier.push_back((self.began, self.longest));
        (self.began, self.longest) = (began, 0);
        if self.earlier.len() > SEGMENTS {
            if let (Some((at, a)), Some(second)) =
                (self.earlier.pop_front(), self.earlier.front_mut())
            {
                *second = (at, a.max(second.1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No bound is below the length of the turn, nor above the longest turn of all.
        #[test]
        fn bounds_hold(turns in prop::collection::vec((0u64..1 << 31, 0u64..1 << 31, any::<bool>()), 1..300)) {
            let mut spans = Spans::default();
            let (mut now, mut noted) = (0, Vec::new());
            for (wait, length, cut) in turns {
                now += wait;
                if cut {
                    spans.cut(now);
                }
                noted.push((now, length));
                now += length;
                spans.note(length);
            }
            let longest = noted.iter().map(|(_, length)| *length).max().unwrap_or(0);
            for (began, length) in noted {
                let bound = spans.longest_at(began);
                prop_assert!(bound >= length && bound <= longest);
            }
            prop_assert!(spans.earlier.len() <= SEGMENTS);
        }
    }
}
