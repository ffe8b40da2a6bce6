//! GGUF: one file, or several parts, with a model's settings, tokenizer and weights.
//!
//! The format is <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian. A file
//! is mapped and its header checked when it is opened: every value of the metadata, every name, and that every tensor
//! lies inside the file, aligned, apart from all others, and as long as its shape and type ask for. Texts and arrays
//! of the metadata (a vocabulary has 10^5 tokens) are read where they lie. The first byte that no file should have ends
//! the reading, and no count in a file makes room for more than the file has bytes for.
//!
//! ```text
//! "GGUF" version tensors keys | key type value … | name dimensions type offset … | padding | tensors, each aligned
//! ```
//!
//! What makes a [`Checkpoint`](crate::Checkpoint) of it lies in the modules below: the settings become a `config.json`
//! as Hugging Face folders have it, the tokenizer a `tokenizer.json`, and every tensor, or slice of a stack of experts,
//! gets the name that it has in such a folder.

mod config;
mod cursor;
mod error;
mod family;
mod header;
mod keys;
mod parts;
mod rope;
mod table;
mod tensor_names;
mod tokenizer;
mod value;

use std::path::{Path, PathBuf};

use crate::mapped_file::MappedFile;

pub use crate::gguf::cursor::MAX_TEXT_BYTES;
pub use crate::gguf::error::{FormatError, GgufError};
pub use crate::gguf::header::{GgufHeader, MAX_ALIGNMENT, MAX_KEY_BYTES, MAX_KEYS, MAX_TENSORS};
pub use crate::gguf::parts::{GgufModel, MAX_PARTS};
pub use crate::gguf::table::{GgufTensor, MAX_DIMENSIONS, MAX_NAME_BYTES};
pub use crate::gguf::value::{ArrayPlace, MAX_ARRAY_LENGTH, MAX_NESTING, Value, ValueType};

pub(crate) use crate::gguf::config::config_json;
pub(crate) use crate::gguf::family::Family;
pub(crate) use crate::gguf::tensor_names::{PlacedTensor, placed};
pub(crate) use crate::gguf::tokenizer::assets as tokenizer_assets;
pub(crate) use crate::gguf::tokenizer::pre_tokenizer::{GPT2 as GPT2_PATTERN, name as pre_tokenizer_name};

/// One GGUF file, mapped, with its header checked.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    file: MappedFile,
    header: GgufHeader,
}

impl GgufFile {
    /// Maps the file at `path` and checks its header.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not what the format asks for.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let file = MappedFile::open(path).map_err(|source| GgufError::Io { file: path.to_owned(), source })?;
        let header = GgufHeader::from_bytes(file.bytes());
        let header = header.map_err(|source| GgufError::Format { file: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = &GgufTensor> {
        self.header.tensors()
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.header.tensor(name)
    }

    /// The whole file; places of tensors count from its beginning.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// What the header says.
    #[must_use]
    pub fn header(&self) -> &GgufHeader {
        &self.header
    }

    pub(crate) fn into_file(self) -> MappedFile {
        self.file
    }
}

#[cfg(test)]
pub(crate) mod tests;
