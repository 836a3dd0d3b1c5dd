//! The counters of a loop. They are always on, and cheap.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::phase::Phase;

/// Counters of one loop since it was made: plain numbers. For a rate, take two and subtract.
///
/// ```
/// let lp = tidegate_loop::Loop::new()?;
/// assert_eq!(lp.metrics().turns, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns begun.
    pub turns: u64,
    /// Kernel events taken.
    pub events: u64,
    /// Of these, events that a poll found without waiting: the loop was late.
    pub events_waiting: u64,
    /// Polls that were allowed to block.
    pub blocking_polls: u64,
    /// Of these, polls that found events before they would have blocked: see
    /// [`busy_poll`](crate::Builder::busy_poll).
    pub busy_polls: u64,
    /// Time spent in the poller: waiting, and the calls themselves.
    pub idle: Duration,
    /// From one poll's return to the next poll: how long each turn worked, and so how
    /// long an event can have waited (the loop's lag).
    pub turn_lengths: Histogram,
    /// The most handles that were queued when the poller was asked.
    pub ready_depth: usize,
    /// Turns that began with handles queued already: left over by a budget, or queued
    /// since the last pass.
    pub carried_over: u64,
    /// Turns that ended with ticks left over by the tick budget.
    pub ticks_carried_over: u64,
    /// Turns that ended with notified handles left over by the notify budget.
    pub notified_carried_over: u64,
    /// Ticks refused because `tick_limit` of them waited.
    pub ticks_refused: u64,
    /// Handles refused because the table was full.
    pub table_full: u64,
    /// Errors of connections, servers and streams that no user code handled, including those that
    /// the log, or without a logger standard error, leaves out.
    pub unhandled_errors: u64,
    /// Panics of callbacks that unwound out of `run`.
    pub panics: u64,
    /// The longest call of a handle, its ticks included. Measured only while there is an observer,
    /// or by [`run_phase`](crate::Loop::run_phase).
    pub longest_call: Duration,
    pub(crate) phases: [Duration; Phase::COUNT],
}

impl Metrics {
    /// Time spent in a phase, callbacks included. Measured only while there is an observer, or by
    /// [`run_phase`](crate::Loop::run_phase), because reading the clock costs about as much as a
    /// small phase.
    ///
    /// ```
    /// use tidegate_loop::{Loop, Phase};
    /// assert!(Loop::new()?.metrics().phase(Phase::Ready).is_zero());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn phase(&self, phase: Phase) -> Duration {
        self.phases[phase as usize]
    }
}

/// Durations, counted by powers of two of nanoseconds.
///
/// ```
/// use std::time::Duration;
/// let lp = tidegate_loop::Loop::new()?;
/// let lengths = lp.metrics().turn_lengths;
/// assert_eq!((lengths.count(), lengths.quantile(0.99)), (0, Duration::ZERO));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; Histogram::BUCKETS],
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [0; Histogram::BUCKETS] }
    }
}

impl Histogram {
    /// The last bucket has everything that is longer than about 18 minutes.
    const BUCKETS: usize = 41;

    /// Counts a value.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mut lengths = tidegate_loop::Histogram::default();
    /// lengths.record(Duration::from_millis(3));
    /// assert_eq!(lengths.count(), 1);
    /// ```
    pub fn record(&mut self, value: Duration) {
        self.add(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts this many of the same length.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Histogram;
    /// let mut lengths = Histogram::default();
    /// lengths.record_many(Duration::from_millis(3), 16);
    /// assert_eq!(lengths.count(), 16);
    /// ```
    pub fn record_many(&mut self, value: Duration, times: u32) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - nanos.leading_zeros()) as usize;
        self.buckets[bucket.min(Histogram::BUCKETS - 1)] += u64::from(times);
    }

    #[inline]
    pub(crate) fn add(&mut self, nanos: u64) {
        let bucket = (u64::BITS - nanos.leading_zeros()) as usize;
        self.buckets[bucket.min(Histogram::BUCKETS - 1)] += 1;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many were counted in each bucket, with the bucket's upper end.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let end = |bucket: usize| Duration::from_nanos((1u64 << bucket) - 1);
        self.buckets.into_iter().enumerate().map(move |(bucket, n)| (end(bucket), n))
    }

    /// The duration that this share of them did not exceed, exact to a factor of two. Zero if
    /// nothing was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share.clamp(0.0, 1.0)).ceil() as u64;
        let mut seen = 0;
        for (end, n) in self.buckets() {
            seen += n;
            if n > 0 && seen >= wanted {
                return end;
            }
        }
        Duration::ZERO
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets().filter(|(_, n)| *n > 0)).finish()
    }
}
