//! Qwen2-MoE, gpt-oss and DeepSeek: released models, defaults, and settings that are refused.

use serde_json::{Value, json};

use super::{overlaid, read, refused};
use crate::config::{
    GroupRule, GroupScore, HiddenActivation, LatentAttention, RouterRule, ScoreFunction, SharedExpert,
};

fn qwen2(changes: Value) -> Value {
    overlaid(json!({"model_type": "qwen2_moe", "num_hidden_layers": 4}), changes)
}

fn gpt_oss(changes: Value) -> Value {
    overlaid(json!({"model_type": "gpt_oss", "num_hidden_layers": 4}), changes)
}

fn deepseek_v2(changes: Value) -> Value {
    overlaid(json!({"architectures": ["DeepseekV2ForCausalLM"], "num_experts_per_tok": 6}), changes)
}

fn deepseek_v3(changes: Value) -> Value {
    overlaid(json!({"architectures": ["DeepseekV3ForCausalLM"]}), changes)
}

#[test]
fn qwen2_has_biases_on_queries_keys_and_values_and_a_gated_shared_expert() {
    let config = read(&qwen2(json!({"mlp_only_layers": [2]}))).unwrap();
    assert_eq!(config.router, RouterRule::softmax(60, 4, false));
    assert_eq!((config.query_key_value_bias, config.output_bias), (true, false));
    assert_eq!(config.shared_expert, Some(SharedExpert { width: 5632, gated: true }));
    assert_eq!((config.d_expert, config.d_dense, config.dense_layers), (1408, 5632, vec![2]));
    assert!(!read(&qwen2(json!({"qkv_bias": false}))).unwrap().query_key_value_bias);
}

#[test]
fn qwen2_windows_are_in_every_other_layer_below_a_last_one() {
    let windows = |changes| read(&qwen2(changes)).unwrap().windows;
    let on = json!({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 2});
    assert_eq!(windows(on), [Some(16), None, None, None]);
    assert_eq!(windows(json!({"sliding_window": 16})), [None; 4], "not switched on");
    let types = json!({"use_sliding_window": true, "sliding_window": 16, "layer_types":
        ["full_attention", "sliding_attention", "full_attention", "full_attention"]});
    assert_eq!(windows(types), [None, Some(16), None, None]);
    let off = json!({"num_hidden_layers": 1, "layer_types": ["sliding_attention"]});
    refused(&qwen2(off), &["layer_types", "sliding_window", "contradict"]);
}

#[test]
fn the_released_gpt_oss_20b_reads_as_documented() {
    let config = json!({
        "architectures": ["GptOssForCausalLM"], "attention_bias": true, "eos_token_id": 200_002,
        "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
        "initial_context_length": 4096, "intermediate_size": 2880, "num_attention_heads": 64,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        "num_experts_per_tok": 4, "num_hidden_layers": 4, "num_key_value_heads": 8, "num_local_experts": 32,
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
        "rms_norm_eps": 1e-5, "rope_theta": 150_000, "sliding_window": 128, "swiglu_limit": 7.0,
        "tie_word_embeddings": false, "vocab_size": 201_088
    });
    let config = read(&config).unwrap();
    let router = RouterRule { scores: ScoreFunction::SoftmaxOfChosen, bias: true, ..RouterRule::softmax(32, 4, false) };
    assert_eq!(config.router, router);
    assert_eq!(config.activation, HiddenActivation::ClampedSwiglu { alpha: 1.702, limit: 7.0 });
    assert_eq!(config.windows, [Some(128), None, Some(128), None]);
    assert!(config.attention_sinks && config.expert_bias && config.query_key_value_bias && config.output_bias);
    assert_eq!((config.query_width(), config.key_width(), config.d_expert), (4096, 512, 2880));
    assert_eq!((config.rope.theta, config.shared_expert), (150_000.0, None));
}

#[test]
fn gpt_oss_has_its_own_defaults() {
    let config = read(&gpt_oss(json!({}))).unwrap();
    assert_eq!(config.windows, [Some(128), None, Some(128), None]);
    assert_eq!((config.head_dim, config.router.experts, config.rope.theta), (64, 128, 150_000.0));
    assert_eq!(
        read(&gpt_oss(json!({"head_dim": null}))).unwrap_err().to_string(),
        "head_dim is 45, expected an even number above 0"
    );
    refused(&gpt_oss(json!({"sliding_window": null})), &["sliding_window", "contradict"]);
    refused(&gpt_oss(json!({"layer_types": ["full_attention"]})), &["layer_types", "4 times"]);
    refused(&gpt_oss(json!({"layer_types": ["full_attention", "linear_attention", "a", "b"]})), &["layer_types"]);
    refused(&gpt_oss(json!({"quantization_config": {"quant_method": "fp8"}})), &["fp8"]);
    refused(&qwen2(json!({"quantization_config": {"quant_method": "mxfp4"}})), &["mxfp4"]);
}

