//! A checkpoint as a GGUF file: which tensors it has, of which tensors of the checkpoint each is made, and the metadata
//! that other programs need to run it.
//!
//! Nothing is computed here: whoever writes the file takes each tensor's sources one after another, reorders rows where
//! [`RowOrder`] says so, encodes them, and puts them into the file ([`crate::gguf_writer`]).

mod architecture;
mod error;
mod silent;
mod vocabulary;

use std::collections::BTreeMap;

use neuro_primitives::TensorType;

use crate::checkpoint::Checkpoint;
use crate::config::{Architecture, ModelConfig, RopePairing};
use crate::gguf_names::{self, GgufPlace};
use crate::gguf_writer::MetadataValue;

pub use crate::gguf_export::error::ExportError;
pub use crate::gguf_export::vocabulary::Vocabulary;

/// A tensor of the file that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportTensor {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file, the slowest dimension first; of stacked experts: `[experts, rows, columns]`.
    pub shape: Vec<usize>,
    /// The checkpoint's tensors that it consists of, in order; more than one where experts are stacked.
    pub sources: Vec<String>,
    /// The order of each source's rows.
    pub rows: RowOrder,
    /// It stays f32 whatever type was asked for: a norm, a bias or a router. They are small, and rounding them costs
    /// more than it saves.
    pub keep_f32: bool,
}

/// How the rows of a source are put into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// As they are.
    AsStored,
    /// For each of `heads` heads, row `j` of the first half is followed by row `j` of the second half. GGUF's llama
    /// rotates neighbours, a folder's Mixtral halves.
    Interleaved {
        /// The heads that the rows belong to.
        heads: usize,
    },
}

impl RowOrder {
    /// The row of the source that becomes row `row`, of `rows` in all.
    #[must_use]
    pub fn source(self, row: usize, rows: usize) -> usize {
        match self {
            Self::AsStored => row,
            Self::Interleaved { heads } => {
                let width = rows / heads;
                let (head, within) = (row / width, row % width);
                head * width + within / 2 + within % 2 * (width / 2)
            }
        }
    }
}

/// The tensors of `checkpoint` as a file has them: what is outside of layers, then layer by layer.
///
/// # Errors
/// A tensor that the format has no name for, or a stack of experts with a gap.
pub fn tensors(checkpoint: &Checkpoint) -> Result<Vec<ExportTensor>, ExportError> {
    let architecture = checkpoint.config().architecture;
    let mut stacks: BTreeMap<(Option<u16>, String), BTreeMap<u16, String>> = BTreeMap::new();
    for name in checkpoint.tensor_names() {
        let GgufPlace { name: there, slice } = gguf_names::place(architecture, name)
            .ok_or_else(|| ExportError::NoPlace { architecture, name: name.to_owned() })?;
        let key = (gguf_names::layer_of(&there), there);
        stacks.entry(key).or_default().insert(slice.unwrap_or(0), name.to_owned());
    }
    stacks.into_iter().map(|((_, name), sources)| tensor(checkpoint, name, sources)).collect()
}

/// What the file says about the model and its tokenizer, for most tensors being of `tensor_type`.
///
/// # Errors
/// A setting or a tokenizer that the format has no words for.
pub fn metadata(checkpoint: &Checkpoint, tensor_type: TensorType) -> Result<Vec<(String, MetadataValue)>, ExportError> {
    silent::check(checkpoint.config())?;
    let mut all = architecture::metadata(checkpoint, tensor_type);
    let vocabulary = Vocabulary::of(checkpoint)?;
    all.extend(vocabulary.metadata(checkpoint.config()));
    if let Some(template) = vocabulary::chat_template(checkpoint)? {
        all.push(("tokenizer.chat_template".to_owned(), MetadataValue::Text(template)));
    }
    Ok(all)
}

fn tensor(checkpoint: &Checkpoint, name: String, sources: BTreeMap<u16, String>) -> Result<ExportTensor, ExportError> {
    if let Some((index, _)) = sources.keys().enumerate().find(|(index, slice)| *index != usize::from(**slice)) {
        return Err(ExportError::Gap { name, index });
    }
    let sources: Vec<String> = sources.into_values().collect();
    let stored = checkpoint.tensor(&sources[0])?.shape;
    let shape = file_shape(checkpoint.config(), &name, sources.len(), stored);
    let keep_f32 = shape.len() == 1 || name.ends_with(".bias") || name.contains(".ffn_gate_inp");
    Ok(ExportTensor { rows: row_order(checkpoint, &name), name, shape, sources, keep_f32 })
}

/// The shape that the file has: experts stacked, the parts of latent attention by head, a single row as a vector.
fn file_shape(config: &ModelConfig, name: &str, sources: usize, stored: Vec<usize>) -> Vec<usize> {
    if gguf_names::is_stacked(name) {
        return [vec![sources], stored].concat();
    }
    match (name.split('.').nth(2), stored.as_slice()) {
        (Some("attn_k_b" | "attn_v_b"), &[rows, columns]) => vec![config.heads, rows / config.heads, columns],
        (Some("ffn_gate_inp_shexp"), &[1, columns]) => vec![columns],
        _ => stored,
    }
}

/// Files of the format have Mixtral's rows in order already.
fn row_order(checkpoint: &Checkpoint, name: &str) -> RowOrder {
    let config = checkpoint.config();
    if config.architecture != Architecture::Mixtral || config.rope.pairing == RopePairing::Neighbours {
        return RowOrder::AsStored;
    }
    let word = name.split('.').nth(2);
    match word {
        Some("attn_q") => RowOrder::Interleaved { heads: config.heads },
        Some("attn_k") => RowOrder::Interleaved { heads: config.kv_heads },
        _ => RowOrder::AsStored,
    }
}

#[cfg(test)]
mod tests;
