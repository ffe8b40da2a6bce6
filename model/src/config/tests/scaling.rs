//! Rotary scalings: where they are read, and what follows from them.

use serde_json::{Value, json};

use super::{mixtral, qwen, read, refused};
use crate::config::{RopePairing, RopeScaling};

fn scaling(config: &Value) -> RopeScaling {
    read(config).unwrap().rope.scaling
}

/// Factor, original context, attention factor and score factor.
fn yarn(config: &Value) -> [f64; 4] {
    match scaling(config) {
        RopeScaling::Yarn { factor, original_context, attention_factor, score_factor, .. } => {
            [factor, original_context, attention_factor, score_factor]
        }
        other => panic!("{other:?} is not yarn"),
    }
}

#[track_caller]
fn assert_near(got: [f64; 4], expected: [f64; 4]) {
    let near = got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-12);
    assert!(near, "{got:?} is not {expected:?}");
}

#[test]
fn a_linear_scaling_is_read_in_either_place() {
    let linear = RopeScaling::Linear { factor: 2.0 };
    assert_eq!(scaling(&mixtral(json!({"rope_scaling": {"type": "linear", "factor": 2}}))), linear);
    let new = json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5.0}});
    assert_eq!(scaling(&qwen(new)), linear);
    assert_eq!(scaling(&mixtral(json!({"rope_scaling": {"rope_type": "default"}}))), RopeScaling::None);
}

#[test]
fn yarn_has_the_defaults_of_its_paper() {
    let settings = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32});
    let expected = RopeScaling::Yarn {
        factor: 4.0,
        original_context: 32.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: true,
        attention_factor: 0.1 * 4.0_f64.ln() + 1.0,
        score_factor: 1.0,
    };
    assert_eq!(scaling(&qwen(json!({"rope_scaling": settings}))), expected);
    assert_eq!(scaling(&mixtral(json!({"rope_parameters": settings}))), expected);
}

#[test]
fn yarn_without_a_factor_stretches_to_the_context() {
    let settings = json!({"type": "yarn", "original_max_position_embeddings": 16});
    assert_near(yarn(&qwen(json!({"rope_scaling": settings}))), [4.0, 16.0, 0.1 * 4.0_f64.ln() + 1.0, 1.0]);
    let top = json!({"rope_scaling": {"type": "yarn", "factor": 2.0}, "original_max_position_embeddings": 32});
    assert_near(yarn(&qwen(top)), [2.0, 32.0, 0.1 * 2.0_f64.ln() + 1.0, 1.0]);
    let nowhere = json!({"rope_scaling": {"type": "yarn", "factor": 2.0, "attention_factor": 1.5}});
    assert_near(yarn(&qwen(nowhere)), [2.0, 64.0, 1.5, 1.0]);
    let twice = json!({"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 16},
                       "original_max_position_embeddings": 32});
    refused(&qwen(twice), &["original_max_position_embeddings", "contradict"]);
}

#[test]
fn magnitudes_scale_scores_in_deepseek_alone() {
    let settings = json!({"type": "yarn", "factor": 40, "mscale": 0.5, "mscale_all_dim": 0.707,
                          "original_max_position_embeddings": 16});
    let (own, all) = (0.05 * 40.0_f64.ln() + 1.0, 0.0707 * 40.0_f64.ln() + 1.0);
    assert_near(yarn(&qwen(json!({"rope_scaling": settings}))), [40.0, 16.0, own / all, 1.0]);
    let deepseek = json!({"model_type": "deepseek_v3", "rope_scaling": settings});
    assert_near(yarn(&deepseek), [40.0, 16.0, own / all, all * all]);
    let zero = json!({"type": "yarn", "factor": 40, "mscale_all_dim": 0, "original_max_position_embeddings": 16});
    let deepseek = json!({"model_type": "deepseek_v3", "rope_scaling": zero});
    assert_near(yarn(&deepseek), [40.0, 16.0, 0.1 * 40.0_f64.ln() + 1.0, 1.0]);
}

#[test]
fn gpt_oss_is_stretched_where_the_file_says_nothing() {
    let said = json!({"model_type": "gpt_oss", "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "truncate": false,
        "beta_fast": 32.0, "beta_slow": 1.0, "original_max_position_embeddings": 4096}});
    let unsaid = json!({"model_type": "gpt_oss", "rope_scaling": null});
    assert_eq!(scaling(&unsaid), scaling(&said));
    assert_eq!(scaling(&json!({"model_type": "gpt_oss", "rope_scaling": {"type": "default"}})), RopeScaling::None);
}

#[test]
fn pairs_are_neighbours_in_deepseek_and_on_request() {
    let pairing = |config: Value| read(&config).unwrap().rope.pairing;
    assert_eq!(pairing(mixtral(json!({}))), RopePairing::Halves);
    assert_eq!(pairing(mixtral(json!({"rope_interleave": true}))), RopePairing::Neighbours);
    assert_eq!(pairing(json!({"model_type": "deepseek_v3"})), RopePairing::Neighbours);
    assert_eq!(pairing(json!({"model_type": "deepseek_v3", "rope_interleave": false})), RopePairing::Halves);
}
