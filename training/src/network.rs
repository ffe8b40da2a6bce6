//! The forward pass as a graph that burn can differentiate.
//!
//! The equations are those of the crate `inference`; here every step is a tensor operation over a whole batch, there
//! are no caches, and the last layer computes only rows whose next token is asked for.

mod attention;
mod experts;
mod linear;
mod objective;
mod rotary;

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use neuro_model::ModelConfig;
use neuro_model::names::{self, FeedForwardNames};

use crate::error::ModelError;
use crate::example::Batch;
use attention::{Attention, Masking};
use experts::ExpertBlock;
use linear::{Linear, RmsNorm};
use rotary::Rotation;

pub(crate) use experts::Routed;
pub use objective::Objective;

/// Gives a tensor by its name: a constant, or one that gradients are asked for.
pub(crate) trait Tensors {
    /// `[out, in]`, or `[1, width]` for a vector.
    fn tensor(&self, name: &str) -> Result<Tensor<2>, ModelError>;
    /// As [`Self::tensor`], where it may be missing.
    fn optional(&self, name: &str) -> Option<Tensor<2>> {
        self.tensor(name).ok()
    }
    /// What products of low-rank adapters are multiplied by.
    fn low_rank_scale(&self) -> f32;
}

/// A model's tensors in their places.
pub(crate) struct Network<'a> {
    config: &'a ModelConfig,
    embedding: Tensor<2>,
    layers: Vec<Layer>,
    final_norm: RmsNorm,
    output: Linear,
    device: Device,
}

struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    feed_forward_norm: RmsNorm,
    experts: ExpertBlock,
}

/// What a pass gives.
pub(crate) struct Pass {
    /// Of every row that was asked for, ascending by place: `[asked, vocabulary]`.
    pub(crate) logits: Tensor<2>,
    /// How every layer chose experts.
    pub(crate) routed: Vec<Routed>,
}

impl<'a> Network<'a> {
    /// Puts `tensors` in the places that `config` has.
    pub(crate) fn new(config: &'a ModelConfig, tensors: &impl Tensors, device: &Device) -> Result<Self, ModelError> {
        let layers = (0..config.layers).map(|layer| Layer::new(config, tensors, layer));
        Ok(Self {
            config,
            embedding: tensors.tensor(names::EMBEDDING)?,
            layers: layers.collect::<Result<_, _>>()?,
            final_norm: RmsNorm::new(tensors.tensor(names::FINAL_NORM)?, config.rms_eps),
            output: Linear::new(tensors, names::output(config))?,
            device: device.clone(),
        })
    }

    /// The logits after every token of `batch` whose next one is learnt.
    pub(crate) fn forward(&self, batch: &Batch) -> Pass {
        let rotation = Rotation::new(self.config, batch.length, &self.device);
        let masking = self.config.windows.iter();
        let masking: BTreeMap<Option<usize>, Masking> =
            masking.map(|window| (*window, Masking::new(self.config, *window, batch.length, &self.device))).collect();
        let mut hidden = self.embedding.clone().select(0, self.indices(batch.ids.iter().map(|id| *id as usize)));
        let (asked, mut routed) = (self.indices(batch.asked.iter().map(|(at, _)| *at)), Vec::new());
        let live = batch.live.iter().enumerate().filter(|(_, live)| **live);
        let live_rows: Vec<(usize, usize)> = live.map(|(place, _)| (place, place)).collect();
        let asked_rows: Vec<(usize, usize)> = batch.asked.iter().map(|(place, _)| *place).enumerate().collect();
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = layer.attention_norm.apply(hidden.clone());
            let masking = &masking[&self.config.windows[index]];
            let attended = layer.attention.apply(normed, [batch.rows, batch.length], &rotation, masking);
            let last = index + 1 == self.layers.len();
            let (rows, attended) = match last {
                true => (hidden.select(0, asked.clone()), attended.select(0, asked.clone())),
                false => (hidden, attended),
            };
            let rows = rows + layer.attention.output(attended);
            let live = if last { &asked_rows } else { &live_rows };
            let (sums, choice) = layer.experts.apply(layer.feed_forward_norm.apply(rows.clone()), live, &self.device);
            routed.push(choice);
            hidden = rows + sums;
        }
        Pass { logits: self.output.apply(self.final_norm.apply(hidden)), routed }
    }

    /// What training makes small: `[1]`.
    pub(crate) fn loss(&self, batch: &Batch, objective: Objective) -> Tensor<1> {
        let pass = self.forward(batch);
        let targets = self.indices(batch.asked.iter().map(|(_, token)| *token as usize)).reshape([batch.asked.len(), 1]);
        let likelihoods = activation::log_softmax(pass.logits, 1).gather(1, targets);
        let loss = likelihoods.mean().mul_scalar(-objective.tokens);
        objective.additions(&pass.routed, batch).into_iter().fold(loss, |sum, addition| sum + addition)
    }

    fn indices(&self, places: impl Iterator<Item = usize>) -> Tensor<1, Int> {
        indices(places, &self.device)
    }
}

impl Layer {
    fn new(config: &ModelConfig, tensors: &impl Tensors, layer: usize) -> Result<Self, ModelError> {
        let names = names::layer(config, layer);
        let norm = |name: &str| Ok::<_, ModelError>(RmsNorm::new(tensors.tensor(name)?, config.rms_eps));
        let router = match &names.feed_forward {
            FeedForwardNames::Moe { router, .. } => Linear::new(tensors, &router.weight)?,
            FeedForwardNames::Dense(_) => return Err(ModelError::Unsupported { feature: "a dense layer".to_owned() }),
        };
        Ok(Self {
            attention_norm: norm(&names.input_norm)?,
            attention: Attention::new(config, tensors, &names.attention)?,
            feed_forward_norm: norm(&names.feed_forward_norm)?,
            experts: ExpertBlock::new(config, tensors, layer, router)?,
        })
    }
}

/// Places as burn wants them: `[places]`.
fn indices(places: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let places: Vec<i32> = places.map(|place| i32::try_from(place).unwrap_or(i32::MAX)).collect();
    let length = places.len();
    Tensor::from_data(TensorData::new(places, [length]), device)
}

/// The numbers of `tensor`, row after row. Reading from memory of the same process does not fail; no numbers would come
/// of it if it did.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap_or_default()
}

/// Says by name what of `config` has no gradient here.
pub(crate) fn check_supported(config: &ModelConfig) -> Result<(), ModelError> {
    use neuro_model::{Architecture, RopePairing, RopeScaling, ScoreFunction};
    let unsupported = |feature: &str| Err(ModelError::Unsupported { feature: feature.to_owned() });
    match config.architecture {
        Architecture::Mixtral | Architecture::Qwen3Moe | Architecture::Olmoe => {}
        other => return unsupported(&format!("architecture {other}")),
    }
    if config.rope.scaling != RopeScaling::None || config.rope.pairing != RopePairing::Halves {
        return unsupported("rotary scaling or neighbours rotated together");
    }
    let router = &config.router;
    if router.scores != ScoreFunction::Softmax || router.groups.is_some() || router.selection_bias || router.bias {
        return unsupported("groups, biases or scores other than softmax in the router");
    }
    let biased = config.query_key_value_bias || config.output_bias || config.expert_bias || config.attention_sinks;
    if biased {
        return unsupported("biases or sinks");
    }
    if !config.dense_layers.is_empty() || config.shared_expert.is_some() {
        return unsupported("dense layers or shared experts");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
