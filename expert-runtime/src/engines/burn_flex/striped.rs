//! A weight laid out for burn's CPU matrix product.
//!
//! The product of burn-flex is the `gemm` crate's. It reads the weight fastest when it is stored transposed,
//! `[in, out]`, in blocks of a few vector registers of outputs that lie one after the other: any other layout is
//! either packed again on each call or read with long strides, which costs 2-3 times as much for 2 to 16 rows.
//!
//! ```text
//! weight [out, in] = strips of 4 blocks of 48 outputs, and one last strip of one narrower block
//! strip            = panels, one for each 512 inputs, [blocks, 512, 48]
//! ```
//!
//! The library computes one output of a panel as a single chain of multiply-adds in ascending order of the inputs,
//! whether for one row or many: it cuts a chain only past 512 inputs, at a place that depends on the number of rows,
//! and no panel is deeper. The panels' sums are added here, in ascending order. So an output's bits depend on its row
//! and its weights alone. (On CPUs whose one-row path does not fuse multiply and add, one row may differ from many;
//! the conformance suite reports it.)

use burn::tensor::{Device, Tensor, TensorData};
use neuro_primitives::Rows;
use rayon::prelude::*;

use crate::engine::{EngineError, check_width};
use crate::threads::threads;

/// Inputs of one panel. `gemm` never cuts a chain of at most 512 products; with more, the bits of a row would depend
/// on how many rows it came with.
const PANEL_INPUTS: usize = 512;

/// Outputs of one block: two of the library's widest tiles (24 f32 with AVX2). Twice as many and small batches read
/// with strides again; half and the calls cost more than the reading of one row.
const BLOCK_OUTPUTS: usize = 48;

/// Blocks of one strip, the unit of work of a thread: 384 KiB per panel, some 20 µs of reading, well above the
/// microsecond or two of a library call, and small enough for an expert to occupy a dozen threads.
const STRIP_BLOCKS: usize = 4;

/// Widths are padded with zeros to this many values, a vector register: the library has other code, with other
/// rounding, for what does not fill one.
const LANE: usize = 8;

/// Multiply-adds below which a call stays on its thread: waking another takes about as long as these.
const PARALLEL_WORK: usize = 1 << 18;

/// A weight as f32, row after row.
pub(super) struct Matrix {
    /// Rows: what the layer puts out.
    pub(super) rows: usize,
    /// Columns: what the layer takes in.
    pub(super) columns: usize,
    /// `[rows, columns]`.
    pub(super) values: Vec<f32>,
}

/// A weight `[outputs, inputs]`, f32, cut into strips of outputs.
pub(super) struct StripedMatrix {
    inputs: usize,
    outputs: usize,
    strips: Vec<Strip>,
}

impl StripedMatrix {
    /// Lays out `matrix`, which was checked.
    pub(super) fn new(matrix: Matrix, device: &Device) -> Self {
        let (inputs, outputs) = (matrix.columns, matrix.rows);
        let strips = spans(outputs).into_iter().map(|span| Strip::new(&matrix, span, device)).collect();
        Self { inputs, outputs, strips }
    }

    /// `input` (`[rows, inputs]`) times this weight: `[rows, outputs]`.
    pub(super) fn apply(&self, input: &Rows, device: &Device) -> Result<Rows, EngineError> {
        let chunks = DepthChunks::new(input, self, device)?;
        let parts = each(&self.strips, self.work(input.count()), |strip| strip.apply(&chunks))?;
        Ok(assemble(self, input.count(), &parts))
    }

    /// The strips, outputs ascending.
    pub(super) fn strips(&self) -> &[Strip] {
        &self.strips
    }

    /// Multiply-adds for `rows` rows.
    pub(super) fn work(&self, rows: usize) -> usize {
        self.inputs.saturating_mul(self.outputs).saturating_mul(rows)
    }

    /// Bytes of the panels, padding included.
    pub(super) fn resident_bytes(&self) -> u64 {
        let values: usize = self
            .strips
            .iter()
            .flat_map(|strip| &strip.panels)
            .map(|panel| panel.dims().iter().product::<usize>())
            .sum();
        (values * size_of::<f32>()) as u64
    }
}

/// Outputs `first..first + outputs`, in blocks of `block`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    first: usize,
    outputs: usize,
    block: usize,
}

/// The strips of a weight with `outputs` outputs: whole blocks first, then what is left.
fn spans(outputs: usize) -> Vec<Span> {
    let whole = outputs / BLOCK_OUTPUTS * BLOCK_OUTPUTS;
    let strip = STRIP_BLOCKS * BLOCK_OUTPUTS;
    let mut spans: Vec<Span> = (0..whole)
        .step_by(strip)
        .map(|first| Span { first, outputs: strip.min(whole - first), block: BLOCK_OUTPUTS })
        .collect();
    if outputs > whole {
        let rest = outputs - whole;
        spans.push(Span { first: whole, outputs: rest, block: rest.next_multiple_of(LANE) });
    }
    spans
}

/// Some outputs of a weight.
pub(super) struct Strip {
    span: Span,
    /// `[blocks, inputs of the panel, outputs of a block]`, inputs ascending.
    panels: Vec<Tensor<3>>,
}

impl Strip {
    fn new(matrix: &Matrix, span: Span, device: &Device) -> Self {
        let panels = (0..matrix.columns).step_by(PANEL_INPUTS).map(|from| panel(matrix, span, from, device)).collect();
        Self { span, panels }
    }

