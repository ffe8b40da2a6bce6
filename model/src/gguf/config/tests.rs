//! Settings of the families that no committed file is of, read back as a configuration.

use serde_json::Value;

use super::*;
use crate::gguf::tests::writer::Writer;
use crate::{GroupScore, ModelConfig, RopePairing, RopeScaling, ScoreFunction};

/// A file of `family` with the settings that all have.
fn base(family: &str) -> Writer {
    let number = |file: Writer, key: &str, value: u32| file.u32(&format!("{family}.{key}"), value);
    let file = [
        ("block_count", 3),
        ("embedding_length", 64),
        ("context_length", 4096),
        ("attention.head_count", 4),
        ("expert_count", 8),
        ("expert_used_count", 2),
        ("expert_feed_forward_length", 32),
    ];
    let file = file.into_iter().fold(Writer::new(), |file, (key, value)| number(file, key, value));
    let file = file.text("general.architecture", family);
    file.f32(&format!("{family}.attention.layer_norm_rms_epsilon"), 1e-6).counting("token_embd.weight", &[16, 64], 0)
}

fn fields(file: &Writer) -> Value {
    let dir = tempfile::tempdir().unwrap();
    file.write(&dir.path().join("model.gguf"));
    let model = GgufModel::open(&dir.path().join("model.gguf")).unwrap();
    serde_json::from_slice(&config_json(&model).unwrap()).unwrap()
}

fn config(file: &Writer) -> ModelConfig {
    ModelConfig::from_json(fields(file).to_string().as_bytes()).unwrap()
}

fn deepseek() -> Writer {
    let keys = [
        ("feed_forward_length", 96),
        ("rope.dimension_count", 8),
        ("attention.kv_lora_rank", 32),
        ("attention.q_lora_rank", 48),
        ("attention.key_length", 24),
        ("attention.value_length", 16),
        ("expert_shared_count", 2),
        ("leading_dense_block_count", 1),
    ];
    keys.into_iter().fold(base("deepseek2"), |file, (key, value)| file.u32(&format!("deepseek2.{key}"), value))
}

#[test]
fn deepseek_v2_has_latent_attention_and_softmax_scores() {
    let config = config(&deepseek().f32("deepseek2.expert_weights_scale", 16.0));
    let latent = config.latent.unwrap();
    assert_eq!((latent.query_rank, latent.kv_rank), (Some(48), 32));
    assert_eq!((latent.nope_dim, latent.rope_dim, latent.value_dim, latent.split), (16, 8, 16, false));
    assert_eq!((config.architecture.model_type(), config.rope.pairing), ("deepseek_v2", RopePairing::Neighbours));
    assert_eq!(
        (config.router.scores, config.router.scale, config.router.renormalise),
        (ScoreFunction::Softmax, 16.0, false)
    );
    assert_eq!((&config.dense_layers[..], config.d_dense, config.d_expert), (&[0][..], 96, 32));
    assert_eq!(config.shared_expert.unwrap().width, 64);
    assert_eq!(config.rms_eps, 1e-6);
}

#[test]
fn deepseek_v3_has_sigmoid_scores_groups_and_a_yarn_of_its_own() {
    let file = deepseek()
        .u32("deepseek2.expert_gating_func", 2)
        .bool("deepseek2.expert_weights_norm", true)
        .u32("deepseek2.expert_group_count", 4)
        .u32("deepseek2.expert_group_used_count", 2)
        .u32("deepseek2.attention.key_length", 40)
        .u32("deepseek2.attention.key_length_mla", 24)
        .u32("deepseek2.attention.value_length_mla", 12)
        .text("deepseek2.rope.scaling.type", "yarn")
        .f32("deepseek2.rope.scaling.factor", 40.0)
        .u32("deepseek2.rope.scaling.original_context_length", 4096)
        .f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707)
        .counting("blk.0.attn_k_b.weight", &[4, 32, 16], 0);
    let config = config(&file);
    let latent = config.latent.unwrap();
    assert_eq!((latent.nope_dim, latent.value_dim, latent.split), (16, 12, true));
    assert_eq!((config.architecture.model_type(), config.router.scores), ("deepseek_v3", ScoreFunction::Sigmoid));
    let groups = config.router.groups.unwrap();
    assert_eq!((groups.groups, groups.kept, groups.score), (4, 2, GroupScore::BestTwo));
    assert!(config.router.renormalise && config.router.selection_bias);
    assert_eq!(fields(&file)["rope_parameters"]["mscale_all_dim"], 0.707);
    let RopeScaling::Yarn { factor, attention_factor, score_factor, .. } = config.rope.scaling else { panic!() };
    let stretch: f64 = 0.1 * 0.707 * 40.0_f64.ln() + 1.0;
    assert_eq!((factor, attention_factor), (40.0, 1.0));
    assert!((score_factor - stretch * stretch).abs() < 1e-12);
}

#[test]
fn gpt_oss_has_windows_in_every_other_layer_and_biases() {
    let file = base("gpt-oss")
        .u32("gpt-oss.attention.key_length", 16)
        .u32("gpt-oss.attention.value_length", 16)
        .u32("gpt-oss.attention.head_count_kv", 2)
        .u32("gpt-oss.attention.sliding_window", 128)
        .f32("gpt-oss.rope.freq_base", 150_000.0)
        .text("gpt-oss.rope.scaling.type", "yarn")
        .f32("gpt-oss.rope.scaling.factor", 32.0)
        .u32("gpt-oss.rope.scaling.original_context_length", 4096)
        .counting("blk.0.attn_q.bias", &[64], 0);
    let config = config(&file);
    assert_eq!(config.windows, [Some(128), None, Some(128)]);
    assert!(config.attention_sinks && config.expert_bias && config.query_key_value_bias && config.router.bias);
    assert_eq!((config.router.scores, config.rope.pairing), (ScoreFunction::SoftmaxOfChosen, RopePairing::Halves));
    assert!(matches!(config.rope.scaling, RopeScaling::Yarn { truncate: false, factor: 32.0, .. }));
    assert_eq!((config.rope.theta, config.kv_heads, config.tie_embeddings), (150_000.0, 2, true));
}

#[test]
fn qwen2_moe_has_a_gated_shared_expert() {
    let file = base("qwen2moe")
        .u32("qwen2moe.expert_shared_feed_forward_length", 80)
        .text("qwen2moe.rope.scaling.type", "linear")
        .f32("qwen2moe.rope.scaling.factor", 2.0)
        .counting("blk.0.attn_q.bias", &[64], 0)
        .counting("output.weight", &[16, 64], 0);
    let config = config(&file);
    let shared = config.shared_expert.unwrap();
    assert_eq!((shared.width, shared.gated, config.router.renormalise), (80, true, false));
    assert_eq!((config.query_key_value_bias, config.output_bias, config.tie_embeddings), (true, false, false));
    assert_eq!(config.rope.scaling, RopeScaling::Linear { factor: 2.0 });
}

#[test]
fn numbers_are_written_with_the_digits_that_people_wrote() {
    assert_eq!((shortest(0.1), shortest(1e-6), shortest(10_000.0)), (0.1, 1e-6, 1e4));
}
