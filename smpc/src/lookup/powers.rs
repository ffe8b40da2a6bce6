//! Masks for functions that are read in one round after their argument is opened.
//!
//! ```text
//! r = .. + 2^(s+w) ρ + 2^s r' + ..,  ρ = 2^d a + b          u_a, v_b r'^p        for p up to 3
//! ```
//!
//! Of the argument's low s bits nothing is used: a product that still has all its fraction bits may be looked up as it is.

use crate::arithmetic::{Mask, reduced};
use crate::boolean::{Carry, Positions};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::conversion::Conversion;
use crate::error::SmpcError;
use crate::random_bits::CarrySave;
use crate::ring::planes::to_planes;
use crate::share::{BitShares, NEXT, OWN, Shares};

/// What is known of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PowerShape {
    /// Of the ring in which the argument opens.
    pub ring_bits: u32,
    /// s: bits of the argument that count nothing.
    pub dropped: u32,
    /// w: bits of a place in a cell.
    pub width: u32,
    /// Bits of a cell's number.
    pub cell_bits: u32,
    /// d: those of them that are the lower digit.
    pub low_bits: u32,
    /// Highest power of r' that v is multiplied by.
    pub degree: u32,
}

/// A mask r with one-hot digits.
pub struct PowerMasks {
    /// r, `[n]`.
    pub(crate) mask: Mask,
    /// What is known of it.
    pub(crate) digits: Digits,
}

/// Of the bits of a mask that say which cell.
pub(crate) struct Digits {
    /// u: `[n, 2^(t-d)]`.
    pub(crate) high: Shares,
    /// v_b r'^p: `[n, 2^d]` for each p.
    pub(crate) low: Vec<Shares>,
}

impl PowerMasks {
    /// Of no use but their lengths.
    pub(crate) fn zeros(n: usize, shape: PowerShape) -> Self {
        let mask = Mask { shares: Shares::zeros(n), bits: shape.ring_bits };
        let low = (0..=shape.degree).map(|_| Shares::zeros(n << shape.low_bits)).collect();
        Self { mask, digits: Digits { high: Shares::zeros(n << (shape.cell_bits - shape.low_bits)), low } }
    }

    /// Those of `n` values from value `from` on.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        let all = self.mask.shares.len();
        let of = |digit: &Shares| {
            let width = digit.len() / all;
            digit.range(from * width..(from + n) * width)
        };
        let low = self.digits.low.iter().map(of).collect();
        Self { mask: self.mask.cut(from, n), digits: Digits { high: of(&self.digits.high), low } }
    }
}

