//! What an engine is: the face that the trunk, the workers and the conformance suite use.

use neuro_model::HiddenActivation;
use neuro_primitives::Rows;

/// The arithmetic that the float engines of this crate follow. Nodes of different numbers do not share a request.
pub const FLOAT_SPEC: u32 = 1;

/// A row-major matrix, f32: a weight as the checkpoint has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Rows: what the layer puts out.
    pub rows: usize,
    /// Columns: what the layer takes in.
    pub columns: usize,
    /// `[rows, columns]`, row after row.
    pub values: Vec<f32>,
}

impl Matrix {
    /// A matrix of `rows` × `columns`; `name` goes into the error.
    ///
    /// # Errors
    /// When it is empty or `values` has another number of values.
    pub fn new(name: &str, rows: usize, columns: usize, values: Vec<f32>) -> Result<Self, EngineError> {
        let matrix = Self { rows, columns, values };
        matrix.check(name)?;
        Ok(matrix)
    }

    /// Whether the matrix has a size and as many values as its size says.
    ///
    /// # Errors
    /// When it does not; `name` goes into the error.
    pub fn check(&self, name: &str) -> Result<(), EngineError> {
        let (rows, columns, got) = (self.rows, self.columns, self.values.len());
        if got == 0 || rows.checked_mul(columns) != Some(got) {
            return Err(EngineError::MatrixSize { name: name.to_owned(), rows, columns, got });
        }
        Ok(())
    }
}

/// One expert's weights: `down(activation(gate(x)) · up(x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertWeights {
    /// `[d_expert, d_model]`.
    pub gate: Matrix,
    /// `[d_expert, d_model]`.
    pub up: Matrix,
    /// `[d_model, d_expert]`.
    pub down: Matrix,
    /// What the gate's values go through.
    pub activation: HiddenActivation,
}

impl ExpertWeights {
    /// The width of what goes in and of what comes out.
    #[must_use]
    pub fn d_model(&self) -> usize {
        self.gate.columns
    }

    /// Whether the three matrices fit each other.
    ///
    /// # Errors
    /// When a matrix is empty, or its size does not follow from the gate's.
    pub fn check(&self) -> Result<(), EngineError> {
        self.gate.check("gate")?;
        self.up.check("up")?;
        self.down.check("down")?;
        let (d_expert, d_model) = (self.gate.rows, self.gate.columns);
        fits("up", [d_expert, d_model], &self.up)?;
        fits("down", [d_model, d_expert], &self.down)
    }
}

fn fits(name: &str, expected: [usize; 2], matrix: &Matrix) -> Result<(), EngineError> {
    let got = vec![matrix.rows, matrix.columns];
    if got == expected {
        return Ok(());
    }
    Err(EngineError::TensorShape { name: name.to_owned(), expected: expected.to_vec(), got })
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
    /// When the matrix is empty or its values do not fill it.
    fn linear(&self, weight: Matrix) -> Result<Box<dyn Linear>, EngineError>;

    /// An expert with `weights`.
    ///
    /// # Errors
    /// When the matrices do not fit each other.
    fn expert(&self, weights: ExpertWeights) -> Result<Box<dyn Expert>, EngineError>;
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
    /// `down(activation(gate(hidden)) · up(hidden))`: `[rows, d_model]` to `[rows, d_model]`, f32, before the router's
    /// gate.
    ///
    /// # Errors
    /// When the rows have another width than the expert.
    fn forward(&self, hidden: &Rows) -> Result<Rows, EngineError>;

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
    /// A matrix is empty or its values do not fill it.
    #[error("{name}: expected {rows} × {columns} values and at least one, got {got}")]
    MatrixSize {
        /// Which weight.
        name: String,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// The values it has.
        got: usize,
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
    /// A weight holds NaN or an infinity.
    #[error("{name}: the value at index {index} is {value}, expected a finite number")]
    NotFinite {
        /// Which weight.
        name: String,
        /// The value's place, counted through the rows.
        index: usize,
        /// The value.
        value: f32,
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
pub(crate) fn check_width(rows: &Rows, expected: usize) -> Result<(), EngineError> {
    let got = rows.width();
    if got == expected { Ok(()) } else { Err(EngineError::Width { expected, got }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize) -> Matrix {
        Matrix { rows, columns, values: vec![0.5; rows * columns] }
    }

    fn weights(gate: Matrix, up: Matrix, down: Matrix) -> ExpertWeights {
        ExpertWeights { gate, up, down, activation: HiddenActivation::Silu }
    }

    #[test]
    fn the_matrices_of_an_expert_must_fit_each_other() {
        assert_eq!(weights(matrix(3, 2), matrix(3, 2), matrix(2, 3)).check(), Ok(()));
        let wrong_up = weights(matrix(3, 2), matrix(2, 3), matrix(2, 3)).check();
        let expected = EngineError::TensorShape { name: "up".into(), expected: vec![3, 2], got: vec![2, 3] };
        assert_eq!(wrong_up, Err(expected));
        let wrong_down = weights(matrix(3, 2), matrix(3, 2), matrix(3, 2)).check();
        let expected = EngineError::TensorShape { name: "down".into(), expected: vec![2, 3], got: vec![3, 2] };
        assert_eq!(wrong_down, Err(expected));
    }

    #[test]
    fn a_matrix_says_how_many_values_it_lacks() {
        let short = Matrix::new("router", 2, 3, vec![0.0; 5]);
        assert_eq!(
            short.map_err(|error| error.to_string()),
            Err("router: expected 2 × 3 values and at least one, got 5".to_owned())
        );
        assert!(Matrix::new("router", 0, 3, vec![]).is_err(), "an empty matrix computes nothing");
        assert!(Matrix::new("router", usize::MAX, 2, vec![0.0; 2]).is_err(), "a size that overflows is refused");
    }
}