    /// The strip's outputs, `[rows, outputs of the strip]`.
    pub(super) fn apply(&self, input: &DepthChunks) -> Result<Vec<f32>, EngineError> {
        let mut sums = vec![0.0; input.rows * self.span.outputs];
        for (chunk, panel) in input.chunks.iter().zip(&self.panels) {
            let partial = chunk.clone().matmul(panel.clone()).into_data();
            let partial = partial.as_slice().map_err(|error| EngineError::Backend { message: format!("{error:?}") })?;
            self.add(partial, input.rows, &mut sums);
        }
        Ok(sums)
    }

    /// Adds `partial` (`[blocks, rows, outputs of a block]`) to `sums` (`[rows, outputs of the strip]`). A sum starts
    /// at +0, so a library that returns -0 for one row and +0 for several makes no difference.
    fn add(&self, partial: &[f32], rows: usize, sums: &mut [f32]) {
        let Span { outputs, block, .. } = self.span;
        for (index, partial) in partial.chunks_exact(rows * block).enumerate() {
            let first = index * block;
            let kept = block.min(outputs - first);
            for (partial, sums) in partial.chunks_exact(block).zip(sums.chunks_exact_mut(outputs)) {
                for (sum, value) in sums[first..first + kept].iter_mut().zip(partial) {
                    *sum += value;
                }
            }
        }
    }
}

/// The weights of `span` for up to [`PANEL_INPUTS`] inputs from `from` on: `[blocks, inputs, outputs of a block]`,
/// padded with zeros.
fn panel(matrix: &Matrix, span: Span, from: usize, device: &Device) -> Tensor<3> {
    let inputs = PANEL_INPUTS.min(matrix.columns - from);
    let (depth, blocks) = (inputs.next_multiple_of(LANE), span.outputs.div_ceil(span.block));
    let mut values = vec![0.0; blocks * depth * span.block];
    for output in 0..span.outputs {
        let row = (span.first + output) * matrix.columns + from;
        let place = output / span.block * depth * span.block + output % span.block;
        for (input, &value) in matrix.values[row..row + inputs].iter().enumerate() {
            values[place + input * span.block] = value;
        }
    }
    Tensor::from_data(TensorData::new(values, [blocks, depth, span.block]), device)
}

/// Rows cut like the panels: one tensor `[1, rows, inputs of the panel]` for each, padded with zeros.
pub(super) struct DepthChunks {
    rows: usize,
    chunks: Vec<Tensor<3>>,
}

impl DepthChunks {
    /// Cuts `rows` for `matrix`.
    pub(super) fn new(rows: &Rows, matrix: &StripedMatrix, device: &Device) -> Result<Self, EngineError> {
        check_width(rows.width(), matrix.inputs)?;
        let froms = if rows.count() == 0 { 0 } else { matrix.inputs };
        let chunks = (0..froms).step_by(PANEL_INPUTS).map(|from| depth_chunk(rows, from, device)).collect();
        Ok(Self { rows: rows.count(), chunks })
    }
}

fn depth_chunk(rows: &Rows, from: usize, device: &Device) -> Tensor<3> {
    let inputs = PANEL_INPUTS.min(rows.width() - from);
    let depth = inputs.next_multiple_of(LANE);
    let mut values = Vec::with_capacity(rows.count() * depth);
    for row in rows.iter() {
        values.extend_from_slice(&row[from..from + inputs]);
        values.resize(values.len() + depth - inputs, 0.0);
    }
    Tensor::from_data(TensorData::new(values, [1, rows.count(), depth]), device)
}

/// Computes every item of `items`, on several threads if `work` multiply-adds are worth it. Results in order.
pub(super) fn each<T: Sync>(
    items: &[T],
    work: usize,
    compute: impl Fn(&T) -> Result<Vec<f32>, EngineError> + Send + Sync,
) -> Result<Vec<Vec<f32>>, EngineError> {
    if work < PARALLEL_WORK || items.len() == 1 || threads() == 1 {
        items.iter().map(compute).collect()
    } else {
        items.par_iter().map(compute).collect()
    }
}

/// Puts the strips' outputs of `matrix` side by side: `[rows, outputs]`.
pub(super) fn assemble(matrix: &StripedMatrix, rows: usize, parts: &[Vec<f32>]) -> Rows {
    let mut output = Rows::zeros(rows, matrix.outputs);
    for (strip, part) in matrix.strips.iter().zip(parts) {
        let Span { first, outputs, .. } = strip.span;
        for (row, values) in part.chunks_exact(outputs).enumerate() {
            output.row_mut(row)[first..first + outputs].copy_from_slice(values);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_every_output_once() {
        for outputs in [1, 7, 8, 47, 48, 49, 191, 192, 193, 1000, 1024, 3584] {
            let spans = spans(outputs);
            let mut next = 0;
            for span in &spans {
                assert_eq!(span.first, next, "of {outputs}");
                assert!(span.outputs > 0 && span.block % LANE == 0, "{span:?} of {outputs}");
                next += span.outputs;
            }
            assert_eq!(next, outputs);
        }
    }

    #[test]
    fn padding_takes_little_of_a_large_weight() {
        let matrix = Matrix { rows: 1024, columns: 768, values: vec![1.0; 1024 * 768] };
        let striped = StripedMatrix::new(matrix, &Device::flex());
        assert_eq!(striped.resident_bytes(), 1024 * 768 * 4, "these widths need no padding");
        let matrix = Matrix { rows: 1023, columns: 765, values: vec![1.0; 1023 * 765] };
        let striped = StripedMatrix::new(matrix, &Device::flex());
        assert_eq!(striped.resident_bytes(), 1024 * 768 * 4);
    }
}
