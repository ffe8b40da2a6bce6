//! Names on disk and back, for each architecture.

use super::*;

fn config(json: &str) -> ModelConfig {
    ModelConfig::from_json(json.as_bytes()).unwrap()
}

fn mixtral() -> ModelConfig {
    config(
        r#"{"model_type": "mixtral", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 3}"#,
    )
}

fn qwen() -> ModelConfig {
    config(
        r#"{"model_type": "qwen3_moe", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 40,
            "moe_intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "num_experts": 3, "num_experts_per_tok": 2, "mlp_only_layers": [0],
            "attention_bias": true, "tie_word_embeddings": true}"#,
    )
}

fn olmoe() -> ModelConfig {
    config(
        r#"{"model_type": "olmoe", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4,
            "num_key_value_heads": 2, "num_experts": 3, "num_experts_per_tok": 1}"#,
    )
}

fn shape_of(config: &ModelConfig, name: &str) -> Option<Vec<usize>> {
    trunk(config).into_iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape)
}

#[test]
fn the_trunk_of_mixtral_has_these_tensors() {
    let all: Vec<(String, Vec<usize>)> =
        trunk(&mixtral()).into_iter().map(|tensor| (tensor.name, tensor.shape)).collect();
    let layer_0: Vec<(&str, &[usize])> = all[1..9].iter().map(|(name, shape)| (&name[15..], &shape[..])).collect();
    let expected: [(&str, &[usize]); 8] = [
        ("input_layernorm.weight", &[16]),
        ("self_attn.q_proj.weight", &[16, 16]),
        ("self_attn.k_proj.weight", &[8, 16]),
        ("self_attn.v_proj.weight", &[8, 16]),
        ("self_attn.o_proj.weight", &[16, 16]),
        ("post_attention_layernorm.weight", &[16]),
        ("block_sparse_moe.gate.weight", &[3, 16]),
        ("input_layernorm.weight", &[16]),
    ];
    assert_eq!(layer_0, expected);
    assert_eq!(all[0], ("model.embed_tokens.weight".into(), vec![32, 16]));
    assert_eq!(all[all.len() - 2..], [("model.norm.weight".into(), vec![16]), ("lm_head.weight".into(), vec![32, 16])]);
    assert_eq!(all.len(), 3 + 2 * 7);
}

#[test]
fn qwen_has_head_norms_biases_and_dense_layers() {
    let config = qwen();
    assert_eq!(shape_of(&config, "model.layers.0.self_attn.q_norm.weight"), Some(vec![8]));
    assert_eq!(shape_of(&config, "model.layers.0.self_attn.q_proj.weight"), Some(vec![32, 16]));
    assert_eq!(shape_of(&config, "model.layers.0.self_attn.k_proj.bias"), Some(vec![16]));
    assert_eq!(shape_of(&config, "model.layers.0.self_attn.o_proj.bias"), Some(vec![16]));
    assert_eq!(shape_of(&config, "model.layers.0.mlp.down_proj.weight"), Some(vec![16, 40]));
    assert_eq!(shape_of(&config, "model.layers.0.mlp.gate.weight"), None);
    assert_eq!(shape_of(&config, "model.layers.1.mlp.gate.weight"), Some(vec![3, 16]));
    assert_eq!(shape_of(&config, "lm_head.weight"), None, "tied");
    assert_eq!(output(&config), EMBEDDING);
}

#[test]
fn olmoe_norms_the_full_width() {
    assert_eq!(shape_of(&olmoe(), "model.layers.0.self_attn.q_norm.weight"), Some(vec![16]));
    assert_eq!(shape_of(&olmoe(), "model.layers.0.self_attn.k_norm.weight"), Some(vec![8]));
}

#[test]
fn mixtral_numbers_gate_down_up_and_the_others_name_them() {
    let id = ExpertId { layer: 1, expert: 2 };
    let names = expert(&mixtral(), id);
    assert_eq!(names.gate, "model.layers.1.block_sparse_moe.experts.2.w1.weight");
    assert_eq!(names.up, "model.layers.1.block_sparse_moe.experts.2.w3.weight");
    assert_eq!(names.down, "model.layers.1.block_sparse_moe.experts.2.w2.weight");
    assert_eq!(expert(&qwen(), id).up, "model.layers.1.mlp.experts.2.up_proj.weight");
    assert_eq!(expert_shapes(&mixtral()), [[24, 16], [24, 16], [16, 24]]);
}

#[test]
fn every_expert_tensor_leads_back_to_its_expert_and_no_trunk_tensor_does() {
    for config in [mixtral(), qwen(), olmoe()] {
        for id in experts(&config) {
            let names = expert(&config, id);
            for name in [names.gate, names.up, names.down] {
                assert_eq!(expert_of(&config, &name), Some(id), "{name}");
            }
        }
        assert!(trunk(&config).iter().all(|tensor| expert_of(&config, &tensor.name).is_none()));
    }
    assert_eq!(experts(&qwen()).count(), 3, "layer 0 is dense");
}

#[test]
fn names_that_are_nearly_those_of_experts_are_not() {
    for name in [
        "model.layers.0.block_sparse_moe.experts.3.w1.weight",
        "model.layers.2.block_sparse_moe.experts.0.w1.weight",
        "model.layers.00.block_sparse_moe.experts.0.w1.weight",
        "model.layers.0.block_sparse_moe.experts.+1.w1.weight",
        "model.layers.0.block_sparse_moe.experts.0.w4.weight",
        "model.layers.0.block_sparse_moe.experts.0.w1.bias",
        "model.layers.0.mlp.experts.0.gate_proj.weight",
        "model.layers.0.block_sparse_moe.experts.99999.w1.weight",
        "",
    ] {
        assert_eq!(expert_of(&mixtral(), name), None, "{name}");
    }
    assert_eq!(expert_of(&qwen(), "model.layers.0.mlp.experts.0.up_proj.weight"), None, "layer 0 is dense");
}

#[test]
fn only_what_is_known_to_be_useless_is_ignored() {
    assert!(is_ignorable(&mixtral(), "model.layers.0.self_attn.rotary_emb.inv_freq"));
    assert!(is_ignorable(&qwen(), "lm_head.weight"));
    assert!(!is_ignorable(&mixtral(), "lm_head.weight"));
    assert!(!is_ignorable(&mixtral(), "model.layers.0.self_attn.q_proj.bias"));
}
