//! Safetensors files to vectors, and vectors to files.

use super::{Flat, Layout, Slot};
use crate::error::LayoutError;
use half::{bf16, f16};
use neuro_model::TensorType;
use neuro_model::tensor_file::{Entry, TensorTable};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

impl Layout {
    /// The layout's part of a model: tensors of f32, f16 or bf16 under their names, widened to f32.
    ///
    /// # Errors
    /// A file that is not safetensors, a missing tensor, another shape, another type.
    pub fn read_model(&self, file: &[u8]) -> Result<Flat, LayoutError> {
        let table = TensorTable::from_bytes(file)?;
        let mut out = Vec::with_capacity(self.entries);
        for slot in &self.slots {
            let entry = found(&table, &slot.tensor)?;
            check_model_shape(slot, entry)?;
            let tensor_type = entry.stored_type().ok_or_else(|| wrong_type(&slot.tensor, entry))?;
            widen(tensor_type, &file[bytes_of(slot, entry)], &mut out);
        }
        Ok(Flat(out))
    }

    /// A file that [`Self::write`] or a trainer wrote: exactly the layout's parts, f32, by the parts' names.
    ///
    /// # Errors
    /// A file that is not safetensors; a missing, an extra or a misshapen tensor; another type than f32; a number that
    /// is not finite, with its tensor and place.
    pub fn read(&self, file: &[u8]) -> Result<Flat, LayoutError> {
        let table = TensorTable::from_bytes(file)?;
        self.check_no_others(&table)?;
        let mut out = Vec::with_capacity(self.entries);
        for slot in &self.slots {
            let name = slot.name();
            let entry = found(&table, &name)?;
            check_shape(&name, &slot.shape, &entry.shape)?;
            if entry.stored_type() != Some(TensorType::F32) {
                return Err(wrong_type(&name, entry));
            }
            let start = out.len();
            widen(TensorType::F32, &file[entry.place.clone()], &mut out);
            if let Some(index) = out[start..].iter().position(|value| !value.is_finite()) {
                return Err(LayoutError::NotFinite { tensor: name, index, got: out[start + index] });
            }
        }
        Ok(Flat(out))
    }

    /// The vector as a safetensors file, f32, one tensor for each part.
    ///
    /// # Errors
    /// A vector of another length.
    pub fn write(&self, flat: &Flat) -> Result<Vec<u8>, LayoutError> {
        self.check_length(flat.0.len())?;
        let bytes = little_endian(&flat.0);
        let parts = self.slots.iter().map(|slot| {
            let place = slot.place();
            Ok((slot.name(), view(Dtype::F32, &slot.shape, &bytes[4 * place.start..4 * place.end])?))
        });
        serialize(parts.collect::<Result<_, LayoutError>>()?)
    }

    /// A model like the one in `file`, in which the layout's parts have the vector's values in the types that the
    /// tensors have there. Everything else keeps its bits.
    ///
    /// # Errors
    /// Those of [`Self::read_model`], a vector of another length, or a tensor of a type that cannot be written.
    pub fn replace(&self, file: &[u8], flat: &Flat) -> Result<Vec<u8>, LayoutError> {
        self.check_length(flat.0.len())?;
        let table = TensorTable::from_bytes(file)?;
        let mut changed = file.to_vec();
        for slot in &self.slots {
            let entry = found(&table, &slot.tensor)?;
            check_model_shape(slot, entry)?;
            let tensor_type = entry.stored_type().ok_or_else(|| wrong_type(&slot.tensor, entry))?;
            changed[bytes_of(slot, entry)].copy_from_slice(&narrow(tensor_type, &flat.0[slot.place()]));
        }
        Ok(changed)
    }

    /// An update holds exactly the layout's parts.
    fn check_no_others(&self, table: &TensorTable) -> Result<(), LayoutError> {
        let names: HashSet<String> = self.slots.iter().map(Slot::name).collect();
        match table.iter().find(|(name, _)| !names.contains(*name)) {
            Some((name, _)) => Err(LayoutError::Extra { tensor: name.to_owned() }),
            None => Ok(()),
        }
    }
}

fn found<'a>(table: &'a TensorTable, name: &str) -> Result<&'a Entry, LayoutError> {
    table.get(name).ok_or_else(|| LayoutError::Missing { tensor: name.to_owned() })
}

fn wrong_type(name: &str, entry: &Entry) -> LayoutError {
    LayoutError::Type { tensor: name.to_owned(), got: entry.type_name.clone() }
}

fn check_shape(name: &str, expected: &[usize], got: &[usize]) -> Result<(), LayoutError> {
    if expected == got {
        return Ok(());
    }
    Err(LayoutError::Shape { tensor: name.to_owned(), expected: expected.to_vec(), got: got.to_vec() })
}

/// The tensor in a model may have more rows than the part; the other dimensions agree.
fn check_model_shape(slot: &Slot, entry: &Entry) -> Result<(), LayoutError> {
    let fits = match &slot.rows {
        None => entry.shape == slot.shape,
        Some(rows) => {
            entry.shape.get(1..) == slot.shape.get(1..) && entry.shape.first().is_some_and(|&held| rows.end <= held)
        }
    };
    if fits { Ok(()) } else { check_shape(&slot.tensor, &slot.shape, &entry.shape) }
}

/// Where the part's bytes lie in a file in which the whole tensor is `entry`.
fn bytes_of(slot: &Slot, entry: &Entry) -> Range<usize> {
    let Some(rows) = &slot.rows else { return entry.place.clone() };
    let row_bytes = entry.place.len() / entry.shape.first().copied().unwrap_or(1).max(1);
    entry.place.start + rows.start * row_bytes..entry.place.start + rows.end * row_bytes
}

/// Appends the elements in `bytes` (little-endian) as f32. Types that are no single floats do not come here: the
/// reader of safetensors gives f32, f16 and bf16 alone.
fn widen(tensor_type: TensorType, bytes: &[u8], out: &mut Vec<f32>) {
    match tensor_type {
        TensorType::F32 => out.extend(bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk))),
        TensorType::F16 => out.extend(bytes.as_chunks().0.iter().map(|&chunk| f16::from_le_bytes(chunk).to_f32())),
        _ => out.extend(bytes.as_chunks().0.iter().map(|&chunk| bf16::from_le_bytes(chunk).to_f32())),
    }
}

/// The inverse of [`widen`], rounding to nearest.
fn narrow(tensor_type: TensorType, values: &[f32]) -> Vec<u8> {
    match tensor_type {
        TensorType::F32 => little_endian(values),
        TensorType::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
    }
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn view<'a>(dtype: Dtype, shape: &[usize], bytes: &'a [u8]) -> Result<TensorView<'a>, LayoutError> {
    TensorView::new(dtype, shape.to_vec(), bytes).map_err(|error| LayoutError::Write { why: error.to_string() })
}

fn serialize(parts: Vec<(String, TensorView<'_>)>) -> Result<Vec<u8>, LayoutError> {
    let no_metadata: Option<HashMap<String, String>> = None;
    safetensors::serialize(parts, no_metadata).map_err(|error| LayoutError::Write { why: error.to_string() })
}
