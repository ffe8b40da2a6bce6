//! What an engine is: the face that the trunk, the workers and the conformance suite use.

use std::borrow::Cow;

use neuro_model::{HiddenActivation, TensorData};
use neuro_primitives::{ActivationFormat, Activations, Rows, TensorType};

use crate::activations::ActivationError;
use crate::blocks::{self, BlockError};

/// The arithmetic that the float engines of this crate follow. Nodes of different numbers do not share a request.
pub const FLOAT_SPEC: u32 = 1;

/// The arithmetic that the native engine follows: `docs/spec/native-engine.md`.
pub const NATIVE_SPEC: u32 = 2;

/// A matrix of weights as the checkpoint stores it, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// How its elements are stored.
    pub tensor_type: TensorType,
    /// Rows: what the layer puts out.
    pub rows: usize,
    /// Columns: what the layer takes in; a whole number of the type's blocks.
    pub columns: usize,
    /// `[rows, columns]`, row after row, in `tensor_type`.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Weight<'a> {
    /// The weight that `tensor` is.
    ///
    /// # Errors
    /// When it does not have two dimensions, no block size divides its rows, or its bytes do not fill its shape.
    pub fn new(tensor: TensorData<'a>) -> Result<Self, EngineError> {
        let &[rows, columns] = tensor.shape.as_slice() else {
            let (name, expected, got) = (tensor.name.to_owned(), vec![0, 0], tensor.shape);
            return Err(EngineError::TensorShape { name, expected, got });
        };
        let weight = Self { name: tensor.name, tensor_type: tensor.tensor_type, rows, columns, bytes: tensor.bytes };
        weight.check()?;
        Ok(weight)
    }

    /// A weight of `rows` × `columns` values of f32.
    #[must_use]
    pub fn from_f32(name: &'a str, rows: usize, columns: usize, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, tensor_type: TensorType::F32, rows, columns, bytes: Cow::Owned(bytes) }
    }

    /// Whether the matrix has a size, its rows are whole blocks, and its bytes are as many as its size asks for.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self) -> Result<(), EngineError> {
        let (rows, columns, tensor_type) = (self.rows, self.columns, self.tensor_type);
        let name = || self.name.to_owned();
        if !columns.is_multiple_of(tensor_type.block_elements()) {
            return Err(EngineError::Blocks { name: name(), columns, tensor_type });
        }
        let row_bytes = columns / tensor_type.block_elements() * tensor_type.block_bytes();
        let (expected, got) = (rows.checked_mul(row_bytes), self.bytes.len());
        if got == 0 || expected != Some(got) {
            return Err(EngineError::MatrixSize { name: name(), rows, columns, tensor_type, got });
        }
        Ok(())
    }

    /// The bytes of one row.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.columns / self.tensor_type.block_elements() * self.tensor_type.block_bytes()
    }

    /// The elements as f32, all finite. `[rows, columns]`.
    ///
    /// # Errors
    /// When an element is not finite, or the bytes are not whole blocks.
    pub fn to_f32(&self) -> Result<Vec<f32>, EngineError> {
        blocks::finite_f32(self.tensor_type, &self.bytes)
            .map_err(|source| EngineError::Elements { name: self.name.to_owned(), source })
    }
}

/// One expert's weights: `down(activation(gate(x) + b, up(x) + b)) + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertWeights<'a> {
    /// `[d_expert, d_model]`.
    pub gate: Weight<'a>,
    /// `[d_expert, d_model]`.
    pub up: Weight<'a>,
    /// `[d_model, d_expert]`.
    pub down: Weight<'a>,
    /// What the three products are added to, in models that have it.
    pub biases: Option<ExpertBiases>,
    /// How gate and up become what the down projection takes.
    pub activation: HiddenActivation,
}

/// The biases of one expert, f32.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertBiases {
    /// `[d_expert]`.
    pub gate: Vec<f32>,
    /// `[d_expert]`.
    pub up: Vec<f32>,
    /// `[d_model]`.
    pub down: Vec<f32>,
}

