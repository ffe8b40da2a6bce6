//! A model as people have it, a Hugging Face folder or a GGUF file: configuration, weights and assets, all checked
//! when it is opened.
//!
//! A GGUF file is presented as if it were a folder: with a `config.json`, a `tokenizer.json` and a chat template that
//! say what its metadata says, and with the names that tensors have in folders. Whoever has a [`Checkpoint`] need not
//! know which it was.
//!
//! Opening reads headers only; weights stay on disk, mapped, until someone asks for a tensor. What is promised once
//! [`Checkpoint::open`] succeeds: every tensor that the architecture needs is there, in a type that this engine knows
//! and in the shape that the configuration asks for; and there is no tensor that the architecture does not know,
//! because one that is silently left out (a bias, a ninth expert) gives a model that answers fluently and wrongly.

mod assets;
mod error;
mod index;
mod inventory;
mod located;
mod shards;
mod source;
mod stacked;

use std::path::{Path, PathBuf};

use crate::checkpoint::inventory::Inventory;
use crate::checkpoint::source::Source;
use crate::config::{self, ModelConfig};
use crate::tensor::TensorData;
use crate::{ChatTemplate, TemplateError, Tokenizer, TokenizerError};

pub use crate::checkpoint::assets::Asset;
pub use crate::checkpoint::error::CheckpointError;

/// What a model lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A Hugging Face folder.
    Folder,
    /// A GGUF file, or several parts of one.
    Gguf,
}

/// A model in a folder or a GGUF file.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    kind: SourceKind,
    config: ModelConfig,
    generation_eos: Option<Vec<u32>>,
    assets: Vec<Asset>,
    inventory: Inventory,
    files: Vec<PathBuf>,
}

impl Checkpoint {
    /// Opens a folder, a `.gguf` file, or all parts of a model of which `path` is one, and checks all that is in it,
    /// but for the values of the weights.
    ///
    /// # Errors
    ///
    /// A file that is missing, unreadable, too long or malformed; a configuration that is not supported; a tensor
    /// that is missing, unknown, of another type or of another shape than the configuration asks for.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let Source { kind, assets, shards } = Source::open(path)?;
        let mut config = ModelConfig::from_json(assets::require(&assets, path, assets::CONFIG)?)
            .map_err(|source| CheckpointError::Config { file: path.join(assets::CONFIG), source })?;
        let generation_eos = generation_eos(&assets, path)?;
        if let Some(eos) = &generation_eos {
            config.eos.clone_from(eos);
        }
        let files = source::files(path, kind, &assets, &shards);
        let inventory = Inventory::new(&config, shards)?;
        Ok(Self { path: path.to_owned(), kind, config, generation_eos, assets, inventory, files })
    }

    /// What the model is. The end-of-answer tokens are those of `generation_config.json` where it has any.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// `config.json` as it lies, or as it was made from a GGUF file's metadata.
    #[must_use]
    pub fn config_bytes(&self) -> &[u8] {
        assets::find(&self.assets, assets::CONFIG).unwrap_or_default()
    }

    /// The end-of-answer tokens of `generation_config.json`, where there is one that names any.
    #[must_use]
    pub fn generation_eos(&self) -> Option<&[u32]> {
        self.generation_eos.as_deref()
    }

    /// The tensor called `name`, where it lies.
    ///
    /// # Errors
    ///
    /// `Missing`, where the architecture has no tensor of that name.
    pub fn tensor(&self, name: &str) -> Result<TensorData<'_>, CheckpointError> {
        self.inventory.tensor(name).ok_or_else(|| self.inventory.missing(&self.config, name))
    }

    /// The names of all tensors that the architecture uses, ascending.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.inventory.names()
    }

    /// The small files: configuration, tokenizer, chat template. Those that are there, or that a GGUF file's metadata
    /// give.
    #[must_use]
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// The folder or file, as it was given to [`Self::open`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every file that the model was read from, small ones and weights: when none of them changed, the model is the
    /// same.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What the model lies in.
    #[must_use]
    pub fn source_kind(&self) -> SourceKind {
        self.kind
    }

    /// The tokenizer of `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// The file is missing or cannot be used.
    pub fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        let bytes = assets::find(&self.assets, assets::TOKENIZER);
        Tokenizer::from_bytes(bytes.ok_or_else(|| TokenizerError::NoFile { dir: self.path.clone() })?)
    }

    /// The chat template of `chat_template.jinja` or `tokenizer_config.json`; `None` where the model has none.
    ///
    /// # Errors
    ///
    /// The template or the file that holds it cannot be used.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, TemplateError> {
        let template = assets::find(&self.assets, assets::CHAT_TEMPLATE);
        ChatTemplate::from_files(template, assets::find(&self.assets, assets::TOKENIZER_CONFIG))
    }

    /// Bytes of the trunk's tensors as stored.
    #[must_use]
    pub fn trunk_bytes(&self) -> u64 {
        self.inventory.trunk_bytes()
    }

    /// Bytes of all experts' tensors as stored.
    #[must_use]
    pub fn expert_bytes(&self) -> u64 {
        self.inventory.expert_bytes()
    }

    /// Weights of trunk and experts; a tied output projection counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.inventory.parameters()
    }
}

fn generation_eos(assets: &[Asset], dir: &Path) -> Result<Option<Vec<u32>>, CheckpointError> {
    let Some(bytes) = assets::find(assets, assets::GENERATION_CONFIG) else { return Ok(None) };
    config::generation_eos(bytes)
        .map_err(|source| CheckpointError::Config { file: dir.join(assets::GENERATION_CONFIG), source })
}

#[cfg(test)]
mod tests;
