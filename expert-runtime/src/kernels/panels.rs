//! A weight as the kernels read it: panels of 16 rows, in the layout of [`super::format`].
//!
//! Nothing is converted: a panel has its rows' codes and scales as the file has them, in another order. It takes the
//! memory of the file but for the sub-blocks' scales of Q4_K and Q5_K, which take a byte each instead of 6 bits
//! (+ 2.8 and 2.3 %).
//!
//! A weight is either repacked once, into memory of its own, or left where it is stored. Then a kernel's panels are
//! repacked for each use, into a scratch that the cache holds: slower, but there is nothing to wait for before the first.

mod finite;
mod repack;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Panels that one thread checks at a time: a megabyte, since checking is reading.
const CHECKED_TOGETHER: usize = 64;

/// A weight (`[rows, columns]`) in panels of 16 rows, the last filled up with zeros.
pub(crate) struct Panels<'a> {
    tensor_type: TensorType,
    rows: usize,
    columns: usize,
    layout: Layout,
    place: Place<'a>,
}

/// Where a weight's panels come from.
enum Place<'a> {
    /// All of them, one after the other, from this byte of the memory on.
    Repacked(Arc<Memory>, usize),
    /// The weight as it is stored.
    Stored(&'a [u8]),
}

/// Memory for the panels of a weight that is left where it is stored.
#[derive(Default)]
pub(super) struct Scratch(Vec<u8>);

/// Neighbouring panels, ready to be read.
#[derive(Clone, Copy)]
pub(super) struct Opened<'a> {
    tensor_type: TensorType,
    columns: usize,
    layout: Layout,
    bytes: &'a [u8],
}

/// One panel, ready to be read.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// How its weights are stored.
    pub(super) tensor_type: TensorType,
    /// Inputs of its rows.
    pub(super) columns: usize,
    /// Its units, or columns of floats.
    pub(super) bytes: &'a [u8],
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

impl Panels<'static> {
    /// Repacks `weight`, on all compute threads.
    ///
    /// # Errors
    /// When the weight is empty or misshapen, or a float or scale in it is not finite; the first such is named.
    pub(crate) fn new(weight: &Weight<'_>) -> Result<Self, EngineError> {
        Self::together([weight]).map(|[panels]| panels)
    }

    /// Repacks weights that are read together into one memory, which so has as many large pages as it can.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn together<const N: usize>(weights: [&Weight<'_>; N]) -> Result<[Self; N], EngineError> {
        weights.into_iter().try_for_each(Weight::check)?;
        let layouts = weights.map(|weight| Layout::of(weight.tensor_type, weight.columns));
        let sizes: [usize; N] =
            std::array::from_fn(|index| weights[index].rows.div_ceil(LANES) * layouts[index].stride);
        let mut memory = Memory::zeroed(sizes.iter().sum());
        let mut rest = memory.bytes_mut();
        for ((weight, layout), size) in weights.into_iter().zip(layouts).zip(sizes) {
            let (own, behind) = rest.split_at_mut(size);
            if let Some(found) = fill(own, layout, weight) {
                return Err(not_finite(weight, found));
            }
            rest = behind;
        }
        let memory = Arc::new(memory);
        Ok(std::array::from_fn(|index| {
            let Weight { tensor_type, rows, columns, .. } = *weights[index];
            let place = Place::Repacked(Arc::clone(&memory), sizes[..index].iter().sum());
            Self { tensor_type, rows, columns, layout: layouts[index], place }
        }))
    }
}

/// Whether `weight` can be computed with: what [`Panels::new`] finds out, without taking memory.
///
/// # Errors
/// Those of [`Panels::new`].
pub(crate) fn check(weight: &Weight<'_>) -> Result<(), EngineError> {
    weight.check()?;
    let row_bytes = weight.row_bytes();
    let suspect = |index: &usize| {
        let rows = &weight.bytes[index * LANES * row_bytes..weight.bytes.len().min((index + 1) * LANES * row_bytes)];
        !finite::all(weight.tensor_type, rows)
    };
    let count = weight.rows.div_ceil(LANES);
    let panels = threads::collect(count.div_ceil(CHECKED_TOGETHER), |item| {
        (item * CHECKED_TOGETHER..count.min((item + 1) * CHECKED_TOGETHER)).find(suspect)
    });
    let Some(index) = panels.into_iter().flatten().next() else { return Ok(()) };
    // Repacking it tells which value it is.
    let mut panel = vec![0; Layout::of(weight.tensor_type, weight.columns).bytes];
    let stored = (weight.tensor_type, weight.bytes.as_ref(), row_bytes);
    fill_panel(&mut panel, stored, index).map_or(Ok(()), |found| Err(not_finite(weight, in_weight(weight, found))))
}

fn not_finite(weight: &Weight<'_>, (index, value): (usize, f32)) -> EngineError {
    EngineError::Elements { name: weight.name.to_owned(), source: BlockError::NotFinite { index, value } }
}

