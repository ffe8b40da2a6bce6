//! Model configurations, tensor names, checkpoint readers, tokenizer and chat template; no arithmetic.
//!
//! A model comes as people have it: a Hugging Face folder with `config.json`, one or many safetensors files,
//! `tokenizer.json` and a chat template, or a GGUF file (or several parts of one) that has all this inside.
//! [`Checkpoint::open`] reads either and checks every tensor that the architecture needs against the configuration, so
//! that whoever holds a [`Checkpoint`] can trust its shapes and need not know where it came from.
//!
//! ```text
//! config.json ──> ModelConfig ──> names (what must be there, in what shape)
//!                                      │
//! *.safetensors ──> MappedFile ──> TensorTable ──> Checkpoint ──> TensorData (bytes in place, or f32)
//! tokenizer.json ──> Tokenizer, TokenStream          chat_template.jinja ──> ChatTemplate
//! *.gguf ──> GgufModel ──> config.json, tokenizer.json, chat_template.jinja, tensors under the folder's names
//! ```
//!
//! Supported: Mixtral, Qwen3-MoE and OLMoE, weights in f32, f16 or bf16. Everything in the folder is input that may
//! be wrong: no file makes this crate panic, and every error names the file, the tensor or the field, with what was
//! expected and what came.

pub mod chat_template;
pub mod checkpoint;
pub mod config;
pub mod gguf;
pub mod gguf_export;
pub mod gguf_names;
pub mod gguf_writer;
pub mod mapped_file;
pub mod names;
pub mod tensor;
pub mod tensor_file;
pub mod tokenizer;

pub use chat_template::{ChatMessage, ChatTemplate, TemplateError};
pub use checkpoint::{Asset, Checkpoint, CheckpointError, SourceKind};
pub use config::{
    Architecture, ConfigError, GroupRule, GroupScore, HiddenActivation, LatentAttention, ModelConfig, QueryKeyNorm,
    RopePairing, RopeScaling, RopeSettings, RouterRule, ScoreFunction, SharedExpert,
};
pub use neuro_primitives::TensorType;
pub use tensor::TensorData;
pub use tokenizer::{TokenStream, Tokenizer, TokenizerError};