impl ExpertWeights<'_> {
    /// The width of what goes in and of what comes out.
    #[must_use]
    pub const fn d_model(&self) -> usize {
        self.gate.columns
    }

    /// The width between.
    #[must_use]
    pub const fn d_expert(&self) -> usize {
        self.gate.rows
    }

    /// In what form the expert takes hidden states: blocks where gate and up are quantised both, f32 otherwise.
    #[must_use]
    pub const fn input_format(&self) -> ActivationFormat {
        input_format([self.gate.tensor_type, self.up.tensor_type])
    }

    /// Whether the matrices and biases fit each other.
    ///
    /// # Errors
    /// When a matrix is empty, or a size does not follow from the gate's.
    pub fn check(&self) -> Result<(), EngineError> {
        [&self.gate, &self.up, &self.down].into_iter().try_for_each(Weight::check)?;
        let (d_expert, d_model) = (self.d_expert(), self.d_model());
        fits(self.up.name, vec![d_expert, d_model], vec![self.up.rows, self.up.columns])?;
        fits(self.down.name, vec![d_model, d_expert], vec![self.down.rows, self.down.columns])?;
        let Some(biases) = &self.biases else { return Ok(()) };
        fits("the gate's bias", vec![d_expert], vec![biases.gate.len()])?;
        fits("the up projection's bias", vec![d_expert], vec![biases.up.len()])?;
        fits("the down projection's bias", vec![d_model], vec![biases.down.len()])
    }
}

/// In what form an expert with gate and up projections of these types takes hidden states.
#[must_use]
pub const fn input_format([gate, up]: [TensorType; 2]) -> ActivationFormat {
    if gate.is_float() || up.is_float() { ActivationFormat::F32 } else { ActivationFormat::Q8 }
}

fn fits(name: &str, expected: Vec<usize>, got: Vec<usize>) -> Result<(), EngineError> {
    if got == expected { Ok(()) } else { Err(EngineError::TensorShape { name: name.to_owned(), expected, got }) }
}

/// Who computes: nodes of one class and spec agree on every bit, other pairs within a calibrated tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EngineId {
    /// The engine class, such as `burn-flex-f32`.
    pub class: &'static str,
    /// The arithmetic it follows.
    pub spec: u32,
}

/// Turns weights into layers that compute. Weights are converted once, here, and never on a call.
pub trait Engine: Send + Sync {
    /// The engine's class and the arithmetic it follows.
    fn id(&self) -> EngineId;

