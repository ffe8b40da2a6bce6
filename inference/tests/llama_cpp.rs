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

/// The largest difference of a logit, two to three times what is seen, which each line names. Logits are about 1.4 on
/// average and 4 at most. The experts and the router of these models choose the same way in both programs.
///
/// Both round activations for weights in blocks, each in its own way: llama.cpp with one scale in half precision for 32
/// of them, for 256 where the weights come in blocks of 256, and queries to half precision before they meet the keys;
/// we with one f32 scale for 32. A value that lies between two of 8 bits falls to another side then, and after the
/// first products the two roundings are as good as independent: half a percent of noise each, more for 256. For
/// weights of 16 bits llama.cpp rounds activations to the weights' type, which has 11 or 8 significant bits.
fn tolerance(name: &str) -> f32 {
    match name {
        // 8e-6, 5e-6, 5e-6: only the order of additions differs.
        "f32" | "gpt_oss" | "qwen2_moe" => 2e-5,
        // 5e-5: latent attention adds over vectors of another shape.
        "deepseek_v2" | "deepseek_v3" => 1e-4,
        // 4e-3
        "f16" => 1e-2,
        // 3.5e-2
        "bf16" => 8e-2,
        // 5.8e-2 to 7.4e-2
        "q8_0" | "q4_0" | "iq4_nl" | "mxfp4" => 0.16,
        // 0.13, 0.19, 0.21
        "q4_k" | "q5_k" | "q6_k" => 0.45,
        // 8.9e-2: two layers more than the others, with activations in blocks only in the experts.
        "gpt_oss-mxfp4" => 0.2,
        _ => 0.0,
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
    let bytes = std::fs::read(references().join(name).with_extension("f32")).expect("llama.cpp's logits");
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
        largest = largest.max(difference);
        assert!(difference <= tolerance(name), "{name}: {difference} after {} tokens", prompt.len());
        if lead(&expected) > tolerance(name) {
            assert_eq!(greedy(&logits), greedy(&expected), "{name}: after {} tokens", prompt.len());
            decided += 1;
        }
    }
    assert!(decided > 0, "{name}: every prompt hangs on a near tie");
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
    for file in families() {
        check(&file, folder.path(), &hashes);
    }
}
