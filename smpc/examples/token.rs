//! What one token of a small model costs on shares: `cargo run --release -p neuro-smpc --example token`.
//!
//! The model has the shape of the skills model (4 layers, 128 wide, 8 experts of 256, two chosen) and random weights; the
//! context is 32 tokens. Three threads play the parties; times are those of a network that is calculated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use neuro_smpc::computation::{Computation, Security};
use neuro_smpc::error::SmpcError;
use neuro_smpc::memory::{Link, NetworkModel, network, run_over};
use neuro_smpc::nn::{Decoder, ExpertWeights, LayerWeights, Matrix, ModelShape, ModelWeights, Rotation};
use neuro_smpc::party::PartyId;
use neuro_smpc::prss::Prss;
use neuro_smpc::share::Shares;

const SHAPE: ModelShape =
    ModelShape { d_model: 128, heads: 4, kv_heads: 2, head_dim: 32, d_expert: 256, top_k: 2, normalised: true };
const CONTEXT: usize = 32;
const TOKENS: usize = 16;

fn main() {
    let weights = Arc::new(weights());
    for security in [Security::SemiHonest, Security::Malicious] {
        for (name, delay) in [("0 ms", 0), ("50 ms", 25)] {
            let model = NetworkModel { delay: Duration::from_millis(delay), ..NetworkModel::NEAR };
            let begun = Instant::now();
            let ran = run_over(network(model), |party, link| session(party, link, security, &weights));
            println!("{security:?}, {name} round trip: {:.2} s in all on this machine", begun.elapsed().as_secs_f64());
            for line in ran[0].0.as_ref().map_or_else(|error| vec![error.to_string()], Clone::clone) {
                println!("    {line}");
            }
        }
    }
}

fn session(party: PartyId, link: &mut Link, security: Security, weights: &Arc<ModelWeights>) -> Result<Vec<String>, SmpcError> {
    let seed = |component: PartyId| [component.index() as u8 + 1; 32];
    let prss = Prss::new(&seed(party), &seed(party.next()));
    let mut computation = Computation::new(party, link, prss, security);
    let mut decoder = Decoder::new(Arc::clone(weights), 1);
    let mut lines = Vec::new();
    let mut measure = |computation: &mut Computation<&mut Link>, name: &str, from: (u64, u64, Duration)| {
        let traffic = computation.link().traffic();
        let (rounds, bytes, time) = (traffic.rounds, traffic.total_bytes(), traffic.elapsed);
        lines.push(format!("{name}: {} rounds, {} KB, {:.3} s", rounds - from.0, (bytes - from.1) / 1000, (time - from.2).as_secs_f64()));
        (rounds, bytes, time)
    };
    let from = (0, 0, Duration::ZERO);
    let embeddings = |tokens: usize| Shares::zeros(tokens * SHAPE.d_model).plus_constant(party, 20_000);
    decoder.advance(&mut computation, &embeddings(CONTEXT))?;
    let from = measure(&mut computation, "prompt", from);
    drop(computation.verify()?);
    let mut from = measure(&mut computation, "prompt's proof", from);
    let forecast = decoder.rehearse(security, &[1; TOKENS])?;
    let each = |rounds: u64| rounds as f64 / TOKENS as f64;
    let rehearsed = format!(
        "forecast for a token: {:.1} + {:.1} rounds, {} KB of all parties",
        each(forecast.online.rounds),
        each(forecast.preprocessing.rounds),
        (forecast.online.bytes + forecast.preprocessing.bytes) / 1000 / TOKENS as u64
    );
    let mut from = measure(&mut computation, "rehearsal", from);
    computation.prepare(&forecast.requests)?;
    from = measure(&mut computation, &format!("masks of {TOKENS} tokens"), from);
    for _ in 0..TOKENS {
        decoder.advance(&mut computation, &embeddings(1))?;
        from = measure(&mut computation, "token", from);
        drop(computation.verify()?);
        from = measure(&mut computation, "its proof", from);
    }
    lines.push(rehearsed);
    Ok(lines)
}

fn weights() -> ModelWeights {
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
            (0..8).map(|_| ExpertWeights { gate: matrix(f, d), up: matrix(f, d), down: matrix(d, f) }).collect();
        let (gate_and_up, down) = LayerWeights::experts(&experts);
        let (query, key) = (matrix(SHAPE.heads * width, d), matrix(SHAPE.kv_heads * width, d));
        let (value, output) = (matrix(SHAPE.kv_heads * width, d), matrix(d, SHAPE.heads * width));
        LayerWeights { query, key, value, output, router: matrix(8, d), gate_and_up, down }
    };
    let layers = (0..4).map(|_| layer()).collect();
    let frequencies = (0..width / 2).map(|pair| 10_000.0_f32.powf(-2.0 * pair as f32 / width as f32)).collect();
    let rotation = Rotation { frequencies, halves: true, amplitude: 1.0 };
    ModelWeights { shape: SHAPE, rms_eps: 1e-5, rotation, layers, output: matrix(512, d) }
}
