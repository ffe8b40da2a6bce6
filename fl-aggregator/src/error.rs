//! What can be wrong with a layout, an update, a sum or a strategy: what was expected, and what came.

use neuro_model::tensor_file::HeaderError;
use neuro_primitives::Hash;
use neuro_primitives::codec::CodecError;
use std::ops::Range;

/// Tensors that are not the ones that a task trains.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LayoutError {
    /// A pattern of tensor names that is none.
    #[error("expected a name, name[row] or name[from..to], got {got:?}")]
    Pattern {
        /// The text.
        got: String,
    },
    /// A pattern that no tensor's name fits.
    #[error("expected a tensor called {pattern}, got none in the model")]
    FindsNothing {
        /// The pattern.
        pattern: String,
    },
    /// Rows that the tensor does not have.
    #[error("expected rows among the {expected} of tensor {tensor}, got {got:?}")]
    Rows {
        /// The tensor.
        tensor: String,
        /// How many it has.
        expected: usize,
        /// The rows asked for.
        got: Range<usize>,
    },
    /// A tensor whose elements are not of a type that is trained.
    #[error("expected floats (f32 in an update) in tensor {tensor}, got {got}")]
    Type {
        /// The tensor.
        tensor: String,
        /// The type that the file names.
        got: String,
    },
    /// A tensor listed twice.
    #[error("expected tensor {tensor} once, got it twice")]
    Twice {
        /// The tensor.
        tensor: String,
    },
    /// More elements than a vector may have.
    #[error("expected at most {limit} entries, got more with tensor {tensor}")]
    TooLarge {
        /// The bound.
        limit: usize,
        /// The tensor that passes it.
        tensor: String,
    },
    /// Nothing is trained.
    #[error("expected at least one entry to train, got none")]
    Nothing,
    /// A tensor that is not in the file.
    #[error("expected tensor {tensor}, got none of this name")]
    Missing {
        /// The tensor.
        tensor: String,
    },
    /// A tensor that nobody asked for.
    #[error("expected the layout's tensors alone, got {tensor} as well")]
    Extra {
        /// The tensor.
        tensor: String,
    },
    /// Another shape.
    #[error("expected tensor {tensor} of shape {expected:?}, got {got:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The layout's shape.
        expected: Vec<usize>,
        /// The file's.
        got: Vec<usize>,
    },
    /// NaN or infinity.
    #[error("expected finite numbers in tensor {tensor}, got {got} at element {index}")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// The first such element.
        index: usize,
        /// Its value.
        got: f32,
    },
    /// A vector of another length.
    #[error("expected a vector of {expected} entries, got {got}")]
    Length {
        /// The layout's.
        expected: usize,
        /// The vector's.
        got: usize,
    },
    /// The file is not safetensors.
    #[error("expected a safetensors file: {why}")]
    Header {
        /// What the reader says.
        why: String,
    },
    /// The file cannot be written.
    #[error("the tensors cannot be written: {why}")]
    Write {
        /// What the writer says.
        why: String,
    },
}

impl From<HeaderError> for LayoutError {
    fn from(error: HeaderError) -> Self {
        Self::Header { why: error.to_string() }
    }
}

/// A step that a strategy does not take. The model is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StrategyError {
    /// A sum or a state for a model of another size.
    #[error("expected {expected} entries of {what}, got {got}")]
    Length {
        /// Of what.
        what: &'static str,
        /// What the model needs.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// A sum of nothing.
    #[error("expected a sum with a weight above 0, got {got}")]
    Weight {
        /// The weight.
        got: f64,
    },
    /// NaN or infinity in the sum, or in the model after the step.
    #[error("expected finite numbers in {what}, got {got} at entry {entry}")]
    NotFinite {
        /// In what.
        what: &'static str,
        /// The first such entry.
        entry: usize,
        /// Its value.
        got: f64,
    },
    /// More took part than there are.
    #[error("expected at most {expected} participants, got {got}")]
    Population {
        /// How many the roster lists.
        expected: u32,
        /// How many survived.
        got: u32,
    },
    /// A setting out of its range.
    #[error("expected {field} {expected}, got {got}")]
    Setting {
        /// Which one.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: f64,
    },
    /// A kept state of another strategy.
    #[error("expected the state of strategy {expected}, got that of number {got}")]
    Kind {
        /// The number of the strategy that is restored.
        expected: u8,
        /// The number in the state.
        got: u8,
    },
    /// A kept state that is torn.
    #[error("expected the state of a strategy: {0}")]
    State(#[from] CodecError),
}

/// An update that is not sent. The participant drops out with this reason before it masks anything.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// A vector of another length.
    #[error("expected {expected} entries of {what}, got {got}")]
    Length {
        /// Of what: the update or the control variate.
        what: &'static str,
        /// The plan's.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// A control variate where none belongs, or none where one does.
    #[error("expected {} control variate, got {}", if *expected { "a" } else { "no" }, if *expected { "none" } else { "one" })]
    Control {
        /// Whether the strategy has one.
        expected: bool,
    },
    /// NaN or infinity.
    #[error("expected finite numbers, got {got} at entry {entry} of {what}")]
    NotFinite {
        /// Of what: the update or the control variate.
        what: &'static str,
        /// The first such entry.
        entry: usize,
        /// Its value.
        got: f32,
    },
    /// Numbers of training that has diverged.
    #[error("expected numbers of at most {limit} in size, got {got} at entry {entry} of {what}")]
    Huge {
        /// Of what: the update or the control variate.
        what: &'static str,
        /// The first such entry.
        entry: usize,
        /// Its value.
        got: f32,
        /// The greatest that is taken.
        limit: f64,
    },
    /// A weight out of its range.
    #[error("expected a weight from 1 to {limit}, got {got}")]
    Weight {
        /// The cap of the signed configuration; 1 in private mode.
        limit: u32,
        /// The trainer's.
        got: u32,
    },
    /// An update of another model than the one that the round is about.
    #[error("expected an update of model {expected}, got one of {got}")]
    Model {
        /// The base of the configuration.
        expected: Hash,
        /// What the update was made from.
        got: Hash,
    },
    /// A modulus that has no room for the sum.
    #[error("expected a modulus of at least {expected} bits, got {got}")]
    Modulus {
        /// The least.
        expected: u8,
        /// The cohort's.
        got: u8,
    },
    /// Settings that no plan has.
    #[error("expected {field} {expected}, got {got}")]
    Setting {
        /// Which one.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: f64,
    },
    /// The vector could not be clipped, rounded or noised.
    #[error("the update cannot be made private: {why}")]
    Private {
        /// What the step says.
        why: String,
    },
}

/// A sum that is not one of this plan's updates.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// A sum of another length.
    #[error("expected a sum of {expected} entries, got {got}")]
    Length {
        /// The plan's.
        expected: usize,
        /// The sum's.
        got: usize,
    },
    /// The masked sum of weights contradicts who took part.
    #[error("expected a weight from {least} to {most} of {survivors} survivors, got {got}")]
    Weight {
        /// The least that the survivors can have.
        least: i64,
        /// The most.
        most: i64,
        /// How many survived.
        survivors: u32,
        /// The entry of the sum.
        got: i64,
    },
    /// An entry beyond what the survivors' updates can add up to.
    #[error("expected entries of at most {limit} in size, got {got} at entry {entry}")]
    OutOfRange {
        /// The first such entry.
        entry: usize,
        /// Its value.
        got: i64,
        /// The greatest sum.
        limit: i64,
    },
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] EncodeError),
}
