//! In what form hidden states travel to the experts of each layer.

use std::collections::BTreeMap;

use neuro_expert_runtime::input_format;
use neuro_model::{ModelConfig, TensorType, names};
use neuro_primitives::ActivationFormat;
use neuro_protocol::manifest::TensorEntry;

/// The format of every layer (`[layers]`): blocks where each of its experts takes blocks, f32 where one takes f32 or
/// where there are none. An expert that takes blocks makes them itself of f32, by the same rule.
pub(super) fn of_layers(config: &ModelConfig, tensors: &[TensorEntry]) -> Vec<ActivationFormat> {
    let types: BTreeMap<&str, TensorType> = tensors.iter().map(|entry| (&*entry.name, entry.tensor_type)).collect();
    // Every tensor is listed; one that were not would be computed in f32, which any expert takes.
    let type_of = |name: &str| types.get(name).copied().unwrap_or(TensorType::F32);
    let mut formats = vec![None; config.layers];
    for id in names::experts(config) {
        let names = names::expert(config, id);
        let wanted = input_format([type_of(&names.gate), type_of(&names.up)]);
        let format = &mut formats[usize::from(id.layer)];
        *format = Some(if *format == Some(ActivationFormat::F32) { ActivationFormat::F32 } else { wanted });
    }
    formats.into_iter().map(|format| format.unwrap_or(ActivationFormat::F32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_primitives::{ExpertId, Hash};
    use neuro_protocol::manifest::TensorPlace;

    /// Three layers, the first of them dense, with two experts each.
    const CONFIG: &str = r#"{
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "vocab_size": 16, "hidden_size": 64,
        "intermediate_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 1,
        "num_key_value_heads": 1, "head_dim": 64, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "num_experts": 2, "num_experts_per_tok": 1, "norm_topk_prob": true,
        "hidden_act": "silu", "tie_word_embeddings": false, "decoder_sparse_step": 1, "mlp_only_layers": [0]
    }"#;

    /// Gate, up and down of every expert in `usual`, but for what `unusual` says of expert 1 of layer 2.
    fn formats(usual: [TensorType; 3], unusual: [TensorType; 3]) -> Vec<ActivationFormat> {
        let config = ModelConfig::from_json(CONFIG.as_bytes()).unwrap();
        let entries = names::experts(&config).flat_map(|id| {
            let names = names::expert(&config, id);
            let types = if id == (ExpertId { layer: 2, expert: 1 }) { unusual } else { usual };
            [names.gate, names.up, names.down].into_iter().zip(types).map(move |(name, tensor_type)| TensorEntry {
                name,
                place: TensorPlace::Expert(id),
                tensor_type,
                shape: vec![32, 64],
                length: tensor_type.bytes_of(2048).unwrap_or(0),
                hash: Hash([0; 32]),
            })
        });
        of_layers(&config, &entries.collect::<Vec<_>>())
    }

    #[test]
    fn blocks_travel_where_every_expert_of_the_layer_takes_them() {
        use ActivationFormat::{F32, Q8};
        use TensorType::{BF16, F16, Mxfp4, Q4_0, Q8_0};
        let quantised = [Q4_0, Q4_0, Q8_0];
        assert_eq!(formats(quantised, quantised), [F32, Q8, Q8]);
        assert_eq!(formats(quantised, [Mxfp4, Q8_0, F16]), [F32, Q8, Q8], "the down projection has no say");
        assert_eq!(formats(quantised, [Q4_0, BF16, Q8_0]), [F32, Q8, F32], "one expert decides for its layer alone");
        assert_eq!(formats([BF16; 3], quantised), [F32; 3]);
    }
}
