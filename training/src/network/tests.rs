//! The forward pass against other programs, and its gradients against finite differences.

use std::collections::BTreeMap;
use std::path::Path;

use neuro_model::{Checkpoint, ModelConfig};
use serde_json::Value;

use super::*;
use crate::tests::{TINY, texts, tiny, tiny_weights};
use crate::{Example, Matrix, MoeModel, Wish};

/// Largest difference of a logit from `transformers` in f32.
const TOLERANCE: f32 = 1e-4;

fn check_fixture(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    let model = MoeModel::read(&Checkpoint::open(&folder).unwrap()).unwrap();
    let reference: Value = serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    assert!(!cases.is_empty(), "{name}");
    for case in cases {
        let numbers = |key: &str| case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
        let prompt = numbers("prompt_ids").into_iter().map(|id| id as u32).collect();
        let logits = model.next_logits(&[prompt]).unwrap();
        let expected = numbers("last_logits");
        assert_eq!(logits.len(), expected.len(), "{name}");
        let differences = logits.iter().zip(&expected).map(|(got, expected)| (got - *expected as f32).abs());
        let largest = differences.fold(0.0, f32::max);
        assert!(largest <= TOLERANCE, "{name}: logits differ by {largest}");
    }
}

#[test]
fn logits_are_those_of_transformers_on_every_family() {
    for name in
        ["mixtral-7-float32", "mixtral-8-bfloat16", "mixtral-9-float16", "olmoe-7-float32", "qwen3_moe-7-float32"]
    {
        check_fixture(name);
    }
}

/// Texts whose rows belong to `experts`.
fn wanting(experts: &[u16]) -> Vec<Example> {
    let wish = Wish { experts: experts.to_vec(), from: 1, weight: 1.0 };
    texts().into_iter().map(|text| Example { wishes: vec![wish.clone()], ..text }).collect()
}

/// For every element of every tensor: the slope that burn gives against `(f(x + h) − f(x − h)) / 2h`.
fn check_gradients(objective: &Objective) {
    let model = tiny();
    let batch = Batch::new(&wanting(&[0, 2]), 11).unwrap();
    let all: BTreeMap<String, Matrix> = model.weights().iter().map(|(n, m)| (n.to_owned(), m.clone())).collect();
    let (_, gradients) = model.gradients(all.clone(), &batch, objective).unwrap();
    for (name, matrix) in &all {
        for index in (0..matrix.values.len()).step_by(matrix.values.len().div_ceil(12)) {
            let step = 4e-3;
            let at = |value: f32| {
                let mut moved = BTreeMap::from([(name.clone(), matrix.clone())]);
                moved.get_mut(name).unwrap().values[index] = value;
                f64::from(model.loss(&moved, &batch, objective).unwrap())
            };
            let value = matrix.values[index];
            let expected = (at(value + step) - at(value - step)) / (2.0 * f64::from(step));
            let got = gradients.get(name).map_or(0.0, |gradient| f64::from(gradient[index]));
            let allowed = 2e-3 + 0.02 * expected.abs();
            assert!((got - expected).abs() <= allowed, "{name}[{index}]: expected {expected}, got {got}");
        }
    }
}

#[test]
fn gradients_are_the_finite_differences() {
    check_gradients(&Objective::default());
}

#[test]
fn gradients_of_the_balancing_loss_are_the_finite_differences() {
    check_gradients(&Objective { balance: 0.5, ..Objective::default() });
}

#[test]
fn gradients_of_the_routing_loss_are_the_finite_differences() {
    check_gradients(&Objective { routing: 0.5, ..Objective::default() });
}