impl<'a> Panels<'a> {
    /// `weight`, which [`check`] has passed, left where it is.
    ///
    /// # Errors
    /// When the weight is empty or misshapen.
    pub(crate) fn stored(weight: &'a Weight<'_>) -> Result<Self, EngineError> {
        weight.check()?;
        let (tensor_type, rows, columns) = (weight.tensor_type, weight.rows, weight.columns);
        let layout = Layout::of(tensor_type, columns);
        Ok(Self { tensor_type, rows, columns, layout, place: Place::Stored(&weight.bytes) })
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

    /// The bytes of one panel.
    pub(super) const fn panel_bytes(&self) -> usize {
        self.layout.bytes
    }

    /// Panels `range`, in the weight's own memory or in `scratch`.
    ///
    /// # Panics
    /// When there are no such panels: a bug of ours.
    pub(super) fn open<'s>(&'s self, range: Range<usize>, scratch: &'s mut Scratch) -> Opened<'s> {
        let stride = self.layout.stride;
        let bytes = match &self.place {
            Place::Repacked(memory, from) => &memory.bytes()[from + range.start * stride..from + range.end * stride],
            Place::Stored(bytes) => {
                let panels = scratch.panels(range.len() * stride);
                let stored = (self.tensor_type, *bytes, bytes.len() / self.rows);
                for (panel, index) in panels.chunks_exact_mut(stride).zip(range) {
                    if self.rows < (index + 1) * LANES {
                        panel.fill(0);
                    }
                    // A weight is checked before it is computed with, so there is nothing to find.
                    fill_panel(&mut panel[..self.layout.bytes], stored, index);
                }
                panels
            }
        };
        Opened { tensor_type: self.tensor_type, columns: self.columns, layout: self.layout, bytes }
    }

    /// The memory they take.
    pub(crate) const fn resident_bytes(&self) -> u64 {
        match self.place {
            Place::Repacked(..) => (self.count() * self.layout.stride) as u64,
            Place::Stored(_) => 0,
        }
    }
}

impl Scratch {
    fn panels(&mut self, bytes: usize) -> &mut [u8] {
        if self.0.len() < bytes {
            self.0.resize(bytes, 0);
        }
        &mut self.0[..bytes]
    }
}

impl<'a> Opened<'a> {
    /// Panel `index`, counted from the first that was opened.
    ///
    /// # Panics
    /// When it was not opened: a bug of ours.
    pub(super) fn panel(&self, index: usize) -> Panel<'a> {
        let bytes = &self.bytes[index * self.layout.stride..][..self.layout.bytes];
        Panel { tensor_type: self.tensor_type, columns: self.columns, bytes }
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
            let stored = (weight.tensor_type, weight.bytes.as_ref(), weight.row_bytes());
            let Some(found) = fill_panel(panel, stored, index) else { continue };
            let found = in_weight(weight, found);
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            *first = Some(first.map_or(found, |first: (usize, f32)| if found.0 < first.0 { found } else { first }));
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Repacks the rows of panel `index` of a weight as it is stored (its type, bytes, and bytes of a row); the first
/// element that is not finite, by its row and column.
fn fill_panel(
    panel: &mut [u8],
    (tensor_type, bytes, row_bytes): (TensorType, &[u8], usize),
    index: usize,
) -> Option<repack::Found> {
    let first = index * LANES * row_bytes;
    let rows = &bytes[first..bytes.len().min(first + LANES * row_bytes)];
    fetch(rows);
    let ([row, column], value) = repack::panel(tensor_type, rows, row_bytes, panel)?;
    Some(([index * LANES + row, column], value))
}

/// Bytes that memory gives at a time.
const CACHE_LINE: usize = 64;

/// Brings `rows` into the cache. Repacking takes from 16 rows in turn, an order in which the processor fetches nothing ahead.
fn fetch(rows: &[u8]) {
    let touched = rows.iter().step_by(CACHE_LINE).fold(0, |touched, byte| touched ^ byte);
    std::hint::black_box(touched);
}

/// The place of an element in the whole weight.
const fn in_weight(weight: &Weight<'_>, ([row, column], value): repack::Found) -> (usize, f32) {
    (row * weight.columns + column, value)
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
            let mut scratch = Scratch::default();
            let opened = panels.open(0..4, &mut scratch);
            let aligned = |index| opened.panel(index).bytes.as_ptr().align_offset(ALIGNMENT) == 0;
            assert!((0..4).all(aligned), "{tensor_type}");
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
            assert_eq!(check(&weight).expect_err("checking finds it too").to_string(), error.to_string());
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
            assert_eq!(check(&weight).map_err(|error| error.to_string()), error);
            assert_eq!(error, Err("weight: the value at index 768 is -inf, expected finite numbers".to_owned()));
        }
    }
}