impl<C: Channel> Computation<C> {
    /// `n` masks of `shape`.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn power_masks(&mut self, n: usize, shape: PowerShape) -> Result<PowerMasks, SmpcError> {
        let all = (shape.dropped + shape.width + shape.cell_bits) as usize;
        let (saved, whole) = self.low_bits_saved(n, shape.ring_bits, all)?;
        let (low, width) = (shape.dropped as usize, (shape.dropped + shape.width) as usize);
        let (cell, carries) = self.cell_of(&saved, [low, width], all)?;
        let mut conversions = vec![Conversion { planes: &cell, n, bits: 64 }];
        if shape.degree > 0 {
            conversions.extend(carries.iter().map(|planes| Conversion { planes, n, bits: 64 }));
        }
        let numbers = self.to_numbers(&conversions)?;
        let plane = |at: u32| numbers[0].range(at as usize * n..(at as usize + 1) * n);
        let digits = [(0..shape.low_bits), (shape.low_bits..shape.cell_bits)].map(|of| of.map(plane).collect());
        let [low, high] = self.one_hot(digits, n)?;
        let mut powers = vec![rows(&low)];
        if shape.degree > 0 {
            let sum = |of: &Shares| of.split(&vec![n; of.len() / n.max(1)]);
            let carry = |at: usize| sum(&numbers[at]).iter().fold(Shares::zeros(n), |sum, plane| sum.plus(plane));
            let of_parts = |r: &u64| reduced(*r, shape.dropped + shape.width) >> shape.dropped;
            let parts = whole.map(|part| part.iter().map(of_parts).collect());
            // Out of the place in the cell, and into it.
            let mut within = parts.minus(&carry(1).times(1 << shape.width));
            if shape.dropped > 0 {
                within = within.plus(&carry(2));
            }
            self.extend_powers(&mut powers, &low, &within, shape.degree)?;
        }
        let mask = Mask { shares: whole, bits: shape.ring_bits };
        Ok(PowerMasks { mask, digits: Digits { high: rows(&high), low: powers } })
    }

    /// Uniform numbers of `bits` bits, and the lowest `low` bits of them as two summands.
    fn low_bits_saved(&mut self, n: usize, bits: u32, low: usize) -> Result<(CarrySave, Shares), SmpcError> {
        let step = self.begin("random numbers");
        let [own, next] = self.random(step, n)?.map(|part| part.iter().map(|r| reduced(*r, bits)).collect::<Vec<_>>());
        let words = n.div_ceil(64);
        let planes = BitShares { words, parts: [to_planes(&own, low), to_planes(&next, low)] };
        let majority = self.saved_carries("random numbers: carries saved", &planes)?;
        let carry = BitShares::stack(&[&BitShares::zeros(1, words), &majority]);
        let mask = Mask { shares: Shares::default(), bits };
        Ok((CarrySave { mask, sum: planes, carry }, Shares::new(own, next)))
    }

    /// The bits of positions `width..all`, and the carries, two planes each, out of the lowest `width` and `low` positions;
    /// of none where there are none.
    fn cell_of(
        &mut self,
        saved: &CarrySave,
        [low, width]: [usize; 2],
        all: usize,
    ) -> Result<(BitShares, Vec<BitShares>), SmpcError> {
        let carry = saved.carry.planes(0..all);
        let (propagate, top) = (saved.sum.xor(&carry), all - 1);
        let generate = self.and("masks: carries made", &saved.sum.planes(0..top), &carry.planes(0..top))?;
        let of = Carry { generate, propagate };
        let ends: Vec<usize> = [width, low].into_iter().filter(|end| *end > 0).collect();
        let runs: Vec<Positions> = ends.iter().map(|end| Positions { range: 0..*end, is_inner: false }).collect();
        let into =
            if runs.is_empty() { None } else { Some(self.carries_over("masks: carry into the cell", &of, &runs)?) };
        let Carry { generate, propagate } = of;
        let above = |of: &BitShares| of.planes(width..top);
        let run = match &into {
            Some(into) => Carry {
                generate: BitShares::stack(&[&into.generate.planes(0..1), &above(&generate)]),
                propagate: BitShares::stack(&[&into.propagate.planes(0..1), &above(&propagate)]),
            },
            None => Carry { generate: above(&generate), propagate: above(&propagate) },
        };
        let carries = self.all_carries("masks: carries", run)?;
        let from = usize::from(into.is_some());
        let cell = propagate.planes(width..all).xor(&carries.planes(from..from + all - width));
        let out = |(at, end): (usize, &usize)| {
            let generate = into
                .as_ref()
                .map_or_else(|| BitShares::zeros(1, of_words(saved)), |into| into.generate.planes(at..at + 1));
            BitShares::stack(&[&saved.carry.planes(*end..end + 1), &generate])
        };
        Ok((cell, ends.iter().enumerate().map(out).collect()))
    }

    /// v_b r'^p for p from 1 on, by products with r' of all but v_0: they add up to r'^p.
    fn extend_powers(
        &mut self,
        powers: &mut Vec<Shares>,
        low: &[Shares],
        within: &Shares,
        degree: u32,
    ) -> Result<(), SmpcError> {
        let n = within.len();
        // Place 0: the power of r' itself.
        let mut last: Vec<Shares> = low.to_vec();
        for power in 1..=degree {
            let first = if power == 1 { Vec::new() } else { vec![&last[0]] };
            let factors: Vec<&Shares> = first.into_iter().chain(&last[1..]).collect();
            let products = self.products(
                "masks: powers",
                &Shares::concat(&factors),
                &Shares::concat(&vec![within; factors.len()]),
                64,
            )?;
            let mut made = self.replicate(products)?.split(&vec![n; factors.len()]);
            if power == 1 {
                made.insert(0, within.clone());
            }
            last = made;
            let zeroth = last[1..].iter().fold(last[0].clone(), |rest, entry| rest.minus(entry));
            let all: Vec<Shares> = std::iter::once(zeroth).chain(last[1..].iter().cloned()).collect();
            powers.push(rows(&all));
        }
        Ok(())
    }

    /// One-hot vectors of two digits, `[2^bits][n]` each, from their bits, `[n]` each. A round for each doubling.
    fn one_hot(&mut self, digits: [Vec<Shares>; 2], n: usize) -> Result<[Vec<Shares>; 2], SmpcError> {
        let party = self.party();
        // entries[d][j]: whether the bits of digit d so far are j. They add up to 1, so entry 0 needs no product.
        let mut entries = [0, 1].map(|_| vec![Shares::zeros(n).plus_constant(party, 1)]);
        for at in 0..digits.iter().map(Vec::len).max().unwrap_or(0) {
            let of = |digit: usize| digits[digit].get(at).map(|bit| (bit, &entries[digit][1..]));
            let pairs: Vec<(&Shares, &Shares)> = (0..2)
                .filter_map(of)
                .flat_map(|(bit, entries)| entries.iter().map(move |entry| (entry, bit)))
                .collect();
            let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let products = if left.is_empty() {
                Shares::default()
            } else {
                let products = self.products("one-hot", &Shares::concat(&left), &Shares::concat(&right), 64)?;
                self.replicate(products)?
            };
            let mut from = 0;
            for (entries, bit) in entries.iter_mut().zip(&digits).filter_map(|(of, bits)| Some((of, bits.get(at)?))) {
                let others: Vec<Shares> =
                    (1..entries.len()).map(|at| products.range(from + (at - 1) * n..from + at * n)).collect();
                from += others.len() * n;
                let first = others.iter().fold(bit.clone(), |rest, set| rest.minus(set));
                let set: Vec<Shares> = std::iter::once(first).chain(others).collect();
                *entries = entries.iter().zip(&set).map(|(entry, set)| entry.minus(set)).collect();
                entries.extend(set);
            }
        }
        Ok(entries)
    }
}

const fn of_words(saved: &CarrySave) -> usize {
    saved.sum.words
}

/// `[columns][n]` as `[n, columns]`.
fn rows(columns: &[Shares]) -> Shares {
    let n = columns.first().map_or(0, Shares::len);
    let part = |at: usize| {
        let mut rows = vec![0; n * columns.len()];
        for (place, column) in columns.iter().enumerate() {
            let targets = rows[place..].iter_mut().step_by(columns.len());
            targets.zip(&column.parts[at]).for_each(|(row, value)| *row = *value);
        }
        rows
    };
    Shares { parts: [part(OWN), part(NEXT)] }
}
