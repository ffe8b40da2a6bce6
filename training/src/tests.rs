//! A model small enough for finite differences.

use neuro_model::{ModelConfig, names};

use crate::low_rank::Draw;
use crate::{Example, Matrix, MoeModel, Weights};

/// The configuration of [`tiny`], as a file has it.
pub(crate) const TINY: &str = r#"{"model_type": "mixtral", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 6,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "num_local_experts": 3,
    "num_experts_per_tok": 2, "max_position_embeddings": 32, "sliding_window": null}"#;

/// Two layers, three experts, eight wide, drawn from a seed.
pub(crate) fn tiny() -> MoeModel {
    let config = ModelConfig::from_json(TINY.as_bytes()).unwrap();
    MoeModel::new(config.clone(), tiny_weights(&config), None).unwrap()
}

pub(crate) fn tiny_weights(config: &ModelConfig) -> Weights {
    let (mut weights, mut draw) = (Weights::default(), Draw(17));
    for tensor in names::trunk(config) {
        let norm = tensor.shape.len() == 1;
        let mut values = drawn(&mut draw, tensor.shape.iter().product());
        values.iter_mut().filter(|_| norm).for_each(|value| *value = 1.0 + 0.3 * *value);
        weights.insert(tensor.name, Matrix { shape: tensor.shape, values });
    }
    for id in names::experts(config) {
        let names = names::expert(config, id);
        for (name, shape) in [names.gate, names.up, names.down].into_iter().zip(names::expert_shapes(config)) {
            let values = drawn(&mut draw, shape[0] * shape[1]);
            weights.insert(name, Matrix { shape: shape.to_vec(), values });
        }
    }
    weights
}

fn drawn(draw: &mut Draw, count: usize) -> Vec<f32> {
    (0..count).map(|_| 0.8 * draw.symmetric()).collect()
}

/// Texts of several lengths for [`tiny`].
pub(crate) fn texts() -> Vec<Example> {
    let text = |ids: &[u32], learn_from| Example { ids: ids.to_vec(), learn_from, ..Example::default() };
    vec![text(&[1, 5, 3, 7, 2, 9], 2), text(&[4, 4, 10], 1), text(&[0, 8, 6, 1, 3], 3)]
}

/// The same number, to the bit, everywhere.
pub(crate) fn same_bits(left: &[f32], right: &[f32]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.to_bits() == right.to_bits())
}
