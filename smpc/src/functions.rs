//! The functions of a transformer block on shares: softmax, the reciprocal root, SiLU, the logistic function.
//!
//! Every one states the range it is right in. Outside of it the result is of no meaning: ranges come from a model's
//! calibration, and a profile that does not hold them is refused before a session.

pub(crate) mod few;

use std::sync::LazyLock;

use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::lookup::Table;
use crate::share::Shares;

/// f: fraction bits of activations.
pub const FRACTION: u32 = 16;

/// Fraction bits where a value is between 1/4 and some tens.
pub const FINE: u32 = 20;

/// Scores of one row, and logits of one router, differ by less than this power of two.
const SCORE_BITS: u32 = FRACTION + 6;

/// An exponential, at most 1 + 1/4, times a reciprocal at [`FINE`] bits, at most 1, and three bits more.
const SOFTMAX_BITS: u32 = FRACTION + FINE + 4;

/// Powers of four that sums of squares are held against, at 2f fraction bits: from 2^-12 to 2^24.
const SQUARES: std::ops::Range<u32> = 10..28;

/// e^x on (-63.5, 0.25).
static EXP: LazyLock<Table> =
    LazyLock::new(|| Table::of(f64::exp, -(127 << (FRACTION - 1)), FRACTION + 6, 8, FRACTION));

/// x / (1 + e^-x) on (-32, 31.5).
static SILU: LazyLock<Table> =
    LazyLock::new(|| Table::of(|x| x / (1.0 + (-x).exp()), -(32 << FRACTION), FRACTION + 6, 7, FRACTION));

/// 1 / (1 + e^-x) on (-32, 31.5).
static LOGISTIC: LazyLock<Table> =
    LazyLock::new(|| Table::of(|x| 1.0 / (1.0 + (-x).exp()), -(32 << FRACTION), FRACTION + 6, 7, FRACTION));

/// 1/√x on [1/4, 1): cells below hold what they may.
static ROOT: LazyLock<Table> = LazyLock::new(|| Table::of(|x| x.max(0.2).sqrt().recip(), 0, FINE + 1, 7, FINE));

/// 1/x on [1/2, 1].
static RECIPROCAL: LazyLock<Table> = LazyLock::new(|| Table::of(|x| x.max(0.4).recip(), 0, FINE + 1, 7, FINE));

