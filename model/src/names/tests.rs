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

fn qwen2() -> ModelConfig {
    config(
        r#"{"model_type": "qwen2_moe", "hidden_size": 16, "moe_intermediate_size": 8, "num_hidden_layers": 1,
            "shared_expert_intermediate_size": 10, "num_attention_heads": 4, "num_key_value_heads": 2,
            "num_experts": 3, "num_experts_per_tok": 2}"#,
    )
}

fn gpt_oss() -> ModelConfig {
    config(
        r#"{"model_type": "gpt_oss", "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "head_dim": 8,
            "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 3, "num_experts_per_tok": 2}"#,
    )
}

/// DeepSeek-V3 of three layers, the first dense, with `changes` to its fields.
fn deepseek(changes: &str) -> ModelConfig {
    config(&format!(
        r#"{{"model_type": "deepseek_v3", "hidden_size": 16, "moe_intermediate_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 3, "num_attention_heads": 4, "n_routed_experts": 8, "num_experts_per_tok": 2,
            "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1, "n_shared_experts": 2, "kv_lora_rank": 6,
            "qk_nope_head_dim": 5, "qk_rope_head_dim": 4, "v_head_dim": 7{changes}}}"#
    ))
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
fn qwen2_has_a_gated_shared_expert_and_no_bias_on_the_output() {
    let config = qwen2();
    let shape = |name: &str| shape_of(&config, &format!("model.layers.0.{name}"));
    assert_eq!(shape("self_attn.v_proj.bias"), Some(vec![8]));
    assert_eq!(shape("self_attn.o_proj.bias"), None);
    assert_eq!(shape("mlp.shared_expert.gate_proj.weight"), Some(vec![10, 16]));
    assert_eq!(shape("mlp.shared_expert.down_proj.weight"), Some(vec![16, 10]));
    assert_eq!(shape("mlp.shared_expert_gate.weight"), Some(vec![1, 16]));
}

#[test]
fn gpt_oss_has_sinks_and_biases_on_routers_and_experts() {
    let config = gpt_oss();
    let shape = |name: &str| shape_of(&config, &format!("model.layers.0.{name}"));
    assert_eq!(shape("self_attn.sinks"), Some(vec![4]));
    assert_eq!(shape("self_attn.o_proj.bias"), Some(vec![16]));
    assert_eq!((shape("mlp.router.weight"), shape("mlp.router.bias")), (Some(vec![3, 16]), Some(vec![3])));
    let names = expert(&config, ExpertId { layer: 0, expert: 2 });
    assert_eq!(names.biases.unwrap()[2], "model.layers.0.mlp.experts.2.down_proj.bias");
    assert_eq!(expert_bias_lengths(&config), [8, 8, 16]);
}

#[test]
fn latent_queries_are_direct_or_of_low_rank() {
    let (low, direct) = (deepseek(r#", "q_lora_rank": 3"#), deepseek(r#", "q_lora_rank": null"#));
    let attention = |config: &ModelConfig, name: &str| shape_of(config, &format!("model.layers.0.self_attn.{name}"));
    assert_eq!(attention(&low, "q_a_proj.weight"), Some(vec![3, 16]));
    assert_eq!(attention(&low, "q_a_layernorm.weight"), Some(vec![3]));
    assert_eq!(attention(&low, "q_b_proj.weight"), Some(vec![4 * 9, 3]));
    assert_eq!(attention(&low, "q_proj.weight"), None);
    assert_eq!(attention(&direct, "q_proj.weight"), Some(vec![4 * 9, 16]));
    assert_eq!(attention(&direct, "q_a_proj.weight"), None);
}

#[test]
fn latent_keys_and_values_are_joint_or_split() {
    let (joint, split) = (deepseek(""), deepseek(r#", "kv_b_split": true, "attention_bias": true"#));
    let attention = |config: &ModelConfig, name: &str| shape_of(config, &format!("model.layers.2.self_attn.{name}"));
    assert_eq!(attention(&joint, "kv_a_proj_with_mqa.weight"), Some(vec![6 + 4, 16]));
    assert_eq!(attention(&joint, "kv_a_layernorm.weight"), Some(vec![6]));
    assert_eq!(attention(&joint, "kv_b_proj.weight"), Some(vec![4 * (5 + 7), 6]));
    assert_eq!(attention(&joint, "o_proj.weight"), Some(vec![16, 4 * 7]));
    assert_eq!(attention(&split, "k_b_proj.weight"), Some(vec![4 * 6, 5]));
    assert_eq!(attention(&split, "v_b_proj.weight"), Some(vec![4 * 7, 6]));
    assert_eq!(attention(&split, "kv_b_proj.weight"), None);
    assert_eq!(attention(&split, "kv_a_proj_with_mqa.bias"), Some(vec![10]));
    assert_eq!(attention(&joint, "kv_a_proj_with_mqa.bias"), None);
}

#[test]
fn deepseek_has_shared_experts_and_a_bias_for_the_choice() {
    let config = deepseek("");
    let shape = |name: &str| shape_of(&config, &format!("model.layers.{name}"));
    assert_eq!(shape("1.mlp.gate.e_score_correction_bias"), Some(vec![8]));
    assert_eq!(shape("1.mlp.shared_experts.up_proj.weight"), Some(vec![16, 16]));
    assert_eq!(shape("1.mlp.shared_experts_gate.weight"), None);
    assert_eq!(shape("0.mlp.up_proj.weight"), Some(vec![12, 16]));
    assert_eq!(shape("0.mlp.gate.weight"), None);
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
    for config in [mixtral(), qwen(), olmoe(), qwen2(), gpt_oss(), deepseek("")] {
        for id in experts(&config) {
            let names = expert(&config, id);
            for name in [names.gate, names.up, names.down].into_iter().chain(names.biases.into_iter().flatten()) {
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
    let ahead = deepseek(r#", "num_nextn_predict_layers": 1"#);
    assert!(is_ignorable(&ahead, "model.layers.3.eh_proj.weight"));
    assert!(!is_ignorable(&ahead, "model.layers.4.eh_proj.weight"));
    assert!(!is_ignorable(&deepseek(""), "model.layers.3.eh_proj.weight"));
}
