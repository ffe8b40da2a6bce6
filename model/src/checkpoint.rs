//! A Hugging Face folder: configuration, weights and assets, all checked when it is opened.
//!
//! Opening reads headers only; weights stay on disk, mapped, until someone asks for a tensor. What is promised once
//! [`Checkpoint::open`] succeeds: every tensor that the architecture needs is there, in f32, f16 or bf16, in the
//! shape that the configuration asks for; and there is no tensor that the architecture does not know, because one
//! that is silently left out (a bias, a ninth expert) gives a model that answers fluently and wrongly.

mod assets;
mod error;
mod index;
mod inventory;
mod located;
mod shards;
mod stacked;

use std::path::{Path, PathBuf};

use crate::checkpoint::inventory::Inventory;
use crate::config::{self, ModelConfig};
use crate::tensor::TensorData;
use crate::{ChatTemplate, TemplateError, Tokenizer, TokenizerError};

pub use crate::checkpoint::assets::Asset;
pub use crate::checkpoint::error::CheckpointError;

/// A model in a folder.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    config: ModelConfig,
    generation_eos: Option<Vec<u32>>,
    assets: Vec<Asset>,
    inventory: Inventory,
}

impl Checkpoint {
    /// Opens a folder and checks all that is in it, but for the values of the weights.
    ///
    /// # Errors
    ///
    /// A file that is missing, unreadable, too long or malformed; a configuration that is not supported; a tensor
    /// that is missing, unknown, of another type or of another shape than the configuration asks for.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let assets = assets::read_all(dir)?;
        let mut config = ModelConfig::from_json(assets::require(&assets, dir, assets::CONFIG)?)
            .map_err(|source| CheckpointError::Config { file: dir.join(assets::CONFIG), source })?;
        let generation_eos = generation_eos(&assets, dir)?;
        if let Some(eos) = &generation_eos {
            config.eos.clone_from(eos);
        }
        let inventory = Inventory::new(&config, shards::open_all(dir)?)?;
        Ok(Self { dir: dir.to_owned(), config, generation_eos, assets, inventory })
    }

    /// What the model is. The end-of-answer tokens are those of `generation_config.json` where it has any.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// `config.json` as it lies.
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

    /// The folder's small files: configuration, tokenizer, chat template. Those that are there.
    #[must_use]
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tokenizer of `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// The file is missing or cannot be used.
    pub fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        let bytes = assets::find(&self.assets, assets::TOKENIZER);
        Tokenizer::from_bytes(bytes.ok_or_else(|| TokenizerError::NoFile { dir: self.dir.clone() })?)
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
