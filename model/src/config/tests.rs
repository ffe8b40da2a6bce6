//! Configurations old and new, their defaults, and those that are refused.

use serde_json::{Value, json};

use super::*;

/// A small Mixtral with `changes` laid over it; a change to `"-"` removes the field.
fn mixtral(changes: Value) -> Value {
    let config = json!({
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_act": "silu",
        "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "bos_token_id": 0, "eos_token_id": 1,
    });
    overlaid(config, changes)
}

fn qwen(changes: Value) -> Value {
    let config = json!({
        "architectures": ["Qwen3MoeForCausalLM"], "vocab_size": 32, "hidden_size": 16, "intermediate_size": 40,
        "moe_intermediate_size": 8, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "max_position_embeddings": 64,
    });
    overlaid(config, changes)
}

fn overlaid(mut config: Value, changes: Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        config[field] = value.clone();
    }
    config.as_object_mut().unwrap().retain(|_, value| value != "-");
    config
}

fn read(config: &Value) -> Result<ModelConfig, ConfigError> {
    ModelConfig::from_json(config.to_string().as_bytes())
}

/// Reads a config that must fail, and checks that the message has every one of `words`.
#[track_caller]
fn refused(config: &Value, words: &[&str]) {
    let message = read(config).expect_err("this config should be refused").to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

mod families;
mod scaling;

#[test]
fn the_released_qwen3_30b_reads_as_documented() {
    let config = json!({
        "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 151_643, "decoder_sparse_step": 1, "eos_token_id": 151_645, "head_dim": 128,
        "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 6144,
        "max_position_embeddings": 40_960, "max_window_layers": 48, "mlp_only_layers": [], "model_type": "qwen3_moe",
        "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128,
        "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4, "rms_norm_eps": 1e-6,
        "rope_scaling": null, "rope_theta": 1_000_000.0, "sliding_window": null, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 151_936
    });
    let config = read(&config).unwrap();
    assert_eq!(config.router, RouterRule::softmax(128, 8, true));
    assert_eq!((config.query_width(), config.key_width(), config.d_model), (4096, 512, 2048));
    assert_eq!((config.rope.theta, config.d_expert, config.qk_norm), (1e6, 768, QueryKeyNorm::PerHead));
    assert_eq!((config.eos, config.dense_layers, config.windows), (vec![151_645], vec![], vec![None; 48]));
}

#[test]
fn fields_left_out_have_the_defaults_of_their_architecture() {
    let mixtral = read(&json!({"model_type": "mixtral"})).unwrap();
    assert_eq!((mixtral.rope.theta, mixtral.kv_heads, mixtral.head_dim, mixtral.d_expert), (1e6, 8, 128, 14_336));
    assert_eq!((mixtral.bos, mixtral.eos, mixtral.router.renormalise), (Some(1), vec![2], true));

    let qwen = read(&json!({"model_type": "qwen3_moe"})).unwrap();
    assert_eq!((qwen.rope.theta, qwen.kv_heads, qwen.head_dim, qwen.d_expert), (1e4, 4, 64, 768));
    assert_eq!(qwen.router, RouterRule::softmax(128, 8, false));
    assert_eq!((qwen.bos, qwen.eos, qwen.rms_eps), (None, vec![], 1e-6));

    let olmoe = read(&json!({"model_type": "olmoe"})).unwrap();
    assert_eq!((olmoe.kv_heads, olmoe.qk_norm, olmoe.clip_qkv), (16, QueryKeyNorm::FullWidth, None));
    assert_eq!(olmoe.router, RouterRule::softmax(64, 8, false));
    assert_eq!(olmoe.eos, [50_279]);
}

#[test]
fn the_rotary_base_is_read_in_its_old_and_its_new_place() {
    assert_eq!(read(&mixtral(json!({"rope_theta": 500.0}))).unwrap().rope.theta, 500.0);
    let new = json!({"rope_theta": "-", "rope_parameters": {"rope_type": "default", "rope_theta": 700}});
    assert_eq!(read(&mixtral(new)).unwrap().rope.theta, 700.0);
    let both = json!({"rope_theta": 500.0, "rope_parameters": {"rope_type": "default"}});
    assert_eq!(read(&mixtral(both)).unwrap().rope.theta, 500.0);
}

#[test]
fn a_rotary_scaling_that_is_not_known_is_refused_by_name() {
    let new = json!({"rope_parameters": {"rope_type": "llama3", "factor": 4.0, "rope_theta": 1e6}});
    refused(&qwen(new), &["llama3", "default", "yarn"]);
    refused(&mixtral(json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}})), &["dynamic"]);
    refused(&mixtral(json!({"rope_scaling": {"type": "linear"}})), &["factor", "missing"]);
    refused(&mixtral(json!({"rope_scaling": 4.0})), &["rope_scaling", "an object"]);
    let both = json!({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"type": "linear", "factor": 2.0}});
    refused(&mixtral(both), &["rope_parameters", "rope_scaling", "contradict"]);
    refused(&mixtral(json!({"rope_parameters": {"partial_rotary_factor": 0.5}})), &["partial_rotary_factor", "0.5"]);
    refused(&mixtral(json!({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}})), &["for all layers"]);
    refused(&mixtral(json!({"rope_theta": -1.0})), &["rope_theta", "above 0", "-1"]);
}

