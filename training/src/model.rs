//! A model ready to be computed and trained.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use neuro_model::{Checkpoint, ModelConfig};

use crate::error::{ModelError, TrainError};
use crate::example::{Batch, Example};
use crate::low_rank::LowRank;
use crate::network::{self, Network, Objective, Tensors};
use crate::weights::{Matrix, Weights};

/// A model: its configuration, its weights, and these as constants of a graph. Clones share everything.
#[derive(Clone)]
pub struct MoeModel {
    config: Arc<ModelConfig>,
    weights: Arc<Weights>,
    constants: Arc<BTreeMap<String, Tensor<2>>>,
    low_rank_scale: f32,
    device: Device,
}

/// How well a model predicts examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean cross entropy in nats per token that is learnt.
    pub loss: f32,
    /// For every example, whether the likeliest token is the right one wherever one is learnt: greedy decoding from
    /// the tokens before would give these very tokens.
    pub exact: Vec<bool>,
    /// For every layer, how many rows went to each expert: `[layers][experts]`. The last layer computes only rows whose
    /// next token is learnt.
    pub routed: Vec<Vec<u32>>,
}

impl MoeModel {
    /// A model of `config` with `weights`; `low_rank` where adapters are among them.
    ///
    /// # Errors
    /// Something in `config` that has no gradient here; a tensor that is missing.
    pub fn new(config: ModelConfig, weights: Weights, low_rank: Option<&LowRank>) -> Result<Self, ModelError> {
        network::check_supported(&config)?;
        let device = Device::flex().autodiff();
        let constants = weights.iter().map(|(name, matrix)| (name.to_owned(), tensor(matrix, &device))).collect();
        let low_rank_scale = low_rank.map_or(0.0, LowRank::scale);
        let (config, weights, constants) = (Arc::new(config), Arc::new(weights), Arc::new(constants));
        let model = Self { config, weights, constants, low_rank_scale, device };
        model.network()?;
        Ok(model)
    }

    /// The model in `checkpoint`.
    ///
    /// # Errors
    /// As [`Weights::read`] and [`Self::new`].
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        Self::new(checkpoint.config().clone(), Weights::read(checkpoint)?, None)
    }

    /// The same model with other weights.
    ///
    /// # Errors
    /// A tensor that is missing.
    pub fn with_weights(&self, weights: Weights) -> Result<Self, ModelError> {
        let constants = weights.iter().map(|(name, matrix)| (name.to_owned(), tensor(matrix, &self.device))).collect();
        let model = Self { weights: Arc::new(weights), constants: Arc::new(constants), ..self.clone() };
        model.network()?;
        Ok(model)
    }

    /// What the model is.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its weights.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The logits after the last token of each of `prompts`: `[prompts, vocabulary]`, row after row.
    ///
    /// # Errors
    /// A token outside the vocabulary, or no prompt.
    pub fn next_logits(&self, prompts: &[Vec<u32>]) -> Result<Vec<f32>, TrainError> {
        // A token after the prompt asks for the logits before it; its value does not matter.
        let asking = |ids: &Vec<u32>| Example {
            ids: [ids.as_slice(), &[0]].concat(),
            learn_from: ids.len(),
            ..Example::default()
        };
        let examples: Vec<Example> = prompts.iter().map(asking).collect();
        let batch = Batch::new(&examples, self.config.vocab_size)?;
        Ok(network::numbers(self.network()?.forward(&batch).logits))
    }

    /// How well the model predicts `examples`.
    ///
    /// # Errors
    /// A token outside the vocabulary, or nothing to predict.
    pub fn evaluate(&self, examples: &[Example]) -> Result<Evaluation, TrainError> {
        let batch = Batch::new(examples, self.config.vocab_size)?;
        let pass = self.network()?.forward(&batch);
        let routed = pass.routed.into_iter().map(|layer| layer.counts).collect();
        let logits = network::numbers(pass.logits);
        let mut exact = vec![true; examples.len()];
        let mut sum = 0.0_f64;
        for ((place, token), row) in batch.asked.iter().zip(logits.chunks_exact(self.config.vocab_size)) {
            exact[place / batch.length] &= likeliest(row) == *token as usize;
            sum += cross_entropy(row, *token as usize);
        }
        Ok(Evaluation { loss: (sum / batch.asked.len() as f64) as f32, exact, routed })
    }

    fn network(&self) -> Result<Network<'_>, ModelError> {
        Network::new(&self.config, &self.binding(BTreeMap::new()), &self.device)
    }

    /// The loss of `batch`, and the gradients of the tensors in `trained`, of which absent ones are zero.
    pub(crate) fn gradients(
        &self,
        trained: BTreeMap<String, Matrix>,
        batch: &Batch,
        objective: &Objective,
    ) -> Result<(f32, BTreeMap<String, Vec<f32>>), ModelError> {
        let leaf = |matrix: &Matrix| tensor(matrix, &self.device).require_grad();
        let leaves: BTreeMap<String, Tensor<2>> = trained.iter().map(|(name, m)| (name.clone(), leaf(m))).collect();
        let binding = self.binding(leaves.clone());
        let loss = Network::new(&self.config, &binding, &self.device)?.loss(batch, *objective);
        let mut gradients = loss.backward();
        let value = network::numbers(loss).first().copied().unwrap_or(f32::NAN);
        let slopes = leaves.into_iter().filter_map(|(name, leaf)| {
            let slope = leaf.grad_remove(&mut gradients)?;
            Some((name, network::numbers(slope)))
        });
        Ok((value, slopes.collect()))
    }

    /// The loss of `batch` with `trained` in the place of the model's own tensors.
    #[cfg(test)]
    pub(crate) fn loss(
        &self,
        trained: &BTreeMap<String, Matrix>,
        batch: &Batch,
        objective: &Objective,
    ) -> Result<f32, ModelError> {
        let tensors = trained.iter().map(|(name, matrix)| (name.clone(), tensor(matrix, &self.device)));
        let binding = self.binding(tensors.collect());
        let loss = Network::new(&self.config, &binding, &self.device)?.loss(batch, *objective);
        Ok(network::numbers(loss).first().copied().unwrap_or(f32::NAN))
    }

    const fn binding(&self, trained: BTreeMap<String, Tensor<2>>) -> Binding<'_> {
        Binding { model: self, trained }
    }
}

/// The model's constants, some of them replaced by tensors that gradients are asked for.
struct Binding<'a> {
    model: &'a MoeModel,
    trained: BTreeMap<String, Tensor<2>>,
}

impl Tensors for Binding<'_> {
    fn tensor(&self, name: &str) -> Result<Tensor<2>, ModelError> {
        let found = self.trained.get(name).or_else(|| self.model.constants.get(name));
        found.cloned().ok_or_else(|| ModelError::Missing { name: name.to_owned() })
    }

    fn low_rank_scale(&self) -> f32 {
        self.model.low_rank_scale
    }
}

/// `[out, in]`, or `[1, width]` for a vector.
fn tensor(matrix: &Matrix, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(matrix.values.clone(), [matrix.rows(), matrix.width()]), device)
}

/// The first of the greatest.
fn likeliest(row: &[f32]) -> usize {
    let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
    (0..row.len()).fold(0, better)
}

fn cross_entropy(row: &[f32], target: usize) -> f64 {
    let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|logit| f64::from(logit - greatest).exp()).sum();
    sum.ln() - f64::from(row[target] - greatest)
}

#[cfg(test)]
mod tests;
