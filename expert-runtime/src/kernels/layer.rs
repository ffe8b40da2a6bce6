//! Whole layers: a weight's panels, or an expert's gate and up projections, shared out to the compute threads.
//!
//! Threads take runs of neighbouring panels. An output is computed by one thread in one order, so which thread takes
//! what changes no bit.

use std::ops::Range;

use neuro_model::HiddenActivation;
use neuro_primitives::{ACTIVATION_BLOCK, Rows};

use super::InstructionSet;
use super::functions;
use super::lanes::LANES;
use super::operand::{Operand, Places, Tile, tiles};
use super::panels::{Opened, Panels, Scratch};
use super::product::{MAX_TILE, TileOutput, panel};
use super::shared::Shared;
use crate::activations::ActivationError;
use crate::threads;

/// Runs of panels per thread: enough that a thread that is held up loses little, few enough that each is a long read.
const RUNS_PER_THREAD: usize = 4;

/// Bytes of weights times rows below which the caller computes alone: some microseconds, which is what it takes to wake
/// another thread.
const ALONE: usize = 1 << 16;

/// `operand` (`[rows, columns]`) times the weight, plus the bias: `[rows, rows of the weight]`, f32.
pub(crate) fn product(set: InstructionSet, panels: &Panels<'_>, operand: &Operand, bias: Option<&[f32]>) -> Rows {
    let (count, width) = (operand.count(), panels.rows());
    let mut values = vec![0.0; count * width];
    let output = Shared::new(&mut values);
    share_out(panels.count(), panels.panel_bytes() * panels.count() * count, &|run| {
        let (mut sums, mut scratch) = (TileOutput::default(), Scratch::default());
        for index in run {
            let columns = index * LANES..width.min((index + 1) * LANES);
            let opened = panels.open(index..index + 1, &mut scratch).panel(0);
            for tile in tiles(set, count) {
                panel(set, opened, operand, tile, &mut sums);
                for (row, sums) in sums[..tile.rows].iter().enumerate() {
                    // SAFETY: only this item has these columns.
                    let target = unsafe { output.range((tile.first + row) * width + columns.start, columns.len()) };
                    target.copy_from_slice(&sums[..columns.len()]);
                    if let Some(bias) = bias {
                        target.iter_mut().zip(&bias[columns.clone()]).for_each(|(value, bias)| *value += bias);
                    }
                }
            }
        }
    });
    Rows::new(width, values)
}

/// `work` for all of `count` neighbours, in runs.
fn share_out(count: usize, bytes: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    let threads = threads::threads();
    if threads == 1 || bytes < ALONE {
        return work(0..count);
    }
    let run = count.div_ceil(RUNS_PER_THREAD * threads);
    threads::parallel(count.div_ceil(run), &|item| work(item * run..count.min((item + 1) * run)));
}