#[test]
fn unknown_families_activations_and_packings_are_refused_with_what_is_supported() {
    let llama = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama"});
    refused(&mixtral(llama), &["LlamaForCausalLM", "MixtralForCausalLM", "Qwen3MoeForCausalLM", "OlmoeForCausalLM"]);
    refused(&mixtral(json!({"architectures": ["MixtralForSequenceClassification"]})), &["SequenceClassification"]);
    refused(&json!({"hidden_size": 4}), &["architectures", "mixtral"]);
    refused(&mixtral(json!({"hidden_act": "gelu"})), &["gelu", "silu"]);
    refused(&mixtral(json!({"quantization_config": {"quant_method": "fp8"}})), &["fp8", "bfloat16"]);
}

#[test]
fn end_tokens_may_be_a_number_a_list_or_null() {
    assert_eq!(read(&mixtral(json!({"eos_token_id": 7}))).unwrap().eos, [7]);
    assert_eq!(read(&mixtral(json!({"eos_token_id": [7, 9]}))).unwrap().eos, [7, 9]);
    let none = read(&mixtral(json!({"eos_token_id": null, "bos_token_id": null}))).unwrap();
    assert_eq!((none.eos, none.bos), (vec![], None));
    refused(&mixtral(json!({"eos_token_id": "</s>"})), &["eos_token_id", "</s>"]);
    refused(&mixtral(json!({"bos_token_id": 1u64 << 32})), &["bos_token_id", "4294967296"]);
}

