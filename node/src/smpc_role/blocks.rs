//! The program that runs a model's blocks: a checkpoint's weights in fixed point, and its decoder on shares.

use std::sync::Arc;

use neuro_inference::rope::Rope;
use neuro_model::names::{self, AttentionNames, FeedForwardNames, LayerTensorNames, ProjectionNames};
use neuro_model::{Checkpoint, HiddenActivation, ModelConfig, QueryKeyNorm, RopePairing, RopeScaling, ScoreFunction};
use neuro_primitives::{ExpertId, Hash};
use neuro_smpc::computation::Security;
use neuro_smpc::error::SmpcError;
use neuro_smpc::nn::{Decoder, ExpertWeights, LayerWeights, Matrix, ModelShape, ModelWeights, Rotation, WeightError};
use neuro_smpc::share::Shares;

use super::agreement::{Agreement, Routes};
use super::model::{ModelError, ModelFacts, floats};
use super::preparation::Preparation;
use super::program::{PartyComputation, Program, ProgramMaker, StartError, Turn, last_rows};
use super::ranges;

/// The version is part of the name: whoever changes what is computed changes it.
const BLOCKS_PROGRAM: &[u8] = b"neuro smpc program: blocks 3";

/// All blocks of a mixture-of-experts model.
pub struct BlockProgram {
    model: ModelFacts,
    weights: Arc<ModelWeights>,
}

struct RunningBlocks {
    decoder: Decoder,
    security: Security,
    preparation: Preparation,
    prompts: usize,
    d_model: usize,
    tells_layers: bool,
}

/// Why a model cannot be run on shares.
#[derive(Debug, thiserror::Error)]
pub enum BlocksError {
    /// It cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It does something that shares cannot do yet.
    #[error("this model has {what}, which private inference does not cover yet")]
    NotCovered {
        /// What.
        what: &'static str,
    },
    /// A weight that has no place in fixed point.
    #[error("{name}: {source}")]
    Weight {
        /// The tensor.
        name: String,
        /// Why.
        source: WeightError,
    },
}

impl BlockProgram {
    /// Reads all weights of the checkpoint.
    ///
    /// # Errors
    /// See [`BlocksError`].
    pub fn load(checkpoint: &Checkpoint, model: ModelFacts) -> Result<Self, BlocksError> {
        Ok(Self { model, weights: Arc::new(weights(checkpoint)?) })
    }

    /// The weights, in fixed point.
    #[must_use]
    pub const fn weights(&self) -> &Arc<ModelWeights> {
        &self.weights
    }

    /// The hash that names the program.
    #[must_use]
    pub fn hash() -> Hash {
        Hash::of(BLOCKS_PROGRAM)
    }
}

impl ProgramMaker for BlockProgram {
    fn model(&self) -> &ModelFacts {
        &self.model
    }

    fn program(&self) -> Hash {
        Self::hash()
    }

    fn start(&self, agreement: &Agreement) -> Result<Box<dyn Program>, StartError> {
        let mut decoder = Decoder::new(Arc::clone(&self.weights), agreement.lengths.prompts as usize);
        if matches!(agreement.routes, Routes::Revealed(_)) {
            decoder.reveal_routes();
        }
        Ok(Box::new(RunningBlocks {
            decoder,
            security: agreement.security,
            preparation: Preparation::new(&agreement.lengths),
            prompts: agreement.lengths.prompts as usize,
            d_model: self.model.d_model,
            tells_layers: agreement.tells_layers,
        }))
    }
}

impl Program for RunningBlocks {
    fn advance(&mut self, computation: &mut PartyComputation<'_>, turn: &Turn<'_>) -> Result<Shares, SmpcError> {
        if !turn.padding.is_empty() {
            self.decoder.pad(turn.padding.clone());
        }
        let rehearse = |passes: &[usize]| self.decoder.rehearse(self.security, passes);
        self.preparation.before_turn(computation, turn.watch, rehearse)?;
        let mut told = Vec::new();
        let logits = self.decoder.advance_watched(computation, &turn.embeddings, |_, hidden| {
            if self.tells_layers {
                told.push(last_rows(hidden, self.prompts, self.d_model));
            }
            Ok(())
        })?;
        Ok(Shares::concat(&[&logits].into_iter().chain(&told).collect::<Vec<_>>()))
    }
}

/// What of `config` the blocks on shares do not do.
fn not_covered(config: &ModelConfig) -> Option<&'static str> {
    let router = &config.router;
    let cases = [
        (config.latent.is_some(), "latent attention"),
        (config.qk_norm != QueryKeyNorm::None, "norms on queries and keys"),
        (config.query_key_value_bias || config.output_bias, "biases in its attention"),
        (config.attention_sinks, "attention sinks"),
        (config.clip_qkv.is_some(), "clamped queries and keys"),
        (config.windows.iter().any(Option::is_some), "sliding windows"),
        (config.shared_expert.is_some(), "shared experts"),
        (!config.dense_layers.is_empty(), "dense layers"),
        (config.expert_bias, "biases in its experts"),
        (config.activation != HiddenActivation::Silu, "another activation than SiLU"),
        (router.scores != ScoreFunction::Softmax, "another router than a softmax"),
        (router.groups.is_some() || router.bias || router.selection_bias, "groups or biases in its router"),
        (router.scale.to_bits() != 1.0_f32.to_bits(), "scaled gates"),
    ];
    cases.into_iter().find_map(|(has, what)| has.then_some(what))
}

