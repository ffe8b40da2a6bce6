//! What client and parties know of a model beside its blocks.

use std::path::Path;

use neuro_expert_runtime::blocks;
use neuro_inference::embedding::Embedding;
use neuro_model::{
    ChatMessage, ChatTemplate, Checkpoint, CheckpointError, TemplateError, TensorData, Tokenizer, TokenizerError, names,
};
use neuro_primitives::Hash;

use super::secret_weights::{self, Manifest, PublicPart, SecretWeightsError};
use crate::local::weights_hash;

/// What a session has to know of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Configuration and weights.
    pub hash: Hash,
    /// Width of a row.
    pub d_model: usize,
    /// Logits of a token.
    pub vocab_size: usize,
    /// Positions that it has.
    pub context: usize,
}

/// A client's half of a model: text to rows, and tokens to text.
pub struct ClientModel {
    facts: ModelFacts,
    embedding: Embedding,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    eos: Vec<u32>,
    secret: Option<Manifest>,
}

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No checkpoint that can be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its tokenizer is missing or cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Its chat template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A private model's public part.
    #[error(transparent)]
    Secret(Box<SecretWeightsError>),
    /// It has none.
    #[error("this model has no chat template")]
    NoTemplate,
    /// A tensor with values that cannot be used.
    #[error("{name}: {reason}")]
    Tensor {
        /// Which.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Not as many indices and values as the owner of a private model lets out.
    #[error("expected {expected} of the largest logits, got {got} numbers")]
    Told {
        /// How many.
        expected: usize,
        /// Numbers that came.
        got: usize,
    },
    /// A token outside the vocabulary.
    #[error("token {id} is outside of the vocabulary of {vocab_size}")]
    Token {
        /// The token.
        id: u32,
        /// How many there are.
        vocab_size: usize,
    },
}

impl ModelFacts {
    /// Reads and hashes the checkpoint.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let text = weights_hash(checkpoint)?;
        let malformed = |_| ModelError::Tensor { name: "the model".to_owned(), reason: "its hash is none".to_owned() };
        let config = checkpoint.config();
        Ok(Self {
            hash: text.parse().map_err(malformed)?,
            d_model: config.d_model,
            vocab_size: config.vocab_size,
            context: config.context,
        })
    }
}

impl ClientModel {
    /// Loads what a client needs of the checkpoint at `path`, or of a private model's public part.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        if secret_weights::is_secret(path) {
            return Self::load_public_part(path);
        }
        let checkpoint = Checkpoint::open(path)?;
        let facts = ModelFacts::of(&checkpoint)?;
        let table = checkpoint.tensor(names::EMBEDDING)?;
        let embedding = Embedding::new(&table, facts.vocab_size, facts.d_model);
        Ok(Self {
            embedding: embedding.map_err(|error| of_tensor(names::EMBEDDING, &error))?,
            tokenizer: checkpoint.tokenizer()?,
            template: checkpoint.chat_template()?,
            eos: checkpoint.config().eos.clone(),
            facts,
            secret: None,
        })
    }

    fn load_public_part(folder: &Path) -> Result<Self, ModelError> {
        let secret = |error| ModelError::Secret(Box::new(error));
        let manifest = Manifest::read(folder).map_err(secret)?;
        let public = PublicPart::read(folder, &manifest).map_err(secret)?;
        Ok(Self {
            facts: public.facts(&manifest),
            embedding: public.embedding()?,
            tokenizer: public.tokenizer(folder)?,
            template: public.template()?,
            eos: public.config().eos.clone(),
            secret: Some(manifest),
        })
    }

    /// The owner's manifest, where the weights are secret.
    #[must_use]
    pub const fn secret(&self) -> Option<&Manifest> {
        self.secret.as_ref()
    }

    /// The logits of a token, `[vocab]`, from what the parties tell: where weights are secret, indices and values of the
    /// largest, and all others are out of the question.
    ///
    /// # Errors
    /// An index outside the vocabulary, or another number of values.
    pub fn logits(&self, told: &[f32]) -> Result<Vec<f32>, ModelError> {
        let Some(manifest) = &self.secret else { return Ok(told.to_vec()) };
        let vocab_size = self.facts.vocab_size;
        let largest = (manifest.limits.largest as usize).min(vocab_size);
        let (indices, values) = told.split_at_checked(largest).unwrap_or_default();
        if indices.len() != largest || values.len() != if largest == 1 { 0 } else { largest } {
            return Err(ModelError::Told { expected: largest, got: told.len() });
        }
        let mut logits = vec![f32::NEG_INFINITY; vocab_size];
        for (at, index) in indices.iter().enumerate() {
            let id = *index as u32;
            let place = logits.get_mut(id as usize).ok_or(ModelError::Token { id, vocab_size })?;
            *place = values.get(at).copied().unwrap_or_default();
        }
        Ok(logits)
    }

    /// What a session has to know.
    #[must_use]
    pub const fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Its tokenizer.
    #[must_use]
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether `id` ends an answer.
    #[must_use]
    pub fn ends(&self, id: u32) -> bool {
        self.eos.contains(&id)
    }

    /// The tokens of a conversation, up to where the answer begins.
    ///
    /// # Errors
    /// A template that refuses it.
    pub fn prompt(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, ModelError> {
        let template = self.template.as_ref().ok_or(ModelError::NoTemplate)?;
        Ok(self.tokenizer.encode(&template.render(messages, true)?, false)?)
    }

    /// The embeddings of `ids`, `[ids, d_model]`, f32.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    pub fn rows(&self, ids: &[u32]) -> Result<Vec<f32>, ModelError> {
        let outside = |id| ModelError::Token { id, vocab_size: self.facts.vocab_size };
        Ok(self.embedding.rows(ids).map_err(outside)?.into_values())
    }
}

/// A tensor's values, f32.
pub(super) fn floats(name: &str, tensor: &TensorData<'_>) -> Result<Vec<f32>, ModelError> {
    blocks::to_f32(tensor.tensor_type, &tensor.bytes).map_err(|error| of_tensor(name, &error))
}

pub(super) fn of_tensor(name: &str, error: &impl ToString) -> ModelError {
    ModelError::Tensor { name: name.to_owned(), reason: error.to_string() }
}
