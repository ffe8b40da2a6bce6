//! A range profile as a file.

use std::path::{Path, PathBuf};

use neuro_primitives::Hash;
use neuro_smpc::nn::Operation;
use serde::{Deserialize, Serialize};

use super::{OperationRange, RANGES_VERSION, RangeProfile, Tail};
use crate::os::private_file;
use crate::smpc_role::agreement::Profile;

/// A file that is no profile.
#[derive(Debug, thiserror::Error)]
pub enum RangeFileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    System {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no JSON of this form.
    #[error("{path} is no range profile: {source}")]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It says something that cannot be.
    #[error("{path} is no range profile: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Kept in this form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u16,
    model: String,
    program: String,
    fixed_point: FixedPoint,
    longest_rows: u64,
    operations: Vec<Range>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FixedPoint {
    ring_bits: u8,
    fraction_bits: u8,
    logit_fraction_bits: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    operation: String,
    layer: usize,
    bound: f64,
    rows: u64,
    largest: f64,
    threshold: f64,
    beyond: u64,
    excess: f64,
    outside: u64,
}

impl RangeProfile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// See [`RangeFileError`].
    pub fn read(path: &Path) -> Result<Self, RangeFileError> {
        let system = |source| RangeFileError::System { path: path.to_owned(), source };
        let text = std::fs::read(path).map_err(system)?;
        let form = |source| RangeFileError::Form { path: path.to_owned(), source };
        let document: Document = serde_json::from_slice(&text).map_err(form)?;
        document.profile().map_err(|reason| RangeFileError::Content { path: path.to_owned(), reason })
    }

    /// Writes it to `path`, in the place of an older one.
    ///
    /// # Errors
    /// [`RangeFileError::System`].
    pub fn write(&self, path: &Path) -> Result<(), RangeFileError> {
        let form = |source| RangeFileError::Form { path: path.to_owned(), source };
        let mut text = serde_json::to_vec_pretty(&Document::of(self)).map_err(form)?;
        text.push(b'\n');
        private_file::replace(path, &text).map_err(|source| RangeFileError::System { path: path.to_owned(), source })
    }
}

impl Document {
    fn of(profile: &RangeProfile) -> Self {
        let Profile { ring_bits, fraction_bits, logit_fraction_bits } = profile.fixed_point;
        Self {
            version: RANGES_VERSION,
            model: profile.model.to_string(),
            program: profile.program.to_string(),
            fixed_point: FixedPoint { ring_bits, fraction_bits, logit_fraction_bits },
            longest_rows: profile.longest_rows,
            operations: profile.operations.iter().map(Range::of).collect(),
        }
    }

    fn profile(self) -> Result<RangeProfile, String> {
        if self.version != RANGES_VERSION {
            return Err(format!("expected version {RANGES_VERSION}, got {}", self.version));
        }
        let hash = |text: &str| text.parse::<Hash>().map_err(|_| format!("{text} is no hash"));
        let FixedPoint { ring_bits, fraction_bits, logit_fraction_bits } = self.fixed_point;
        Ok(RangeProfile {
            model: hash(&self.model)?,
            program: hash(&self.program)?,
            fixed_point: Profile { ring_bits, fraction_bits, logit_fraction_bits },
            longest_rows: self.longest_rows,
            operations: self.operations.iter().map(Range::range).collect::<Result<_, _>>()?,
        })
    }
}

impl Range {
    fn of(range: &OperationRange) -> Self {
        let Tail { rows, largest, threshold, beyond, excess, outside } = range.tail;
        let (operation, layer, bound) = (range.operation.name().to_owned(), range.layer, range.bound);
        Self { operation, layer, bound, rows, largest, threshold, beyond, excess, outside }
    }

    fn range(&self) -> Result<OperationRange, String> {
        let operation = Operation::ALL.into_iter().find(|operation| operation.name() == self.operation);
        let operation = operation.ok_or_else(|| format!("{} is no operation", self.operation))?;
        let Self { rows, largest, threshold, beyond, excess, outside, .. } = *self;
        if beyond > rows || outside > rows || excess < 0.0 || largest < threshold {
            return Err(format!("the values of {} in layer {} cannot be", self.operation, self.layer));
        }
        let tail = Tail { rows, largest, threshold, beyond, excess, outside };
        Ok(OperationRange { operation, layer: self.layer, bound: self.bound, tail })
    }
}