/// What the configuration says of a model: all but its weights.
pub(super) struct Skeleton {
    pub shape: ModelShape,
    pub rms_eps: f64,
    pub rotation: Rotation,
    pub layers: usize,
    /// `[outputs, inputs]` of a layer's matrices, in the order of [`LayerWeights`].
    pub matrices: [[usize; 2]; 7],
    /// `[vocab, d_model]`.
    pub output: [usize; 2],
}

/// See [`Skeleton`].
pub(super) fn skeleton(config: &ModelConfig) -> Result<Skeleton, BlocksError> {
    if let Some(what) = not_covered(config) {
        return Err(BlocksError::NotCovered { what });
    }
    let rope = Rope::new(config.head_dim, &config.rope);
    let (d, queries, keys) = (config.d_model, config.query_width(), config.key_width());
    let (experts, width) = (config.router.experts, config.d_expert);
    Ok(Skeleton {
        shape: ranges::shape(config),
        rms_eps: f64::from(config.rms_eps),
        rotation: Rotation {
            frequencies: rope.frequencies().to_vec(),
            halves: config.rope.pairing == RopePairing::Halves,
            amplitude: rope.amplitude(),
        },
        layers: config.layers,
        matrices: [
            [queries, d],
            [keys, d],
            [keys, d],
            [d, queries],
            [experts, d],
            [experts * 2 * width, d],
            [experts * d, width],
        ],
        output: [config.vocab_size, d],
    })
}

/// All weights of the checkpoint.
pub(super) fn weights(checkpoint: &Checkpoint) -> Result<ModelWeights, BlocksError> {
    let config = checkpoint.config();
    let Skeleton { shape, rms_eps, rotation, output, .. } = skeleton(config)?;
    let reader = Reader { checkpoint, config };
    let final_norm = reader.values(names::FINAL_NORM)?;
    Ok(ModelWeights {
        shape,
        rms_eps,
        rotation,
        layers: (0..config.layers).map(|layer| reader.layer(layer)).collect::<Result<_, _>>()?,
        output: reader.matrix(names::output(config), output, &final_norm)?,
    })
}

/// Reads tensors as matrices in fixed point.
struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a ModelConfig,
}

impl Reader<'_> {
    fn layer(&self, layer: usize) -> Result<LayerWeights, BlocksError> {
        let config = self.config;
        let LayerTensorNames { input_norm, attention, feed_forward_norm, feed_forward } = names::layer(config, layer);
        let (AttentionNames::Grouped { query, key, value, output, .. }, FeedForwardNames::Moe { router, .. }) =
            (attention, feed_forward)
        else {
            return Err(BlocksError::NotCovered { what: "layers of another kind" });
        };
        let (d, queries, keys) = (config.d_model, config.query_width(), config.key_width());
        let norm = self.values(&input_norm)?;
        let score = match config.rope.scaling {
            RopeScaling::Yarn { score_factor, .. } => score_factor as f32,
            _ => 1.0,
        } / (config.head_dim as f32).sqrt();
        let scored: Vec<f32> = norm.iter().map(|weight| weight * score).collect();
        let before_experts = self.values(&feed_forward_norm)?;
        let (gate_and_up, down) = self.experts(layer, &before_experts)?;
        let matrix = |names: &ProjectionNames, shape, scale: &[f32]| self.matrix(&names.weight, shape, scale);
        Ok(LayerWeights {
            query: matrix(&query, [queries, d], &scored)?,
            key: matrix(&key, [keys, d], &norm)?,
            value: matrix(&value, [keys, d], &norm)?,
            output: matrix(&output, [d, queries], &[])?,
            router: matrix(&router, [config.router.experts, d], &before_experts)?,
            gate_and_up,
            down,
        })
    }

    fn experts(&self, layer: usize, norm: &[f32]) -> Result<(Matrix, Matrix), BlocksError> {
        let (d, width) = (self.config.d_model, self.config.d_expert);
        let mut experts = Vec::with_capacity(self.config.router.experts);

        for id in names::experts(self.config).filter(|id: &ExpertId| usize::from(id.layer) == layer) {
            let names = names::expert(self.config, id);
            experts.push(ExpertWeights {
                gate: self.matrix(&names.gate, [width, d], norm)?,
                up: self.matrix(&names.up, [width, d], norm)?,
                down: self.matrix(&names.down, [d, width], &[])?,
            });
        }
        Ok(LayerWeights::experts(&experts))
    }

    /// The tensor `name` (`[outputs, inputs]`), each column times `scale`.
    fn matrix(&self, name: &str, [outputs, inputs]: [usize; 2], scale: &[f32]) -> Result<Matrix, BlocksError> {
        let weight = |source| BlocksError::Weight { name: name.to_owned(), source };
        Matrix::new(outputs, inputs, &self.values(name)?, scale).map_err(weight)
    }

    fn values(&self, name: &str) -> Result<Vec<f32>, BlocksError> {
        let tensor = self.checkpoint.tensor(name).map_err(ModelError::from)?;
        let values = floats(name, &tensor)?;
        self.checkpoint.release(&tensor.bytes);
        Ok(values)
    }
}
