//! Tokens per second of many answers: each in a thread of its own, taking turns, and all in one batch.
//!
//! ```sh
//! cargo run --release -p neuro-inference --example side_by_side [CHECKPOINT]
//! ```

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use neuro_expert_runtime::default_engine;
use neuro_inference::{
    Account, Batch, ExpertLayers, ExpertsError, GenerateRequest, Generator, LocalExperts, Priority, SamplingParams,
    Shares, Start, Trunk,
};
use neuro_model::{Checkpoint, Tokenizer};
use neuro_primitives::{JobId, Routes, Rows};

/// Tokens of an answer.
const TOKENS: usize = 128;

/// Pages that hold all answers.
const PAGES: usize = 1_024;

/// Experts that take a round trip longer to answer.
struct Far<'a> {
    experts: &'a dyn ExpertLayers,
    round_trip: Duration,
}

impl ExpertLayers for Far<'_> {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        if !self.round_trip.is_zero() {
            std::thread::sleep(self.round_trip);
        }
        self.experts.run(layer, hidden, routes)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let usual = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/skills/checkpoint"));
    let checkpoint = Arc::new(Checkpoint::open(&std::env::args().nth(1).map_or(usual, PathBuf::from))?);
    let trunk = Trunk::load(&checkpoint, default_engine(), &mut |_| {})?;
    let tokenizer = checkpoint.tokenizer()?;
    let local = LocalExperts::load(&checkpoint, default_engine(), None, &mut |_| {})?;
    println!(
        "| Round trip of a layer, µs | Answers at once | In turns, tokens/s | In a batch | Ratio |\n|---|---|---|---|---|"
    );
    for round_trip_us in [0, 200, 2_000] {
        let experts = Far { experts: &local, round_trip: Duration::from_micros(round_trip_us) };
        let generator = Generator { trunk: &trunk, tokenizer: &tokenizer, experts: &experts };
        for answers in [1, 4, 16] {
            let (turns, batch) = (in_turns(generator, answers), in_a_batch(&trunk, &tokenizer, &experts, answers)?);
            println!("| {round_trip_us} | {answers} | {turns:.0} | {batch:.0} | {:.2} |", batch / turns);
        }
    }
    Ok(())
}

fn request(answer: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: (0..24).map(|position| 3 + (position * 89 + answer * 7) % 297).collect(),
        max_tokens: TOKENS,
        sampling: SamplingParams::default(),
        stop: Vec::new(),
        stop_ids: Vec::new(),
        skip_special: true,
    }
}

/// Each answer in a thread of its own.
fn in_turns(generator: Generator<'_>, answers: u32) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for answer in 0..answers {
            scope.spawn(move || generator.run(&request(answer), &mut |_| ControlFlow::Continue(())).map(|_| ()));
        }
    });
    f64::from(answers) * TOKENS as f64 / started.elapsed().as_secs_f64()
}

/// All answers in one batch.
fn in_a_batch(
    trunk: &Trunk,
    tokenizer: &Tokenizer,
    experts: &dyn ExpertLayers,
    answers: u32,
) -> Result<f64, Box<dyn Error>> {
    let (mut batch, mut shares) = (Batch::new(trunk, tokenizer, PAGES), Shares::default());
    let started = Instant::now();
    for answer in 0..answers {
        let (job, request) = (JobId(u64::from(answer)), request(answer));
        batch.start(Start { job, account: Account::LOCAL, priority: Priority::Normal, request })?;
    }
    while batch.has_work() {
        batch.step(experts, &mut shares);
    }
    Ok(f64::from(answers) * TOKENS as f64 / started.elapsed().as_secs_f64())
}
