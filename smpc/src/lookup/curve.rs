//! A cubic per cell, read in one round once the argument is opened: for few values, where rounds count for more than what is
//! made beforehand.
//!
//! With δ = c' - r' and powers of r' shared beforehand, T_0 + T_1 δ + T_2 δ² + T_3 δ³ of every cell is linear in v_b r'^p. So
//! y = Σ_a u_a (Σ_b Σ_p Q_p v_b r'^p), the inner sums local and Q public, is one inner product, opened under the mask of its
//! truncation.

use crate::arithmetic::Products;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::share::{NEXT, OWN, Shares};

use super::powers::{Digits, PowerMasks, PowerShape};
use super::{OUTPUTS, cubic_fit};

/// Bits that a sum may take before its truncation.
const SUM_BITS: i32 = 61;

/// A function on [low, low + (2^t - 1) 2^e), e the binary logarithm of a cell's width.
pub struct Curve {
    /// Its lowest argument, in units.
    low: i64,
    /// t.
    cell_bits: u32,
    /// Fraction bits of δ.
    fraction: u32,
    /// w: bits of a place in a cell.
    width: u32,
    /// By how many bits a sum is truncated.
    shift: u32,
    /// `[2^t]`: what δ^p is multiplied by.
    cubics: Vec<[u64; OUTPUTS]>,
}

/// How a curve is cut into cells.
#[derive(Debug, Clone, Copy)]
pub struct Cells {
    /// Lowest argument.
    pub low: i64,
    /// Binary logarithm of a cell's width.
    pub width_log: i32,
    /// Binary logarithm of their number.
    pub bits: u32,
    /// Fraction bits of an argument that count.
    pub fraction: u32,
}

impl Curve {
    /// The curve of `function` with `result` fraction bits: cubics meet it at the Chebyshev points of the two cells that each
    /// serves.
    #[must_use]
    pub fn of(function: impl Fn(f64) -> f64, cells: Cells, result: u32) -> Self {
        let width = f64::from(cells.width_log).exp2();
        let cubic = |cell: u32| cubic_fit(|delta| function(cells.low as f64 + f64::from(cell) * width + delta), width);
        let cubics: Vec<[f64; OUTPUTS]> = (0..1 << cells.bits).map(cubic).collect();
        let size = |cubic: &[f64; OUTPUTS]| (0..).zip(cubic).map(|(p, t)| t.abs() * width.powi(p)).sum::<f64>();
        let largest = cubics.iter().map(size).fold(f64::MIN_POSITIVE, f64::max);
        let scale = (SUM_BITS - largest.log2().ceil() as i32).clamp(result as i32 + 1, SUM_BITS + 3);
        let fraction = cells.fraction as i32;
        let encode = |(p, t): (i32, &f64)| (t * f64::from(scale - p * fraction).exp2()).round() as i64 as u64;
        let encoded = |cubic: &[f64; OUTPUTS]| {
            let mut places = (0..).zip(cubic).map(encode);
            std::array::from_fn(|_| places.next().unwrap_or_default())
        };
        let width = (cells.width_log + fraction) as u32;
        let cubics = cubics.iter().map(encoded).collect();
        let shift = (scale - result as i32) as u32;
        Self { low: cells.low, cell_bits: cells.bits, fraction: cells.fraction, width, shift, cubics }
    }

    /// Of masks for arguments with `fraction` fraction bits, over Z_2^ring_bits or, without, over the smallest ring.
    fn shape(&self, fraction: u32, ring_bits: Option<u32>) -> PowerShape {
        let dropped = fraction - self.fraction;
        let all = dropped + self.width + self.cell_bits;
        // An entry of v takes four products, one of u a single one.
        let low_bits = self.cell_bits.saturating_sub(1) / 2;
        let ring_bits = ring_bits.unwrap_or(all);
        PowerShape { ring_bits, dropped, width: self.width, cell_bits: self.cell_bits, low_bits, degree: 3 }
    }

    /// By how many bits what is read is truncated.
    pub(crate) const fn shift(&self) -> u32 {
        self.shift
    }

    /// What is added to an argument of `fraction` fraction bits before it opens.
    pub(crate) const fn offset(&self, fraction: u32) -> u64 {
        ((self.low << fraction) as u64).wrapping_neg()
    }

    /// Q_p: of the cell's cubic in c' - r', the factors of r'^p.
    fn expanded(&self, cell: usize, place: u64) -> [u64; OUTPUTS] {
        let [t0, t1, t2, t3] = self.cubics[cell];
        let c = |value: u64| value.wrapping_mul(place);
        let zeroth = t0.wrapping_add(c(t1.wrapping_add(c(t2.wrapping_add(c(t3))))));
        let first = t1.wrapping_add(c(t2.wrapping_mul(2).wrapping_add(c(t3.wrapping_mul(3)))));
        let second = t2.wrapping_add(c(t3.wrapping_mul(3)));
        [zeroth, first.wrapping_neg(), second, t3.wrapping_neg()]
    }
}

impl<C: Channel> Computation<C> {
    /// Masks for `n` arguments of `fraction` fraction bits.
    pub(crate) fn curve_masks(
        &mut self,
        curve: &Curve,
        n: usize,
        fraction: u32,
        ring_bits: Option<u32>,
    ) -> Result<PowerMasks, SmpcError> {
        self.take_powers(n, curve.shape(fraction, ring_bits))
    }

    /// function(x) before its truncation by [`Curve::shift`] bits, for the opened c = x - low + r.
    pub(crate) fn curve_products(
        &mut self,
        curve: &Curve,
        opened: &[u64],
        digits: &Digits,
        fraction: u32,
    ) -> Result<Products, SmpcError> {
        let PowerShape { dropped, width, cell_bits, low_bits, .. } = curve.shape(fraction, None);
        let (size, groups) = (1_usize << low_bits, 1_usize << (cell_bits - low_bits));
        let cells = (1_usize << cell_bits) - 1;
        let mut inside = Shares::zeros(opened.len() * groups);
        // A rehearsal counts, and computes nothing.
        let opened = if self.rehearsal().is_some() { &[] } else { opened };
        for (at, c) in opened.iter().enumerate() {
            let c = c >> dropped;
            let (place, highest) = (c & ((1 << width) - 1), (c >> width) as usize);
            for group in 0..groups {
                let mut sums = [0_u64; 2];
                for entry in 0..size {
                    let factors = curve.expanded(highest.wrapping_sub(group * size + entry) & cells, place);
                    for (power, factor) in digits.low.iter().zip(factors) {
                        for (part, sum) in sums.iter_mut().enumerate() {
                            *sum = sum.wrapping_add(power.parts[part][at * size + entry].wrapping_mul(factor));
                        }
                    }
                }
                inside.parts[OWN][at * groups + group] = sums[OWN];
                inside.parts[NEXT][at * groups + group] = sums[NEXT];
            }
        }
        self.inner_products("curve: cell", &inside, &digits.high, groups, 64)
    }

    /// function(x) of x with `fraction` fraction bits: two rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn read_curve(&mut self, curve: &Curve, x: &Shares, fraction: u32) -> Result<Shares, SmpcError> {
        let PowerMasks { mask, digits } = self.curve_masks(curve, x.len(), fraction, None)?;
        let from_low = x.clone().plus_constant(self.party(), curve.offset(fraction));
        let opened = self.open_masked("curve: open", &from_low, mask)?;
        let products = self.curve_products(curve, &opened, &digits, fraction)?;
        self.truncate_products(products, curve.shift())
    }
}
