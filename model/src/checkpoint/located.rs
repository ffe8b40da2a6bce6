//! Where a tensor lies, and how its bytes become what its name promises.

use std::borrow::Cow;
use std::ops::Range;

use neuro_primitives::TensorType;

use crate::mapped_file::MappedFile;

/// A tensor with the place that it is read from.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) tensor_type: TensorType,
    pub(super) shape: Vec<usize>,
    pub(super) form: Form,
}

/// Bytes of one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) bytes: Range<usize>,
}

/// How the stored bytes relate to the tensor's.
#[derive(Debug)]
pub(super) enum Form {
    /// They are the tensor's.
    Rows(Place),
    /// A matrix of `width` columns, of which every `step`-th from `first` is a row of the tensor.
    Columns { place: Place, width: usize, first: usize, step: usize },
    /// MXFP4 with values and scales apart. Every `step`-th stored row from `first` is a row of the tensor.
    Mxfp4 { values: Place, scales: Place, first: usize, step: usize },
}

impl Place {
    /// Part `index` of `count` equal parts.
    pub(super) fn part(&self, index: usize, count: usize) -> Self {
        let length = self.bytes.len() / count;
        let start = self.bytes.start + index * length;
        Self { file: self.file, bytes: start..start + length }
    }

    fn read<'a>(&self, files: &'a [MappedFile]) -> Option<&'a [u8]> {
        files.get(self.file)?.bytes().get(self.bytes.clone())
    }
}

impl Located {
    /// How many elements the tensor has.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Length of the tensor, which is that of what is stored of it.
    pub(super) fn byte_count(&self) -> usize {
        self.count() / self.tensor_type.block_elements() * self.tensor_type.block_bytes()
    }

    /// The tensor's bytes; `None` where `files` are not those that it was located in.
    pub(super) fn bytes<'a>(&self, files: &'a [MappedFile]) -> Option<Cow<'a, [u8]>> {
        match &self.form {
            Form::Rows(place) => place.read(files).map(Cow::Borrowed),
            Form::Columns { place, width, first, step } => {
                let size = self.tensor_type.block_bytes();
                Some(columns(place.read(files)?, size, *width, *first, *step).into())
            }
            Form::Mxfp4 { values, scales, first, step } => {
                let row_blocks = self.shape.last()? / BLOCK_ELEMENTS;
                let (values, scales) = (values.read(files)?, scales.read(files)?);
                Some(mxfp4_rows(values, scales, row_blocks, *first, *step).into())
            }
        }
    }
}

/// Every `step`-th column from `first`, one after the other, of a matrix of `width` elements a row, each of `size`
/// bytes.
fn columns(matrix: &[u8], size: usize, width: usize, first: usize, step: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(matrix.len() / step);
    for column in (first..width).step_by(step) {
        for row in matrix.chunks_exact(width * size) {
            bytes.extend_from_slice(&row[column * size..(column + 1) * size]);
        }
    }
    bytes
}

/// Every `step`-th row from `first`, as blocks of a scale and 16 bytes of values.
fn mxfp4_rows(values: &[u8], scales: &[u8], row_blocks: usize, first: usize, step: usize) -> Vec<u8> {
    let rows = values.chunks_exact(row_blocks * BLOCK_VALUE_BYTES).zip(scales.chunks_exact(row_blocks));
    let mut bytes = Vec::with_capacity((values.len() + scales.len()) / step);
    for (values, scales) in rows.skip(first).step_by(step) {
        for (block, scale) in values.chunks_exact(BLOCK_VALUE_BYTES).zip(scales) {
            bytes.push(*scale);
            bytes.extend_from_slice(&halves(block));
        }
    }
    bytes
}

/// From pairs of neighbours (byte `i` has element `2i` in its low half, `2i + 1` in its high one) to pairs of halves
/// (byte `j` has elements `j` and `j + 16`).
fn halves(pairs: &[u8]) -> [u8; BLOCK_VALUE_BYTES] {
    let element = |index: usize| (pairs[index / 2] >> (4 * (index % 2))) & 0x0F;
    std::array::from_fn(|at| element(at) | element(at + BLOCK_VALUE_BYTES) << 4)
}

/// Elements of an MXFP4 block.
pub(super) const BLOCK_ELEMENTS: usize = 32;

/// Bytes of an MXFP4 block's values, without the scale.
pub(super) const BLOCK_VALUE_BYTES: usize = 16;

#[cfg(test)]
mod tests;
