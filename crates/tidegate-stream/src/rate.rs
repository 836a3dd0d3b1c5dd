//! [`Rate`] and [`Bucket`]: how often something may happen, by the generic cell rate algorithm
//! (ITU-T I.371): one number for each that is limited. They know no clock: times go in.
#![forbid(unsafe_code)]

use std::time::Duration;

/// So many in each time, and a burst: how many may come at once after a pause.
///
/// ```
/// use tidegate_stream::Rate;
/// let requests = Rate::per_second(100).burst(20);
/// let bytes = Rate::per_second(1 << 20).burst(64 << 10);
/// # let _ = (requests, bytes);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    count: u64,
    per: u64,
    burst: u64,
}

impl Rate {
    /// So many in each time, and as many at once. 0 counts as 1, also of nanoseconds.
    pub fn new(count: u64, per: Duration) -> Rate {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        Rate { count: count.max(1), per: per.max(1), burst: count.max(1) }
    }

    /// So many in each second, and as many at once.
    pub fn per_second(count: u64) -> Rate {
        Rate::new(count, Duration::from_secs(1))
    }

    /// So many in each minute, and as many at once.
    pub fn per_minute(count: u64) -> Rate {
        Rate::new(count, Duration::from_secs(60))
    }

    /// How many may come at once; at least 1.
    pub fn burst(mut self, burst: u64) -> Rate {
        self.burst = burst.max(1);
        self
    }

    /// How many may come at once.
    pub(crate) fn most(self) -> u64 {
        self.burst
    }

    /// The time of `n` of them.
    fn time(self, n: u64) -> u64 {
        let time = u128::from(n) * u128::from(self.per) / u128::from(self.count);
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// How many fit into this time.
    fn fit(self, time: u64) -> u64 {
        let n = u128::from(time) * u128::from(self.count) / u128::from(self.per);
        u64::try_from(n).unwrap_or(u64::MAX)
    }
}

/// What is kept of one that is limited: until when what it took is paid for. A new one has its whole
/// burst.
///
/// ```
/// use std::time::Duration;
/// use tidegate_stream::{Bucket, Rate};
/// let (mut bucket, rate) = (Bucket::default(), Rate::per_second(10).burst(2));
/// let now = Duration::from_secs(5);
/// assert!(bucket.take(now, 1, rate).is_ok() && bucket.take(now, 1, rate).is_ok());
/// assert_eq!(bucket.take(now, 1, rate), Err(Duration::from_millis(100)));
/// assert!(bucket.take(now + Duration::from_millis(100), 1, rate).is_ok());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bucket {
    /// In the clock's nanoseconds.
    paid: u64,
}

impl Bucket {
    /// Takes `n` at this time. An error takes nothing: so long must pass before `n` can be taken.
    /// More than the burst never can.
    pub fn take(&mut self, now: Duration, n: u64, rate: Rate) -> Result<(), Duration> {
        let now = nanos(now);
        let paid = self.paid.max(now).saturating_add(rate.time(n));
        match (paid - now).checked_sub(rate.time(rate.burst)) {
            None | Some(0) => {
                self.paid = paid;
                Ok(())
            }
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Takes as many of `n` as there are at this time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_stream::{Bucket, Rate};
    /// let mut bucket = Bucket::default();
    /// let rate = Rate::per_second(1000).burst(300);
    /// assert_eq!(bucket.take_some(Duration::ZERO, 1000, rate), 300);
    /// assert_eq!(bucket.take_some(Duration::from_millis(50), 1000, rate), 50);
    /// ```
    pub fn take_some(&mut self, now: Duration, n: u64, rate: Rate) -> u64 {
        let at = nanos(now);
        let owed = self.paid.saturating_sub(at);
        let there = rate.fit(rate.time(rate.burst).saturating_sub(owed));
        let taken = there.min(rate.burst).min(n);
        self.paid = self.paid.max(at).saturating_add(rate.time(taken));
        taken
    }

    /// Whether it is as a new one at this time: nothing has to be kept of it.
    pub fn is_full(self, now: Duration) -> bool {
        self.paid <= nanos(now)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
