//! The same functions in few rounds, for few values where one party may do anything: what is looked up opens in the round
//! in which it was multiplied, and is read in the next.
//!
//! ```text
//! norm         Σ x² opens · digits, three levels · times 4^-j, x times 2^-j beside it · 1/√ · times x        7 rounds
//! softmax      scores open · counts open · exponents open · exp · sums open, p·v beside it · 1/Σ             6 rounds
//! ```

use std::sync::{LazyLock, OnceLock};

use crate::arithmetic::Products;
use crate::channel::Channel;
use crate::comparison::FEW;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::exchange::Item;
use crate::lookup::Curve;
use crate::lookup::curve::Cells;
use crate::lookup::powers::{Digits, PowerMasks, PowerShape};
use crate::ring::Shape;
use crate::share::{NEXT, OWN, Shares};

use super::{FINE, FRACTION, SQUARES};

/// Scores up to which softmax is taken in few rounds: each takes some five kilobytes beforehand, all parties together.
const FEW_SCORES: usize = 2048;

/// Ring in which sums of squares open: they lie below 4^28.
const SQUARE_BITS: u32 = 2 * SQUARES.end + 2;

/// Bits of a sum of squares that are not compared: a sixty-fourth of the lowest threshold.
const SQUARE_SKIPPED: u32 = 16;

/// Fraction bits of x over the power of two above its norm.
const SCALED_FRACTION: u32 = FRACTION + FINE;

/// Fraction bits of 1/√x for x in [1/4, 1).
const ROOT_FRACTION: u32 = 18;

/// Cells of one unit in which the largest score is sought: scores lie at most 63 around the first of their row.
const SCORE_CELLS: u32 = 7;

/// e^x on (-124, 2).
static EXP: LazyLock<Curve> = LazyLock::new(|| {
    let cells = Cells { low: -124, width_log: -2, bits: 9, fraction: FRACTION };
    Curve::of(|x| x.min(2.25).exp(), cells, FRACTION)
});

/// x / (1 + e^-x) on (-32, 31.5). With a bit less of x the cubic's factors have three more.
pub(crate) static SILU: LazyLock<Curve> = LazyLock::new(|| {
    let cells = Cells { low: -32, width_log: -1, bits: 7, fraction: FRACTION - 1 };
    Curve::of(|x| x / (1.0 + (-x).exp()), cells, FRACTION)
});

/// 1 / (1 + e^-x) on (-32, 31.5).
pub(crate) static LOGISTIC: LazyLock<Curve> = LazyLock::new(|| {
    let cells = Cells { low: -32, width_log: -1, bits: 7, fraction: FRACTION };
    Curve::of(|x| 1.0 / (1.0 + (-x).exp()), cells, FRACTION)
});

/// 1/√x on [1/5, 2).
static ROOT: LazyLock<Curve> = LazyLock::new(|| {
    let cells = Cells { low: 0, width_log: -6, bits: 7, fraction: ROOT_FRACTION };
    Curve::of(|x| x.max(0.2).sqrt().recip(), cells, ROOT_FRACTION)
});

/// 1/x on [3/4, 2^i) at place i.
static RECIPROCALS: [OnceLock<Curve>; 20] = [const { OnceLock::new() }; 20];

fn reciprocal(power: usize) -> &'static Curve {
    let cells = Cells { low: 0, width_log: -3, bits: power as u32 + 3, fraction: FRACTION };
    RECIPROCALS[power].get_or_init(|| Curve::of(|x| x.max(0.75).recip(), cells, FINE))
}

impl<C: Channel> Computation<C> {
    /// Whether rounds count for more than what is made beforehand for `n` values.
    pub(crate) const fn saves_rounds(&self, n: usize) -> bool {
        self.is_malicious() && n <= FEW
    }

    /// As [`Self::saves_rounds`], of scores.
    pub(crate) const fn saves_rounds_of_scores(&self, n: usize) -> bool {
        self.is_malicious() && n <= FEW_SCORES
    }

