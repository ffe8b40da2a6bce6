//! Adapters beside and inside their projections.

use super::*;
use crate::tests::{same_bits, texts, tiny};
use crate::{Batch, MoeModel};

fn adapters() -> LowRank {
    let projections = ["self_attn.q_proj", "self_attn.o_proj"].map(|name| format!("model.layers.0.{name}.weight"));
    LowRank { projections: projections.to_vec(), rank: 3, alpha: 6.0 }
}

fn adapted(fill: impl Fn(usize) -> f32) -> (MoeModel, Weights) {
    let base = tiny();
    let mut weights = base.weights().clone();
    adapters().attach(&mut weights, 5).unwrap();
    for projection in adapters().projections {
        let [_, b] = names(&projection);
        weights.get_mut(&b).unwrap().values.iter_mut().enumerate().for_each(|(at, value)| *value = fill(at));
    }
    (MoeModel::new(base.config().clone(), weights.clone(), Some(&adapters())).unwrap(), weights)
}

fn logits(model: &MoeModel) -> Vec<f32> {
    model.next_logits(&[vec![3, 1, 4, 1, 5]]).unwrap()
}

#[test]
fn an_adapter_that_was_not_trained_changes_no_logit() {
    assert!(same_bits(&logits(&adapted(|_| 0.0).0), &logits(&tiny())));
}

#[test]
fn merged_adapters_give_the_logits_of_separate_ones() {
    let (model, mut weights) = adapted(|at| (at % 7) as f32 / 10.0 - 0.3);
    adapters().merge(&mut weights).unwrap();
    let merged = MoeModel::new(model.config().clone(), weights, None).unwrap();
    let differences = logits(&model).into_iter().zip(logits(&merged)).map(|(a, b)| (a - b).abs());
    assert!(differences.fold(0.0, f32::max) < 1e-4);
    let moved = logits(&model).into_iter().zip(logits(&tiny())).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(moved > 0.01, "the adapters do nothing: {moved}");
}

#[test]
fn everyone_draws_the_same_adapters_from_the_same_seed() {
    let drawn = |seed| {
        let mut weights = tiny().weights().clone();
        adapters().attach(&mut weights, seed).unwrap();
        weights
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn a_projection_that_is_not_there_is_named() {
    let missing = LowRank { projections: vec!["no.weight".into()], rank: 2, alpha: 1.0 };
    let mut weights = tiny().weights().clone();
    assert!(missing.attach(&mut weights, 0).expect_err("it must fail").to_string().contains("no.weight"));
    assert!(adapters().merge(&mut weights).expect_err("it must fail").to_string().contains("lora_a"));
}

#[test]
fn adapters_have_slopes() {
    let (model, weights) = adapted(|_| 0.1);
    let names: Vec<String> = adapters().projections.iter().flat_map(|name| names(name)).collect();
    let trained = names.iter().map(|name| (name.clone(), weights.get(name).unwrap().clone())).collect();
    let batch = Batch::new(&texts(), 11).unwrap();
    let (_, slopes) = model.gradients(trained, &batch, &crate::Objective::default()).unwrap();
    assert_eq!(slopes.len(), 4);
    assert!(slopes.values().all(|slope| slope.iter().any(|value| *value != 0.0)));
}
