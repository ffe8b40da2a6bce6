//! One safetensors file: 8 bytes of header length, a JSON header, then the tensors' bytes.
//!
//! The format is <https://github.com/huggingface/safetensors>. The header is parsed here and not by that library,
//! for errors that name the tensor and say what was expected. The rules are the same: the tensors lie side by side
//! from the first byte after the header to the last byte of the file, without holes and without overlap.

mod header;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use neuro_primitives::TensorType;

use crate::mapped_file::MappedFile;

pub use crate::tensor_file::header::HeaderError;

/// The greatest header, in bytes: the limit that writers of the format keep to. A model of 20,000 tensors has 3 MB.
pub const MAX_HEADER_BYTES: usize = 100_000_000;

/// Where a tensor lies and what it is, as the header says. Not yet compared with any configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of the value type, as it came: `BF16`, `I64`…
    pub type_name: String,
    /// The slowest dimension first.
    pub shape: Vec<usize>,
    /// Its bytes in the file, counted from the file's beginning. Inside the file.
    pub place: Range<usize>,
}

impl Entry {
    /// The type, if weights may have it.
    #[must_use]
    pub fn stored_type(&self) -> Option<TensorType> {
        stored_type(&self.type_name)
    }
}

/// The type that a safetensors header calls `name`, if weights may have it.
pub(crate) fn stored_type(name: &str) -> Option<TensorType> {
    match name {
        "F32" => Some(TensorType::F32),
        "F16" => Some(TensorType::F16),
        "BF16" => Some(TensorType::BF16),
        _ => None,
    }
}

/// What a safetensors header calls single bytes; packed weights are stored as them.
pub(crate) const BYTES: &str = "U8";

/// Bytes of an element of the types that are read here.
pub(crate) fn element_bytes(name: &str) -> Option<usize> {
    if name == BYTES { Some(1) } else { stored_type(name).map(TensorType::block_bytes) }
}

/// The tensors of a file by name. Every place is inside the bytes that the table was read from, and for types that
/// are read here it has exactly the length that the shape asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TensorTable {
    entries: BTreeMap<String, Entry>,
}

impl TensorTable {
    /// Reads the table of a whole file.
    ///
    /// # Errors
    ///
    /// Anything that the format does not allow; see [`HeaderError`].
    pub fn from_bytes(file: &[u8]) -> Result<Self, HeaderError> {
        Ok(Self { entries: header::entries(file)? })
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    pub(crate) fn into_entries(self) -> BTreeMap<String, Entry> {
        self.entries
    }
}

/// Why a file could not be opened as safetensors.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not what the format asks for.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Maps a file and reads its table.
///
/// # Errors
///
/// Those of the file and those of its header.
pub fn open(path: &Path) -> Result<(MappedFile, TensorTable), TensorFileError> {
    let file = MappedFile::open(path)?;
    let table = TensorTable::from_bytes(file.bytes())?;
    Ok((file, table))
}

#[cfg(test)]
mod tests;
