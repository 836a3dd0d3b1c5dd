//! How long operations took: counted in steps of at most 1/16 of the value.
#![forbid(unsafe_code)]

use std::time::Duration;

const PARTS: u32 = 4;
const BUCKETS: usize = 64 << PARTS;

#[derive(Clone)]
pub(super) struct Latency {
    buckets: Vec<u64>,
    most: Duration,
}

fn bucket(nanos: u64) -> usize {
    let high = u64::BITS - nanos.leading_zeros();
    if high <= PARTS {
        return nanos as usize;
    }
    let shift = high - 1 - PARTS;
    (((shift as u64 + 1) << PARTS) + ((nanos >> shift) - (1 << PARTS))) as usize
}

/// The largest value in a bucket, in nanoseconds.
fn upper(bucket: usize) -> u64 {
    let (row, part) = ((bucket >> PARTS) as u32, (bucket & ((1 << PARTS) - 1)) as u64);
    if row == 0 {
        return part;
    }
    ((1 << PARTS) + part + 1).checked_shl(row - 1).map_or(u64::MAX, |end| end - 1)
}

impl Latency {
    pub(super) fn new() -> Latency {
        Latency { buckets: vec![0; BUCKETS], most: Duration::ZERO }
    }

    pub(super) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos).min(BUCKETS - 1)] += 1;
        self.most = self.most.max(took);
    }

    pub(super) fn add(&mut self, other: &Latency) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, n)| *mine += n);
        self.most = self.most.max(other.most);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn most(&self) -> Duration {
        self.most
    }

    /// What this share of them did not exceed.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (n, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper(n)).min(self.most);
            }
        }
        self.most
    }

    /// Counted by powers of two: the upper end of each, and how many. From the first that is not
    /// empty to the last.
    pub(super) fn by_twos(&self) -> Vec<(Duration, u64)> {
        let row = |n: usize| if n < 1 << PARTS { 0 } else { n >> PARTS };
        let mut rows: Vec<u64> = Vec::new();
        for (n, count) in self.buckets.iter().enumerate() {
            let row = row(n);
            rows.resize(rows.len().max(row + 1), 0);
            rows[row] += count;
        }
        let first = rows.iter().position(|n| *n > 0).unwrap_or(0);
        let last = rows.iter().rposition(|n| *n > 0).map_or(0, |n| n + 1);
        let end = |row: usize| Duration::from_nanos(upper(((row + 1) << PARTS) - 1));
        (first..last).map(|row| (end(row), rows[row])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_its_bucket() {
        for nanos in (0..70).chain([1000, 65_535, 65_536, 1 << 40, u64::MAX / 2]) {
            let n = bucket(nanos);
            assert!(nanos <= upper(n), "{nanos}");
            assert!(n == 0 || nanos > upper(n - 1), "{nanos}");
            assert!(upper(n) - nanos <= nanos / 16 + 1, "{nanos}: {}", upper(n));
        }
    }

    #[test]
    fn quantiles_and_bars() {
        let mut l = Latency::new();
        (1..=100).for_each(|n| l.record(Duration::from_micros(n)));
        let p50 = l.quantile(0.5).as_nanos();
        assert!((50_000..54_000).contains(&p50), "{p50}");
        assert_eq!((l.count(), l.quantile(1.0)), (100, Duration::from_micros(100)));
        let bars = l.by_twos();
        assert_eq!(bars.iter().map(|(_, n)| n).sum::<u64>(), 100);
        assert_eq!(bars.last().unwrap().0, Duration::from_nanos((1 << 17) - 1));
    }
}
