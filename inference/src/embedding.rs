//! The embedding: a row of the vocabulary for every token.
//!
//! The table stays in its stored type and a row is converted when it is looked up: conversion to f32 is exact, and a
//! bfloat16 vocabulary then takes half the memory.

use neuro_expert_runtime::{BlockError, blocks};
use neuro_model::{TensorData, TensorType};
use neuro_primitives::Rows;

/// `[vocab, d_model]` in the checkpoint's type.
pub struct Embedding {
    tensor_type: TensorType,
    d_model: usize,
    vocab_size: usize,
    bytes: Vec<u8>,
}

impl Embedding {
    /// Copies the table (`[vocab, d_model]`) out of the checkpoint.
    ///
    /// # Errors
    /// When a value is not finite.
    pub fn new(table: &TensorData<'_>, vocab_size: usize, d_model: usize) -> Result<Self, BlockError> {
        check_finite(table, d_model)?;
        Ok(Self { tensor_type: table.tensor_type, d_model, vocab_size, bytes: table.bytes.to_vec() })
    }

    /// The rows of `ids`. `[ids, d_model]`, f32. The first id outside the vocabulary is the error.
    ///
    /// # Errors
    /// The id that has no row.
    pub fn rows(&self, ids: &[u32]) -> Result<Rows, u32> {
        let mut values = Vec::with_capacity(ids.len() * self.d_model);
        for &id in ids {
            values.extend(self.row(id).ok_or(id)?);
        }
        Ok(Rows::new(self.d_model, values))
    }

    /// How many tokens have a row.
    #[must_use]
    pub const fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Bytes that the table takes.
    #[must_use]
    pub const fn resident_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn row(&self, id: u32) -> Option<Vec<f32>> {
        let index = usize::try_from(id).ok().filter(|index| *index < self.vocab_size)?;
        let row_bytes = self.bytes.len() / self.vocab_size;
        let bytes = self.bytes.get(index * row_bytes..(index + 1) * row_bytes)?;
        blocks::to_f32(self.tensor_type, bytes).ok()
    }
}

/// Values that are widened at a time to look at them: the f32 copy of a whole vocabulary may take gigabytes.
const CHECKED_VALUES: usize = 1 << 20;

/// Refuses the first element that is not a finite number, counted through the whole table.
fn check_finite(table: &TensorData<'_>, d_model: usize) -> Result<(), BlockError> {
    let tensor_type = table.tensor_type;
    let row_bytes = (d_model / tensor_type.block_elements()).max(1) * tensor_type.block_bytes();
    let rows = (CHECKED_VALUES / d_model.max(1)).max(1);
    for (chunk, bytes) in table.bytes.chunks(rows * row_bytes).enumerate() {
        let in_table = |error| match error {
            BlockError::NotFinite { index, value } => {
                BlockError::NotFinite { index: chunk * rows * d_model + index, value }
            }
            other => other,
        };
        blocks::finite_f32(tensor_type, bytes).map_err(in_table)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_the_ids_and_unknown_ids_are_named() {
        let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let table =
            TensorData { name: "t", tensor_type: TensorType::F32, shape: vec![3, 2], bytes: bytes.as_slice().into() };
        let embedding = Embedding::new(&table, 3, 2).expect("finite values");
        assert_eq!(embedding.rows(&[2, 0, 2]).expect("known ids").values(), [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(embedding.rows(&[0, 3, 9]), Err(3));
        assert_eq!((embedding.vocab_size(), embedding.resident_bytes()), (3, 24));
    }

    #[test]
    fn a_bfloat16_row_is_converted_exactly() {
        // bfloat16 is the upper half of f32: 0x3fc0 is 1.5, 0xc000 is -2
        let bytes = [0, 0, 0, 0, 0xc0, 0x3f, 0x00, 0xc0];
        let table =
            TensorData { name: "t", tensor_type: TensorType::BF16, shape: vec![2, 2], bytes: bytes.as_slice().into() };
        let embedding = Embedding::new(&table, 2, 2).expect("finite values");
        assert_eq!(embedding.rows(&[1]).expect("a known id").values(), [1.5, -2.0]);
    }

    #[test]
    fn a_row_in_blocks_is_widened_when_it_is_looked_up() {
        // Q8_0: the scale as f16 (0x3800 is 0.5), then 32 integers.
        let block = |integer: u8| [vec![0x00, 0x38], vec![integer; 32]].concat();
        let bytes = [block(2), block(6)].concat();
        let shape = vec![2, 32];
        let table = TensorData { name: "t", tensor_type: TensorType::Q8_0, shape, bytes: bytes.as_slice().into() };
        let embedding = Embedding::new(&table, 2, 32).expect("finite values");
        assert_eq!(embedding.rows(&[1, 0]).expect("known ids").values(), [[3.0; 32], [1.0; 32]].concat());
        assert_eq!(embedding.resident_bytes(), 68);
    }

    #[test]
    fn a_value_that_is_no_number_is_named() {
        let bytes: Vec<u8> = [1.0_f32, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        let table =
            TensorData { name: "t", tensor_type: TensorType::F32, shape: vec![1, 2], bytes: bytes.as_slice().into() };
        let error = Embedding::new(&table, 1, 2).err().expect("it must be refused");
        assert!(matches!(error, BlockError::NotFinite { index: 1, .. }), "{error}");
    }

    #[test]
    fn a_large_table_is_looked_through_to_its_last_value() {
        let rows = CHECKED_VALUES / 1024 + 2;
        let mut bytes = vec![0; rows * 1024 * 2];
        // bfloat16's NaN
        bytes[(rows * 1024 - 1) * 2..].copy_from_slice(&[0xc0, 0x7f]);
        let shape = vec![rows, 1024];
        let table = TensorData { name: "t", tensor_type: TensorType::BF16, shape, bytes: bytes.as_slice().into() };
        let error = Embedding::new(&table, rows, 1024).err().expect("it must be refused");
        assert!(matches!(error, BlockError::NotFinite { index, .. } if index == rows * 1024 - 1), "{error}");
    }
}
