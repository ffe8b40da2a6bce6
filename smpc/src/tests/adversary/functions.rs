//! What every decoded token goes through, on as few values as there can be: norm, attention, experts, the largest logits, and
//! the check of inputs. Weights are shared, so that linear layers are products too.

use std::sync::{Arc, LazyLock};

use super::{Party, Random, share};
use crate::channel::{Channel, Nobody};
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::nn::{LayerWeights, LimitedDecoder, Limits, Matrix, ModelShape, ModelWeights, Rotation};
use crate::party::PartyId;
use crate::rehearsal::Forecast;
use crate::share::Shares;
use crate::supply::Request;

const SHAPE: ModelShape =
    ModelShape { d_model: 2, heads: 1, kv_heads: 1, head_dim: 2, d_expert: 1, top_k: 2, normalised: true };
const EXPERTS: usize = 3;
const VOCABULARY: usize = 3;

/// Values of the embeddings of a prompt: two tokens, of which the second attends to the first.
const INPUTS: usize = 2 * SHAPE.d_model;

/// Masks are made together, as before a turn: the fewer messages, the more runs.
static MASKS: LazyLock<Vec<Request>> = LazyLock::new(|| masks(|alone| all(alone, &Shares::zeros(INPUTS))));

/// Those that `program` asks for.
pub fn masks(program: impl Fn(&mut Computation<Nobody>) -> Result<Shares, SmpcError>) -> Vec<Request> {
    Forecast::of(Security::Malicious, |_, alone| program(alone).map(drop)).unwrap().requests
}

/// See [`every_function`].
pub fn functions(party: &mut Party<'_>) -> Result<Shares, SmpcError> {
    every_function(party)
}

/// One layer, and the functions that only many values go through.
pub fn every_function<C: Channel>(party: &mut Computation<C>) -> Result<Shares, SmpcError> {
    party.prepare(&MASKS)?;
    let embeddings = share(party.party(), &[9000, 500_u64.wrapping_neg(), 30_000, 8000]);
    all(party, &embeddings)
}

fn all<C: Channel>(party: &mut Computation<C>, embeddings: &Shares) -> Result<Shares, SmpcError> {
    let told = tokens(party, embeddings, 1)?;
    let many = party.softmax(&embeddings.range(0..2), 2, &[true; 2])?;
    let one = Shares::zeros(1).plus_constant(party.party(), 1 << 32);
    let root = party.reciprocal_root(&one, 1.0)?;
    Ok(Shares::concat(&[&told, &many, &root]))
}

/// What is told after the `embeddings` of some prompts, `[prompts, tokens, d_model]`: of each the largest two logits with
/// their indices, and whether an input is out of range.
pub fn tokens<C: Channel>(
    party: &mut Computation<C>,
    embeddings: &Shares,
    prompts: usize,
) -> Result<Shares, SmpcError> {
    let limits = Limits { input_bound: 1 << 14, largest: 2 };
    let weights = Arc::new(weights(party.party()));
    let told = LimitedDecoder::new(weights, prompts, limits).advance(party, embeddings)?;
    Ok(Shares::concat(&[&told.opened, &told.beyond]))
}

/// Weights below one half, as `party` has them.
fn weights(party: PartyId) -> ModelWeights {
    let mut random = Random(21);
    let mut matrix = |outputs: usize, inputs: usize| {
        let words: Vec<u64> = (0..outputs * inputs).map(|_| (random.word() as i64 >> 48) as u64).collect();
        Matrix::shared(outputs, inputs, share(party, &words)).unwrap()
    };
    let ModelShape { d_model, heads, kv_heads, head_dim, d_expert, .. } = SHAPE;
    let layer = LayerWeights::of_matrices([
        matrix(heads * head_dim, d_model),
        matrix(kv_heads * head_dim, d_model),
        matrix(kv_heads * head_dim, d_model),
        matrix(d_model, heads * head_dim),
        matrix(EXPERTS, d_model),
        matrix(EXPERTS * 2 * d_expert, d_model),
        matrix(EXPERTS * d_model, d_expert),
    ]);
    let rotation = Rotation { frequencies: vec![1.0], halves: true, amplitude: 1.0 };
    let output = matrix(VOCABULARY, d_model);
    ModelWeights { shape: SHAPE, rms_eps: 1e-5, rotation, layers: vec![layer], output }
}
