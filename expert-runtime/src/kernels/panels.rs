//! A weight as the kernels read it: panels of 16 rows, in the layout of [`super::format`].
//!
//! Nothing is converted: a panel has its rows' codes and scales as the file has them, in another order. It takes the
//! memory of the file but for the sub-blocks' scales of Q4_K and Q5_K, which take a byte each instead of 6 bits
//! (+ 2.8 and 2.3 %).

mod repack;

use std::sync::{Mutex, PoisonError};

use neuro_primitives::TensorType;

use super::format::{BF16, F16, F32, FloatFormat, Iq4Nl, Mxfp4, Q4_0, Q4K, Q5K, Q6K, Q8_0, QuantisedFormat};
use super::lanes::LANES;
use super::memory::{ALIGNMENT, Memory};
use super::shared::Shared;
use crate::blocks::BlockError;
use crate::engine::{EngineError, Weight};
use crate::threads;

/// Where a panel's parts lie.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Bytes of its units; of its columns for float types.
    bytes: usize,
    /// Bytes from one panel to the next: a whole number of cache lines.
    stride: usize,
}

/// Panels that one thread repacks at a time: a few hundred KiB.
const REPACKED_TOGETHER: usize = 8;

/// A weight (`[rows, columns]`) in panels of 16 rows, the last filled up with zeros.
pub(crate) struct Panels {
    tensor_type: TensorType,
    rows: usize,
    columns: usize,
    layout: Layout,
    memory: Memory,
}

impl Layout {
    fn of(tensor_type: TensorType, columns: usize) -> Self {
        match tensor_type {
            TensorType::F32 => Self::float::<F32>(columns),
            TensorType::F16 => Self::float::<F16>(columns),
            TensorType::BF16 => Self::float::<BF16>(columns),
            TensorType::Q8_0 => Self::quantised::<Q8_0>(columns),
            TensorType::Q4_0 => Self::quantised::<Q4_0>(columns),
            TensorType::Iq4Nl => Self::quantised::<Iq4Nl>(columns),
            TensorType::Mxfp4 => Self::quantised::<Mxfp4>(columns),
            TensorType::Q4K => Self::quantised::<Q4K>(columns),
            TensorType::Q5K => Self::quantised::<Q5K>(columns),
            TensorType::Q6K => Self::quantised::<Q6K>(columns),
        }
    }

    fn quantised<F: QuantisedFormat>(columns: usize) -> Self {
        Self::new(columns / (32 * F::SUB_BLOCKS) * F::UNIT_BYTES)
    }

    fn float<F: FloatFormat>(columns: usize) -> Self {
        Self::new(columns * LANES * F::BYTES)
    }

    const fn new(bytes: usize) -> Self {
        Self { bytes, stride: bytes.next_multiple_of(ALIGNMENT) }
    }
}

impl Panels {
    /// Repacks `weight`, on all compute threads.
    ///
    /// # Errors
    /// When the weight is empty or misshapen, or a float or scale in it is not finite; the first such is named.
    pub(crate) fn new(weight: &Weight<'_>) -> Result<Self, EngineError> {
        weight.check()?;
        let layout = Layout::of(weight.tensor_type, weight.columns);
        let count = weight.rows.div_ceil(LANES);
        let mut memory = Memory::zeroed(count * layout.stride);
        let filled = fill(memory.bytes_mut(), layout, weight);
        if let Some((index, value)) = filled {
            let source = BlockError::NotFinite { index, value };
            return Err(EngineError::Elements { name: weight.name.to_owned(), source });
        }
        let (tensor_type, rows, columns) = (weight.tensor_type, weight.rows, weight.columns);
        Ok(Self { tensor_type, rows, columns, layout, memory })
    }

    /// How the weights are stored.
    pub(crate) const fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// Outputs.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// How many panels there are.
    pub(super) const fn count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The bytes of panel `index`, from an address that is a multiple of 64.
    ///
    /// # Panics
    /// When there is no such panel: a bug of ours.
    pub(super) fn panel(&self, index: usize) -> &[u8] {
        &self.memory.bytes()[index * self.layout.stride..][..self.layout.bytes]
    }

