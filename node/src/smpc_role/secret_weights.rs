//! Models whose weights no single party sees.
//!
//! ```text
//! owner:   weights ──▶ three components, each to two parties;  configuration, tokenizer, embedding table ──▶ everybody
//!          manifest: hashes of all that, and what may be opened; signed. Its hash is the model's in every agreement.
//! party:   two components, compared with the manifest when they are loaded
//! client:  the public part; it is told the largest logits' indices, not the logits
//! ```
//!
//! Not protected against: two parties together, who have the weights, and clients that ask often enough: what is told of a
//! model can be used to train another one like it.

mod folder;
mod manifest;
mod program;
mod public_part;
mod queries;
mod split;

use std::path::{Path, PathBuf};

use neuro_model::{ConfigError, TemplateError, TokenizerError};
use neuro_smpc::party::PartyId;

pub use self::folder::PartyFolder;
pub use self::manifest::{MAX_LARGEST, Manifest, OwnerLimits};
pub use self::program::SecretBlockProgram;
pub use self::public_part::PublicPart;
pub use self::queries::{QueryError, QueryLedger, Reservation};
pub use self::split::split;
use super::blocks::BlocksError;
use super::fixed_point::NoRandomness;
use super::model::ModelError;

/// The manifest's file, in every folder.
pub const MANIFEST: &str = "secret-weights.manifest";

/// Where parties and clients keep counts of queries in the data folder.
pub const QUERIES: &str = "smpc-queries";

/// Why secret weights cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SecretWeightsError {
    /// A file.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A folder that has something in it.
    #[error("{path} is there already")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A manifest that is none, or says what cannot be.
    #[error("{path} is no manifest of secret weights: {reason}")]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Files that are not those of the manifest.
    #[error("the public part in {path} is not the one that the manifest names")]
    Public {
        /// The folder.
        path: PathBuf,
    },
    /// A component of other shares, or a party's that is another's.
    #[error("{path} is not component {component} of the manifest: these are other shares")]
    Component {
        /// The file.
        path: PathBuf,
        /// 0, 1 or 2.
        component: usize,
    },
    /// A component that is not as large as the model.
    #[error("{path} has {got} weights, expected {expected}")]
    Length {
        /// The file.
        path: PathBuf,
        /// Of the configuration.
        expected: usize,
        /// Of the file.
        got: usize,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The model.
    #[error(transparent)]
    Blocks(#[from] BlocksError),
    /// See [`NoRandomness`].
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl From<ModelError> for SecretWeightsError {
    fn from(error: ModelError) -> Self {
        Self::Blocks(error.into())
    }
}

/// Whether the folder at `path` is a public part, or a party's.
#[must_use]
pub fn is_secret(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// The file of a component.
fn component_file(folder: &Path, component: PartyId) -> PathBuf {
    folder.join(format!("component-{}.shares", component.index()))
}

fn read(path: PathBuf) -> Result<Vec<u8>, SecretWeightsError> {
    std::fs::read(&path).map_err(|source| SecretWeightsError::Io { doing: "read", path, source })
}
