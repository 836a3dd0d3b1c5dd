//! Buckets by their rules, and against another implementation of the same algorithm.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_burst_then_the_rate() {
    let rate = Rate::per_second(100).burst(3);
    let mut bucket = Bucket::default();
    for now in [Duration::ZERO, Duration::from_secs(1000)] {
        let taken = (0..10).filter(|_| bucket.take(now, 1, rate).is_ok()).count();
        assert_eq!(taken, 3);
    }
    // Steady: one each 10 ms, and none between.
    let from = Duration::from_secs(1000);
    let taken: Vec<_> =
        (1..=100).filter(|i| bucket.take(from + MS * *i, 1, rate).is_ok()).collect();
    assert_eq!(taken, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
}

#[test]
fn the_wait_is_exact() {
    let rate = Rate::per_second(3).burst(1);
    let mut bucket = Bucket::default();
    bucket.take(Duration::ZERO, 1, rate).unwrap();
    let wait = bucket.take(MS, 1, rate).unwrap_err();
    assert_eq!(
        bucket.take(MS + wait - Duration::from_nanos(1), 1, rate),
        Err(Duration::from_nanos(1))
    );
    assert_eq!(bucket.take(MS + wait, 1, rate), Ok(()));
}

#[test]
fn more_than_the_burst_never_comes() {
    let rate = Rate::per_second(10).burst(4);
    let mut bucket = Bucket::default();
    let later = Duration::from_secs(1 << 20);
    assert!(bucket.take(later, 5, rate).is_err() && bucket.take(later, 4, rate).is_ok());
}

#[test]
fn at_the_ends_of_time() {
    for rate in [Rate::new(1, Duration::MAX), Rate::new(u64::MAX, MS), Rate::new(0, Duration::ZERO)]
    {
        for now in [Duration::ZERO, Duration::from_nanos(u64::MAX), Duration::MAX] {
            let mut bucket = Bucket::default();
            let _ = bucket.take(now, u64::MAX, rate);
            let _ = bucket.take(now, 1, rate);
            assert!(bucket.take_some(now, u64::MAX, rate) <= rate.most());
        }
    }
}

#[test]
fn a_time_before_the_last_is_as_the_last() {
    let rate = Rate::per_second(10).burst(1);
    let mut bucket = Bucket::default();
    bucket.take(MS * 500, 1, rate).unwrap();
    assert!(bucket.take(MS * 400, 1, rate).is_err());
}

/// What happens, in its time.
#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Take(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let pass = prop_oneof![0..1_000u64, 0..50_000_000u64, Just(3_600_000_000_000u64)];
    prop_oneof![pass.prop_map(Op::Pass), (1..6u32).prop_map(Op::Take)]
}

proptest! {
    /// Ours and governor's decide alike, and say the same wait.
    #[test]
    fn as_governor_decides(
        // Where a time for one is a whole number of nanoseconds: governor rounds it.
        per_second in prop::sample::select(vec![1u32, 8, 10, 64, 100, 1_000, 10_000, 1_000_000]),
        burst in 1u32..20,
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let number = |n| NonZeroU32::new(n).unwrap();
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(number(per_second)).allow_burst(number(burst));
        let theirs = RateLimiter::direct_with_clock(quota, clock.clone());
        let rate = Rate::per_second(per_second.into()).burst(burst.into());
        let (mut ours, mut now) = (Bucket::default(), Duration::ZERO);
        for op in ops {
            match op {
                Op::Pass(nanos) => {
                    clock.advance(Duration::from_nanos(nanos));
                    now += Duration::from_nanos(nanos);
                }
                Op::Take(n) => match (ours.take(now, n.into(), rate), theirs.check_n(number(n))) {
                    (taken, Ok(Ok(()))) => prop_assert_eq!(taken, Ok(())),
                    (taken, Ok(Err(until))) => {
                        let wait = until.wait_time_from(governor::clock::Clock::now(&clock));
                        prop_assert_eq!(taken, Err(wait));
                    }
                    // More than the burst.
                    (taken, Err(_)) => prop_assert!(taken.is_err() && n > burst),
                },
            }
        }
    }

    /// Never more than the burst and what the time is worth.
    #[test]
    fn never_beyond_the_rate(
        count in 1u64..1_000_000_000,
        burst in 1u64..1_000_000,
        waits in prop::collection::vec(0u64..2_000_000, 1..100),
    ) {
        let rate = Rate::per_second(count).burst(burst);
        let (mut bucket, mut now, mut taken) = (Bucket::default(), 0u64, 0u128);
        for wait in waits {
            now += wait;
            taken += u128::from(bucket.take_some(Duration::from_nanos(now), u64::MAX, rate));
            let most = u128::from(burst) + u128::from(now) * u128::from(count) / 1_000_000_000 + 101;
            prop_assert!(taken <= most, "{} of {}", taken, most);
        }
    }
}
