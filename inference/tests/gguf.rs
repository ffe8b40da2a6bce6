//! GGUF files against the folders that they were made of.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "model/exported.rs"]
mod exported;
#[path = "model/loaded.rs"]
mod loaded;

use std::path::Path;

use exported::{ExportedFile, families, file, fixtures};
use loaded::{LoadedModel, largest_difference};
use neuro_expert_runtime::default_engine;
use neuro_model::{Checkpoint, TensorType};
use serde::Deserialize;

/// Largest difference of a logit between a folder and the same weights in a file. Seen: 5e-6 for Mixtral, whose queries
/// and keys are added up in another order there; 0 for all others.
const SAME_WEIGHTS: f32 = 1e-4;

/// As [`SAME_WEIGHTS`] for weights that were rounded to 8 bits, and activations with them. Seen: 0.22, of logits up to
/// about 4. Weights that are read wrongly are off by whole units.
const EIGHT_BITS: f32 = 0.45;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt_ids: Vec<u32>,
    last_logits: Vec<f32>,
}

fn logits(path: &Path) -> Vec<f32> {
    let model = LoadedModel::open(path, default_engine());
    let prompts = [1, 2, 9, 40].map(|length| (0..length).map(|at| 3 + at * 89 % 377).collect::<Vec<u32>>());
    prompts.iter().flat_map(|prompt| model.forward(&mut model.cache(), prompt)).collect()
}

fn check(what: &str, folder: &Path, gguf: &Path) {
    let difference = largest_difference(&logits(folder), &logits(gguf));
    println!("{what}: largest difference of a logit {difference:e}");
    assert!(difference <= SAME_WEIGHTS, "{what}: {difference}");
}

#[test]
fn files_of_floats_are_their_folders() {
    for architecture in ["mixtral", "qwen3_moe", "olmoe"] {
        let folder = fixtures().join(format!("gguf/{architecture}-f32"));
        check(architecture, &folder, &folder.with_added_extension("gguf"));
    }
}

#[test]
fn files_of_eight_bits_are_close_to_what_they_were_made_of() {
    for architecture in ["mixtral", "qwen3_moe", "olmoe"] {
        let path = fixtures().join(format!("gguf/{architecture}-7-q8_0.gguf"));
        let model = LoadedModel::open(&path, default_engine());
        let reference = fixtures().join(format!("{architecture}-7-float32/reference.json"));
        let reference: Reference =
            serde_json::from_slice(&std::fs::read(reference).expect("it is there")).expect("well-formed");
        assert!(!reference.cases.is_empty());
        for case in reference.cases {
            let logits = model.forward(&mut model.cache(), &case.prompt_ids);
            let difference = largest_difference(&logits, &case.last_logits);
            println!("{architecture}, {} tokens: largest difference of a logit {difference:e}", case.prompt_ids.len());
            assert!(difference <= EIGHT_BITS, "{architecture}: {difference}");
        }
    }
}

/// Fixtures that the format has words for, of every family and with its settings.
fn exports() -> Vec<ExportedFile> {
    let f32 = |name| file(name, name, TensorType::F32, &[]);
    let own = [
        "deepseek_v3-7-bfloat16",
        "mixtral-8-bfloat16",
        "mixtral-9-float16",
        "olmoe-7-float32",
        "olmoe-9-float16",
        "qwen2_moe-7-bfloat16",
        "qwen3_moe-8-bfloat16",
        "qwen3_moe-9-float16",
    ];
    [families(), own.map(f32).to_vec()].concat()
}

#[test]
fn exported_files_are_their_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    for export in exports() {
        check(&export.name, &export.source(), &export.write(folder.path()));
    }
}

#[test]
fn exported_files_say_all_that_matters() {
    let folder = tempfile::tempdir().expect("a folder");
    for export in exports() {
        let open = |path: &Path| Checkpoint::open(path).expect("a checkpoint").config().clone();
        let (ours, theirs) = (open(&export.write(folder.path())), open(&export.source()));
        let name = &export.name;
        assert_eq!((&ours.router, ours.activation), (&theirs.router, theirs.activation), "{name}");
        assert_eq!((&ours.windows, ours.rope.theta), (&theirs.windows, theirs.rope.theta), "{name}");
        assert_eq!((ours.shared_expert, &ours.dense_layers), (theirs.shared_expert, &theirs.dense_layers), "{name}");
        assert_eq!((ours.clip_qkv, ours.rms_eps), (theirs.clip_qkv, theirs.rms_eps), "{name}");
    }
}