#[test]
fn generation_config_names_end_tokens_or_none() {
    assert_eq!(generation_eos(br#"{"eos_token_id": [5, 6]}"#).unwrap(), Some(vec![5, 6]));
    assert_eq!(generation_eos(br#"{"eos_token_id": 5}"#).unwrap(), Some(vec![5]));
    assert_eq!(generation_eos(br#"{"temperature": 0.7}"#).unwrap(), None);
    assert!(generation_eos(b"[]").is_err());
}

#[test]
fn a_sliding_window_counts_only_where_it_is_in_force() {
    let window = |config: Value| read(&config).unwrap().windows[0];
    assert_eq!(window(mixtral(json!({"sliding_window": 16}))), Some(16));
    assert_eq!(window(mixtral(json!({"sliding_window": 64}))), None, "as long as the context");
    assert_eq!(window(mixtral(json!({"sliding_window": null}))), None);
    assert_eq!(window(qwen(json!({"sliding_window": 16}))), None, "not switched on");
    assert_eq!(window(qwen(json!({"sliding_window": 16, "use_sliding_window": true}))), Some(16));
    assert_eq!(window(qwen(json!({"sliding_window": null, "use_sliding_window": true}))), None);
}

#[test]
fn qwen_layers_are_dense_by_list_and_by_step() {
    let dense = |changes| read(&qwen(changes)).unwrap().dense_layers;
    assert_eq!(dense(json!({"mlp_only_layers": [4, 0]})), [0, 4]);
    assert_eq!(dense(json!({"decoder_sparse_step": 2})), [0, 2, 4]);
    assert_eq!(dense(json!({"decoder_sparse_step": 2, "mlp_only_layers": [1]})), [0, 1, 2, 4]);
    let config = read(&qwen(json!({"decoder_sparse_step": 3}))).unwrap();
    assert_eq!(config.moe_layers().collect::<Vec<_>>(), [2, 5]);
    assert!(!config.is_moe(6), "there is no such layer");
    assert_eq!((config.d_dense, config.d_expert), (40, 8));
}

#[test]
fn gates_are_renormalised_always_by_mixtral_and_on_request_by_the_others() {
    assert!(read(&mixtral(json!({"norm_topk_prob": false}))).unwrap().router.renormalise);
    assert!(read(&qwen(json!({"norm_topk_prob": true}))).unwrap().router.renormalise);
    assert!(!read(&qwen(json!({}))).unwrap().router.renormalise);
}

#[test]
fn olmoe_may_clip_and_a_null_means_as_many_key_heads_as_query_heads() {
    let changes = json!({"architectures": ["OlmoeForCausalLM"], "clip_qkv": 8.0, "num_key_value_heads": null,
                         "num_local_experts": "-", "num_experts": 4});
    let config = read(&mixtral(changes)).unwrap();
    assert_eq!((config.clip_qkv, config.kv_heads, config.d_expert), (Some(8.0), 4, 24));
}

#[test]
fn numbers_that_do_not_fit_each_other_are_refused() {
    refused(&mixtral(json!({"num_key_value_heads": 3})), &["num_attention_heads is 4", "3"]);
    refused(&mixtral(json!({"num_experts_per_tok": 5})), &["num_experts_per_tok is 5", "4"]);
    refused(&mixtral(json!({"head_dim": 3})), &["head_dim is 3", "even"]);
    refused(&mixtral(json!({"num_attention_heads": 64, "num_key_value_heads": 64})), &["head_dim is 0"]);
    refused(&mixtral(json!({"num_local_experts": 0})), &["has experts"]);
    refused(&qwen(json!({"decoder_sparse_step": 100})), &["none of the 6 layers"]);
    refused(&qwen(json!({"mlp_only_layers": [6]})), &["mlp_only_layers", "below 6"]);
}

#[test]
fn fields_of_another_type_or_out_of_range_are_refused_by_name() {
    refused(&mixtral(json!({"hidden_size": "big"})), &["hidden_size", "whole number", "big"]);
    refused(&mixtral(json!({"hidden_size": 0})), &["hidden_size", "from 1"]);
    refused(&mixtral(json!({"num_hidden_layers": 1_000_000})), &["num_hidden_layers", "4096", "1000000"]);
    refused(&mixtral(json!({"vocab_size": -5})), &["vocab_size", "-5"]);
    refused(&mixtral(json!({"rms_norm_eps": 1e-60})), &["rms_norm_eps"]);
    refused(&mixtral(json!({"tie_word_embeddings": 1})), &["tie_word_embeddings", "true or false"]);
    refused(&mixtral(json!({"hidden_act": vec!["x"; 1000]})), &["hidden_act", "a text"]);
    assert!(read(&mixtral(json!({"hidden_act": vec!["x"; 1000]}))).unwrap_err().to_string().len() < 200);
    assert!(ModelConfig::from_json(b"[1]").is_err());
    assert!(ModelConfig::from_json(b"\xff").is_err());
}
