//! Models with more experts than before.

use super::*;
use crate::MoeModel;
use crate::tests::{TINY, same_bits, tiny};

fn grown(copies: &[u16]) -> (ModelConfig, Weights) {
    let (config, weights) = with_more_experts(TINY.as_bytes(), tiny().weights(), copies).unwrap();
    (ModelConfig::from_json(&config).unwrap(), weights)
}

#[test]
fn new_experts_are_copies_and_old_ones_keep_their_bits() {
    let (config, weights) = grown(&[2, 0]);
    assert_eq!(config.router.experts, 5);
    assert_eq!(config.layers, 2);
    let values = |name: &str| weights.get(name).unwrap().values.clone();
    let expert = |number: u16| values(&format!("model.layers.1.block_sparse_moe.experts.{number}.w1.weight"));
    assert!(same_bits(&expert(3), &expert(2)));
    assert!(same_bits(&expert(4), &expert(0)));
    let router = values("model.layers.0.block_sparse_moe.gate.weight");
    assert!(same_bits(&router[24..32], &router[16..24]));
    for (name, matrix) in tiny().weights().iter() {
        assert!(same_bits(&values(name)[..matrix.values.len()], &matrix.values), "{name}");
    }
}

#[test]
fn a_grown_model_runs() {
    let (config, weights) = grown(&[1]);
    let model = MoeModel::new(config, weights, None).unwrap();
    let logits = model.next_logits(&[vec![1, 2, 3]]).unwrap();
    assert!(logits.iter().all(|logit| logit.is_finite()));
}

#[test]
fn an_expert_that_is_not_there_cannot_be_copied() {
    let error = with_more_experts(TINY.as_bytes(), tiny().weights(), &[7]).expect_err("it must be refused");
    assert!(error.to_string().contains("experts.7"), "{error}");
}

#[test]
fn a_configuration_without_a_number_of_experts_is_refused() {
    let config = TINY.replace(r#""num_local_experts": 3,"#, "");
    let error = with_more_experts(config.as_bytes(), tiny().weights(), &[0]).expect_err("it must be refused");
    assert!(error.to_string().contains("num_local_experts"), "{error}");
}