#[test]
fn a_text_is_computed_alike_beside_longer_ones_and_alone() {
    let model = tiny();
    let alone = model.next_logits(&[vec![4, 2, 9]]).unwrap();
    let beside = model.next_logits(&[vec![1, 2, 3, 4, 5, 6, 7], vec![4, 2, 9]]).unwrap();
    let largest = alone.iter().zip(&beside[11..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-5, "{largest}");
}

#[test]
fn a_wish_for_experts_is_counted_over_rows_and_layers() {
    let loss = |texts: &[Example], routing| {
        let objective = Objective { routing, ..Objective::default() };
        tiny().loss(&BTreeMap::new(), &Batch::new(texts, 11).unwrap(), &objective).unwrap()
    };
    let plain = loss(&texts(), 0.0);
    let extra = |texts: &[Example]| loss(texts, 1.0) - plain;
    assert!(extra(&texts()).abs() < 1e-5, "no wish, no loss");
    assert!(extra(&wanting(&[0, 1, 2])).abs() < 1e-5, "every expert will do");
    let [one, two] = [extra(&wanting(&[1])), extra(&wanting(&[1, 2]))];
    assert!(one > two + 0.05 && two > 0.05, "{one} {two}");
}

#[test]
fn wishes_add_up_and_rows_before_the_first_do_not_count() {
    let objective = Objective { routing: 1.0, ..Objective::default() };
    let loss = |wishes: &[Wish]| {
        let texts: Vec<Example> = texts().into_iter().map(|text| Example { wishes: wishes.to_vec(), ..text }).collect();
        tiny().loss(&BTreeMap::new(), &Batch::new(&texts, 11).unwrap(), &objective).unwrap()
    };
    let wish = |experts: &[u16], from, weight| Wish { experts: experts.to_vec(), from, weight };
    let (none, one, two) = (loss(&[]), loss(&[wish(&[1], 0, 1.0)]), loss(&[wish(&[1, 2], 0, 3.0)]));
    let both = loss(&[wish(&[1], 0, 1.0), wish(&[1, 2], 0, 3.0)]);
    assert!((both - none - (one - none) - (two - none)).abs() < 1e-4, "{none} {one} {two} {both}");
    assert!((loss(&[wish(&[1], 0, 2.0)]) - none - 2.0 * (one - none)).abs() < 1e-4);
    assert!((loss(&[wish(&[1], 6, 1.0)]) - none).abs() < 1e-6, "no text is so long");
}

#[test]
fn even_probabilities_have_a_balancing_loss_of_top_k() {
    // f sums to top_k and P is 1/experts everywhere: experts · Σ f/experts = top_k.
    let config = ModelConfig::from_json(TINY.as_bytes()).unwrap();
    let mut weights = tiny_weights(&config);
    for layer in 0..2 {
        let name = format!("model.layers.{layer}.block_sparse_moe.gate.weight");
        weights.get_mut(&name).unwrap().values.fill(0.0);
    }
    let model = MoeModel::new(config, weights, None).unwrap();
    let batch = Batch::new(&texts(), 11).unwrap();
    let loss = |balance| {
        let objective = Objective { balance, ..Objective::default() };
        model.loss(&BTreeMap::new(), &batch, &objective).unwrap()
    };
    assert!((loss(1.0) - loss(0.0) - 2.0).abs() < 1e-5);
}

#[test]
fn what_has_no_gradient_here_is_refused_by_name() {
    let with = |change: &str| {
        let config = ModelConfig::from_json(TINY.replace(r#""sliding_window": null"#, change).as_bytes()).unwrap();
        check_supported(&config).expect_err("it must be refused").to_string()
    };
    assert!(with(r#""model_type": "qwen2_moe", "num_experts": 3"#).contains("qwen2"));
    let scaled = with(r#""rope_scaling": {"rope_type": "linear", "factor": 2.0}"#);
    assert!(scaled.contains("rotary scaling"), "{scaled}");
}

#[test]
fn a_window_hides_what_lies_further_back() {
    let narrow = TINY.replace(r#""sliding_window": null"#, r#""sliding_window": 2"#);
    let narrow = ModelConfig::from_json(narrow.as_bytes()).unwrap();
    let model = MoeModel::new(narrow.clone(), tiny_weights(&narrow), None).unwrap();
    let logits = |model: &MoeModel, first| model.next_logits(&[vec![first, 5, 3, 7, 2]]).unwrap();
    // Two layers of windows of 2 reach two positions back.
    assert_eq!(logits(&model, 1), logits(&model, 9));
    assert_ne!(logits(&tiny(), 1), logits(&tiny(), 9));
}

#[test]
fn a_missing_tensor_is_named() {
    let config = ModelConfig::from_json(TINY.as_bytes()).unwrap();
    let mut weights = tiny_weights(&config);
    weights.remove("model.layers.1.block_sparse_moe.experts.2.w3.weight");
    let error = MoeModel::new(config, weights, None).err().expect("it must be refused");
    assert!(error.to_string().contains("experts.2.w3"), "{error}");
}

#[test]
fn predictions_that_are_all_right_are_exact() {
    let model = tiny();
    let mut ids = vec![3, 1, 4];
    for _ in 0..4 {
        let logits = model.next_logits(&[ids.clone()]).unwrap();
        let best = (0..11).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        ids.push(best as u32);
    }
    let mut wrong = ids.clone();
    wrong[5] = (wrong[5] + 1) % 11;
    let example = |ids| Example { ids, learn_from: 3, ..Example::default() };
    let evaluation = model.evaluate(&[example(ids), example(wrong)]).unwrap();
    assert_eq!(evaluation.exact, [true, false]);
    assert!(evaluation.loss > 0.0);
}
