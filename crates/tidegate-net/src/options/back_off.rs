//! [`BackOff`]: how often to try, and how long to wait between two tries.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How often to try, and how long to wait between two tries: each wait is longer than the one
/// before, up to a limit, and partly random, so that many clients of one server do not all return
/// at the same moment.
///
/// [`ConnectOptions::back_off`](crate::ConnectOptions::back_off) uses it until a connection is
/// made. To connect again after a connection was lost, ask [`delay`](BackOff::delay).
///
/// ```
/// use std::time::Duration;
/// use tidegate_net::BackOff;
/// let back_off = BackOff::new(4).first_delay(Duration::from_millis(10)).jitter(0);
/// let delays: Vec<_> = (1..=4).map(|failures| back_off.delay(failures)).collect();
/// let ms = |ms| Some(Duration::from_millis(ms));
/// assert_eq!(delays, [ms(10), ms(20), ms(40), None]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    tries: u32,
    first: Duration,
    factor: u32,
    longest: Duration,
    jitter: u32,
}

impl BackOff {
    /// So many tries in all, the first one included; 0 counts as 1, and `u32::MAX` has no end. The
    /// first wait is 100 ms, each one twice as long as the one before, at most 10 s, and up to half
    /// of it is left out at random.
    pub fn new(tries: u32) -> BackOff {
        BackOff {
            tries: tries.max(1),
            first: Duration::from_millis(100),
            factor: 2,
            longest: Duration::from_secs(10),
            jitter: 50,
        }
    }

    /// The wait after the first failure. Default: 100 ms.
    pub fn first_delay(mut self, delay: Duration) -> BackOff {
        self.first = delay;
        self
    }

    /// How many times as long each wait is as the one before. Default: 2; 0 counts as 1.
    pub fn factor(mut self, factor: u32) -> BackOff {
        self.factor = factor.max(1);
        self
    }

    /// No wait is longer. Default: 10 s.
    pub fn longest_delay(mut self, delay: Duration) -> BackOff {
        self.longest = delay;
        self
    }

    /// At most so many percent of a wait are left out at random. Default: 50. With 0 the waits are
    /// exact; more than 100 counts as 100.
    pub fn jitter(mut self, percent: u32) -> BackOff {
        self.jitter = percent.min(100);
        self
    }

    /// How long to wait after so many failures in a row, at least one; `None`: there were enough
    /// tries.
    pub fn delay(&self, failures: u32) -> Option<Duration> {
        if failures >= self.tries && self.tries != u32::MAX {
            return None;
        }
        let times = self.factor.checked_pow(failures.max(1) - 1).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(times).min(self.longest);
        // A new state has random keys.
        let chance = RandomState::new().hash_one(failures) % 1001;
        let left_out = u128::from(self.jitter) * u128::from(chance) * full.as_nanos() / 100_000;
        Some(full - Duration::from_nanos(u64::try_from(left_out).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delays_stay_within_their_limits(
            tries in 0..50u32, failures in 0..60u32, first in 0..u64::MAX, factor in 0..20u32,
            longest in 0..u64::MAX, jitter in 0..150u32,
        ) {
            let (first, longest) = (Duration::from_nanos(first), Duration::from_nanos(longest));
            let back_off = BackOff::new(tries).first_delay(first).factor(factor);
            let back_off = back_off.longest_delay(longest).jitter(jitter);
            let delay = back_off.delay(failures);
            prop_assert_eq!(delay.is_none(), failures >= tries.max(1));
            let exact = back_off.jitter(0).delay(failures);
            prop_assert_eq!(exact.is_none(), delay.is_none());
            if let (Some(delay), Some(exact)) = (delay, exact) {
                prop_assert!(delay <= exact && exact <= longest);
                let least = exact.as_nanos() * u128::from(100 - jitter.min(100)) / 100;
                prop_assert!(delay.as_nanos() >= least);
                if failures > 1 && exact < longest {
                    let before = back_off.jitter(0).delay(failures - 1).unwrap();
                    prop_assert_eq!(exact, before * factor.max(1));
                }
            }
        }
    }

    #[test]
    fn delays_are_not_all_alike_and_have_no_end_without_a_limit() {
        let back_off = BackOff::new(u32::MAX);
        let delays: std::collections::HashSet<_> = (0..50).map(|_| back_off.delay(5)).collect();
        assert!(delays.len() > 5, "{delays:?}");
        assert!(back_off.delay(u32::MAX).is_some());
    }
}