#[test]
fn the_released_deepseek_v2_lite_reads_as_documented() {
    let config = json!({
        "num_hidden_layers": 27, "num_attention_heads": 16, "hidden_size": 2048, "q_lora_rank": null,
        "first_k_dense_replace": 1, "moe_layer_freq": 1, "n_routed_experts": 64, "n_shared_experts": 2, "n_group": 1,
        "topk_group": 1, "topk_method": "greedy", "scoring_func": "softmax", "norm_topk_prob": false,
        "routed_scaling_factor": 1.0, "moe_intermediate_size": 1408, "num_key_value_heads": 16
    });
    let config = read(&deepseek_v2(config)).unwrap();
    let latent =
        LatentAttention { query_rank: None, kv_rank: 512, nope_dim: 128, rope_dim: 64, value_dim: 128, split: false };
    assert_eq!(config.latent, Some(latent));
    assert_eq!(config.router, RouterRule::softmax(64, 6, false));
    assert_eq!(config.shared_expert, Some(SharedExpert { width: 2816, gated: false }));
    assert_eq!((config.dense_layers, config.d_expert), (vec![0], 1408));
}

#[test]
fn the_released_deepseek_v3_has_all_defaults() {
    let config = read(&deepseek_v3(json!({"num_nextn_predict_layers": 1, "topk_method": "noaux_tc"}))).unwrap();
    let router = RouterRule {
        scores: ScoreFunction::Sigmoid,
        scale: 2.5,
        groups: Some(GroupRule { groups: 8, kept: 4, score: GroupScore::BestTwo }),
        selection_bias: true,
        ..RouterRule::softmax(256, 8, true)
    };
    assert_eq!((config.router, config.prediction_layers), (router, 1));
    assert_eq!(config.latent.unwrap().query_rank, Some(1536));
    assert_eq!((config.dense_layers, config.layers, config.heads), (vec![0, 1, 2], 61, 128));
    assert_eq!(config.shared_expert, Some(SharedExpert { width: 2048, gated: false }));
}

#[test]
fn groups_take_part_where_they_are_asked_for_and_are_more_than_one() {
    let groups = |changes| read(&deepseek_v2(changes)).unwrap().router.groups;
    let limited = json!({"topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 3});
    assert_eq!(groups(limited), Some(GroupRule { groups: 8, kept: 3, score: GroupScore::Best }));
    assert_eq!(groups(json!({"n_group": 8, "topk_group": 3})), None, "greedy");
    assert_eq!(read(&deepseek_v3(json!({"n_group": 1, "topk_group": 1}))).unwrap().router.groups, None);
}

#[test]
fn routers_of_deepseek_that_are_not_known_are_refused() {
    refused(&deepseek_v2(json!({"topk_method": "group_limited_greedy"})), &["n_group", "missing"]);
    refused(&deepseek_v2(json!({"topk_method": "noaux_tc"})), &["topk_method", "noaux_tc", "greedy"]);
    refused(&deepseek_v2(json!({"norm_topk_prob": true})), &["norm_topk_prob", "false"]);
    refused(&deepseek_v2(json!({"num_experts_per_tok": "-"})), &["num_experts_per_tok", "missing"]);
    refused(&deepseek_v2(json!({"num_experts": 32, "n_routed_experts": 16})), &["n_routed_experts", "num_experts"]);
    refused(&deepseek_v3(json!({"scoring_func": "softmax"})), &["scoring_func", "sigmoid"]);
    refused(&deepseek_v3(json!({"n_group": 7})), &["256 experts", "n_group 7"]);
    refused(&deepseek_v3(json!({"topk_group": 9})), &["topk_group 9"]);
    refused(&deepseek_v3(json!({"n_group": 256})), &["n_group 256"]);
    refused(&deepseek_v3(json!({"num_experts_per_tok": 129})), &["129 of them"]);
    refused(&deepseek_v3(json!({"n_group": null})), &["n_group", "missing"]);
}

#[test]
fn dense_layers_of_deepseek_lead_and_then_come_by_frequency() {
    let dense = |changes| read(&deepseek_v3(changes)).unwrap().dense_layers;
    assert_eq!(dense(json!({"num_hidden_layers": 6, "first_k_dense_replace": 1, "moe_layer_freq": 2})), [0, 1, 3, 5]);
    refused(&deepseek_v3(json!({"num_hidden_layers": 3})), &["none of the 3 layers"]);
}

#[test]
fn latent_settings_are_checked() {
    assert!(read(&deepseek_v3(json!({"kv_b_split": true}))).unwrap().latent.unwrap().split);
    refused(&qwen2(json!({"kv_b_split": true})), &["kv_b_split", "latent attention"]);
    refused(&deepseek_v3(json!({"qk_rope_head_dim": 63})), &["qk_rope_head_dim is 63", "even"]);
    refused(&deepseek_v2(json!({"mlp_bias": true})), &["mlp_bias", "false"]);
    assert_eq!(read(&deepseek_v3(json!({"n_shared_experts": null}))).unwrap().shared_expert, None);
    assert_eq!(read(&deepseek_v3(json!({"n_shared_experts": 0}))).unwrap().shared_expert, None);
}
