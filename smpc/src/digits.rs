//! Comparisons with few rounds, for few values: of a mask r it is known beforehand, for each run of its bits, which number
//! they are.
//!
//! Of c = x + r mod 2^k, whether x < t is whether c - t mod 2^k wraps below r: x - t has its highest bit set. A digit of the
//! public c - t either is below that of r, or is equal to it and hands on what lies below. With one plane for each number
//! that a digit of r may be, both are read from the planes locally, so the tree of carries begins at digits of [`DIGIT`]
//! bits: three levels for 63 bits in the place of six. One opened c serves any number of thresholds. The last level opens
//! under daBits, so it makes numbers of the bits in the same round.

use crate::arithmetic::{Mask, reduced};
use crate::boolean::{Carry, Positions};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::random_bits::{DaBits, EdaBits};
use crate::share::{BitShares, NEXT, OWN, Shares};

/// Bits of a digit at most: a digit takes 57 gates beforehand. With eight it would take 247, and save a level for few widths.
const DIGIT: usize = 6;

/// Uniform r over Z_2^k with its digits.
pub struct DigitMasks {
    /// r, `[n]`.
    pub(crate) mask: Mask,
    /// The highest bit of r: one plane.
    top: BitShares,
    /// From the lowest digit on: `[2^bits]` planes, one for each number that the digit may be.
    digits: Vec<BitShares>,
    /// Bits of r below the lowest digit.
    skipped: u32,
}

impl DigitMasks {
    /// Of no use but their lengths.
    pub(crate) fn zeros(n: usize, bits: u32, skipped: u32) -> Self {
        let words = n.div_ceil(64);
        let of = |range: std::ops::Range<usize>| BitShares::zeros(1 << range.len(), words);
        let digits = ranges(bits, skipped).into_iter().map(of).collect();
        Self { mask: Mask { shares: Shares::zeros(n), bits }, top: BitShares::zeros(1, words), digits, skipped }
    }

    /// r, which is used up.
    pub(crate) fn take_mask(&mut self) -> Mask {
        let bits = self.mask.bits;
        std::mem::replace(&mut self.mask, Mask { shares: Shares::default(), bits })
    }

    /// Those of `n` values from value `from` on, which begins a word.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        let digits = self.digits.iter().map(|digit| digit.lanes(from, n)).collect();
        Self { mask: self.mask.cut(from, n), top: self.top.lanes(from, n), digits, skipped: self.skipped }
    }
}

/// Which bits are in each digit: as few digits as there can be, of lengths that differ by one at most.
fn ranges(bits: u32, skipped: u32) -> Vec<std::ops::Range<usize>> {
    let (from, width) = (skipped as usize, (bits - 1 - skipped) as usize);
    let count = width.div_ceil(DIGIT);
    (0..count).map(|at| from + at * width / count..from + (at + 1) * width / count).collect()
}