/// The first half of an expert: gate and up projections, biases and activation.
pub(crate) struct Gated<'a> {
    pub(crate) set: InstructionSet,
    pub(crate) gate: &'a Panels<'a>,
    pub(crate) up: &'a Panels<'a>,
    /// Of gate and of up.
    pub(crate) biases: Option<[&'a [f32]; 2]>,
    pub(crate) activation: HiddenActivation,
    /// What the gate takes, and what up takes.
    pub(crate) operands: [&'a Operand; 2],
}

/// Outputs of a block of the down projection's activations.
const STRIP: usize = ACTIVATION_BLOCK;

/// Panels of a strip.
const PER_STRIP: usize = STRIP / LANES;

/// Strips that are computed together when there is one tile of rows: gate's panels in one long read, then up's, then the
/// activation of all. With more tiles a strip's panels stay in the cache from the first tile to the last.
const TOGETHER: usize = 8;

/// Where the outputs of some strips lie between their products and their activation: row after row of the tile.
struct Outputs {
    /// Values of a row: those of its strips.
    width: usize,
    gate: Vec<f32>,
    up: Vec<f32>,
    sums: TileOutput,
}

impl Outputs {
    fn of(strips: usize) -> Self {
        let (width, room) = (strips * STRIP, vec![0.0; MAX_TILE * strips * STRIP]);
        Self { width, gate: room.clone(), up: room, sums: TileOutput::default() }
    }
}

impl Gated<'_> {
    /// `activation(gate(x) + b, up(x) + b)` as the down projection takes it: in blocks, or as floats.
    ///
    /// # Errors
    /// When a value that goes into a block is not finite.
    pub(crate) fn run(&self, in_blocks: bool) -> Result<Operand, ActivationError> {
        let (count, width) = (self.operands[0].count(), self.gate.rows());
        let empty = if in_blocks { Operand::empty_blocks } else { Operand::empty_floats };
        let mut output = empty(count, width);
        let places = Places::new(&mut output);
        let together = if tiles(self.set, count).count() == 1 { TOGETHER } else { 1 };
        let bytes = (self.gate.panel_bytes() + self.up.panel_bytes()) * self.gate.count() * count;
        share_out(width.div_ceil(STRIP), bytes, &|mut run| {
            let (mut outputs, mut scratch) = (Outputs::of(together), [Scratch::default(), Scratch::default()]);
            while !run.is_empty() {
                let strips = run.start..run.end.min(run.start + together);
                run.start = strips.end;
                let [gate, up] = &mut scratch;
                let panels = strips.start * PER_STRIP..self.gate.count().min(strips.end * PER_STRIP);
                let opened = [self.gate.open(panels.clone(), gate), self.up.open(panels, up)];
                for tile in tiles(self.set, count) {
                    self.strips(strips.clone(), &opened, tile, &mut outputs);
                    self.put(strips.clone(), tile, in_blocks, &outputs, &places);
                }
            }
        });
        places.finish().map(|()| output)
    }

    /// The activations of `strips` for the rows of `tile`, in `outputs.gate`; zeros past the last output.
    fn strips(&self, strips: Range<usize>, [gate, up]: &[Opened<'_>; 2], tile: Tile, outputs: &mut Outputs) {
        let columns = strips.start * STRIP..self.gate.rows().min(strips.end * STRIP);
        let bias = |number: usize| self.biases.map(|biases| &biases[number][columns.clone()]);
        let Outputs { width, gate: gates, up: ups, sums } = outputs;
        let panels = columns.len().div_ceil(LANES);
        for (opened, operand, values, bias) in
            [(gate, self.operands[0], &mut *gates, bias(0)), (up, self.operands[1], &mut *ups, bias(1))]
        {
            for index in 0..panels {
                panel(self.set, opened.panel(index), operand, tile, sums);
                for (values, sums) in values.chunks_exact_mut(*width).zip(&sums[..tile.rows]) {
                    values[index * LANES..(index + 1) * LANES].copy_from_slice(sums);
                }
            }
            for values in values.chunks_exact_mut(*width).take(tile.rows) {
                values[panels * LANES..].fill(0.0);
                values.iter_mut().zip(bias.unwrap_or_default()).for_each(|(value, bias)| *value += bias);
            }
        }
        functions::gate_into(self.set, self.activation, &mut gates[..tile.rows * *width], &ups[..tile.rows * *width]);
    }

    /// Hands `outputs`, those of `strips` for the rows of `tile`, to the down projection.
    fn put(&self, strips: Range<usize>, tile: Tile, in_blocks: bool, outputs: &Outputs, places: &Places<'_>) {
        for (row, values) in outputs.gate.chunks_exact(outputs.width).take(tile.rows).enumerate() {
            for (strip, values) in strips.clone().zip(values.as_chunks::<STRIP>().0) {
                let columns = strip * STRIP..self.gate.rows().min((strip + 1) * STRIP);
                // SAFETY: only this item has this strip.
                unsafe {
                    if in_blocks {
                        places.quantise(self.set, tile, row, strip, values);
                    } else {
                        places.put_floats(tile, row, columns.start, &values[..columns.len()]);
                    }
                }
            }
        }
    }
}
