//! Whether a model keeps to the ranges that functions on shares hold in.
//!
//! A calibration runs the model in the open over some texts and notes, for every operation of every layer, the largest
//! value of each row ([`calibration`]). A tail is fitted to these ([`tail`]), and says how often a value of a session
//! will lie beyond its bound. A profile whose sum over all operations exceeds [`MOST_FAILURES`] in the longest session
//! that it admits is refused.

pub mod calibration;
mod file;
mod tail;

use neuro_model::ModelConfig;
use neuro_primitives::Hash;
use neuro_primitives::codec::Writer;
use neuro_smpc::nn::{ModelShape, Noted, Operation};

pub use file::RangeFileError;
pub use tail::Tail;

use super::agreement::Profile;

/// Values beyond their bounds that may be expected of the longest session.
pub const MOST_FAILURES: f64 = 1e-3;

/// The version of profiles: of their form, and of how the texts that come with the program are calibrated.
pub const RANGES_VERSION: u16 = 1;

/// Names the range profile of a program that needs none.
pub const NO_RANGES: Hash = Hash([0; 32]);

/// What a model's values are like, and how long a session may be for that.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeProfile {
    /// The weights.
    pub model: Hash,
    /// The program.
    pub program: Hash,
    /// How numbers are integers.
    pub fixed_point: Profile,
    /// The longest session: rows of all prompts, padding included, and tokens.
    pub longest_rows: u64,
    /// Every operation of every layer.
    pub operations: Vec<OperationRange>,
}

/// One operation of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperationRange {
    /// Which.
    pub operation: Operation,
    /// From 0; what follows the last block has the number of layers.
    pub layer: usize,
    /// Values must be smaller.
    pub bound: f64,
    /// The largest value of each row.
    pub tail: Tail,
}

/// A profile that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RangeError {
    /// Of other weights, another program or another fixed point.
    #[error("the range profile is of another {what}: expected {expected}, got {got}")]
    OfAnother {
        /// What differs.
        what: &'static str,
        /// What the session has.
        expected: String,
        /// What the profile says.
        got: String,
    },
    /// An operation that it does not tell, or with a bound that is not the program's.
    #[error("the range profile does not tell {operation} of layer {layer} below {bound}")]
    Incomplete {
        /// Which operation.
        operation: &'static str,
        /// Of which layer.
        layer: usize,
        /// What its values must be smaller than.
        bound: f64,
    },
    /// Too many values lie beyond their bounds.
    #[error(
        "a session of {rows} rows is expected to have {all:.2e} values beyond their bounds, more than {MOST_FAILURES}; most of \
         {operation} in layer {layer}: {expected:.2e} values of {bound} or more, {largest} was the largest in calibration"
    )]
    Refused {
        /// The longest session.
        rows: u64,
        /// Expected of all operations.
        all: f64,
        /// The worst of them.
        operation: &'static str,
        /// Its layer.
        layer: usize,
        /// What its values must be smaller than.
        bound: f64,
        /// Expected of it alone.
        expected: f64,
        /// The largest value that was seen.
        largest: f64,
    },
}

/// Operations of which every value that can be is known, with all these values.
pub type Known = Vec<(Operation, Vec<f64>)>;

/// What a session has, which a profile must be of.
#[derive(Debug, Clone, Copy)]
pub struct ProfileOf {
    /// The weights.
    pub model: Hash,
    /// The program.
    pub program: Hash,
}

impl RangeProfile {
    /// What `noted` says of a model.
    #[must_use]
    pub fn of(whose: ProfileOf, shape: &ModelShape, longest_rows: u64, (noted, all): (&Noted, &Known)) -> Self {
        let known = |(operation, values): &(Operation, Vec<f64>)| {
            let bound = operation.bound(shape);
            OperationRange { operation: *operation, layer: 0, bound, tail: Tail::of_all(values, bound) }
        };
        let range = |(operation, layer, values): (Operation, usize, &[f64])| OperationRange {
            operation,
            layer,
            bound: operation.bound(shape),
            tail: Tail::of(values, operation.bound(shape)),
        };
        Self {
            model: whose.model,
            program: whose.program,
            fixed_point: Profile::DEFAULT,
            longest_rows,
            operations: all.iter().map(known).chain(noted.values().map(range)).collect(),
        }
    }