    /// x / √(mean x² + ε) of each row: `[rows, d]`, in seven rounds.
    pub(crate) fn rms_norm_of_few(&mut self, x: &Shares, d: usize, eps: u64) -> Result<Shares, SmpcError> {
        let (party, rows) = (self.party(), x.len() / d);
        let squares = self.inner_products("norm: squares", x, x, d, SQUARE_BITS)?.plus_constant(party, eps);
        let mut masks = self.take_digits(rows, SQUARE_BITS, SQUARE_SKIPPED)?;
        let (opened, sums) = self.open_products(squares, masks.take_mask())?;
        let thresholds: Vec<u64> = SQUARES.skip(1).map(|power| 1_u64 << (2 * power)).collect();
        let below = self.below(&opened, &masks, &thresholds)?;
        let steps = self.one_hot_steps(&below, rows, thresholds.len() + 1);
        let last = SQUARES.end - 1;
        let up = self.weigh(&steps, |step| 1 << (2 * (last - SQUARES.start - step)));
        let down = self.weigh(&steps, |step| {
            let power = f64::from(SCALED_FRACTION) - f64::from(SQUARES.start + step + 1);
            ((d as f64).sqrt() * power.exp2()).round() as u64
        });
        let of_row: Vec<usize> = (0..x.len()).map(|at| at / d).collect();
        let normal = self.products("norm: normalise", &sums, &up, SQUARE_BITS)?;
        let scaled = self.products("norm: scale", x, &down.gather(&of_row), 64)?;
        let PowerMasks { mask, digits } = self.curve_masks(&ROOT, rows, 2 * SQUARES.end, Some(SQUARE_BITS))?;
        let [normal, scaled] = self.exchange([Item::Open(normal, mask), Item::Replicate(scaled)])?;
        let roots = self.curve_products(&ROOT, &normal.opened, &digits, 2 * SQUARES.end)?;
        let roots = self.truncate_products(roots, ROOT.shift())?;
        let products = self.products("norm: result", &scaled.shares, &roots.gather(&of_row), 64)?;
        self.truncate_products(products, SCALED_FRACTION + ROOT_FRACTION - FRACTION)
    }

    /// e^(x - m) of each row with m at most 2 below its largest: `[rows, n]`, four rounds, of products x with 2f fraction bits
    /// that are differences to the row's first, which is attended. Entries where `attended` is false are zero.
    pub(crate) fn exponentials_of_few(
        &mut self,
        x: Products,
        n: usize,
        attended: &[bool],
    ) -> Result<Shares, SmpcError> {
        let (party, count) = (self.party(), x.len());
        let shape = PowerShape {
            ring_bits: 64,
            dropped: 0,
            width: 2 * FRACTION,
            cell_bits: SCORE_CELLS,
            low_bits: 4,
            degree: 0,
        };
        let PowerMasks { mask, digits } = self.take_powers(count, shape)?;
        let middle = 1_u64 << (2 * FRACTION + SCORE_CELLS - 1);
        let (opened, scores) = self.open_products(x.plus_constant(party, middle), mask)?;
        let largest = self.largest_cell(&opened, &digits, n, attended)?;
        // x has `middle` added; the largest is that of a cell, or the next one, less one more.
        let one = 1_u64 << (2 * FRACTION);
        let rows: Vec<usize> = (0..count).map(|at| at / n).collect();
        let below = scores.minus(&largest.times(one).gather(&rows)).plus_constant(party, one.wrapping_sub(middle));
        let below = kept(&below, attended).plus_constant(party, EXP.offset(2 * FRACTION));
        let PowerMasks { mask, digits } = self.curve_masks(&EXP, count, 2 * FRACTION, None)?;
        let opened = self.open_masked("softmax: exponents", &below, mask)?;
        let products = self.curve_products(&EXP, &opened, &digits, 2 * FRACTION)?;
        Ok(kept(&self.truncate_products(products, EXP.shift())?, attended))
    }

    /// How many cells above the first one's the largest score of each row is, or one more: `[rows]`. One round.
    fn largest_cell(
        &mut self,
        opened: &[u64],
        digits: &Digits,
        n: usize,
        attended: &[bool],
    ) -> Result<Shares, SmpcError> {
        let (cells, size) = (1_usize << SCORE_CELLS, digits.low[0].len() / opened.len().max(1));
        let (groups, thresholds) = (cells / size, cells / 2 - 1);
        let rows = opened.len() / n;
        let mut reached = Shares::zeros(rows * thresholds * n * groups);
        // A rehearsal counts, and computes nothing.
        let opened = if self.rehearsal().is_some() { &[] } else { opened };
        for (at, c) in opened.iter().enumerate().filter(|(at, _)| attended[*at]) {
            let highest = (c >> (2 * FRACTION)) as usize;
            let first = (at / n * thresholds * n + at % n) * groups;
            for (part, reached) in reached.parts.iter_mut().enumerate() {
                let low = &digits.low[0].parts[part][at * size..(at + 1) * size];
                for group in 0..groups {
                    // Place t: whether the cell is number cells/2 + 1 + t.
                    for (entry, v) in low.iter().enumerate() {
                        let cell = highest.wrapping_sub(group * size + entry) & (cells - 1);
                        if cell > cells / 2 {
                            let place = first + (cell - cells / 2 - 1) * n * groups + group;
                            reached[place] = reached[place].wrapping_add(*v);
                        }
                    }
                    // Whoever reaches a cell reaches those below.
                    for t in (1..thresholds).rev() {
                        let above = reached[first + t * n * groups + group];
                        let place = first + (t - 1) * n * groups + group;
                        reached[place] = reached[place].wrapping_add(above);
                    }
                }
            }
        }
        let shape = Shape { rows: thresholds, inner: n * groups, columns: 1 };
        let counts = self.matrix_products("softmax: counts", &reached, &digits.high, &vec![shape; rows])?;
        let PowerMasks { mask, digits } = self.take_powers(rows * thresholds, counter(n, 64))?;
        let (opened, _) = self.open_products(counts, mask)?;
        let nobody = is_number(&opened, &digits, 0);
        let sum = |part: &[u64]| {
            part.chunks_exact(thresholds).map(|of| of.iter().fold(0, |sum: u64, one| sum.wrapping_sub(*one))).collect()
        };
        Ok(nobody.map(sum).plus_constant(self.party(), thresholds as u64))
    }

