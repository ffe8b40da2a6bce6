//! What can be wrong with a model.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::gguf::GgufError;
use crate::mapped_file;
use crate::tensor_file::HeaderError;

/// A folder or file that cannot be used as a model.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that every checkpoint has is not there.
    #[error("{}: no {file}; expected a Hugging Face model folder or a .gguf file", dir.display())]
    NoFile {
        /// The folder.
        dir: PathBuf,
        /// The file's name.
        file: &'static str,
    },
    /// A small file above its limit.
    #[error("{}: longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// `config.json` or `generation_config.json`.
    #[error("{}: {source}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// Neither `model.safetensors` nor an index of several files.
    #[error("{}: no weights; expected model.safetensors or model.safetensors.index.json", dir.display())]
    NoWeights {
        /// The folder.
        dir: PathBuf,
    },
    /// The index is not the JSON that it should be.
    #[error("{}: {source}", file.display())]
    Index {
        /// The index.
        file: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The index names a file that is not simply a file in the folder.
    #[error("{}: tensor {tensor:?} is said to be in {named:?}; expected the name of a file in the same folder", file.display())]
    OutsideFolder {
        /// The index.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The file's name as the index has it.
        named: String,
    },
    /// The index names more files than any model has.
    #[error("{}: names {got} files, expected at most {limit}", file.display())]
    TooManyFiles {
        /// The index.
        file: PathBuf,
        /// How many.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// A safetensors file that is not one.
    #[error("{}: {source}", file.display())]
    Header {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: HeaderError,
    },
    /// The index says that a tensor is in a file, and it is not.
    #[error("{}: tensor {tensor:?} is not in it, although the index says so", file.display())]
    NotInFile {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// Two files hold a tensor of the same name, and no index says which one counts.
    #[error("tensor {tensor:?} is both in {} and in {}", first.display(), second.display())]
    Twice {
        /// The tensor.
        tensor: String,
        /// A file that holds it.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// A tensor that the architecture needs is in no file.
    #[error("tensor {tensor:?} is missing; a {architecture} model with this config.json needs it")]
    Missing {
        /// The tensor.
        tensor: String,
        /// The family of models.
        architecture: &'static str,
    },
    /// A tensor that the architecture does not have.
    #[error("{}: tensor {tensor:?} is unknown; a {architecture} model with this config.json has no such tensor", file.display())]
    Unexpected {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// The family of models.
        architecture: &'static str,
    },
    /// A value type that weights cannot have here.
    #[error("{}: tensor {tensor:?} has type {got}, expected {expected}", file.display())]
    WrongType {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What it may have.
        expected: &'static str,
        /// Its type.
        got: String,
    },
    /// A GGUF file, or one part of several.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Rows that do not end with a block.
    #[error("tensor {tensor:?} would have rows of {columns} elements, expected a multiple of {block}")]
    PartialBlock {
        /// The tensor.
        tensor: String,
        /// Elements of a row, as the configuration has it.
        columns: usize,
        /// Elements of a block.
        block: usize,
    },
    /// Configuration and tensor disagree.
    #[error("{}: tensor {tensor:?} has shape {got:?}, but config.json asks for {expected:?}", file.display())]
    WrongShape {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What the file has.
        got: Vec<usize>,
    },
}

impl CheckpointError {
    /// Whether opening the same model again may succeed: only where the system was at fault, not the files.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io { source, .. } => mapped_file::is_retryable(source),
            Self::Gguf(source) => source.is_retryable(),
            _ => false,
        }
    }
}
