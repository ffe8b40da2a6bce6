//! The trunk and the experts against what the `transformers` library computes, on every fixture there is.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "model/loaded.rs"]
mod loaded;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loaded::{LoadedModel, largest_difference};
use neuro_expert_runtime::Engine;
use neuro_expert_runtime::default_engine;
use neuro_expert_runtime::engines::ReferenceEngine;
use neuro_inference::sampler::greedy;
use neuro_inference::{CacheType, KvCache};
use neuro_model::Checkpoint;
use serde::Deserialize;

/// Largest difference of a logit. The reference adds in another order; f32 leaves about 1e-5 on these models.
const TOLERANCE: f32 = 2e-4;

/// As [`TOLERANCE`] for experts in blocks: they take hidden states of 8 bits, which the reference does not round. A
/// wrong nibble or scale is off by whole units on these models.
const QUANTISED_TOLERANCE: f32 = 0.2;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt_ids: Vec<u32>,
    last_logits: Vec<f32>,
    greedy_ids: Vec<u32>,
}

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let folders = std::fs::read_dir(&root).expect("the fixtures are there");
    let mut found: Vec<PathBuf> = folders.map(|entry| entry.expect("a readable entry").path()).collect();
    found.retain(|folder| folder.join("reference.json").exists());
    found.sort();
    found
}

fn check(folder: &Path, engine: Arc<dyn Engine>) {
    let name = format!("{} on {}", folder.display(), engine.id().class);
    let model = LoadedModel::open(folder, engine);
    let is_float = model.trunk.cache_type() == CacheType::F32;
    let reference = std::fs::read(folder.join("reference.json")).expect("a readable reference");
    let reference: Reference = serde_json::from_slice(&reference).expect("a well-formed reference");
    assert!(!reference.cases.is_empty(), "{name}: no cases");
    let mut largest = 0.0_f32;
    for case in &reference.cases {
        let mut cache = model.cache();
        let logits = model.forward(&mut cache, &case.prompt_ids);
        assert_eq!(logits.len(), case.last_logits.len(), "{name}");
        let difference = largest_difference(&logits, &case.last_logits);
        let tolerance = if is_float { TOLERANCE } else { QUANTISED_TOLERANCE };
        assert!(difference <= tolerance, "{name}: logits differ by {difference}");
        largest = largest.max(difference);
        if is_float {
            follow(&model, &mut cache, logits, case, &name);
        }
    }
    println!("{name}: {} cases, largest difference of a logit {largest:e}", reference.cases.len());
}

/// Greedy decoding goes the way that it went in the reference.
fn follow(model: &LoadedModel, cache: &mut KvCache, mut logits: Vec<f32>, case: &Case, name: &str) {
    for (step, expected) in case.greedy_ids.iter().enumerate() {
        let got = greedy(&logits);
        assert_eq!(got, *expected, "{name}: prompt of {}, token {step}", case.prompt_ids.len());
        logits = model.forward(cache, &[got]);
    }
}

#[test]
fn there_are_enough_references() {
    let architecture = |folder: &PathBuf| {
        let checkpoint = Checkpoint::open(folder).expect("a checkpoint");
        format!("{:?}", checkpoint.config().architecture)
    };
    let architectures: BTreeSet<String> = fixtures().iter().map(architecture).collect();
    assert!(fixtures().len() >= 6, "{:?}", fixtures());
    assert!(architectures.len() >= 3, "{architectures:?}");
}

#[test]
fn the_reference_engine_agrees_with_transformers() {
    for folder in fixtures() {
        check(&folder, Arc::new(ReferenceEngine));
    }
}

#[test]
fn the_default_engine_agrees_with_transformers() {
    for folder in fixtures() {
        check(&folder, default_engine());
    }
}

#[test]
fn engines_agree_on_weights_in_blocks_far_closer_than_with_the_reference() {
    let mut seen = 0;
    for folder in fixtures() {
        let [plain, native] = [Arc::new(ReferenceEngine) as Arc<dyn Engine>, default_engine()]
            .map(|engine| LoadedModel::open(&folder, engine));
        if plain.trunk.cache_type() == CacheType::F32 {
            continue;
        }
        let ids: Vec<u32> = (3..40).collect();
        let [plain, native] = [plain, native].map(|model| model.forward(&mut model.cache(), &ids));
        let difference = largest_difference(&plain, &native);
        // A hidden state that rounds to the next of 8 bits moves a logit by about a thousandth.
        assert!(difference <= 5e-3, "{}: {difference}", folder.display());
        seen += 1;
    }
    assert!(seen > 0, "no checkpoint in blocks");
}
