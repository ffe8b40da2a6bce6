//! A checkpoint written as GGUF: in one file or in parts, in whatever types are wanted.
//!
//! A plan says which tensors the file has and of what type each is; writing takes them one after another, a few
//! megabytes at a time, and quantises on all threads of the pool.
//!
//! A type that does not divide a tensor's rows gives way to one that does ([`PlannedTensor::fell_back`]). Norms, biases
//! and routers stay f32.

mod encoding;
mod error;
mod pattern;
mod split;

use std::path::Path;

use neuro_model::gguf_export::{self, ExportTensor};
use neuro_model::gguf_writer::{self, FileHeader, MetadataValue, TensorEntry, TensorSink};
use neuro_model::{Checkpoint, TensorType};

pub use crate::conversion::error::ConversionError;
pub use crate::conversion::pattern::{Override, OverrideError};
pub use crate::conversion::split::{ExpertRange, Part, SplitRule};

/// The types that tensors are to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeChoice {
    /// The type of every tensor that nothing else is said of; `None` leaves each as it is stored.
    pub tensor_type: Option<TensorType>,
    /// Types of the tensors whose names match; the first match counts.
    pub overrides: Vec<Override>,
}

/// A tensor of the file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTensor {
    /// What it is made of.
    pub export: ExportTensor,
    /// The type that it will have.
    pub tensor_type: TensorType,
    /// The type that was asked for.
    pub wanted: TensorType,
    /// Bytes of its sources as they are stored.
    pub source_bytes: u64,
}

impl PlannedTensor {
    /// Whether its rows are not whole blocks of the type that was asked for.
    #[must_use]
    pub fn fell_back(&self) -> bool {
        self.tensor_type != self.wanted
    }

    fn entry(&self) -> TensorEntry {
        TensorEntry { name: self.export.name.clone(), tensor_type: self.tensor_type, shape: self.export.shape.clone() }
    }

    /// The bytes that it will have.
    ///
    /// # Errors
    /// Never for a planned tensor: its type divides its rows.
    pub fn bytes(&self) -> Result<u64, ConversionError> {
        Ok(self.entry().bytes()?)
    }
}

/// What a file will be.
#[derive(Debug)]
pub struct Conversion<'a> {
    checkpoint: &'a Checkpoint,
    metadata: Vec<(String, MetadataValue)>,
    tensors: Vec<PlannedTensor>,
}

impl<'a> Conversion<'a> {
    /// Plans the file of `checkpoint` with the types of `choice`.
    ///
    /// # Errors
    /// A checkpoint that the format has no words for.
    pub fn plan(checkpoint: &'a Checkpoint, choice: &TypeChoice) -> Result<Self, ConversionError> {
        let exports = gguf_export::tensors(checkpoint)?;
        let tensors: Vec<_> =
            exports.into_iter().map(|export| planned(checkpoint, choice, export)).collect::<Result<_, _>>()?;
        let metadata = gguf_export::metadata(checkpoint, choice.tensor_type.unwrap_or(commonest(&tensors)))?;
        Ok(Self { checkpoint, metadata, tensors })
    }

    /// The tensors in the order in which they are written.
    #[must_use]
    pub fn tensors(&self) -> &[PlannedTensor] {
        &self.tensors
    }

    /// Bytes of all sources as they are stored.
    #[must_use]
    pub fn source_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.source_bytes).sum()
    }

    /// Writes one file with everything. `progress` is told how many bytes of the sources were taken, again and again.
    ///
    /// # Errors
    /// An error of the disk, and a weight that is not finite or too large for its type. Nothing is left behind then.
    pub fn write(&self, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), ConversionError> {
        self.write_some(path, self.metadata.clone(), &self.tensors, progress)
    }

    fn write_some(
        &self,
        path: &Path,
        metadata: Vec<(String, MetadataValue)>,
        tensors: &[PlannedTensor],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ConversionError> {
        let header = FileHeader { metadata, tensors: tensors.iter().map(PlannedTensor::entry).collect() };
        let mut tensors = tensors.iter();
        gguf_writer::write(path, &header, |_, sink| match tensors.next() {
            Some(tensor) => self.put(tensor, sink, progress),
            None => Ok(()),
        })
    }

    fn put(
        &self,
        tensor: &PlannedTensor,
        sink: &mut TensorSink<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ConversionError> {
        for name in &tensor.export.sources {
            let source = self.checkpoint.tensor(name)?;
            for piece in encoding::pieces(&source, tensor.export.rows) {
                let bytes = encoding::convert(source.tensor_type, &piece, tensor.tensor_type);
                sink.put(&bytes.map_err(|source| ConversionError::Elements { name: name.clone(), source })?)?;
                progress(piece.len() as u64);
            }
        }
        Ok(())
    }
}

fn planned(
    checkpoint: &Checkpoint,
    choice: &TypeChoice,
    export: ExportTensor,
) -> Result<PlannedTensor, ConversionError> {
    let sources = export.sources.iter().map(|name| checkpoint.tensor(name)).collect::<Result<Vec<_>, _>>()?;
    let stored = sources.first().map_or(TensorType::F32, |source| source.tensor_type);
    let named = choice.overrides.iter().find(|named| named.matches(&export.name)).map(|named| named.tensor_type);
    let wanted = if export.keep_f32 { TensorType::F32 } else { named.or(choice.tensor_type).unwrap_or(stored) };
    let source_bytes = sources.iter().map(|source| source.bytes.len() as u64).sum();
    let tensor_type = fitting(wanted, export.shape.last().copied().unwrap_or(1));
    Ok(PlannedTensor { tensor_type, wanted, source_bytes, export })
}

/// `wanted`, or the next best type whose blocks divide `columns`.
fn fitting(wanted: TensorType, columns: usize) -> TensorType {
    let fits = |tensor_type: &TensorType| columns.is_multiple_of(tensor_type.block_elements());
    [wanted, TensorType::Q8_0].into_iter().find(fits).unwrap_or(TensorType::F16)
}

/// The type of most bytes' sources, which a file's name and metadata mention.
fn commonest(tensors: &[PlannedTensor]) -> TensorType {
    let bytes = |of: TensorType| -> u64 {
        tensors.iter().filter(|tensor| tensor.tensor_type == of).map(|tensor| tensor.source_bytes).sum()
    };
    TensorType::ALL.into_iter().max_by_key(|tensor_type| bytes(*tensor_type)).unwrap_or(TensorType::F32)
}

#[cfg(test)]
mod tests;