impl<C: Channel> Computation<C> {
    /// x / (1 + e^-x), |x| < 31.5: four rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn silu(&mut self, x: &Shares) -> Result<Shares, SmpcError> {
        self.look_up(x, &SILU)
    }

    /// 1 / (1 + e^-x), |x| < 31.5: four rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn logistic(&mut self, x: &Shares) -> Result<Shares, SmpcError> {
        self.look_up(x, &LOGISTIC)
    }

    /// e^(x - max) of each row and one over their sum: `[rows, n]` and `[rows]`. Entries where `attended` is false count
    /// nothing; the others of a row differ by less than 63.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn exponentials(&mut self, x: &Shares, n: usize, attended: &[bool]) -> Result<(Shares, Shares), SmpcError> {
        let party = self.party();
        let weight: Vec<u64> = attended.iter().map(|attended| u64::from(*attended)).collect();
        let lowest: Vec<u64> =
            weight.iter().map(|weight| (1 - weight).wrapping_mul((63_u64 << FRACTION).wrapping_neg())).collect();
        let mask = |shares: &Shares| shares.map(|part| part.iter().zip(&weight).map(|(x, w)| x * w).collect());
        let seen = mask(x).plus_public(party, &lowest);
        let largest = self.maximum(&seen, n, SCORE_BITS + 2)?;
        let rows: Vec<usize> = (0..x.len()).map(|at| at / n).collect();
        let below = mask(&x.minus(&largest.gather(&rows)));
        let exponentials = mask(&self.look_up(&below, &EXP)?);
        let sums = exponentials.map(|part| {
            part.chunks_exact(n).map(|row| row.iter().fold(0_u64, |sum, e| sum.wrapping_add(*e))).collect()
        });
        let reciprocals = self.reciprocal(&sums, n)?;
        Ok((exponentials, reciprocals))
    }

    /// softmax of each row, `[rows, n]`.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn softmax(&mut self, x: &Shares, n: usize, attended: &[bool]) -> Result<Shares, SmpcError> {
        let (exponentials, reciprocals) = self.exponentials(x, n, attended)?;
        let rows: Vec<usize> = (0..x.len()).map(|at| at / n).collect();
        let products = self.products("softmax", &exponentials, &reciprocals.gather(&rows), SOFTMAX_BITS)?;
        self.truncate_products(products, FINE)
    }

    /// 1/x for 1 <= x <= n (+ 1/2), at [`FINE`] bits: x is brought to [1/2, 1] by the power of two above it.
    fn reciprocal(&mut self, x: &Shares, n: usize) -> Result<Shares, SmpcError> {
        let powers = 0..usize::BITS - (n + 1).leading_zeros();
        let steps = self.steps(x, powers.clone().map(|power| 1_u64 << (FRACTION + power)).collect(), FRACTION + 12)?;
        let last = powers.end - 1;
        let (half, factor) =
            (self.weigh(&steps, |step| 1 << (last - step)), self.weigh(&steps, |step| 1 << (last - step)));
        // x·2^(last-step) is in [2^last, 2^(last+1)).
        let products = self.products("reciprocal: normalise", x, &half, 64)?;
        let normal = self.scaled(products, FRACTION + last + 1)?;
        let found = self.look_up(&normal, &RECIPROCAL)?;
        let products = self.products("reciprocal: scale", &found, &factor, 64)?;
        self.truncate_products(products, last + 1)
    }

    /// 1/√x of sums of squares x at 2f fraction bits, times `factor`, at [`FINE`] bits.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn reciprocal_root(&mut self, x: &Shares, factor: f64) -> Result<Shares, SmpcError> {
        let steps = self.steps(x, SQUARES.map(|power| 1_u64 << (2 * power)).collect(), 2 * SQUARES.end + 2)?;
        let last = SQUARES.end - 1;
        // x in [4^j, 4^(j+1)) times 4^(last-j) is in [4^last, 4^(last+1)), and 1/√x = 2^-(j+1) / √(x / 4^(j+1)).
        let up = self.weigh(&steps, |step| 1 << (2 * (last - SQUARES.start - step)));
        let down = self.weigh(&steps, |step| {
            let power =
                i32::try_from(FRACTION + FINE).unwrap_or(0) - i32::try_from(SQUARES.start + step + 1).unwrap_or(0);
            (factor * f64::from(power).exp2()).round() as u64
        });
        let products = self.products("root: normalise", x, &up, 64)?;
        let normal = self.scaled(products, 2 * (last + 1))?;
        let found = self.look_up(&normal, &ROOT)?;
        let products = self.products("root: scale", &found, &down, 64)?;
        self.truncate_products(products, FINE)
    }

    /// Products below 2^`power` as numbers below 1 with [`FINE`] bits.
    fn scaled(&mut self, products: crate::arithmetic::Products, power: u32) -> Result<Shares, SmpcError> {
        if power > FINE {
            return self.truncate_products(products, power - FINE);
        }
        Ok(self.replicate(products)?.times(1 << (FINE - power)))
    }

    /// `[thresholds, n]` one-hot: the last of rising `thresholds` that x reaches. x is at least the first.
    fn steps(&mut self, x: &Shares, thresholds: Vec<u64>, bits: u32) -> Result<Vec<Shares>, SmpcError> {
        let (party, n) = (self.party(), x.len());
        let differences: Vec<Shares> =
            thresholds[1..].iter().map(|threshold| x.clone().plus_constant(party, threshold.wrapping_neg())).collect();
        let below = self.is_negative(&Shares::concat(&differences.iter().collect::<Vec<_>>()), bits)?;
        let below = self.plane_to_numbers(&below, n * differences.len())?;
        Ok(self.one_hot_steps(&below, n, thresholds.len()))
    }

    /// `[count, n]` one-hot, of whether x is `below` each of `count` rising thresholds but the first.
    fn one_hot_steps(&self, below: &Shares, n: usize, count: usize) -> Vec<Shares> {
        let below = |step: usize| match step {
            0 => Shares::zeros(n),
            step if step == count => Shares::zeros(n).plus_constant(self.party(), 1),
            step => below.range((step - 1) * n..step * n),
        };
        (0..count).map(|step| below(step + 1).minus(&below(step))).collect()
    }

    /// Σ weight(step) · [step]: `[n]`.
    fn weigh(&self, steps: &[Shares], weight: impl Fn(u32) -> u64) -> Shares {
        let zeros = Shares::zeros(steps.first().map_or(0, Shares::len));
        (0..).zip(steps).fold(zeros, |sum, (step, chosen)| sum.plus(&chosen.times(weight(step))))
    }
}
