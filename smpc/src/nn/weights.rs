//! Weights in fixed point: public, or shared.

use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use crate::share::Shares;

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

/// A matrix `[outputs, inputs]`, times 2^[`WEIGHT_FRACTION`], that everybody knows or nobody does.
#[derive(Clone)]
pub struct Matrix {
    outputs: usize,
    inputs: usize,
    pub(super) values: Values,
}

/// The entries of a matrix.
#[derive(Clone)]
pub(super) enum Values {
    /// `[outputs, inputs]`.
    Public(Vec<i32>),
    /// `[inputs, outputs]`: as the right side of a product. Kept once for all sessions.
    Shared(Arc<Shares>),
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
        let values = Values::Public(weights.iter().enumerate().map(fixed).collect::<Result<_, _>>()?);
        Ok(Self { outputs, inputs, values })
    }

    /// A matrix of which each party holds shares: `values`: `[inputs, outputs]`, as [`Matrix::words`] gives them.
    ///
    /// # Errors
    /// Another number of values.
    pub fn shared(outputs: usize, inputs: usize, values: Shares) -> Result<Self, WeightError> {
        if values.len() != outputs * inputs || values.parts[0].len() != values.parts[1].len() {
            return Err(WeightError::Length { expected: outputs * inputs, got: values.len() });
        }
        Ok(Self { outputs, inputs, values: Values::Shared(Arc::new(values)) })
    }

    /// The entries of a public matrix as elements of the ring, `[inputs, outputs]`: what its owner shares. None where they
    /// are shared already.
    #[must_use]
    pub fn words(&self) -> Option<Vec<u64>> {
        let Values::Public(values) = &self.values else { return None };
        let (outputs, inputs) = (self.outputs, self.inputs);
        let word = |at: usize| i64::from(values[at % outputs * inputs + at / outputs]) as u64;
        Some((0..outputs * inputs).map(word).collect())
    }

    /// Public matrices one below the other: what shares its input is one product.
    #[must_use]
    pub fn stacked(matrices: &[&Self]) -> Self {
        let inputs = matrices.first().map_or(0, |first| first.inputs);
        let outputs = matrices.iter().map(|matrix| matrix.outputs).sum();
        let public = |matrix: &&Self| match &matrix.values {
            Values::Public(values) => values.clone(),
            Values::Shared(_) => unreachable!("experts are stacked before they are shared"),
        };
        Self { outputs, inputs, values: Values::Public(matrices.iter().flat_map(public).collect()) }
    }

    /// Rows of the matrix.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Some rows of a public matrix.
    pub(super) fn rows(&self, outputs: Range<usize>) -> Self {
        let values = match &self.values {
            Values::Public(values) => values[outputs.start * self.inputs..outputs.end * self.inputs].to_vec(),
            Values::Shared(_) => unreachable!("routes are revealed of public models alone"),
        };
        Self { outputs: outputs.len(), inputs: self.inputs, values: Values::Public(values) }
    }

    /// Some rows of a public matrix, `[inputs]` each, times 2^[`WEIGHT_FRACTION`].
    pub(super) fn public_rows(&self, outputs: Range<usize>) -> impl Iterator<Item = &[i32]> {
        let values = match &self.values {
            Values::Public(values) => &values[outputs.start * self.inputs..outputs.end * self.inputs],
            Values::Shared(_) => unreachable!("public models alone run in the open"),
        };
        values.chunks_exact(self.inputs)
    }

    /// Columns of the matrix.
    #[must_use]
    pub const fn inputs(&self) -> usize {
        self.inputs
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
#[derive(Clone)]
pub struct ExpertWeights {
    /// `[d_expert, d_model]`, with the norm's weights.
    pub gate: Matrix,
    /// `[d_expert, d_model]`, with the norm's weights.
    pub up: Matrix,
    /// `[d_model, d_expert]`.
    pub down: Matrix,
}

/// One layer.
#[derive(Clone)]
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

    /// All matrices, in the order of the fields.
    #[must_use]
    pub const fn matrices(&self) -> [&Matrix; 7] {
        [&self.query, &self.key, &self.value, &self.output, &self.router, &self.gate_and_up, &self.down]
    }

    /// The layer of these matrices, in the order of the fields.
    #[must_use]
    pub fn of_matrices([query, key, value, output, router, gate_and_up, down]: [Matrix; 7]) -> Self {
        Self { query, key, value, output, router, gate_and_up, down }
    }
}

/// A model's weights.
#[derive(Clone)]
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

impl ModelWeights {
    /// All matrices: those of each layer in turn, then the output's.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        self.layers.iter().flat_map(LayerWeights::matrices).chain([&self.output])
    }
}
