//! A checkpoint as parties compute it on shares: which models can be, and their weights in fixed point.

use neuro_expert_runtime::{BlockError, blocks};
use neuro_inference::rope::Rope;
use neuro_model::names::{self, AttentionNames, FeedForwardNames};
use neuro_model::{
    Checkpoint, CheckpointError, HiddenActivation, ModelConfig, QueryKeyNorm, RopePairing, RopeScaling, ScoreFunction,
};
use neuro_primitives::ExpertId;
use neuro_smpc::nn::{ExpertWeights, LayerWeights, Matrix, ModelShape, ModelWeights, Rotation, WeightError};
use thiserror::Error;

/// Why a model cannot be computed on shares.
#[derive(Debug, Error)]
pub enum PrivateModelError {
    /// An operation that has no form on shares.
    #[error("this model cannot be computed on shares: it has {what}")]
    Unsupported {
        /// Which.
        what: &'static str,
    },
    /// A tensor that is missing or cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Blocks that are broken.
    #[error("tensor {name}: {source}")]
    Blocks {
        /// The tensor.
        name: String,
        /// What is wrong.
        source: BlockError,
    },
    /// A weight that has no place in fixed point.
    #[error("tensor {name}: {source}")]
    Weight {
        /// The tensor.
        name: String,
        /// Which weight.
        source: WeightError,
    },
}

/// Checks that every operation of the model has a form on shares.
///
/// # Errors
/// The first that has none.
pub fn check(config: &ModelConfig) -> Result<(), PrivateModelError> {
    let router = &config.router;
    let missing = [
        (config.latent.is_some(), "latent attention"),
        (config.query_key_value_bias || config.output_bias || config.expert_bias || router.bias, "biases"),
        (config.attention_sinks, "attention sinks"),
        (config.clip_qkv.is_some(), "clipped queries, keys or values"),
        (config.qk_norm != QueryKeyNorm::None, "norms on queries and keys"),
        (config.windows.iter().any(Option::is_some), "sliding windows"),
        (config.shared_expert.is_some() || !config.dense_layers.is_empty(), "dense networks beside its experts"),
        (config.activation != HiddenActivation::Silu, "an activation other than SiLU"),
        (router.scores == ScoreFunction::Sigmoid || router.selection_bias, "a router by sigmoids"),
        (router.groups.is_some(), "groups of experts"),
        // The factor of a router would be 1.0 times.
        ((router.scale - 1.0).abs() > f32::EPSILON, "scaled gates"),
        (matches!(config.rope.scaling, RopeScaling::Yarn { .. }), "YaRN-scaled rotary positions"),
    ];
    match missing.into_iter().find(|(is, _)| *is) {
        Some((_, what)) => Err(PrivateModelError::Unsupported { what }),
        None => Ok(()),
    }
}

/// The weights of `checkpoint`, with every norm's weights in the matrices behind it.
///
/// # Errors
/// A model with an operation that has no form on shares; a tensor that cannot be read or does not fit.
pub fn weights(checkpoint: &Checkpoint) -> Result<ModelWeights, PrivateModelError> {
    let config = checkpoint.config();
    check(config)?;
    let reader = Reader { checkpoint, config };
    let layers = (0..config.layers).map(|layer| reader.layer(layer)).collect::<Result<_, _>>()?;
    let rope = Rope::new(config.head_dim, &config.rope);
    Ok(ModelWeights {
        shape: ModelShape {
            d_model: config.d_model,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            d_expert: config.d_expert,
            top_k: config.router.top_k,
            normalised: config.router.renormalise || config.router.scores == ScoreFunction::SoftmaxOfChosen,
        },
        rms_eps: f64::from(config.rms_eps),
        rotation: Rotation {
            frequencies: rope.frequencies().to_vec(),
            halves: config.rope.pairing == RopePairing::Halves,
            amplitude: 1.0,
        },
        layers,
        output: reader.matrix(names::output(config), config.d_model, &reader.values(names::FINAL_NORM)?)?,
    })
}

/// The embeddings of `tokens`, `[tokens, d_model]`, in fixed point. The client does this, so no party sees a token.
///
/// # Errors
/// An embedding that cannot be read. A token beyond the vocabulary is left out.
pub fn embeddings(checkpoint: &Checkpoint, tokens: &[u32]) -> Result<Vec<u64>, PrivateModelError> {
    let config = checkpoint.config();
    let table = Reader { checkpoint, config }.values(names::EMBEDDING)?;
    let row = |token: &u32| table.chunks_exact(config.d_model).nth(*token as usize).unwrap_or_default();
    let fixed =
        |value: &f32| (f64::from(*value) * f64::from(1 << neuro_smpc::functions::FRACTION)).round() as i64 as u64;
    Ok(tokens.iter().flat_map(row).map(fixed).collect())
}

struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a ModelConfig,
}

impl Reader<'_> {
    /// All values of a tensor.
    fn values(&self, name: &str) -> Result<Vec<f32>, PrivateModelError> {
        let tensor = self.checkpoint.tensor(name)?;
        blocks::to_f32(tensor.tensor_type, &tensor.bytes)
            .map_err(|source| PrivateModelError::Blocks { name: name.to_owned(), source })
    }

    /// A matrix with `inputs` columns, each times `scale`.
    fn matrix(&self, name: &str, inputs: usize, scale: &[f32]) -> Result<Matrix, PrivateModelError> {
        let values = self.values(name)?;
        Matrix::new(values.len() / inputs, inputs, &values, scale)
            .map_err(|source| PrivateModelError::Weight { name: name.to_owned(), source })
    }

    fn layer(&self, layer: usize) -> Result<LayerWeights, PrivateModelError> {
        let (config, names) = (self.config, names::layer(self.config, layer));
        let AttentionNames::Grouped { query, key, value, output, .. } = names.attention else {
            return Err(PrivateModelError::Unsupported { what: "latent attention" });
        };
        let FeedForwardNames::Moe { router, .. } = names.feed_forward else {
            return Err(PrivateModelError::Unsupported { what: "layers without experts" });
        };
        let (d, before, behind) =
            (config.d_model, self.values(&names.input_norm)?, self.values(&names.feed_forward_norm)?);
        let score = 1.0 / (config.head_dim as f32).sqrt();
        let scaled: Vec<f32> = before.iter().map(|weight| weight * score).collect();
        let experts = (0..config.router.experts).map(|expert| self.expert(layer, expert, &behind));
        let (gate_and_up, down) = LayerWeights::experts(&experts.collect::<Result<Vec<_>, _>>()?);
        Ok(LayerWeights {
            query: self.matrix(&query.weight, d, &scaled)?,
            key: self.matrix(&key.weight, d, &before)?,
            value: self.matrix(&value.weight, d, &before)?,
            output: self.matrix(&output.weight, config.heads * config.head_dim, &[])?,
            router: self.matrix(&router.weight, d, &behind)?,
            gate_and_up,
            down,
        })
    }

    fn expert(&self, layer: usize, expert: usize, norm: &[f32]) -> Result<ExpertWeights, PrivateModelError> {
        // A configuration has at most 65,535 layers and experts.
        let names = names::expert(self.config, ExpertId { layer: layer as u16, expert: expert as u16 });
        Ok(ExpertWeights {
            gate: self.matrix(&names.gate, self.config.d_model, norm)?,
            up: self.matrix(&names.up, self.config.d_model, norm)?,
            down: self.matrix(&names.down, self.config.d_expert, &[])?,
        })
    }
}
