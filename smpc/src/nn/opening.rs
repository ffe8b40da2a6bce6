//! What is opened of logits where weights are secret, and what may be put in.
//!
//! Logits of chosen inputs tell a model's output matrix, up to a change of basis (Carlini et al. 2024); so of a private
//! model only which few are the largest is told. They are found by a tournament of groups, in each of which all pairs are
//! compared: with a candidate's value goes its index, public at first and a sum of products with a one-hot vector after.

use std::sync::Arc;

use super::decoder::rehearse;
use super::{Decoder, ModelWeights};
use crate::channel::Channel;
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::rehearsal::Forecast;
use crate::share::Shares;

/// Logits of 32 fraction bits lie below 2^(this - 2) in amount: 2^22 as numbers. What stands in an empty place of a group
/// is the lowest number of that size.
pub const LOGIT_BITS: u32 = 56;

/// Candidates that are compared all with all, if no more than a quarter of them go on.
const TOGETHER: usize = 32;

/// Bits that hold how many inputs are out of range, with a sign.
const COUNT_BITS: u32 = 32;

/// Fraction bits of logits, and of the indices that stand beside them.
const LOGIT_FRACTION: u32 = 32;

/// What a private model's owner lets out and in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest amount of an input, with 16 fraction bits.
    pub input_bound: u64,
    /// How many of the largest logits are told; the index alone where it is one.
    pub largest: usize,
}

/// A decoder that tells no logits but the largest, and whether its inputs are in range.
#[derive(Clone)]
pub struct LimitedDecoder {
    decoder: Decoder,
    d_model: usize,
    vocabulary: usize,
    prompts: usize,
    limits: Limits,
    /// Marks of padding that nobody has checked yet.
    marks: Option<Shares>,
}

/// What a pass gives.
pub struct Limited {
    /// `[prompts, largest]` indices, where it is more than one followed by as many logits: `[prompts, 2 · largest]`; all
    /// with 32 fraction bits.
    pub opened: Shares,
    /// 1 if an input is out of range, else 0; in a first pass with padding the same of its marks, too: to be opened before
    /// anything is released.
    pub beyond: Shares,
}

impl LimitedDecoder {
    /// Before the first token of `prompts` prompts.
    #[must_use]
    pub fn new(weights: Arc<ModelWeights>, prompts: usize, limits: Limits) -> Self {
        let (d_model, vocabulary) = (weights.shape.d_model, weights.output.outputs());
        Self { decoder: Decoder::new(weights, prompts), d_model, vocabulary, prompts, limits, marks: None }
    }

    /// See [`Decoder::pad`]. Marks are inputs: they are checked to be at most one.
    pub fn pad(&mut self, padding: Shares) {
        self.marks = Some(padding.clone());
        self.decoder.pad(padding);
    }

    /// See [`Decoder::rehearse`].
    ///
    /// # Errors
    /// None for a decoder that can advance.
    pub fn rehearse(&self, security: Security, passes: &[usize]) -> Result<Forecast, SmpcError> {
        rehearse(self, (security, self.prompts * self.d_model), passes, |decoder, computation, rows| {
            decoder.advance(computation, rows).map(drop)
        })
    }

    /// As [`Decoder::advance`], for what may be told of the logits.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn advance<C: Channel>(
        &mut self,
        computation: &mut Computation<C>,
        embeddings: &Shares,
    ) -> Result<Limited, SmpcError> {
        let mut beyond = computation.any_beyond(embeddings, self.limits.input_bound)?;
        if let Some(marks) = self.marks.take() {
            beyond = Shares::concat(&[&beyond, &computation.any_beyond(&marks, 1)?]);
        }
        let logits = self.decoder.advance(computation, embeddings)?;
        let k = self.limits.largest.min(self.vocabulary);
        let (indices, values) = computation.largest_with_indices(&logits, self.vocabulary, k)?;
        let indices = indices.times(1 << LOGIT_FRACTION);
        let opened = if k == 1 { indices } else { side_by_side(&indices, &values, k) };
        Ok(Limited { opened, beyond })
    }
}

