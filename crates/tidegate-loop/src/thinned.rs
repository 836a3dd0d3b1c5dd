//! Log lines about what clients can cause as often as they like: of each kind the first, and
//! then one at each power of two, which says how many were left out. Errors that nobody handles are
//! lines on standard error if the program has no logger.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

use log::{Level, LevelFilter};

use crate::one_line::OneLine;

/// How many kinds are kept apart. Beyond, the kind that did not come for the longest time is
/// forgotten: if it comes again, it is new.
const KINDS: usize = 256;

/// The count of each kind.
#[derive(Default)]
pub(crate) struct Thinned {
    kinds: HashMap<u64, Count>,
    /// Grows with each call, to tell which kind came last.
    time: u64,
}

struct Count {
    all: u64,
    /// Since the last line.
    left_out: u64,
    last: u64,
}

impl Thinned {
    /// Counts `new` more of this kind, and logs the text if the count has reached or passed a
    /// power of two.
    pub(crate) fn log(
        &mut self,
        level: Level,
        target: &str,
        kind: impl Hash,
        new: u64,
        text: fmt::Arguments<'_>,
    ) {
        let Some(left_out) = self.count((target, kind), new) else { return };
        log::log!(target: target, level, "{}", Line(text, left_out));
    }

    /// The same for an error that nobody handles. Without a logger the line goes to standard error:
    /// a program whose connect fails must not end as if nothing had happened.
    pub(crate) fn unhandled(&mut self, target: &str, kind: impl Hash, text: fmt::Arguments<'_>) {
        let Some(left_out) = self.count(("unhandled", target, kind), 1) else { return };
        let line = Line(text, left_out);
        if has_no_logger() {
            // Nobody is left to tell that it failed.
            let _ = writeln!(std::io::stderr(), "tidegate: unhandled: {line}");
        } else {
            log::log!(target: target, Level::Warn, "unhandled: {line}");
        }
    }

    /// How many lines were left out before this one; `None` if this one is, too.
    fn count(&mut self, kind: impl Hash, new: u64) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        kind.hash(&mut hasher);
        let kind = hasher.finish();
        self.time += 1;
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            let oldest = self.kinds.iter().min_by_key(|(_, c)| c.last).map(|(kind, _)| *kind);
            oldest.and_then(|kind| self.kinds.remove(&kind));
        }
        let count = self.kinds.entry(kind).or_insert(Count { all: 0, left_out: 0, last: 0 });
        let before = count.all;
        count.all = before.saturating_add(new);
        count.last = self.time;
        if count.all.checked_ilog2() == before.checked_ilog2() {
            count.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut count.left_out))
    }
}

/// A text, and how many like it were left out before.
struct Line<'a>(fmt::Arguments<'a>, u64);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OneLine(self.0))?;
        match self.1 {
            0 => Ok(()),
            n => write!(f, " (and {n} more like it since the last line)"),
        }
    }
}

/// Loggers set the maximum level, which is `Off` before. A program built without any log line has
/// chosen so.
fn has_no_logger() -> bool {
    log::max_level() == LevelFilter::Off && log::STATIC_MAX_LEVEL != LevelFilter::Off
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_at_the_first_and_then_at_each_power_of_two() {
        for step in [1, 3, 63, 64, 1000] {
            let mut thinned = Thinned::default();
            assert_eq!(thinned.count("held", step), Some(0), "the first, whatever its size");
            let lines: Vec<u64> = (1..1000).filter_map(|_| thinned.count("held", step)).collect();
            assert!((7..=11).contains(&lines.len()), "{lines:?} in steps of {step}");
            let (told, open) = (lines.iter().sum::<u64>(), lines.len() as u64);
            let waiting = thinned.kinds.values().map(|c| c.left_out).sum::<u64>();
            assert_eq!(told + open + waiting, 999);
        }
    }

    #[test]
    fn kinds_are_kept_apart_and_bounded() {
        let mut thinned = Thinned::default();
        for _ in 0..100 {
            thinned.count("reset", 1);
        }
        assert_eq!(thinned.count("no such name", 1), Some(0));
        for other in 0..10 * KINDS {
            assert_eq!(thinned.count(other, 1), Some(0));
            // What comes again and again is not forgotten.
            thinned.count("reset", 1);
            assert!(thinned.kinds.len() <= KINDS);
        }
        assert_eq!(thinned.count("no such name", 1), Some(0), "it was forgotten");
        assert_eq!(thinned.count("reset", 1), None);
    }
}
