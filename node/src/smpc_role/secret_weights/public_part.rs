//! What of a private model is public: configuration, tokenizer, chat template, embedding table.

use std::path::Path;

use neuro_inference::embedding::Embedding;
use neuro_model::{Asset, ChatTemplate, Checkpoint, ModelConfig, TensorData, TensorType, Tokenizer, TokenizerError};
use neuro_model::{config, names};
use neuro_primitives::Hash;
use neuro_primitives::codec::Writer;

use super::{Manifest, SecretWeightsError, read};
use crate::os::private_file;
use crate::smpc_role::agreement::Profile;
use crate::smpc_role::fixed_point;
use crate::smpc_role::model::{ModelError, ModelFacts, floats, of_tensor};

/// The table's file: `[vocab, d_model]`, f32, little-endian.
const TABLE: &str = "embedding.f32";

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// Every small file that there may be, in the order in which they are hashed.
const FILES: [&str; 5] = [CHAT_TEMPLATE, CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG];

/// The public part of a private model.
pub struct PublicPart {
    config: ModelConfig,
    assets: Vec<Asset>,
    /// As in the file.
    table: Vec<u8>,
}

impl PublicPart {
    /// That of a whole model.
    ///
    /// # Errors
    /// A table that is missing or cannot be read.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, SecretWeightsError> {
        let tensor = checkpoint.tensor(names::EMBEDDING).map_err(ModelError::from)?;
        let table = floats(names::EMBEDDING, &tensor)?.iter().flat_map(|value| value.to_le_bytes()).collect();
        let known = |name: &&str| checkpoint.assets().iter().find(|asset| asset.name == **name).cloned();
        let assets = FILES.iter().filter_map(known).collect();
        Ok(Self { config: checkpoint.config().clone(), assets, table })
    }

    /// That in `folder`, which must be the manifest's.
    ///
    /// # Errors
    /// Files that are missing, cannot be used, or are not those of the manifest.
    pub fn read(folder: &Path, manifest: &Manifest) -> Result<Self, SecretWeightsError> {
        let mut assets = Vec::new();
        for name in FILES.into_iter().filter(|name| folder.join(name).exists()) {
            assets.push(Asset { name: name.to_owned(), bytes: read(folder.join(name))? });
        }
        let table = read(folder.join(TABLE))?;
        let other = || SecretWeightsError::Public { path: folder.to_owned() };
        if hash(&assets, &table) != manifest.public {
            return Err(other());
        }
        let mut config = ModelConfig::from_json(find(&assets, CONFIG).ok_or_else(other)?)?;
        if let Some(bytes) = find(&assets, GENERATION_CONFIG) {
            config.eos = config::generation_eos(bytes)?.unwrap_or(config.eos);
        }
        if table.len() != 4 * config.vocab_size * config.d_model {
            return Err(other());
        }
        Ok(Self { config, assets, table })
    }

    /// Writes it to `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<(), SecretWeightsError> {
        let table = (TABLE, self.table.as_slice());
        let assets = self.assets.iter().map(|asset| (asset.name.as_str(), asset.bytes.as_slice()));
        for (name, bytes) in assets.chain([table]) {
            let path = folder.join(name);
            let written = private_file::create_new(&path, bytes);
            written.map_err(|source| SecretWeightsError::Io { doing: "write", path, source })?;
        }
        Ok(())
    }

    /// Names it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        hash(&self.assets, &self.table)
    }

    /// Its configuration, with the tokens that end an answer.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What a session has to know: the model is the manifest's.
    #[must_use]
    pub fn facts(&self, manifest: &Manifest) -> ModelFacts {
        let ModelConfig { d_model, vocab_size, context, .. } = self.config;
        ModelFacts { hash: manifest.hash(), d_model, vocab_size, context }
    }

    /// The largest amount of an entry of the table, with the profile's fraction bits.
    pub(super) fn largest_entry(&self) -> u64 {
        let values: Vec<f32> = self.table.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let fixed = fixed_point::encode(&values, Profile::DEFAULT.fraction_bits);
        fixed.into_iter().map(|value| value.cast_signed().unsigned_abs()).max().unwrap_or_default()
    }

    /// The table.
    pub(crate) fn embedding(&self) -> Result<Embedding, ModelError> {
        let shape = vec![self.config.vocab_size, self.config.d_model];
        let (name, bytes) = (names::EMBEDDING, self.table.as_slice().into());
        let table = TensorData { name, tensor_type: TensorType::F32, shape, bytes };
        Embedding::new(&table, self.config.vocab_size, self.config.d_model).map_err(|error| of_tensor(name, &error))
    }

    /// The tokenizer.
    pub(crate) fn tokenizer(&self, folder: &Path) -> Result<Tokenizer, ModelError> {
        let missing = || TokenizerError::NoFile { dir: folder.to_owned() };
        Ok(Tokenizer::from_bytes(find(&self.assets, TOKENIZER).ok_or_else(missing)?)?)
    }

    /// The chat template, where the model has one.
    pub(crate) fn template(&self) -> Result<Option<ChatTemplate>, ModelError> {
        let (template, config) = (find(&self.assets, CHAT_TEMPLATE), find(&self.assets, TOKENIZER_CONFIG));
        Ok(ChatTemplate::from_files(template, config)?)
    }
}

fn find<'a>(assets: &'a [Asset], name: &str) -> Option<&'a [u8]> {
    assets.iter().find(|asset| asset.name == name).map(|asset| asset.bytes.as_slice())
}

fn hash(assets: &[Asset], table: &[u8]) -> Hash {
    let mut writer = Writer::new();
    writer.text("neuro smpc public part 1");
    for asset in assets {
        writer.text(&asset.name);
        writer.raw(&Hash::of(&asset.bytes).0);
    }
    writer.raw(&Hash::of(table).0);
    Hash::of(&writer.finish())
}
