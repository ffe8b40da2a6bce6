//! How far values go beyond what was seen.
//!
//! Peaks over a threshold: of n values the largest tenth lies beyond a threshold u, on average by β. With an
//! exponential tail a further value is b or more with the chance
//!
//! ```text
//! P(x >= b) = k/n · e^(-(b - u) / β')        β' = β (1 + 2/√k)
//! ```
//!
//! where β' is the upper end of what β may be after k values (two standard deviations). Tails of values with bounded or
//! normal distribution are lighter than that. A tail that is heavier, or texts of another kind than those of the
//! calibration, give more failures than are told here.

/// Part of the values that the tail is fitted to: one in so many.
const PEAKS: usize = 10;

/// Digits that are kept: machines differ in the last ones of exponentials, and profiles should not.
const DIGITS: usize = 4;

/// The largest values of the rows of a calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// n: how many there were.
    pub rows: u64,
    /// The largest.
    pub largest: f64,
    /// u.
    pub threshold: f64,
    /// k: how many lie beyond it.
    pub beyond: u64,
    /// β: how far they do on average.
    pub excess: f64,
    /// How many are at their bound or beyond it.
    pub outside: u64,
}

impl Tail {
    /// Of `values`, which should be smaller than `bound`.
    #[must_use]
    pub fn of(values: &[f64], bound: f64) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let (below, peaks) = values.split_at(n - n.div_ceil(PEAKS));
        let threshold = rounded(below.last().or(peaks.first()).copied().unwrap_or_default());
        let excess = peaks.iter().map(|peak| (peak - threshold).max(0.0)).sum::<f64>() / peaks.len().max(1) as f64;
        Self {
            rows: n as u64,
            largest: rounded(values.last().copied().unwrap_or_default()),
            threshold,
            beyond: peaks.len() as u64,
            excess: rounded(excess),
            outside: values.iter().filter(|value| value.is_nan() || **value >= bound).count() as u64,
        }
    }

    /// Of all `values` that there are: none can go further.
    #[must_use]
    pub fn of_all(values: &[f64], bound: f64) -> Self {
        let Self { rows, largest, outside, .. } = Self::of(values, bound);
        Self { rows, largest, threshold: largest, beyond: 0, excess: 0.0, outside }
    }

    /// The chance that a row has a value of `bound` or more.
    #[must_use]
    pub fn chance(&self, bound: f64) -> f64 {
        let (rows, beyond) = (self.rows as f64, self.beyond as f64);
        let seen = self.outside as f64 / rows;
        let spread = if self.beyond == 0 { 0.0 } else { self.excess * (1.0 + 2.0 / beyond.sqrt()) };
        let over = bound - self.threshold;
        let fitted = match (over > 0.0, spread > 0.0) {
            (false, _) => 1.0,
            (true, false) => 0.0,
            (true, true) => beyond / rows * (-over / spread).exp(),
        };
        // No values, or values that are no numbers: nothing is known.
        if rows == 0.0 || fitted.is_nan() || seen.is_nan() { 1.0 } else { fitted.max(seen) }
    }
}

/// `value` with [`DIGITS`] digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.0$e}", DIGITS - 1).parse().unwrap_or(value)
}
