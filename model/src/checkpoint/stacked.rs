//! gpt-oss as it is published: all experts of a layer in one tensor, gate and up interleaved.
//!
//! Float weights are `gate_up_proj: [experts, d_model, 2 * d_expert]` and `down_proj: [experts, d_expert, d_model]`,
//! each matrix transposed. MXFP4 weights are `gate_up_proj_blocks: [experts, 2 * d_expert, d_model / 32, 16]` of bytes
//! with `gate_up_proj_scales: [experts, 2 * d_expert, d_model / 32]`, and `down_proj_…` likewise, rows as they are
//! applied. Biases are `gate_up_proj_bias: [experts, 2 * d_expert]` and `down_proj_bias: [experts, d_model]`.

use neuro_primitives::{ExpertId, TensorType};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::inventory::Offered;
use crate::checkpoint::located::{BLOCK_ELEMENTS, BLOCK_VALUE_BYTES, Form, Located, Place};
use crate::config::{Architecture, ModelConfig};
use crate::names;

/// A layer's stacked tensors, checked.
struct Stacks {
    gate_up: Weights,
    gate_up_bias: (TensorType, Place),
    down: Weights,
    down_bias: (TensorType, Place),
}

/// The weights of one projection for all experts.
enum Weights {
    Float(TensorType, Place),
    Mxfp4 { values: Place, scales: Place },
}

/// Every expert tensor of `layer`, by its name, where the layer's experts are stacked.
pub(super) fn take(
    config: &ModelConfig,
    offered: &mut Offered,
    layer: usize,
) -> Result<Option<Vec<(String, Located)>>, CheckpointError> {
    let prefix = format!("model.layers.{layer}.mlp.experts");
    let stacked = ["gate_up_proj", "gate_up_proj_blocks"].iter().any(|name| offered.has(&format!("{prefix}.{name}")));
    if config.architecture != Architecture::GptOss || !stacked {
        return Ok(None);
    }
    let stacks = Stacks::take(config, offered, &prefix)?;
    let ids = names::experts(config).filter(|id| usize::from(id.layer) == layer);
    Ok(Some(ids.flat_map(|id| stacks.expert(config, id)).collect()))
}

impl Stacks {
    fn take(config: &ModelConfig, offered: &mut Offered, prefix: &str) -> Result<Self, CheckpointError> {
        let (d_model, width, experts) = (config.d_model, config.d_expert, config.router.experts);
        Ok(Self {
            gate_up: Weights::take(config, offered, &format!("{prefix}.gate_up_proj"), [2 * width, d_model])?,
            gate_up_bias: offered.take(config, &format!("{prefix}.gate_up_proj_bias"), &[experts, 2 * width])?,
            down: Weights::take(config, offered, &format!("{prefix}.down_proj"), [d_model, width])?,
            down_bias: offered.take(config, &format!("{prefix}.down_proj_bias"), &[experts, d_model])?,
        })
    }

    /// Weights and biases of one expert.
    fn expert(&self, config: &ModelConfig, id: ExpertId) -> Vec<(String, Located)> {
        let (names, experts, index) = (names::expert(config, id), config.router.experts, usize::from(id.expert));
        let [gate, up, down] = names::expert_shapes(config);
        let mut all = vec![
            (names.gate, self.gate_up.expert(index, experts, gate, [0, 2])),
            (names.up, self.gate_up.expert(index, experts, up, [1, 2])),
            (names.down, self.down.expert(index, experts, down, [0, 1])),
        ];
        let halves = [(&self.gate_up_bias, [0, 2]), (&self.gate_up_bias, [1, 2]), (&self.down_bias, [0, 1])];
        let lengths = names::expert_bias_lengths(config);
        for (name, ((stack, part), length)) in names.biases.into_iter().flatten().zip(halves.into_iter().zip(lengths)) {
            all.push((name, bias(stack.0, stack.1.part(index, experts), length, part)));
        }
        all
    }
}

impl Weights {
    /// Takes the weights whose matrices, as they are applied, are `[rows, columns]`.
    fn take(
        config: &ModelConfig,
        offered: &mut Offered,
        name: &str,
        [rows, columns]: [usize; 2],
    ) -> Result<Self, CheckpointError> {
        let experts = config.router.experts;
        let (values, scales) = (format!("{name}_blocks"), format!("{name}_scales"));
        if !offered.has(&values) {
            let (tensor_type, place) = offered.take(config, name, &[experts, columns, rows])?;
            return Ok(Self::Float(tensor_type, place));
        }
        if !columns.is_multiple_of(BLOCK_ELEMENTS) {
            return Err(CheckpointError::PartialBlock { tensor: values, columns, block: BLOCK_ELEMENTS });
        }
        let blocks = columns / BLOCK_ELEMENTS;
        Ok(Self::Mxfp4 {
            values: offered.take_bytes(config, &values, &[experts, rows, blocks, BLOCK_VALUE_BYTES])?,
            scales: offered.take_bytes(config, &scales, &[experts, rows, blocks])?,
        })
    }

    /// The matrix of expert `index`: of the stacked rows every `step`-th from `first`.
    fn expert(&self, index: usize, experts: usize, shape: [usize; 2], [first, step]: [usize; 2]) -> Located {
        let (tensor_type, form) = match self {
            Self::Float(tensor_type, place) => {
                let place = place.part(index, experts);
                (*tensor_type, Form::Columns { place, width: shape[0] * step, first, step })
            }
            Self::Mxfp4 { values, scales } => {
                let (values, scales) = (values.part(index, experts), scales.part(index, experts));
                (TensorType::Mxfp4, Form::Mxfp4 { values, scales, first, step })
            }
        };
        Located { tensor_type, shape: shape.to_vec(), form }
    }
}

fn bias(tensor_type: TensorType, place: Place, length: usize, [first, step]: [usize; 2]) -> Located {
    let form = match step {
        1 => Form::Rows(place),
        _ => Form::Columns { place, width: length * step, first, step },
    };
    Located { tensor_type, shape: vec![length], form }
}
