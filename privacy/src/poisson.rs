//! Poisson numbers from a table of integers: no exponential, no float.
//!
//! The weights λ^k/k! relative to the mode ⌊λ⌋ are 96-bit integers, made by integer recursion from a rational λ = a/256
//! and cumulated. A uniform integer below their total, drawn by rejection, picks k through a guide table. What is drawn
//! has exactly the table's distribution; how far that lies from the Poisson distribution is counted as the table is made.

use crate::random::NoiseRng;

/// Weight of the mode: 2^96. A weight times a (≤ 2^28), or times 256·k (≤ 2^28), stays below 2^128.
const MODE_WEIGHT: u128 = 1 << MODE_BITS;
const MODE_BITS: u32 = 96;

/// λ is given in 1/256.
pub const RATE_UNIT: u32 = 256;

/// The greatest λ, 2^20, in 1/256.
pub const MAX_RATE: u32 = 1 << 28;

/// The table of one λ. Entry i stands for the number `least + i`.
#[derive(Clone)]
pub struct PoissonTable {
    least: u64,
    /// Sums of the weights up to and with each entry; the last is the total.
    cumulated: Vec<u128>,
    /// For each value of a draw's leading bits the first entry that such a draw can pick.
    guide: Vec<u32>,
    guide_shift: u32,
    distance_log2: f64,
}

impl PoissonTable {
    /// The table of λ = `rate`/256, or `None` unless `rate` lies in 1 to [`MAX_RATE`].
    #[must_use]
    pub fn new(rate: u32) -> Option<Self> {
        if rate == 0 || rate > MAX_RATE {
            return None;
        }
        let mode = u64::from(rate / RATE_UNIT);
        let mut below = weights_below(rate, mode);
        let above = weights_above(rate, mode);
        let distance_log2 = distance_log2(rate, mode, below.len(), above.len());
        let least = mode - below.len() as u64;
        below.reverse();
        let mut total = 0;
        let weights = below.into_iter().chain([MODE_WEIGHT]).chain(above);
        let cumulated: Vec<u128> = weights
            .map(|weight| {
                total += weight;
                total
            })
            .collect();
        let (guide, guide_shift) = guide(&cumulated, total);
        Some(Self { least, cumulated, guide, guide_shift, distance_log2 })
    }

    /// One number.
    #[inline]
    pub fn sample(&self, rng: &mut NoiseRng) -> u64 {
        self.pick(rng.below(self.total()))
    }

    /// The number that a uniform integer below the total stands for.
    #[inline]
    fn pick(&self, drawn: u128) -> u64 {
        let mut entry = self.guide[(drawn >> self.guide_shift) as usize] as usize;
        while self.cumulated[entry] <= drawn {
            entry += 1;
        }
        self.least + entry as u64
    }

    /// log2 of an upper bound on the statistical distance of one draw from Poisson(λ). With T entries it is below
    /// T²·2^−96.
    #[must_use]
    pub fn distance_log2(&self) -> f64 {
        self.distance_log2
    }

    /// The numbers in the table, and each one's weight.
    pub fn weights(&self) -> impl Iterator<Item = (u64, u128)> + '_ {
        let before = std::iter::once(0).chain(self.cumulated.iter().copied());
        let weights = self.cumulated.iter().zip(before).map(|(after, before)| after - before);
        (self.least..).zip(weights)
    }

    /// The sum of all weights.
    #[inline]
    fn total(&self) -> u128 {
        self.cumulated.last().copied().unwrap_or(1)
    }
}

/// w(k+1) = ⌊w(k)·λ/(k+1)⌋ from the mode upwards, as far as they are above 0.
fn weights_above(rate: u32, mode: u64) -> Vec<u128> {
    let mut weights = Vec::new();
    let (mut weight, mut k) = (MODE_WEIGHT, u128::from(mode));
    loop {
        k += 1;
        weight = weight * u128::from(rate) / (u128::from(RATE_UNIT) * k);
        if weight == 0 {
            return weights;
        }
        weights.push(weight);
    }
}

/// w(k−1) = ⌊w(k)·k/λ⌋ from the mode downwards to 0, as far as they are above 0.
fn weights_below(rate: u32, mode: u64) -> Vec<u128> {
    let mut weights = Vec::new();
    let mut weight = MODE_WEIGHT;
    for k in (1..=mode).rev() {
        weight = weight * u128::from(k) * u128::from(RATE_UNIT) / u128::from(rate);
        if weight == 0 {
            break;
        }
        weights.push(weight);
    }
    weights
}

/// The first entry that a draw can pick, by the draw's leading bits; about two such values for each entry.
fn guide(cumulated: &[u128], total: u128) -> (Vec<u32>, u32) {
    let size = (2 * cumulated.len()).next_power_of_two();
    let shift = (u128::BITS - total.leading_zeros()).saturating_sub(size.ilog2());
    let mut entry = 0;
    let guide = (0..=(total - 1) >> shift)
        .map(|leading| {
            while cumulated[entry] <= leading << shift {
                entry += 1;
            }
            entry as u32
        })
        .collect();
    (guide, shift)
}

/// The bound: Σ|w − true weight| over the mode's weight.
///
/// Ratios away from the mode are at most 1, so the error after j roundings down is at most j: `below`²/2 + `above`²/2 and
/// a little in all. The first number left out has a true weight of at most its error, and the weights beyond it fall at
/// least geometrically with the ratio there. The distance of two normalised measures is at most the difference of the
/// unnormalised ones over the greater total.
fn distance_log2(rate: u32, mode: u64, below: usize, above: usize) -> f64 {
    let rounded = |steps: f64| steps * (steps + 1.0) / 2.0;
    let lambda = f64::from(rate) / f64::from(RATE_UNIT);
    let (below, above, mode) = (below as f64, above as f64, mode as f64);
    let ratio_above = lambda / (mode + above + 2.0);
    let tail_above = (above + 1.0) / (1.0 - ratio_above);
    let left_out = mode - below;
    let tail_below = if left_out > 0.0 { (below + 1.0) / (1.0 - (left_out / lambda).min(0.999_999)) } else { 0.0 };
    libm::log2(rounded(below) + rounded(above) + tail_above + tail_below) - f64::from(MODE_BITS)
}

#[cfg(test)]
mod tests;
