//! Writes GGUF files, version 3: metadata, a table of tensors, and the tensors' bytes at multiples of 32.
//!
//! Tensors come one after another from whoever makes them, piece by piece, so no more of a model is in memory than one
//! piece. A file appears under its name only when it is whole and on the disk; until then, and after a failure, the
//! folder has at most a file whose name ends in `.partial`.

mod encoding;
mod error;
mod metadata;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use neuro_primitives::TensorType;

pub use crate::gguf_writer::error::GgufWriteError;
pub use crate::gguf_writer::metadata::{MetadataType, MetadataValue};

/// Tensors begin at multiples of this many bytes: the format's default, so no key has to say so.
pub const ALIGNMENT: u64 = 32;

/// The most dimensions of a tensor in this format.
pub const MAX_DIMENSIONS: usize = 4;

/// The longest name of a tensor: other readers have 64 bytes for it, the last of which is a zero.
pub const MAX_NAME: usize = 63;

/// A tensor that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// How its elements are encoded.
    pub tensor_type: TensorType,
    /// The slowest dimension first, as everywhere here; the file has them the other way round.
    pub shape: Vec<usize>,
}

impl TensorEntry {
    /// The bytes of its elements.
    ///
    /// # Errors
    /// When no block of its type divides its rows, or the number exceeds 64 bits.
    pub fn bytes(&self) -> Result<u64, GgufWriteError> {
        let columns = self.shape.last().copied().unwrap_or(1) as u64;
        let rows = self.shape.iter().rev().skip(1).try_fold(1_u64, |rows, &size| rows.checked_mul(size as u64));
        let bytes = rows.and_then(|rows| self.tensor_type.bytes_of(columns)?.checked_mul(rows));
        bytes.ok_or_else(|| GgufWriteError::Shape {
            name: self.name.clone(),
            tensor_type: self.tensor_type,
            shape: self.shape.clone(),
        })
    }
}

/// All of a file but the elements.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileHeader {
    /// Keys with values, in the order in which they are written.
    pub metadata: Vec<(String, MetadataValue)>,
    /// The tensors, in the order in which their bytes lie.
    pub tensors: Vec<TensorEntry>,
}

impl FileHeader {
    /// The bytes of the whole file.
    ///
    /// # Errors
    /// As [`write()`], for what can be known without the elements.
    pub fn file_bytes(&self) -> Result<u64, GgufWriteError> {
        let header = encoding::header(self)?.len() as u64;
        self.tensors.iter().try_fold(header, |sum, tensor| Ok(sum + tensor.bytes()?.next_multiple_of(ALIGNMENT)))
    }
}

/// Takes the bytes of one tensor.
#[derive(Debug)]
pub struct TensorSink<'a> {
    partial: &'a mut Partial,
    name: &'a str,
    expected: u64,
    got: u64,
}

impl TensorSink<'_> {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// When the disk refuses them, or the tensor has no room for them.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), GgufWriteError> {
        self.got += bytes.len() as u64;
        if self.got > self.expected {
            return Err(self.wrong_length());
        }
        self.partial.put(bytes)
    }

    fn finish(self) -> Result<(), GgufWriteError> {
        if self.got != self.expected {
            return Err(self.wrong_length());
        }
        let padding = self.expected.next_multiple_of(ALIGNMENT) - self.expected;
        self.partial.put(&[0; ALIGNMENT as usize][..padding as usize])
    }

    fn wrong_length(&self) -> GgufWriteError {
        GgufWriteError::Data { name: self.name.to_owned(), expected: self.expected, got: self.got }
    }
}

/// Writes a file at `path`, over one that may be there. `elements` is asked for each tensor of `header`, in order, and
/// puts all of its bytes into the sink.
///
/// # Errors
/// A header that the format cannot hold, an error of the disk, a tensor of too few or too many bytes, and whatever
/// `elements` reports. Nothing is left behind then.
pub fn write<E: From<GgufWriteError>>(
    path: &Path,
    header: &FileHeader,
    mut elements: impl FnMut(&TensorEntry, &mut TensorSink<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let bytes = encoding::header(header)?;
    let mut partial = Partial::create(path)?;
    partial.put(&bytes)?;
    for tensor in &header.tensors {
        let expected = tensor.bytes()?;
        let mut sink = TensorSink { partial: &mut partial, name: &tensor.name, expected, got: 0 };
        elements(tensor, &mut sink)?;
        sink.finish()?;
    }
    Ok(partial.publish()?)
}

/// A file under a temporary name, which is removed unless the file is published.
#[derive(Debug)]
struct Partial {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    published: bool,
}

impl Partial {
    fn create(path: &Path) -> Result<Self, GgufWriteError> {
        let mut temporary = path.to_owned().into_os_string();
        temporary.push(format!(".{}.partial", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(|source| GgufWriteError::Io { path: temporary.clone(), source })?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), temporary, path: path.to_owned(), published: false })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), GgufWriteError> {
        self.file.write_all(bytes).map_err(|source| GgufWriteError::Io { path: self.temporary.clone(), source })
    }

    /// The bytes are on the disk before the name is: a crash leaves the old file or the new one.
    fn publish(&mut self) -> Result<(), GgufWriteError> {
        let done = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let done = done.and_then(|()| fs::rename(&self.temporary, &self.path));
        done.map_err(|source| GgufWriteError::Io { path: self.path.clone(), source })?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: the error that led here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests;
