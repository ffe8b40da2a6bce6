//! What one token of a small model costs on shares, over a network that is calculated.
//!
//! The model has the shape of the skills model (4 layers, 128 wide, 8 experts of 256, two chosen) and random weights; the
//! context is 32 tokens. Masks are made for all tokens together, and every token is proved.

use std::sync::Arc;
use std::time::Duration;

use super::prss;
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::memory::{Link, NetworkModel, network, run_over};
use crate::nn::{Decoder, ExpertWeights, LayerWeights, Matrix, ModelShape, ModelWeights, Rotation};
use crate::party::PartyId;
use crate::share::Shares;

/// Tokens before the first that is measured.
pub const CONTEXT: usize = 32;

/// Layers of the model.
pub const LAYERS: usize = 4;

const EXPERTS: usize = 8;
const VOCABULARY: usize = 512;
const SHAPE: ModelShape =
    ModelShape { d_model: 128, heads: 4, kv_heads: 2, head_dim: 32, d_expert: 256, top_k: 2, normalised: true };

/// One stage, of the party that took longest: virtual seconds, rounds, bytes of all parties.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stage {
    /// Processor time and waits for the network.
    pub seconds: f64,
    /// Longest chain of messages.
    pub rounds: u64,
    /// That all parties sent.
    pub bytes: u64,
}

/// What was measured. A token is one of each prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Session {
    /// Counting what the prompt and the tokens will ask for: each party alone.
    pub rehearsals: Stage,
    /// Masks for the prompt.
    pub prompt_masks: Stage,
    /// The prompt.
    pub prompt: Stage,
    /// Its proof, and that of its masks.
    pub prompt_proof: Stage,
    /// Masks for all tokens.
    pub masks: Stage,
    /// The tokens, masks not counted.
    pub tokens: Stage,
    /// Their proofs.
    pub proofs: Stage,
}

/// `tokens` tokens of each of `prompts` prompts that go together.
///
/// # Errors
/// What a party failed with.
pub fn measure(security: Security, model: NetworkModel, prompts: usize, tokens: usize) -> Result<Session, SmpcError> {
    let weights = Arc::new(weights(LAYERS));
    let ran = run_over(network(model), |party, link| session(party, link, security, &weights, [prompts, tokens]));
    let mut all = Vec::new();
    for (session, _) in ran {
        all.push(session?);
    }
    let stage = |of: fn(&Session) -> &Stage| Stage {
        seconds: all.iter().map(|party| of(party).seconds).fold(0.0, f64::max),
        rounds: all.iter().map(|party| of(party).rounds).max().unwrap_or(0),
        bytes: all.iter().map(|party| of(party).bytes).sum(),
    };
    Ok(Session {
        rehearsals: stage(|of| &of.rehearsals),
        prompt_masks: stage(|of| &of.prompt_masks),
        prompt: stage(|of| &of.prompt),
        prompt_proof: stage(|of| &of.prompt_proof),
        masks: stage(|of| &of.masks),
        tokens: stage(|of| &of.tokens),
        proofs: stage(|of| &of.proofs),
    })
}

/// Online rounds of one block for one token after the context, one party may do anything: what a second layer adds.
///
/// # Errors
/// None that depends on values.
pub fn block_rounds() -> Result<u64, SmpcError> {
    let rounds = |layers: usize| {
        let decoder = Decoder::new(Arc::new(weights(layers)), 1);
        let of = |passes: &[usize]| Ok::<u64, SmpcError>(decoder.rehearse(Security::Malicious, passes)?.online.rounds);
        Ok::<u64, SmpcError>(of(&[CONTEXT, 1])? - of(&[CONTEXT])?)
    };
    Ok(rounds(2)? - rounds(1)?)
}

fn session(
    party: PartyId,
    link: &mut Link,
    security: Security,
    weights: &Arc<ModelWeights>,
    [prompts, tokens]: [usize; 2],
) -> Result<Session, SmpcError> {
    let mut computation = Computation::new(party, link, prss(party), security);
    let mut decoder = Decoder::new(Arc::clone(weights), prompts);
    let mut meter = Meter::default();
    let mut measured = Session::default();
    let embeddings = |tokens: usize| Shares::zeros(prompts * tokens * SHAPE.d_model).plus_constant(party, 20_000);
    let forecast = decoder.rehearse(security, &[CONTEXT])?;
    meter.add(&mut computation, &mut measured.rehearsals);
    computation.prepare(&forecast.requests)?;
    meter.add(&mut computation, &mut measured.prompt_masks);
    decoder.advance(&mut computation, &embeddings(CONTEXT))?;
    meter.add(&mut computation, &mut measured.prompt);
    computation.verify()?;
    meter.add(&mut computation, &mut measured.prompt_proof);
    let forecast = decoder.rehearse(security, &vec![1; tokens])?;
    meter.add(&mut computation, &mut measured.rehearsals);
    computation.prepare(&forecast.requests)?;
    meter.add(&mut computation, &mut measured.masks);
    for _ in 0..tokens {
        decoder.advance(&mut computation, &embeddings(1))?;
        meter.add(&mut computation, &mut measured.tokens);
        computation.verify()?;
        meter.add(&mut computation, &mut measured.proofs);
    }
    Ok(measured)
}

/// Where the last stage ended.
#[derive(Default)]
struct Meter {
    rounds: u64,
    bytes: u64,
    elapsed: Duration,
}

impl Meter {
    /// Adds what came since to `stage`.
    fn add(&mut self, computation: &mut Computation<&mut Link>, stage: &mut Stage) {
        let traffic = computation.link().traffic();
        stage.seconds += traffic.elapsed.saturating_sub(self.elapsed).as_secs_f64();
        stage.rounds += traffic.rounds - self.rounds;
        stage.bytes += traffic.total_bytes() - self.bytes;
        *self = Self { rounds: traffic.rounds, bytes: traffic.total_bytes(), elapsed: traffic.elapsed };
    }
}

fn weights(layers: usize) -> ModelWeights {
    let mut state = 1_u64;
    let mut matrix = |outputs: usize, inputs: usize| {
        let mut weight = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 16_777_216.0 - 0.5) * 2.0 / (inputs as f32).sqrt()
        };
        let values: Vec<f32> = (0..outputs * inputs).map(|_| weight()).collect();
        Matrix::new(outputs, inputs, &values, &[]).unwrap_or_else(|error| unreachable!("{error}"))
    };
    let (d, width, f) = (SHAPE.d_model, SHAPE.head_dim, SHAPE.d_expert);
    let mut layer = || {
        let experts: Vec<ExpertWeights> =
            (0..EXPERTS).map(|_| ExpertWeights { gate: matrix(f, d), up: matrix(f, d), down: matrix(d, f) }).collect();
        let (gate_and_up, down) = LayerWeights::experts(&experts);
        let (query, key) = (matrix(SHAPE.heads * width, d), matrix(SHAPE.kv_heads * width, d));
        let (value, output) = (matrix(SHAPE.kv_heads * width, d), matrix(d, SHAPE.heads * width));
        LayerWeights { query, key, value, output, router: matrix(EXPERTS, d), gate_and_up, down }
    };
    let layers = (0..layers).map(|_| layer()).collect();
    let frequencies = (0..width / 2).map(|pair| 10_000.0_f32.powf(-2.0 * pair as f32 / width as f32)).collect();
    let rotation = Rotation { frequencies, halves: true, amplitude: 1.0 };
    ModelWeights { shape: SHAPE, rms_eps: 1e-5, rotation, layers, output: matrix(VOCABULARY, d) }
}
