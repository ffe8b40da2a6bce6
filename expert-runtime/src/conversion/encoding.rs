//! From the rows of one type to the rows of another.

use std::borrow::Cow;

use neuro_model::gguf_export::RowOrder;
use neuro_model::{TensorData, TensorType};
use rayon::prelude::*;

use crate::blocks::{self, BlockError};

/// Elements that a thread converts at once: a whole number of blocks of every type, and 256 KiB of f32.
const CHUNK: usize = 1 << 16;

/// Elements of a piece, before it is rounded to whole rows: 16 MiB of f32, enough for every thread.
const PIECE: usize = 1 << 22;

/// The rows of a tensor in the order wanted, some at a time.
pub(super) fn pieces<'a>(tensor: &'a TensorData<'_>, order: RowOrder) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let rows = match (order, tensor.shape.as_slice()) {
        (RowOrder::AsStored, [_]) => 1,
        (_, shape) => shape.first().copied().unwrap_or(1).max(1),
    };
    let row = tensor.bytes.len() / rows;
    let each = (PIECE / (tensor.count() / rows).max(1)).max(1);
    (0..rows).step_by(each).map(move |first| {
        let last = (first + each).min(rows);
        match order {
            RowOrder::AsStored => Cow::Borrowed(&tensor.bytes[first * row..last * row]),
            RowOrder::Interleaved { .. } => {
                let row_at = |at: usize| &tensor.bytes[order.source(at, rows) * row..][..row];
                Cow::Owned((first..last).flat_map(row_at).copied().collect())
            }
        }
    })
}

/// Whole rows of `from` as rows of `to`.
pub(super) fn convert<'a>(from: TensorType, bytes: &'a [u8], to: TensorType) -> Result<Cow<'a, [u8]>, BlockError> {
    if from == to && !from.is_float() {
        return Ok(Cow::Borrowed(bytes));
    }
    let chunk_bytes = CHUNK / from.block_elements() * from.block_bytes();
    let one = |chunk: &[u8]| blocks::quantise(to, &blocks::to_f32(from, chunk)?);
    let parts: Vec<Result<Vec<u8>, BlockError>> = bytes.par_chunks(chunk_bytes).map(one).collect();
    let mut all = Vec::with_capacity(bytes.len() / from.block_bytes() * to.block_bytes());
    for (number, part) in parts.into_iter().enumerate() {
        all.extend(part.map_err(|error| moved(error, number * CHUNK))?);
    }
    Ok(Cow::Owned(all))
}

/// The index of an element counts from the beginning of the piece.
fn moved(error: BlockError, by: usize) -> BlockError {
    match error {
        BlockError::NotFinite { index, value } => BlockError::NotFinite { index: index + by, value },
        BlockError::TooLarge { tensor_type, index, value, limit } => {
            BlockError::TooLarge { tensor_type, index: index + by, value, limit }
        }
        other => other,
    }
}