    /// The canonical hash, which a session's agreement has.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut writer = Writer::new();
        writer.raw(b"neuro smpc ranges");
        writer.u16(RANGES_VERSION);
        writer.raw(&self.model.0);
        writer.raw(&self.program.0);
        let Profile { ring_bits, fraction_bits, logit_fraction_bits } = self.fixed_point;
        [ring_bits, fraction_bits, logit_fraction_bits].into_iter().for_each(|bits| writer.u8(bits));
        writer.u64(self.longest_rows);
        writer.count(self.operations.len());
        for range in &self.operations {
            writer.text(range.operation.name());
            writer.u32(u32::try_from(range.layer).unwrap_or(u32::MAX));
            let Tail { rows, largest, threshold, beyond, excess, outside } = range.tail;
            [rows, beyond, outside].into_iter().for_each(|count| writer.u64(count));
            [range.bound, largest, threshold, excess].into_iter().for_each(|value| writer.u64(value.to_bits()));
        }
        Hash::of(&writer.finish())
    }

    /// Rows of the calibration.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.operations.last().map_or(0, |range| range.tail.rows)
    }

    /// Values beyond their bounds that a session of `rows` rows is expected to have, of one operation.
    fn expected_of(range: &OperationRange, rows: u64) -> f64 {
        rows as f64 * range.tail.chance(range.bound)
    }

    /// Values beyond their bounds that a session of `rows` rows is expected to have: the sum over all operations, which
    /// bounds the chance that there is one.
    #[must_use]
    pub fn expected_failures(&self, rows: u64) -> f64 {
        self.operations.iter().map(|range| Self::expected_of(range, rows)).sum()
    }

    /// Operations, those with the most expected failures first, with how many these are in the longest session.
    #[must_use]
    pub fn worst(&self) -> Vec<(&OperationRange, f64)> {
        let mut all: Vec<_> =
            self.operations.iter().map(|range| (range, Self::expected_of(range, self.longest_rows))).collect();
        let room = |range: &OperationRange| range.tail.largest / range.bound;
        all.sort_by(|(one, few), (other, more)| more.total_cmp(few).then(room(other).total_cmp(&room(one))));
        all
    }

    /// Checks that this is a profile of `whose` model with `layers` layers, and that few failures are expected.
    ///
    /// # Errors
    /// See [`RangeError`].
    pub fn check(&self, whose: ProfileOf, shape: &ModelShape, layers: usize) -> Result<(), RangeError> {
        self.check_name(whose)?;
        for (operation, layer) in operations(layers) {
            let bound = operation.bound(shape);
            let told = |range: &OperationRange| {
                (range.operation, range.layer) == (operation, layer) && range.bound <= bound && range.tail.rows > 0
            };
            if !self.operations.iter().any(told) {
                return Err(RangeError::Incomplete { operation: operation.name(), layer, bound });
            }
        }
        self.check_failures()
    }

    /// Why a session of `rows` rows is too long, if it is.
    #[must_use]
    pub fn too_long(&self, rows: u64) -> Option<String> {
        let longest = self.longest_rows;
        (rows > longest).then(|| format!("lengths: {rows} rows and tokens; the range profile holds for {longest}"))
    }

    /// Checks that few failures are expected.
    ///
    /// # Errors
    /// [`RangeError::Refused`].
    pub fn check_failures(&self) -> Result<(), RangeError> {
        let all = self.expected_failures(self.longest_rows);
        match self.worst().first() {
            // A sum that is no number is too large.
            Some((range, expected)) if all.is_nan() || all > MOST_FAILURES => Err(RangeError::Refused {
                rows: self.longest_rows,
                all,
                operation: range.operation.name(),
                layer: range.layer,
                bound: range.bound,
                expected: *expected,
                largest: range.tail.largest,
            }),
            _ => Ok(()),
        }
    }

    fn check_name(&self, whose: ProfileOf) -> Result<(), RangeError> {
        let fixed_point = format!("{:?}", Profile::DEFAULT);
        let pairs = [
            ("model", whose.model.to_string(), self.model.to_string()),
            ("program", whose.program.to_string(), self.program.to_string()),
            ("fixed point", fixed_point, format!("{:?}", self.fixed_point)),
        ];
        let differs = pairs.into_iter().find(|(_, expected, got)| expected != got);
        differs.map_or(Ok(()), |(what, expected, got)| Err(RangeError::OfAnother { what, expected, got }))
    }
}

/// Widths and counts of a model.
#[must_use]
pub const fn shape(config: &ModelConfig) -> ModelShape {
    ModelShape {
        d_model: config.d_model,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        d_expert: config.d_expert,
        top_k: config.router.top_k,
        normalised: config.router.renormalise,
    }
}

/// Every operation of every layer: norms and logits also follow the last one.
pub fn operations(layers: usize) -> impl Iterator<Item = (Operation, usize)> {
    let of_blocks = move |operation: Operation| {
        let layers = match operation {
            Operation::Logits => 0..0,
            Operation::EmbeddingSum | Operation::EmbeddingSmallness => 0..1,
            _ => 0..layers,
        };
        layers.map(move |layer| (operation, layer))
    };
    let after = [Operation::NormSum, Operation::NormSmallness, Operation::Logits].map(|operation| (operation, layers));
    Operation::ALL.into_iter().flat_map(of_blocks).chain(after)
}
