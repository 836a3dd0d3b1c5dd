//! Medians, and how far to trust them.
#![forbid(unsafe_code)]

/// The value below which this share of them is; NaN of nothing.
///
/// ```
/// assert_eq!(tidegate_bench::stats::quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
/// ```
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Numbers without order, always the same ones.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n
    }

    /// Puts them in another order.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

/// The numbers below `n` in an order without order, always the same.
pub fn shuffled(n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    Random::default().shuffle(&mut order);
    order
}

/// A median, and half the width of the interval in which it is with 90 %.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// The median.
    pub value: f64,
    /// Half the interval, by bootstrap.
    pub spread: f64,
}

impl Estimate {
    /// Of these values.
    ///
    /// ```
    /// use tidegate_bench::stats::Estimate;
    /// let e = Estimate::of(&[1.0; 9]);
    /// assert_eq!((e.value, e.spread), (1.0, 0.0));
    /// ```
    pub fn of(values: &[f64]) -> Estimate {
        let mut random = Random::default();
        let medians: Vec<f64> = (0..500)
            .map(|_| {
                let drawn: Vec<f64> =
                    values.iter().map(|_| values[random.below(values.len())]).collect();
                median(&drawn)
            })
            .collect();
        let spread = (quantile(&medians, 0.95) - quantile(&medians, 0.05)) / 2.0;
        Estimate { value: median(values), spread }
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Two or three digits that say something.
        let digits = match self.value {
            v if v >= 9.95 => 1,
            v if v >= 0.095 => 2,
            _ => 4,
        };
        write!(f, "{:.digits$} ±{:.digits$}", self.value, self.spread)
    }
}
