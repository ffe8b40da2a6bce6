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

/// Outputs that are computed together, of gate and of up each: a block of the down projection's activations.
const STRIP: usize = ACTIVATION_BLOCK;

/// Panels of a strip.
const PER_STRIP: usize = STRIP / LANES;

/// A strip's values for the rows of a tile.
type Strip = [[f32; STRIP]; MAX_TILE];

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
        let bytes = (self.gate.panel_bytes() + self.up.panel_bytes()) * self.gate.count() * count;
        share_out(width.div_ceil(STRIP), bytes, &|run| {
            let mut scratch = [Scratch::default(), Scratch::default()];
            for strip in run {
                let [gate, up] = &mut scratch;
                let panels = strip * PER_STRIP..self.gate.count().min((strip + 1) * PER_STRIP);
                let opened = [self.gate.open(panels.clone(), gate), self.up.open(panels, up)];
                tiles(self.set, count).for_each(|tile| self.strip(strip, &opened, tile, in_blocks, &places));
            }
        });
        places.finish().map(|()| output)
    }

    fn strip(&self, strip: usize, [gate, up]: &[Opened<'_>; 2], tile: Tile, in_blocks: bool, places: &Places<'_>) {
        let columns = strip * STRIP..self.gate.rows().min((strip + 1) * STRIP);
        let bias = |number: usize| self.biases.map(|biases| &biases[number][columns.clone()]);
        let mut gate = self.projection(gate, self.operands[0], columns.len(), tile, bias(0));
        let up = self.projection(up, self.operands[1], columns.len(), tile, bias(1));
        let (values, up) = (gate[..tile.rows].as_flattened_mut(), up[..tile.rows].as_flattened());
        functions::gate_into(self.set, self.activation, values, up);
        for (row, values) in gate[..tile.rows].iter().enumerate() {
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

    /// One projection's outputs of a strip; zeros past the last.
    fn projection(
        &self,
        opened: &Opened<'_>,
        operand: &Operand,
        width: usize,
        tile: Tile,
        bias: Option<&[f32]>,
    ) -> Strip {
        let (mut values, mut sums) = (Strip::default(), TileOutput::default());
        for index in 0..width.div_ceil(LANES) {
            panel(self.set, opened.panel(index), operand, tile, &mut sums);
            for (values, sums) in values.iter_mut().zip(&sums[..tile.rows]) {
                values[index * LANES..(index + 1) * LANES].copy_from_slice(sums);
            }
        }
        for values in &mut values[..tile.rows] {
            values.iter_mut().zip(bias.unwrap_or_default()).for_each(|(value, bias)| *value += bias);
        }
        values
    }
}
