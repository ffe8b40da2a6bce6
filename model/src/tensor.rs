//! A stored tensor, and its values as f32.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// How a tensor's values are stored; little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    BF16,
}

impl StoredType {
    /// Bytes per value.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The type that a safetensors header calls `name`, if weights may have it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::BF16),
            _ => None,
        }
    }
}

/// A tensor where it lies: the bytes are in the mapped file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorData<'a> {
    /// Its name on disk.
    pub name: &'a str,
    /// How its values are stored.
    pub tensor_type: StoredType,
    /// The slowest dimension first.
    pub shape: Vec<usize>,
    /// The values, little-endian; their number is the product of `shape`.
    pub bytes: &'a [u8],
}

/// A weight that is not a number, or infinite. One is enough to make every answer of the model nonsense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("tensor {name:?} has the value {value} at index {index}, expected finite numbers")]
pub struct NonFinite {
    /// The tensor.
    pub name: String,
    /// Index of the first such value, counted through the whole tensor.
    pub index: usize,
    /// The value.
    pub value: f32,
}

impl NonFinite {
    /// Never: the bytes are what they are.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl TensorData<'_> {
    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.len() / self.tensor_type.width()
    }

    /// The values as f32, exactly, in storage order. The result is the only memory that this takes: the stored bytes
    /// are read in place.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        match self.tensor_type {
            StoredType::F32 => self.values(f32::from_le_bytes),
            StoredType::BF16 => {
                self.values(|bytes: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
            }
            StoredType::F16 => f16_values(self.bytes),
        }
    }

    /// As [`Self::to_f32`], and every value is a finite number.
    ///
    /// # Errors
    ///
    /// The first value that is not.
    pub fn finite_f32(&self) -> Result<Vec<f32>, NonFinite> {
        let values = self.to_f32();
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(NonFinite { name: self.name.to_owned(), index, value: values[index] }),
            None => Ok(values),
        }
    }

    fn values<const WIDTH: usize>(&self, value: impl Fn([u8; WIDTH]) -> f32) -> Vec<f32> {
        self.bytes.as_chunks::<WIDTH>().0.iter().map(|bytes| value(*bytes)).collect()
    }
}

/// Halves are converted a block at a time, which the processor does in one instruction per few values.
fn f16_values(bytes: &[u8]) -> Vec<f32> {
    let halves = bytes.as_chunks::<2>().0;
    let mut values = vec![0.0; halves.len()];
    let mut block = [f16::ZERO; BLOCK];
    for (source, target) in halves.chunks(BLOCK).zip(values.chunks_mut(BLOCK)) {
        let block = &mut block[..source.len()];
        block.iter_mut().zip(source).for_each(|(half, bytes)| *half = f16::from_le_bytes(*bytes));
        block.convert_to_f32_slice(target);
    }
    values
}

/// Halves per block: 2 KiB, which stays in the first-level cache.
const BLOCK: usize = 1024;

#[cfg(test)]
mod tests;
