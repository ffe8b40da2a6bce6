//! Causal attention with grouped heads: arXiv 1706.03762, equation 1; "GQA", arXiv 2305.13245.

use burn::tensor::{Device, Tensor, TensorData, activation};
use neuro_model::ModelConfig;
use neuro_model::names::AttentionNames;

use super::Tensors;
use super::linear::{Linear, RmsNorm};
use super::rotary::Rotation;
use crate::error::ModelError;

/// One layer's attention.
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    query_key_norm: Option<(RmsNorm, RmsNorm)>,
    /// Queries, keys and values are clamped to ± this after the norm.
    clip: Option<f32>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// What a position may not see.
pub(super) struct Masking {
    /// `[1, 1, group × length, length]`: 0 where a position may look, else a number that softmax makes zero.
    added: Tensor<4>,
}

/// Far below every score, and far from where f32 ends.
const UNSEEN: f32 = -1e9;

impl Masking {
    /// Positions see themselves and the `window - 1` positions before them, or all. Query heads that share a key lie
    /// one under the other.
    pub(super) fn new(config: &ModelConfig, window: Option<usize>, length: usize, device: &Device) -> Self {
        let group = config.heads / config.kv_heads;
        let sees = move |position: usize, seen: usize| seen <= position && window.is_none_or(|w| position - seen < w);
        let row = |position: usize| (0..length).map(move |seen| if sees(position, seen) { 0.0 } else { UNSEEN });
        let values: Vec<f32> = (0..group).flat_map(|_| (0..length).flat_map(row)).collect();
        Self { added: Tensor::from_data(TensorData::new(values, [1, 1, group * length, length]), device) }
    }
}

impl Attention {
    /// The attention with `names`.
    pub(super) fn new(config: &ModelConfig, tensors: &impl Tensors, names: &AttentionNames) -> Result<Self, ModelError> {
        let AttentionNames::Grouped { query, key, value, output, query_norm, key_norm, .. } = names else {
            return Err(ModelError::Unsupported { feature: "latent attention".to_owned() });
        };
        let norm = |name: &Option<String>| {
            let tensor = name.as_ref().map(|name| tensors.tensor(name)).transpose()?;
            Ok::<_, ModelError>(tensor.map(|weight| RmsNorm::new(weight, config.rms_eps)))
        };
        Ok(Self {
            query: Linear::new(tensors, &query.weight)?,
            key: Linear::new(tensors, &key.weight)?,
            value: Linear::new(tensors, &value.weight)?,
            output: Linear::new(tensors, &output.weight)?,
            query_key_norm: norm(query_norm)?.zip(norm(key_norm)?),
            clip: config.clip_qkv,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
        })
    }

    /// Attends within each of `rows` texts of `length` positions. `hidden`: `[rows × length, d_model]`, normalised.
    /// `[rows × length, heads × head_dim]`.
    pub(super) fn apply(
        &self,
        hidden: Tensor<2>,
        [rows, length]: [usize; 2],
        rotation: &Rotation,
        masking: &Masking,
    ) -> Tensor<2> {
        let (mut queries, mut keys) = (self.query.apply(hidden.clone()), self.key.apply(hidden.clone()));
        if let Some((query, key)) = &self.query_key_norm {
            (queries, keys) = (query.apply_to_stretches(queries), key.apply_to_stretches(keys));
        }
        let clip = |values: Tensor<2>| self.clip.map_or(values.clone(), |limit| values.clamp(-limit, limit));
        let heads = |values: Tensor<2>, count| clip(values).reshape([rows, length, count, self.head_dim]).swap_dims(1, 2);
        let keys = rotation.apply(heads(keys, self.kv_heads));
        let values = heads(self.value.apply(hidden), self.kv_heads);
        let group = self.heads / self.kv_heads;
        let stacked = [rows, self.kv_heads, group * length, self.head_dim];
        let queries = rotation.apply(heads(queries, self.heads)).reshape(stacked);
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let scores = queries.mul_scalar(scale).matmul(keys.transpose()) + masking.added.clone();
        let seen = activation::softmax(scores, 3).matmul(values);
        let seen = seen.reshape([rows, self.heads, length, self.head_dim]).swap_dims(1, 2);
        seen.reshape([rows * length, self.heads * self.head_dim])
    }

    /// `[rows, heads × head_dim] → [rows, d_model]`.
    pub(super) fn output(&self, attended: Tensor<2>) -> Tensor<2> {
        self.output.apply(attended)
    }
}
