//! Public weights in fixed point.

use std::ops::Range;

use thiserror::Error;

use crate::channel::Channel;
use crate::computation::Computation;
use crate::ring::replicated::public_product;
use crate::ring::{PublicWeights, Shape};
use crate::share::{NEXT, OWN, Shares};

/// Fraction bits of weights: those of the bf16 weights of today's models lie between 2^-20 and 2^4, and what is below
/// 2^-17 is lost in activations of 16 bits anyway.
pub const WEIGHT_FRACTION: u32 = 16;

/// Fraction bits of cosines and sines: with those of weights and activations 46 bits, which leaves 16 for the value.
pub const TURN_FRACTION: u32 = 14;

/// Weights that have no place in fixed point.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum WeightError {
    /// A matrix of another size.
    #[error("expected {expected} weights, got {got}")]
    Length {
        /// outputs · inputs.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// A weight that is no number, or is beyond ± 2^15.
    #[error("weight {index} is {value}; expected a number between -32768 and 32768")]
    Range {
        /// Which.
        index: usize,
        /// What it is.
        value: f32,
    },
}

/// A public matrix `[outputs, inputs]`, times 2^[`WEIGHT_FRACTION`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    outputs: usize,
    inputs: usize,
    values: Vec<i32>,
}

impl Matrix {
    /// `weights: [outputs, inputs]`, each column times `scale: [inputs]`: a norm's weights go into the matrix behind it.
    ///
    /// # Errors
    /// Another number of weights; a weight that is out of range.
    pub fn new(outputs: usize, inputs: usize, weights: &[f32], scale: &[f32]) -> Result<Self, WeightError> {
        if weights.len() != outputs * inputs {
            return Err(WeightError::Length { expected: outputs * inputs, got: weights.len() });
        }
        let fixed = |(index, weight): (usize, &f32)| {
            let value = weight * scale.get(index % inputs).copied().unwrap_or(1.0);
            let range = WeightError::Range { index, value };
            // Below 2^31 by the check, so the conversion keeps every bit.
            if value.abs() < 32768.0 {
                Ok((f64::from(value) * f64::from(1 << WEIGHT_FRACTION)).round() as i32)
            } else {
                Err(range)
            }
        };
        let values = weights.iter().enumerate().map(fixed).collect::<Result<_, _>>()?;
        Ok(Self { outputs, inputs, values })
    }

    /// Matrices one below the other: what shares its input is one product.
    #[must_use]
    pub fn stacked(matrices: &[&Self]) -> Self {
        let inputs = matrices.first().map_or(0, |first| first.inputs);
        let outputs = matrices.iter().map(|matrix| matrix.outputs).sum();
        Self { outputs, inputs, values: matrices.iter().flat_map(|matrix| &matrix.values).copied().collect() }
    }

    /// Rows of the matrix.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// x Wᵀ: `[rows, inputs]` to `[rows, outputs]`, with 2^[`WEIGHT_FRACTION`] times the scale of x.
    pub(crate) fn apply(&self, x: &Shares) -> Shares {
        self.apply_rows(0..self.outputs, x)
    }

    /// As [`Self::apply`], of some of the matrix's rows.
    pub(crate) fn apply_rows(&self, outputs: Range<usize>, x: &Shares) -> Shares {
        let shape = Shape { rows: x.len() / self.inputs, inner: self.inputs, columns: outputs.len() };
        let values = &self.values[outputs.start * self.inputs..outputs.end * self.inputs];
        let sides = [&x.parts[OWN][..], &x.parts[NEXT][..]];
        Shares { parts: public_product(shape, sides, PublicWeights::I32(values)) }
    }
}

impl<C: Channel> Computation<C> {
    /// x Wᵀ: `[rows, inputs]` to `[rows, outputs]`, with 2^[`WEIGHT_FRACTION`] times the scale of x. No message; nothing is
    /// computed in a rehearsal.
    pub fn linear(&mut self, matrix: &Matrix, x: &Shares) -> Shares {
        if self.rehearsal().is_some() {
            return Shares::zeros(x.len() / matrix.inputs * matrix.outputs);
        }
        matrix.apply(x)
    }
}

/// Widths and counts of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelShape {
    /// Width of the hidden state.
    pub d_model: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Width of an expert.
    pub d_expert: usize,
    /// Experts a row meets.
    pub top_k: usize,
    /// Gates are a softmax over the chosen experts, not over all.
    pub normalised: bool,
}

/// Rotary position embedding: element pairs are turned by position · frequency.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotation {
    /// `[head_dim / 2]`, radians a position.
    pub frequencies: Vec<f32>,
    /// Element i is paired with i + head_dim / 2; otherwise 2i with 2i + 1.
    pub halves: bool,
    /// What turned vectors are multiplied by.
    pub amplitude: f32,
}

impl Rotation {
    /// cos and sin of pair `pair` at `position`, times 2^[`TURN_FRACTION`].
    pub(crate) fn turn(&self, position: usize, pair: usize) -> [u64; 2] {
        // As in plaintext: the angle is rounded to f32 before the functions are taken.
        let angle = f64::from(position as f32 * self.frequencies[pair]);
        let fixed =
            |value: f64| (value * f64::from(self.amplitude) * f64::from(1 << TURN_FRACTION)).round() as i64 as u64;
        [fixed(angle.cos()), fixed(angle.sin())]
    }

    /// The two elements of pair `pair` in a vector of `width`.
    pub(crate) const fn places(&self, pair: usize, width: usize) -> [usize; 2] {
        if self.halves { [pair, pair + width / 2] } else { [2 * pair, 2 * pair + 1] }
    }
}

/// One expert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpertWeights {
    /// `[d_expert, d_model]`, with the norm's weights.
    pub gate: Matrix,
    /// `[d_expert, d_model]`, with the norm's weights.
    pub up: Matrix,
    /// `[d_model, d_expert]`.
    pub down: Matrix,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerWeights {
    /// `[heads · head_dim, d_model]`, with the norm's weights and 1/√head_dim.
    pub query: Matrix,
    /// `[kv_heads · head_dim, d_model]`, with the norm's weights.
    pub key: Matrix,
    /// `[kv_heads · head_dim, d_model]`, with the norm's weights.
    pub value: Matrix,
    /// `[d_model, heads · head_dim]`.
    pub output: Matrix,
    /// `[experts, d_model]`, with the norm's weights.
    pub router: Matrix,
    /// `[experts · 2 · d_expert, d_model]`: gate and up of every expert in turn.
    pub gate_and_up: Matrix,
    /// `[experts · d_model, d_expert]`.
    pub down: Matrix,
}

impl LayerWeights {
    /// The experts' matrices as the block computes them: all at once.
    #[must_use]
    pub fn experts(experts: &[ExpertWeights]) -> (Matrix, Matrix) {
        let gate_and_up: Vec<&Matrix> = experts.iter().flat_map(|expert| [&expert.gate, &expert.up]).collect();
        let down: Vec<&Matrix> = experts.iter().map(|expert| &expert.down).collect();
        (Matrix::stacked(&gate_and_up), Matrix::stacked(&down))
    }
}

/// A model whose weights everybody knows.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelWeights {
    /// Widths and counts.
    pub shape: ModelShape,
    /// Added to the mean square in norms.
    pub rms_eps: f64,
    /// Positions.
    pub rotation: Rotation,
    /// `[layers]`.
    pub layers: Vec<LayerWeights>,
    /// `[vocabulary, d_model]`, with the last norm's weights.
    pub output: Matrix,
}
