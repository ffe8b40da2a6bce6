//! The manifest: what a model consists of, byte for byte. Its hash is the model's id.
//!
//! A worker that trusts a manifest needs to trust nobody for the weights: every tensor and every file is named by its
//! BLAKE3 hash. The canonical bytes are made by [`crate::codec`] and have one form per manifest, so that two nodes
//! that list the same tensors get the same id. `docs/spec/manifest.md` has every byte.

use std::collections::BTreeSet;

use neuro_primitives::{ExpertId, Hash, ModelId};

use crate::frame::ActivationFormat;

mod canonical;
mod error;
mod rules;
mod signed;

pub use error::ManifestError;
pub use neuro_primitives::TensorType;
pub use signed::{SignedManifest, VerifiedManifest};

/// Where a tensor is used, and so who needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorPlace {
    /// The orchestrator's part: attention, norms, routers, embeddings, dense layers, shared experts.
    Trunk,
    /// One expert of one layer: a worker's part.
    Expert(ExpertId),
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name in the checkpoint.
    pub name: String,
    /// Who needs it.
    pub place: TensorPlace,
    /// The type of its elements.
    pub tensor_type: TensorType,
    /// Its dimensions, outermost first; 0 to 4 of them, none zero, the last a whole number of the type's blocks.
    pub shape: Vec<u64>,
    /// Its size in bytes: that of a row of the last dimension × the other dimensions.
    pub length: u64,
    /// The hash of those bytes.
    pub hash: Hash,
}

/// One file beside the tensors: `config.json`, `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetEntry {
    /// The file's name, without any folder.
    pub name: String,
    /// Its size in bytes.
    pub length: u64,
    /// The hash of those bytes.
    pub hash: Hash,
}

/// What a model consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The model's name, for people.
    pub name: String,
    /// The family whose rules it follows, as `config.json` calls it (`mixtral`, `qwen3_moe`, `olmoe`).
    pub architecture: String,
    /// The arithmetic that its results are defined by, [`crate::version::ENGINE_SPEC`].
    pub engine_spec: u32,
    /// `config.json` as it lies in the checkpoint: workers need it, and nothing else of the assets.
    pub config: Vec<u8>,
    /// The files beside the tensors, ascending by name.
    pub assets: Vec<AssetEntry>,
    /// In what form hidden states travel to the experts of each layer: what the local kernel of their weights takes.
    /// `[layers]`.
    pub activation_formats: Vec<ActivationFormat>,
    /// The tensors, ascending by name.
    pub tensors: Vec<TensorEntry>,
}

impl TensorEntry {
    /// The size in bytes that the shape and the type give, or none when it exceeds 64 bits or the rows are no whole
    /// number of blocks.
    #[must_use]
    pub fn shape_bytes(&self) -> Option<u64> {
        let row = self.tensor_type.bytes_of(self.row_elements())?;
        let outer = self.shape.split_last().map_or(&[][..], |(_, outer)| outer);
        outer.iter().try_fold(row, |bytes, &dimension| bytes.checked_mul(dimension))
    }

    /// The elements that lie in one row: the last dimension. Blocks never reach from one row into the next.
    fn row_elements(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }
}

impl Manifest {
    /// The one form of these bytes. Tensors and assets are written in ascending order of their names, however they
    /// lie here; a manifest that breaks a rule of [`Self::check`] gives bytes that nobody reads.
    #[must_use]
    pub fn to_canonical(&self) -> Vec<u8> {
        canonical::write(self)
    }

    /// The manifest in canonical bytes. Accepts exactly what [`Self::to_canonical`] makes of manifests that follow the
    /// rules.
    ///
    /// # Errors
    /// When the bytes are malformed, not canonical, or break a rule.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest = canonical::read(bytes)?;
        rules::check(&manifest)?;
        Ok(manifest)
    }

    /// Whether the manifest follows every rule, so that others will read it: to be asked before it is signed.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), ManifestError> {
        rules::check(self)
    }

    /// The hash of the canonical bytes.
    #[must_use]
    pub fn model_id(&self) -> ModelId {
        ModelId(Hash::of(&self.to_canonical()))
    }

    /// The tensors of one expert, by name.
    pub fn expert_tensors(&self, expert: ExpertId) -> impl Iterator<Item = &TensorEntry> {
        self.tensors.iter().filter(move |tensor| tensor.place == TensorPlace::Expert(expert))
    }

    /// The tensors that no expert owns, by name.
    pub fn trunk_tensors(&self) -> impl Iterator<Item = &TensorEntry> {
        self.tensors.iter().filter(|tensor| tensor.place == TensorPlace::Trunk)
    }

    /// The experts, ascending.
    #[must_use]
    pub fn experts(&self) -> Vec<ExpertId> {
        let experts: BTreeSet<ExpertId> = self.tensors.iter().filter_map(|tensor| tensor.place.expert()).collect();
        experts.into_iter().collect()
    }

    /// What an expert weighs in the checkpoint, in bytes; 0 when it has no tensors.
    #[must_use]
    pub fn expert_bytes(&self, expert: ExpertId) -> u64 {
        self.expert_tensors(expert).fold(0, |sum, tensor| sum.saturating_add(tensor.length))
    }

    /// What the trunk weighs in the checkpoint, in bytes.
    #[must_use]
    pub fn trunk_bytes(&self) -> u64 {
        self.trunk_tensors().fold(0, |sum, tensor| sum.saturating_add(tensor.length))
    }
}

impl TensorPlace {
    /// The expert that owns the tensor, if one does.
    #[must_use]
    pub const fn expert(self) -> Option<ExpertId> {
        match self {
            Self::Trunk => None,
            Self::Expert(expert) => Some(expert),
        }
    }
}

#[cfg(test)]
mod tests;