/// `[rows, k]` and `[rows, k]` as `[rows, 2k]`.
fn side_by_side(left: &Shares, right: &Shares, k: usize) -> Shares {
    let rows = left.len() / k;
    let places =
        (0..rows).flat_map(|row| (0..2).flat_map(move |side| (0..k).map(move |at| (side * rows + row) * k + at)));
    Shares::concat(&[left, right]).gather(&places.collect::<Vec<_>>())
}

impl<C: Channel> Computation<C> {
    /// Indices and values of the k largest of each row, the largest first, the first of equals first: `[rows, n]` to
    /// `[rows, k]` and `[rows, k]`; k at most n.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn largest_with_indices(&mut self, x: &Shares, n: usize, k: usize) -> Result<(Shares, Shares), SmpcError> {
        let rows = x.len() / n;
        let indices: Vec<u64> = (0..rows * n).map(|at| (at % n) as u64).collect();
        let (mut values, mut indices, mut n) = (x.clone(), Shares::public(self.party(), &indices), n);
        loop {
            let size = n.min(TOGETHER.max(4 * k));
            let groups = n.div_ceil(size);
            let lowest = (1_u64 << (LOGIT_BITS - 2)).wrapping_neg();
            values = self.filled(&values, (rows, n, groups * size), lowest);
            indices = self.filled(&indices, (rows, n, groups * size), 0);
            (values, indices) = self.best_of_groups(&values, &indices, size, k)?;
            n = groups * k;
            if groups == 1 {
                return Ok((indices, values));
            }
        }
    }

    /// Values and indices of the k largest of each group: `[groups, size]` each to `[groups, k]` each.
    fn best_of_groups(
        &mut self,
        values: &Shares,
        indices: &Shares,
        size: usize,
        k: usize,
    ) -> Result<(Shares, Shares), SmpcError> {
        let groups = values.len() / size;
        let places = (0..groups).flat_map(|group| (0..k).map(move |rank| (rank * groups + group) * size));
        let chosen = self.largest(values, size, k, LOGIT_BITS)?;
        let chosen = chosen.gather(&places.flat_map(|from| from..from + size).collect::<Vec<_>>());
        let again = (0..groups * k).flat_map(|at| at / k * size..(at / k + 1) * size).collect::<Vec<_>>();
        let values = self.inner_products("largest: values", &values.gather(&again), &chosen, size, 64)?;
        let indices = self.inner_products("largest: indices", &indices.gather(&again), &chosen, size, 64)?;
        let both = <[Shares; 2]>::try_from(self.replicate_all(vec![values, indices])?);
        let [values, indices] = both.unwrap_or_default();
        Ok((values, indices))
    }

    /// `[rows, n]` as `[rows, width]`, filled up with `filling`.
    fn filled(&self, x: &Shares, (rows, n, width): (usize, usize, usize), filling: u64) -> Shares {
        if n == width {
            return x.clone();
        }
        let more = Shares::public(self.party(), &[filling]);
        let place = |at: usize| if at % width < n { at / width * n + at % width } else { rows * n };
        Shares::concat(&[x, &more]).gather(&(0..rows * width).map(place).collect::<Vec<_>>())
    }

    /// One number: 1 if any x lies beyond ± `bound`, else 0. It holds for any x of the ring; `bound` below 2^62.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn any_beyond(&mut self, x: &Shares, bound: u64) -> Result<Shares, SmpcError> {
        let party = self.party();
        let above_lowest = x.clone().plus_constant(party, bound);
        let below_highest = x.times(u64::MAX).plus_constant(party, bound);
        let both = Shares::concat(&[&above_lowest, &below_highest]);
        let outside = self.is_negative(&both, 64)?;
        let outside = self.plane_to_numbers(&outside, both.len())?;
        let count = outside.map(|part| vec![part.iter().fold(0, |sum: u64, bit| sum.wrapping_add(*bit))]);
        let any = self.is_negative(&count.times(u64::MAX), COUNT_BITS)?;
        self.plane_to_numbers(&any, 1)
    }
}
