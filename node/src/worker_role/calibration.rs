//! How fast this machine computes one expert of the model: measured once, in a fraction of a second, before it holds any.
//!
//! The weights are made up, of the model's shapes and types. As many experts as do not fit the caches are computed in turn,
//! since weights come from memory when many experts are held.

use std::hint::black_box;
use std::time::{Duration, Instant};

use neuro_expert_runtime::{Expert, blocks};
use neuro_model::ModelConfig;
use neuro_primitives::{Activations, Rows};
use neuro_protocol::control::{Calibration, MeasuredSpeed};
use neuro_protocol::manifest::TensorEntry;

use super::cached_expert::weights;

/// Rows of the tasks that are timed: one token, a batch of streams, a prompt.
const ROWS: [usize; 3] = [1, 8, 32];

/// Time for each of these. Shorter, and one interruption by another program is all that is measured; longer, and workers
/// join later.
const SPAN: Duration = Duration::from_millis(20);

/// Bytes of weights that are gone round, beyond the last-level cache of most machines; and at most so many experts, since
/// each must be converted.
const WORKING_SET_BYTES: u64 = 48 << 20;
const MAX_EXPERTS: u64 = 12;

/// Measures with the shapes of `entries`, the tensors of one expert. None when the model's experts cannot be made up.
#[must_use]
pub fn calibrate(config: &ModelConfig, entries: &[TensorEntry]) -> Option<Calibration> {
    let bytes: u64 = entries.iter().map(|entry| entry.length).sum();
    let made_up = entries.iter().map(made_up).collect::<Option<Vec<_>>>()?;
    let weights = weights(config, entries, &made_up).ok()?;
    let engine = neuro_expert_runtime::default_engine();
    let count = WORKING_SET_BYTES.div_ceil(bytes.max(1)).clamp(1, MAX_EXPERTS);
    let experts = (0..count).map(|_| engine.expert(&weights).ok()).collect::<Option<Vec<_>>>()?;
    let speed =
        |rows| Some(MeasuredSpeed { rows: u32::try_from(rows).ok()?, row_ns: row_ns(&experts, rows, config.d_model)? });
    Some(Calibration {
        weight_type: entries.first()?.tensor_type.to_string(),
        speeds: ROWS.into_iter().map(speed).collect::<Option<_>>()?,
    })
}

/// Bytes of a tensor of this shape and type: one made-up row, again and again.
fn made_up(entry: &TensorEntry) -> Option<Vec<u8>> {
    let elements = usize::try_from(*entry.shape.last()?).ok()?;
    let row = blocks::quantise(entry.tensor_type, &pattern(elements)).ok()?;
    Some(row.iter().copied().cycle().take(usize::try_from(entry.length).ok()?).collect())
}

/// Nanoseconds a row: the median of what fits the span, so that an interruption does not count.
fn row_ns(experts: &[Box<dyn Expert>], rows: usize, d_model: usize) -> Option<u64> {
    let hidden: Activations = Rows::new(d_model, pattern(rows * d_model)).into();
    let (started, mut times) = (Instant::now(), Vec::new());
    for expert in experts.iter().cycle() {
        let begun = Instant::now();
        black_box(expert.forward(&hidden).ok()?);
        times.push(begun.elapsed());
        if started.elapsed() >= SPAN {
            break;
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2)?.as_nanos() / rows as u128;
    Some(u64::try_from(median).unwrap_or(u64::MAX).max(1))
}

/// Values between -1/32 and 1/32.
fn pattern(count: usize) -> Vec<f32> {
    (0..count).map(|place| ((place * 37 % 101) as f32 / 50.0 - 1.0) / 32.0).collect()
}