    /// One over the sum of each row of exponentials that [`Self::exponentials_of_few`] has made, at [`FINE`] bits: the opened
    /// sums under these masks become products to truncate by the curve's shift.
    pub(crate) fn sums_to_open(
        &mut self,
        exponentials: &Shares,
        n: usize,
    ) -> Result<(Item, Digits, &'static Curve), SmpcError> {
        let sums = exponentials.map(|part| {
            part.chunks_exact(n).map(|row| row.iter().fold(0_u64, |sum, e| sum.wrapping_add(*e))).collect()
        });
        // An exponential is below e^2, which is below 7.4.
        let power = usize::BITS - (n * 15 / 2).leading_zeros();
        let curve = reciprocal(power as usize);
        let PowerMasks { mask, digits } = self.curve_masks(curve, sums.len(), FRACTION, None)?;
        Ok((Item::OpenValues("softmax: sums", sums, mask), digits, curve))
    }

    /// One-hot vectors of the first, second, … k-th largest of each row as [`Self::largest`] has them, but `[rows, k, n]`, in
    /// few rounds: signs of all differences, counts of who is in front, which open under masks.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn largest_of_few(&mut self, x: &Shares, n: usize, k: usize, bits: u32) -> Result<Shares, SmpcError> {
        let (party, rows) = (self.party(), x.len() / n);
        let pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
        let of = |side: fn(&(usize, usize)) -> usize| {
            let pairs = &pairs;
            let places = (0..rows).flat_map(move |row| pairs.iter().map(move |pair| row * n + side(pair)));
            x.gather(&places.collect::<Vec<_>>())
        };
        let differences = of(|pair| pair.0).minus(&of(|pair| pair.1));
        let mut masks = self.take_digits(differences.len(), bits, 0)?;
        let opened = self.open_masked("largest: open", &differences, masks.take_mask())?;
        let second_wins = self.below(&opened, &masks, &[0])?;
        let count = |part: &[u64]| {
            let mut counts = vec![0_u64; rows * n];
            for (row, wins) in counts.chunks_exact_mut(n).zip(part.chunks_exact(pairs.len().max(1))) {
                for ((i, j), wins) in pairs.iter().zip(wins) {
                    row[*i] = row[*i].wrapping_add(*wins);
                    row[*j] = row[*j].wrapping_sub(*wins);
                }
            }
            counts
        };
        // The first of a pair is in front unless the second wins.
        let places: Vec<u64> = (0..rows * n).map(|at| (at % n) as u64).collect();
        let in_front = second_wins.map(count).plus_public(party, &places);
        let shape = counter(n, 0);
        let PowerMasks { mask, digits } = self.take_powers(rows * n, shape)?;
        let opened = self.open_masked("largest: places", &in_front, mask)?;
        let ranks: Vec<Shares> = (0..k).map(|rank| is_number(&opened, &digits, rank)).collect();
        let order: Vec<usize> = (0..rows * k * n).map(|at| at / n % k * rows * n + at / (n * k) * n + at % n).collect();
        Ok(Shares::concat(&ranks.iter().collect::<Vec<_>>()).gather(&order))
    }
}

/// Masks for numbers up to `n`, over Z_2^ring_bits or, where that is 0, the smallest ring.
const fn counter(n: usize, ring_bits: u32) -> PowerShape {
    let bits = usize::BITS - n.leading_zeros();
    let ring_bits = if ring_bits == 0 { bits } else { ring_bits };
    PowerShape { ring_bits, dropped: 0, width: 0, cell_bits: bits, low_bits: bits, degree: 0 }
}

/// Whether what was opened under masks of a [`counter`] is `number`.
fn is_number(opened: &[u64], digits: &Digits, number: usize) -> Shares {
    let size = digits.low[0].len() / opened.len().max(1);
    let places = opened.iter().enumerate().map(|(at, c)| at * size + ((*c as usize).wrapping_sub(number) & (size - 1)));
    digits.low[0].gather(&places.collect::<Vec<_>>())
}

/// x where `attended`, and zero elsewhere.
fn kept(x: &Shares, attended: &[bool]) -> Shares {
    let of = |at: usize| x.parts[at].iter().zip(attended).map(|(x, kept)| if *kept { *x } else { 0 }).collect();
    Shares { parts: [of(OWN), of(NEXT)] }
}
