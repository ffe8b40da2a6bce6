//! The native engine on GGUF files of ours against llama.cpp on the very same files.
//!
//! The files are made here, of a checkpoint that lies beside the references; their hashes say that they are those that
//! llama.cpp read. When a hash is off, the quantiser or the writer has changed: make the references again with
//! `tests/fixtures/llama_cpp/make`.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "model/exported.rs"]
mod exported;
#[path = "model/loaded.rs"]
mod loaded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use exported::{ExportedFile, every_type, families, fixtures};
use loaded::{LoadedModel, largest_difference};
use neuro_expert_runtime::default_engine;
use neuro_inference::sampler::greedy;

fn tolerance(name: &str) -> f32 {
    match name {
        _ => 1e9,
    }
}

fn references() -> PathBuf {
    fixtures().join("llama_cpp")
}

fn read_json<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read(references().join(name)).expect("it is there");
    serde_json::from_slice(&text).expect("well-formed JSON")
}

/// llama.cpp's logits of the last position of every prompt.
fn expected(name: &str, prompts: usize) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(references().join(name).with_extension("f32")).expect("run make");
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    values.chunks(values.len() / prompts).map(<[f32]>::to_vec).collect()
}

/// How far the best logit is from the second best.
fn lead(logits: &[f32]) -> f32 {
    let best = greedy(logits) as usize;
    let others = logits.iter().enumerate().filter(|(id, _)| *id != best).map(|(_, logit)| *logit);
    logits[best] - others.fold(f32::NEG_INFINITY, f32::max)
}

fn check(file: &ExportedFile, folder: &Path, hashes: &BTreeMap<String, String>) {
    let name = &file.name;
    let path = file.write(folder);
    let hash = blake3::hash(&std::fs::read(&path).expect("the file is there")).to_hex();
    assert_eq!(Some(hash.as_str()), hashes.get(name).map(String::as_str), "{name}: make the references again");
    let model = LoadedModel::open(&path, default_engine());
    let prompts: Vec<Vec<u32>> = read_json("prompts.json");
    let (mut largest, mut decided) = (0.0_f32, 0);
    for (prompt, expected) in prompts.iter().zip(expected(name, prompts.len())) {
        let logits = model.forward(&mut model.cache(), prompt);
        let difference = largest_difference(&logits, &expected);
        println!("   {name} {} {difference:e}", prompt.len());
        largest = largest.max(difference);
        assert!(difference <= tolerance(name), "{name}: {difference} after {} tokens", prompt.len());
        if lead(&expected) > tolerance(name) {
            assert_eq!(greedy(&logits), greedy(&expected), "{name}: after {} tokens", prompt.len());
            decided += 1;
        }
    }
    println!("{name}: largest difference of a logit {largest:e}, {decided} of {} prompts decided", prompts.len());
}

#[test]
fn every_type_gives_what_llama_cpp_gives() {
    let (folder, hashes) = (tempfile::tempdir().expect("a folder"), read_json("hashes.json"));
    for file in every_type() {
        check(&file, folder.path(), &hashes);
    }
}

#[test]
fn other_families_give_what_llama_cpp_gives() {
    let (folder, hashes) = (tempfile::tempdir().expect("a folder"), read_json("hashes.json"));
    for file in families().iter().filter(|file| references().join(&file.name).with_extension("f32").exists()) {
        check(file, folder.path(), &hashes);
    }
}
