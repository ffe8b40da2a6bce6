//! A model's tensors as f32, by name.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use neuro_model::{Checkpoint, TensorData, TensorType};
use safetensors::{Dtype, serialize, tensor::TensorView};

use crate::error::ModelError;

/// A tensor of one or two dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// `[out, in]`, or `[width]`.
    pub shape: Vec<usize>,
    /// The elements, row after row.
    pub values: Vec<f32>,
}

/// All tensors of a model, in ascending order of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(BTreeMap<String, Matrix>);

impl Matrix {
    /// How many rows there are; a vector is one row.
    #[must_use]
    pub fn rows(&self) -> usize {
        if self.shape.len() < 2 { 1 } else { self.shape[0] }
    }

    /// Elements of one row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or_default()
    }
}

impl Weights {
    /// Reads every tensor of `checkpoint`.
    ///
    /// # Errors
    /// A tensor that cannot be read, lies in blocks, or has a value that is not finite.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let mut tensors = BTreeMap::new();
        for name in checkpoint.tensor_names() {
            let tensor = checkpoint.tensor(name)?;
            let values = values(&tensor)?;
            tensors.insert(name.to_owned(), Matrix { shape: tensor.shape.clone(), values });
        }
        Ok(Self(tensors))
    }

    /// Whether [`Self::read`] would take the types of all tensors of `checkpoint`, without reading their values.
    pub(crate) fn check_types(checkpoint: &Checkpoint) -> Result<(), ModelError> {
        checkpoint.tensor_names().try_for_each(|name| float_type(&checkpoint.tensor(name)?).map(drop))
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// `Missing`.
    pub fn get(&self, name: &str) -> Result<&Matrix, ModelError> {
        self.0.get(name).ok_or_else(|| ModelError::Missing { name: name.to_owned() })
    }

    /// The tensor called `name`, to be changed.
    ///
    /// # Errors
    /// `Missing`.
    pub fn get_mut(&mut self, name: &str) -> Result<&mut Matrix, ModelError> {
        self.0.get_mut(name).ok_or_else(|| ModelError::Missing { name: name.to_owned() })
    }

    /// Puts a tensor in, in the place of one with the same name.
    pub fn insert(&mut self, name: String, matrix: Matrix) {
        self.0.insert(name, matrix);
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Matrix> {
        self.0.remove(name)
    }

    /// All tensors, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Matrix)> {
        self.0.iter().map(|(name, matrix)| (name.as_str(), matrix))
    }

    /// Rounds every value to the nearest bf16, as [`Self::write_bf16`] stores it.
    pub fn round_to_bf16(&mut self) {
        let all = self.0.values_mut().flat_map(|matrix| &mut matrix.values);
        all.for_each(|value| *value = bf16::from_f32(*value).to_f32());
    }

    /// Writes the tensors that `keep` says yes to as bf16 safetensors, rounded to nearest.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_bf16(&self, path: &Path, keep: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        let kept = self.iter().filter(|(name, _)| keep(name));
        let bytes: Vec<(&str, &[usize], Vec<u8>)> = kept
            .map(|(name, matrix)| {
                let halves = matrix.values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes());
                (name, matrix.shape.as_slice(), halves.collect())
            })
            .collect();
        let views = bytes
            .iter()
            .map(|(name, shape, bytes)| TensorView::new(Dtype::BF16, shape.to_vec(), bytes).map(|view| (*name, view)));
        let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
        let file = serialize(views.collect::<Result<Vec<_>, _>>()?, Some(metadata))?;
        std::fs::write(path, file).map_err(|source| ModelError::Write { path: path.display().to_string(), source })
    }
}

/// How a tensor's elements are stored, if each is a float of its own.
fn float_type(tensor: &TensorData<'_>) -> Result<TensorType, ModelError> {
    match tensor.tensor_type {
        float @ (TensorType::F32 | TensorType::F16 | TensorType::BF16) => Ok(float),
        other => Err(ModelError::TensorType { name: tensor.name.to_owned(), got: other.to_string() }),
    }
}

/// The elements as f32, which every stored float is exactly.
fn values(tensor: &TensorData<'_>) -> Result<Vec<f32>, ModelError> {
    let values: Vec<f32> = match float_type(tensor)? {
        TensorType::F16 => tensor.bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        TensorType::BF16 => tensor.bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        _ => tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    };
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(ModelError::NotFinite { name: tensor.name.to_owned(), index, got: values[index] }),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests;
