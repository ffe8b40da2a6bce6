//! `neuro bench experts`: one expert of each weight type by itself, beside a plain read of memory in the same run.
//!
//! As many experts are made as take [`WORKING_SET_BYTES`], far more than the caches hold, and computed in turn: what is
//! measured is memory, as in decoding.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use neuro_expert_runtime::{Expert, ExpertWeights, Weight, blocks, default_engine, set_threads};
use neuro_model::{HiddenActivation, TensorType};
use neuro_primitives::{Activations, Rows};

use super::Measurement;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::progress;

/// Bytes of weights that a measurement goes round: eight times the last-level cache of a large server core complex.
const WORKING_SET_BYTES: usize = 256 << 20;

/// Time of one measurement; the fastest of several counts, since others on the machine only ever slow it down.
const MEASURE: Duration = Duration::from_millis(400);

/// Measurements per case.
const ROUNDS: usize = 3;

/// Rows of a prompt's chunk that go to one expert.
const PROMPT_ROWS: usize = 128;

/// Options of `neuro bench experts`.
#[derive(Debug, ClapArgs)]
pub struct ExpertsArgs {
    /// Width of the hidden state
    #[arg(long, default_value_t = 1024)]
    pub d_model: usize,
    /// Width of the expert
    #[arg(long, default_value_t = 3584)]
    pub d_expert: usize,
    /// Compute threads; all cores without
    #[arg(long)]
    pub threads: Option<usize>,
    /// Weight types to measure
    #[arg(long, value_delimiter = ',', value_name = "TYPE", default_values_t = TensorType::ALL.map(|kind| kind.to_string()))]
    pub types: Vec<String>,
}

/// Measures.
///
/// # Errors
/// When a type is unknown, its blocks do not divide the widths, or there are no threads.
pub fn run(args: &ExpertsArgs) -> Result<Vec<Measurement>, Failure> {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    set_threads(threads).map_err(|error| Failure::message(Outcome::Usage, error))?;
    let bar = progress::wait("measuring memory");
    let read = memory_read(threads);
    let mut results = vec![Measurement::new("memory_read", read, "GB/s")];
    for name in &args.types {
        bar.set_message(format!("measuring {name}"));
        let tensor_type = TensorType::from_name(name)
            .ok_or_else(|| Failure::message(Outcome::Usage, format!("{name} is no weight type")))?;
        results.extend(of_type(args, tensor_type, read)?);
    }
    bar.finish_and_clear();
    Ok(results)
}

fn of_type(args: &ExpertsArgs, tensor_type: TensorType, read: f64) -> Result<Vec<Measurement>, Failure> {
    let values = 3 * args.d_model * args.d_expert;
    let bytes = values / tensor_type.block_elements() * tensor_type.block_bytes();
    let experts = experts(args, tensor_type, (WORKING_SET_BYTES / bytes).max(2))?;
    let alone = seconds_of_one(&experts, &hidden(1, args.d_model))?;
    let together = seconds_of_one(&experts, &hidden(PROMPT_ROWS, args.d_model))?;
    let kernel = Measurement::new(&format!("kernel_{tensor_type}"), bytes as f64 / alone / 1e9, "GB/s");
    let products = (values * PROMPT_ROWS) as f64 / together / 1e9;
    let prompt = Measurement::new(&format!("kernel_{tensor_type}_{PROMPT_ROWS}rows"), products, "G products/s");
    Ok(vec![kernel.beside("memory read", read), prompt])
}

/// `count` experts that lie apart in memory. They share their values, which makes no difference to time.
fn experts(args: &ExpertsArgs, tensor_type: TensorType, count: usize) -> Result<Vec<Box<dyn Expert>>, Failure> {
    let engine = default_engine();
    let weight = |name, rows, columns| -> Result<Weight<'static>, Failure> {
        let bytes = blocks::quantise(tensor_type, &pattern(rows * columns))
            .map_err(|error| Failure::message(Outcome::Usage, format!("{name}: {error}")))?;
        Ok(Weight { name, tensor_type, rows, columns, bytes: bytes.into() })
    };
    let weights = ExpertWeights {
        gate: weight("gate", args.d_expert, args.d_model)?,
        up: weight("up", args.d_expert, args.d_model)?,
        down: weight("down", args.d_model, args.d_expert)?,
        biases: None,
        activation: HiddenActivation::Silu,
    };
    (0..count).map(|_| engine.expert(&weights).map_err(|error| Failure::message(Outcome::Usage, error))).collect()
}

/// Values between -1/32 and 1/32 that look random.
fn pattern(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) / 32.0
    };
    std::iter::repeat_with(draw).take(count).collect()
}

fn hidden(rows: usize, width: usize) -> Activations {
    Rows::new(width, pattern(rows * width)).into()
}

/// Seconds that one call of one expert takes: the fastest of some rounds over all experts.
fn seconds_of_one(experts: &[Box<dyn Expert>], hidden: &Activations) -> Result<f64, Failure> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (started, mut calls) = (Instant::now(), 0_u32);
        while started.elapsed() < MEASURE {
            for expert in experts {
                let output = expert.forward(hidden).map_err(|error| Failure::message(Outcome::Failed, error))?;
                black_box(output);
                calls += 1;
            }
        }
        best = best.min(started.elapsed().as_secs_f64() / f64::from(calls));
    }
    Ok(best)
}

/// What a plain read of memory by all threads reaches, in GB/s.
fn memory_read(threads: usize) -> f64 {
    let words = WORKING_SET_BYTES / size_of::<u64>();
    let memory: Vec<u64> = (0..words as u64).collect();
    let pass = || {
        std::thread::scope(|scope| {
            for part in memory.chunks(words.div_ceil(threads)) {
                scope.spawn(move || black_box(sum(part)));
            }
        });
    };
    let mut best = f64::INFINITY;
    for _ in 0..10 {
        let started = Instant::now();
        pass();
        best = best.min(started.elapsed().as_secs_f64());
    }
    WORKING_SET_BYTES as f64 / best / 1e9
}

/// Sixteen sums side by side: one alone would wait for its own additions.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0_u64; 16];
    for block in words.as_chunks::<16>().0 {
        for (sum, word) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |total, sum| total.wrapping_add(*sum))
}