impl<C: Channel> Computation<C> {
    /// `n` masks of `bits` bits, with digits above the lowest `skipped`.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn digit_masks(&mut self, n: usize, bits: u32, skipped: u32) -> Result<DigitMasks, SmpcError> {
        let EdaBits { mask, bits: planes } = self.eda_bits(n, bits)?;
        let ranges = ranges(bits, skipped);
        let ones = BitShares::zeros(1, planes.words).xor_public(self.party(), &vec![u64::MAX; planes.words]);
        let mut digits = vec![ones; ranges.len()];
        for level in 0..ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0) {
            let of_level = || ranges.iter().enumerate().filter(|(_, range)| level < range.len());
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for (at, range) in of_level() {
                left.extend((1..digits[at].width()).map(|entry| (&digits[at], entry)));
                right.extend((1..digits[at].width()).map(|_| (&planes, range.start + level)));
            }
            let products = match left.is_empty() {
                true => BitShares::zeros(0, planes.words),
                false => self.and_planes("digits", planes.words, &left, &right)?,
            };
            let mut from = 0;
            for (at, range) in of_level() {
                let others = digits[at].width() - 1;
                let mut set = planes.planes(range.start + level..range.start + level + 1);
                (from..from + others).for_each(|product| set.xor_plane(0, (&products, product)));
                let set = BitShares::stack(&[&set, &products.planes(from..from + others)]);
                from += others;
                digits[at] = BitShares::stack(&[&digits[at].xor(&set), &set]);
            }
        }
        let width = bits as usize;
        Ok(DigitMasks { mask, top: planes.planes(width - 1..width), digits, skipped })
    }

    /// Whether each x is below each of `thresholds`, as numbers `[thresholds, n]`, for the opened c = x + r. Where digits
    /// begin above bit s, x may count as up to 2^s more or less than it is. |x - t| < 2^(k-1).
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub(crate) fn below(
        &mut self,
        opened: &[u64],
        masks: &DigitMasks,
        thresholds: &[u64],
    ) -> Result<Shares, SmpcError> {
        let (bits, party) = (masks.mask.bits, self.party());
        let differences: Vec<u64> =
            thresholds.iter().flat_map(|t| opened.iter().map(move |c| reduced(c.wrapping_sub(*t), bits))).collect();
        let words = differences.len().div_ceil(64);
        let mut tops = vec![0; words];
        differences.iter().enumerate().for_each(|(lane, c)| tops[lane / 64] |= (c >> (bits - 1) & 1) << (lane % 64));
        let n = opened.len();
        let top = picked(&masks.top, differences.len(), |lane| (0, lane % n)).xor_public(party, &tops);
        let mut of = digit_carries(masks, &differences, n);
        while of.generate.width() > 2 {
            let run = Positions { range: 0..of.generate.width(), is_inner: false };
            of = self.halve("below: digits", &of, &[run])?;
        }
        let DaBits { plane, numbers } = self.take_da_bits(differences.len())?;
        let highest = of.generate.width() - 1;
        let mask = top.xor(&of.generate.planes(highest..highest + 1)).xor(&plane);
        let opened = match highest {
            0 => self.open_masked_plane(&mask, &BitShares::zeros(1, words))?,
            _ => self.and_opened("below: last digit", &[(&of.propagate, 1)], &[(&of.generate, 0)], &mask)?,
        };
        Ok(self.flipped(&numbers, &opened))
    }
}

/// Whether each digit of c is below that of r, and whether it is equal: a plane each, a lane for each c.
fn digit_carries(masks: &DigitMasks, differences: &[u64], n: usize) -> Carry {
    let (mut below, mut equal) = (Vec::new(), Vec::new());
    for (range, digit) in ranges(masks.mask.bits, masks.skipped).into_iter().zip(&masks.digits) {
        let number = |lane: usize| (differences[lane] >> range.start) as usize & (digit.width() - 1);
        // Plane v: whether r's digit is above v.
        let mut above = digit.clone();
        let mut sum = BitShares::zeros(1, digit.words);
        for v in (0..digit.width()).rev() {
            above.replace(&[v], &sum);
            sum.xor_plane(0, (digit, v));
        }
        below.push(picked(&above, differences.len(), |lane| (number(lane), lane % n)));
        equal.push(picked(digit, differences.len(), |lane| (number(lane), lane % n)));
    }
    let stacked = |planes: &[BitShares]| BitShares::stack(&planes.iter().collect::<Vec<_>>());
    Carry { generate: stacked(&below), propagate: stacked(&equal) }
}

/// One plane of `n` lanes, each of which is the bit of `planes` at the plane and lane that `place` says.
fn picked(planes: &BitShares, n: usize, place: impl Fn(usize) -> (usize, usize)) -> BitShares {
    let mut out = BitShares::zeros(1, n.div_ceil(64));
    for lane in 0..n {
        let (plane, from) = place(lane);
        for at in [OWN, NEXT] {
            out.parts[at][lane / 64] |= (planes.plane(at, plane)[from / 64] >> (from % 64) & 1) << (lane % 64);
        }
    }
    out
}