    /// The memory they take.
    pub(crate) const fn resident_bytes(&self) -> u64 {
        (self.count() * self.layout.stride) as u64
    }
}

/// Repacks `weight` into `memory`; the first element that is not finite, by its place in the whole weight.
fn fill(memory: &mut [u8], layout: Layout, weight: &Weight<'_>) -> Option<(usize, f32)> {
    let first = Mutex::new(None);
    let count = memory.len() / layout.stride;
    let memory = Shared::new(memory);
    threads::parallel(count.div_ceil(REPACKED_TOGETHER), &|item| {
        for index in item * REPACKED_TOGETHER..count.min((item + 1) * REPACKED_TOGETHER) {
            // SAFETY: each panel belongs to one item.
            let panel = unsafe { memory.range(index * layout.stride, layout.bytes) };
            let Some(found) = fill_panel(panel, weight, index) else { continue };
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            *first = Some(first.map_or(found, |first: (usize, f32)| if found.0 < first.0 { found } else { first }));
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn fill_panel(panel: &mut [u8], weight: &Weight<'_>, index: usize) -> Option<(usize, f32)> {
    let rows = weight.bytes.chunks_exact(weight.row_bytes()).enumerate().skip(index * LANES).take(LANES);
    rows.fold(None, |first, (row, bytes)| {
        let lane = row % LANES;
        let found = repack::row(weight.tensor_type, bytes, lane, panel);
        first.or(found.map(|(column, value)| (row * weight.columns + column, value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tests::oracle;

    #[test]
    fn panels_take_little_more_memory_than_the_file() -> Result<(), EngineError> {
        for tensor_type in TensorType::ALL {
            let weight = oracle::random_weight(tensor_type, 64, 1024, 1);
            let panels = Panels::new(&weight)?;
            let more = panels.resident_bytes() as f64 / weight.bytes.len() as f64;
            assert!((1.0..1.035).contains(&more), "{tensor_type}: {more} times the file");
            assert!((0..4).all(|index| panels.panel(index).as_ptr().align_offset(ALIGNMENT) == 0), "{tensor_type}");
        }
        Ok(())
    }

    #[test]
    fn a_scale_that_is_no_number_is_named_with_its_place() {
        for tensor_type in TensorType::ALL {
            let mut weight = oracle::random_weight(tensor_type, 40, 1024, 2);
            let (block, elements) = (tensor_type.block_bytes(), tensor_type.block_elements());
            let per_row = 1024 / elements;
            for place in [39 * per_row, 17 * per_row + 3] {
                let scale = match tensor_type {
                    TensorType::Q6K => 208..210,
                    TensorType::F32 => 2..4,
                    TensorType::Mxfp4 => 0..1,
                    _ => 0..2,
                };
                weight.bytes.to_mut()[place * block..][scale].fill(0xFF);
            }
            let error = Panels::new(&weight).map(|_| ()).expect_err("it must be refused");
            let EngineError::Elements { name, source: BlockError::NotFinite { index, value } } = error else {
                panic!("{tensor_type}: {error}");
            };
            assert_eq!((name.as_str(), index), ("weight", (17 * per_row + 3) * elements), "{tensor_type}");
            assert!(value.is_nan(), "{tensor_type}");
        }
    }

    #[test]
    fn a_minimum_that_is_infinite_is_refused() {
        for tensor_type in [TensorType::Q4K, TensorType::Q5K] {
            let mut weight = oracle::random_weight(tensor_type, 3, 512, 2);
            weight.bytes.to_mut()[3 * tensor_type.block_bytes() + 2..][..2].copy_from_slice(&0xFC00_u16.to_le_bytes());
            let error = Panels::new(&weight).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(error, Err("weight: the value at index 768 is -inf, expected finite numbers".to_owned()));
        }
    }
}
