//! What client and parties know of a model beside its blocks.

use std::path::Path;

use neuro_expert_runtime::blocks;
use neuro_inference::embedding::Embedding;
use neuro_model::{
    ChatMessage, ChatTemplate, Checkpoint, CheckpointError, TemplateError, TensorData, Tokenizer, TokenizerError, names,
};
use neuro_primitives::Hash;

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
    /// Loads what a client needs of the checkpoint at `path`.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn load(path: &Path) -> Result<Self, ModelError> {
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
        })
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

fn of_tensor(name: &str, error: &impl ToString) -> ModelError {
    ModelError::Tensor { name: name.to_owned(), reason: error.to_string() }
}
