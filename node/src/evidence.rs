//! Judging evidence against a checkpoint: what `neuro worker evidence` does.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use neuro_expert_runtime::default_engine;
use neuro_inference::{LoadError, Recomputation};
use neuro_model::Checkpoint;
use neuro_primitives::{Hash, NodeKey, Route, Routes};
use neuro_protocol::{Evidence, EvidenceError, Verdict};

use crate::data_dir::DataDir;
use crate::publish::{Publication, PublishError};

/// A model that evidence is held against: its manifest, made of the checkpoint's own bytes, and its experts.
pub struct Judge {
    publication: Publication,
    experts: Recomputation,
}

/// Why there is nothing to judge, or nobody to.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file holds something else.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The checkpoint has no manifest.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The checkpoint's experts cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No key to make the manifest with.
    #[error(transparent)]
    Entropy(#[from] neuro_primitives::key::EntropyError),
}

impl JudgeError {
    /// Whether what was shown is no evidence, rather than something that could not be read.
    #[must_use]
    pub const fn is_unfounded(&self) -> bool {
        matches!(self, Self::Evidence(_))
    }
}

/// Reads evidence from a file.
///
/// # Errors
/// When it cannot be read, is too long, or holds something else.
pub fn read_evidence(file: &Path) -> Result<Evidence, JudgeError> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_EVIDENCE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(Evidence::decode(&bytes)?)
}

impl Judge {
    /// Hashes the tensors of `checkpoint`, or finds their hashes in `data_dir` from last time.
    ///
    /// # Errors
    /// When a tensor or the data folder cannot be read.
    pub fn new(checkpoint: Arc<Checkpoint>, data_dir: &DataDir) -> Result<Self, JudgeError> {
        // The manifest's id is what counts here; who signs it does not.
        let publication = Publication::new(checkpoint, data_dir, &NodeKey::generate()?, &|_| ())?;
        let experts = publication.recomputation(default_engine())?;
        Ok(Self { publication, experts })
    }

    /// What follows from `evidence`.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence) -> Verdict {
        evidence.judge(self.publication.manifest().manifest(), |evidence| self.recompute(evidence))
    }

    fn recompute(&self, evidence: &Evidence) -> Result<Hash, String> {
        let mut routes = Routes::new();
        routes.push_row([Route { expert: evidence.expert.expert, gate: evidence.gate }]);
        let made = self.experts.contributions(evidence.expert.layer, &evidence.row, &routes);
        let made = made.map_err(|error| error.to_string())?;
        made.first().map(neuro_inference::Contribution::digest).ok_or_else(|| "no contribution".to_owned())
    }
}

/// The longest evidence: a row of the widest model in f32, and 4 KiB for the rest.
const MAX_EVIDENCE_BYTES: u64 = (4 * neuro_protocol::limits::MAX_D_MODEL + (4 << 10)) as u64;

#[cfg(test)]
mod tests;