    /// A linear layer with `weight` (`[out, in]`) and no bias.
    ///
    /// # Errors
    /// When the weight is empty, misshapen, or holds what is not a finite number.
    fn linear(&self, weight: &Weight<'_>) -> Result<Box<dyn Linear>, EngineError>;

    /// An expert with `weights`.
    ///
    /// # Errors
    /// When the matrices do not fit each other, or one cannot be used.
    fn expert(&self, weights: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError>;

    /// Whether [`Engine::expert`] would take `weights`, at less cost where the engine can tell.
    ///
    /// # Errors
    /// Those of [`Engine::expert`].
    fn check(&self, weights: &ExpertWeights<'_>) -> Result<(), EngineError> {
        self.expert(weights).map(drop)
    }

    /// An expert that computes with `weights`, which [`Engine::check`] has passed, where they lie: at once, more slowly,
    /// with the same bits. An engine that cannot do so converts them.
    ///
    /// # Errors
    /// When the matrices do not fit each other.
    fn expert_in_place<'a>(&self, weights: &'a ExpertWeights<'_>) -> Result<Box<dyn Expert + 'a>, EngineError> {
        self.expert(weights).map(|expert| -> Box<dyn Expert + 'a> { expert })
    }
}

/// A linear layer, ready to compute.
pub trait Linear: Send + Sync {
    /// `input` (`[rows, in]`, f32) times the weight: `[rows, out]`, f32.
    ///
    /// # Errors
    /// When the rows have another width than the layer.
    fn apply(&self, input: &Rows) -> Result<Rows, EngineError>;

    /// The memory its weights take, in bytes.
    fn resident_bytes(&self) -> u64;
}

/// An expert, ready to compute. A pure function of weights and rows: the same rows give the same bits.
pub trait Expert: Send + Sync {
    /// `down(activation(gate(hidden), up(hidden)))`: `[rows, d_model]` to `[rows, d_model]`, f32, before the router's
    /// gate. Rows of f32 are brought into the expert's form first; blocks are refused by an expert that takes f32.
    ///
    /// # Errors
    /// When the rows have another width or form than the expert takes, or hold what is not a finite number.
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError>;

    /// The memory its weights take, in bytes.
    fn resident_bytes(&self) -> u64;
}

/// Weights or rows that an engine cannot use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// Rows of another width than the layer takes.
    #[error("expected rows of {expected} values, got {got}")]
    Width {
        /// Values the layer takes per row.
        expected: usize,
        /// Values a row has.
        got: usize,
    },
    /// A matrix is empty or its bytes do not fill it.
    #[error("{name}: expected {rows} × {columns} elements of {tensor_type} and at least one, got {got} bytes")]
    MatrixSize {
        /// Which weight.
        name: String,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// Its type.
        tensor_type: TensorType,
        /// The bytes it has.
        got: usize,
    },
    /// A row is no whole number of blocks.
    #[error("{name}: expected rows of a multiple of {} elements for {tensor_type}, got {columns}", .tensor_type.block_elements())]
    Blocks {
        /// Which weight.
        name: String,
        /// Elements of a row.
        columns: usize,
        /// The type whose blocks do not fit.
        tensor_type: TensorType,
    },
    /// A weight of another shape than the model's configuration or the other weights ask for.
    #[error("{name}: expected shape {expected:?}, got {got:?}")]
    TensorShape {
        /// Which weight.
        name: String,
        /// The shape it should have, rows first.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// A weight's elements cannot be used.
    #[error("{name}: {source}")]
    Elements {
        /// Which weight.
        name: String,
        /// What is wrong with them.
        source: BlockError,
    },
    /// Hidden states that cannot be brought into the layer's form.
    #[error(transparent)]
    Activations(#[from] ActivationError),
    /// Hidden states in a form that the expert does not take.
    #[error("expected hidden states as {expected:?}, got {got:?}")]
    Format {
        /// The form that the expert takes.
        expected: ActivationFormat,
        /// The form that came.
        got: ActivationFormat,
    },
    /// The tensor library returned something that this engine does not understand.
    #[error("the tensor library failed: {message}")]
    Backend {
        /// What it said.
        message: String,
    },
}

impl EngineError {
    /// Whether the same request may succeed later: never, an engine is a pure function.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// Refuses rows that are not `expected` values wide.
pub(crate) const fn check_width(got: usize, expected: usize) -> Result<(), EngineError> {
    if got == expected { Ok(()) } else { Err(EngineError::Width { expected, got }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(name: &'static str, rows: usize, columns: usize) -> Weight<'static> {
        Weight::from_f32(name, rows, columns, &vec![0.5; rows * columns])
    }

    fn weights<'a>(gate: Weight<'a>, up: Weight<'a>, down: Weight<'a>) -> ExpertWeights<'a> {
        ExpertWeights { gate, up, down, biases: None, activation: HiddenActivation::Silu }
    }

    #[test]
    fn the_matrices_of_an_expert_must_fit_each_other() {
        let gate = || matrix("gate", 3, 2);
        assert_eq!(weights(gate(), matrix("up", 3, 2), matrix("down", 2, 3)).check(), Ok(()));
        let wrong_up = weights(gate(), matrix("up", 2, 3), matrix("down", 2, 3)).check();
        let expected = EngineError::TensorShape { name: "up".into(), expected: vec![3, 2], got: vec![2, 3] };
        assert_eq!(wrong_up, Err(expected));
        let wrong_down = weights(gate(), matrix("up", 3, 2), matrix("down", 3, 2)).check();
        let expected = EngineError::TensorShape { name: "down".into(), expected: vec![2, 3], got: vec![3, 2] };
        assert_eq!(wrong_down, Err(expected));
        let biases = ExpertBiases { gate: vec![0.0; 3], up: vec![0.0; 2], down: vec![0.0; 2] };
        let biased =
            ExpertWeights { biases: Some(biases), ..weights(gate(), matrix("up", 3, 2), matrix("down", 2, 3)) };
        assert!(matches!(biased.check(), Err(EngineError::TensorShape { name, .. }) if name.starts_with("the up")));
    }

    #[test]
    fn a_weight_says_what_it_lacks() {
        let short = Weight { bytes: vec![0; 20].into(), ..matrix("router", 2, 3) };
        assert_eq!(
            short.check().map_err(|error| error.to_string()),
            Err("router: expected 2 × 3 elements of f32 and at least one, got 20 bytes".to_owned())
        );
        let blocks = Weight { tensor_type: TensorType::Q4K, ..matrix("router", 2, 3) };
        assert_eq!(
            blocks.check().map_err(|error| error.to_string()),
            Err("router: expected rows of a multiple of 256 elements for q4_k, got 3".to_owned())
        );
        let empty = Weight { rows: 0, bytes: vec![].into(), ..matrix("router", 2, 3) };
        assert!(empty.check().is_err(), "an empty matrix computes nothing");
        let overflowing = Weight { rows: usize::MAX, ..matrix("router", 2, 3) };
        assert!(overflowing.check().is_err(), "a size that overflows is refused");
    }

    #[test]
    fn blocks_travel_only_to_experts_that_are_quantised_throughout() {
        use TensorType::{F16, Q4K, Q8_0};
        assert_eq!(input_format([Q4K, Q8_0]), ActivationFormat::Q8);
        assert_eq!(input_format([Q4K, F16]), ActivationFormat::F32);
    }
}
