//! A model in parts: the trunk first, then whole layers of experts.
//!
//! Other programs load the parts as one model (`NAME-00001-of-00003.gguf`, metadata in the first). Whoever holds only
//! some layers' experts needs the first part and theirs.

use std::ops::Range;
use std::path::Path;

use neuro_model::gguf_names;
use neuro_model::gguf_writer::MetadataValue;

use crate::conversion::{Conversion, ConversionError, PlannedTensor};

/// How many parts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitRule {
    /// This many: one with the trunk, the others with about the same number of bytes of experts each. A single part
    /// has everything.
    Parts(usize),
    /// As few as have no more bytes of tensors each, but for a layer of experts or a tensor that alone has more.
    MaxBytes(u64),
}

/// All experts of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpertRange {
    /// The layer.
    pub layer: u16,
    /// Its experts that the part holds.
    pub experts: Range<usize>,
}

/// A part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file's name in the folder.
    pub file: String,
    /// The tensors in it.
    pub tensors: Vec<String>,
    /// The experts in it, by layer.
    pub experts: Vec<ExpertRange>,
}

impl Conversion<'_> {
    /// Writes the parts into `folder`, which exists, with names that begin with `name`.
    ///
    /// # Errors
    /// As [`Conversion::write`]; and a number of parts that is zero or more than there are layers for. Parts that were
    /// whole before an error stay.
    pub fn write_split(
        &self,
        folder: &Path,
        name: &str,
        rule: SplitRule,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<Part>, ConversionError> {
        let parts = parts(&self.tensors, rule)?;
        let mut written = Vec::new();
        for (number, tensors) in parts.iter().enumerate() {
            let file = format!("{name}-{:05}-of-{:05}.gguf", number + 1, parts.len());
            let metadata = self.part_metadata(number, parts.len());
            self.write_some(&folder.join(&file), metadata, tensors, progress)?;
            written.push(part(file, tensors));
        }
        Ok(written)
    }

    /// The first part says everything, the others only which they are. Number types are those that readers expect.
    fn part_metadata(&self, number: usize, count: usize) -> Vec<(String, MetadataValue)> {
        let short = |number: usize| MetadataValue::U16(u16::try_from(number).unwrap_or(u16::MAX));
        let mut metadata = if number == 0 { self.metadata.clone() } else { Vec::new() };
        metadata.push(("split.no".to_owned(), short(number)));
        metadata.push(("split.count".to_owned(), short(count)));
        let tensors = i32::try_from(self.tensors.len()).unwrap_or(i32::MAX);
        metadata.push(("split.tensors.count".to_owned(), MetadataValue::I32(tensors)));
        metadata
    }
}

fn part(file: String, tensors: &[PlannedTensor]) -> Part {
    let mut experts: Vec<ExpertRange> = Vec::new();
    for tensor in tensors.iter().filter(|tensor| gguf_names::is_stacked(&tensor.export.name)) {
        let layer = gguf_names::layer_of(&tensor.export.name).unwrap_or(0);
        if experts.last().is_none_or(|last| last.layer != layer) {
            experts.push(ExpertRange { layer, experts: 0..tensor.export.sources.len() });
        }
    }
    Part { file, tensors: tensors.iter().map(|tensor| tensor.export.name.clone()).collect(), experts }
}

/// What is not cut: a tensor of the trunk, or all stacked tensors of a layer.
struct Unit {
    tensors: Vec<PlannedTensor>,
    bytes: u64,
}

fn parts(tensors: &[PlannedTensor], rule: SplitRule) -> Result<Vec<Vec<PlannedTensor>>, ConversionError> {
    let (stacked, trunk): (Vec<_>, Vec<_>) =
        tensors.iter().cloned().partition(|tensor| gguf_names::is_stacked(&tensor.export.name));
    let trunk = trunk.into_iter().map(|tensor| unit(vec![tensor])).collect::<Result<Vec<_>, _>>()?;
    let of_layer = |tensor: &PlannedTensor| gguf_names::layer_of(&tensor.export.name);
    let layers = stacked.chunk_by(|a, b| of_layer(a) == of_layer(b));
    let layers = layers.map(|layer| unit(layer.to_vec())).collect::<Result<Vec<_>, _>>()?;
    match rule {
        SplitRule::Parts(count) if count == 0 || count > layers.len() + 1 => {
            Err(ConversionError::Parts { got: count, most: layers.len() + 1 })
        }
        SplitRule::Parts(1) => Ok(vec![joined(trunk.into_iter().chain(layers))]),
        SplitRule::Parts(count) => Ok([vec![joined(trunk)], balanced(layers, count - 1)].concat()),
        SplitRule::MaxBytes(limit) => Ok([filled(trunk, limit), filled(layers, limit)].concat()),
    }
}

fn unit(tensors: Vec<PlannedTensor>) -> Result<Unit, ConversionError> {
    let bytes = tensors.iter().map(PlannedTensor::bytes).sum::<Result<u64, _>>()?;
    Ok(Unit { tensors, bytes })
}

fn joined(units: impl IntoIterator<Item = Unit>) -> Vec<PlannedTensor> {
    units.into_iter().flat_map(|unit| unit.tensors).collect()
}

/// As many parts as asked for, none empty: each takes units up to its share of what is left.
fn balanced(units: Vec<Unit>, count: usize) -> Vec<Vec<PlannedTensor>> {
    let mut left: u64 = units.iter().map(|unit| unit.bytes).sum();
    let mut units = units.into_iter().peekable();
    let mut parts = Vec::new();
    for remaining in (1..=count).rev() {
        let share = left / remaining as u64;
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(next) = units.peek().map(|unit| unit.bytes) {
            // The later parts need a unit each; the last takes whatever is left.
            let enough = units.len() < remaining || bytes + next / 2 > share;
            if !part.is_empty() && remaining > 1 && enough {
                break;
            }
            bytes += next;
            part.extend(units.next());
        }
        left -= bytes;
        parts.push(joined(part));
    }
    parts
}

/// A new part begins where the next unit would make the old one too large.
fn filled(units: Vec<Unit>, limit: u64) -> Vec<Vec<PlannedTensor>> {
    let mut parts: Vec<(u64, Vec<PlannedTensor>)> = Vec::new();
    for unit in units {
        match parts.last_mut().filter(|(bytes, _)| bytes + unit.bytes <= limit) {
            Some((bytes, part)) => {
                *bytes += unit.bytes;
                part.extend(unit.tensors);
            }
            None => parts.push((unit.bytes, unit.tensors)),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}
