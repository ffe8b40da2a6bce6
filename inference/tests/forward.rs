//! Forward passes: chunks, truncation, exact sums, errors, loading.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "model/loaded.rs"]
mod loaded;
#[path = "model/scattered.rs"]
mod scattered;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use loaded::LoadedModel;
use neuro_expert_runtime::engines::ReferenceEngine;
use neuro_expert_runtime::threads::with_threads;
use neuro_expert_runtime::{Engine, default_engine};
use neuro_inference::trunk::MAX_CHUNK_ROWS;
use neuro_inference::{CacheType, ExpertLayers, ExpertsError, ForwardError, KvCache, LoadError, LocalExperts, Trunk};
use neuro_model::Checkpoint;
use neuro_primitives::{Routes, Rows};
use scattered::Scattered;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn skills() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint")
}

fn engines() -> [Arc<dyn Engine>; 2] {
    [Arc::new(ReferenceEngine), default_engine()]
}

/// Ids that look random, all below `vocab`.
fn ids(n: u32, vocab: u32) -> Vec<u32> {
    (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) % vocab).collect()
}

fn in_chunks(model: &LoadedModel, ids: &[u32], chunk: usize) -> Vec<f32> {
    let mut cache = model.cache();
    ids.chunks(chunk).map(|chunk| model.forward(&mut cache, chunk)).last().expect("at least one chunk")
}

/// One checkpoint of every architecture that has a fixture, and one more where there are weights in blocks.
fn one_of_each() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let folders = std::fs::read_dir(root).expect("the fixtures are there").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.join("reference.json").exists()).collect();
    folders.sort();
    let kind = |folder: &PathBuf| {
        let checkpoint = Checkpoint::open(folder).expect("a checkpoint");
        format!("{} {:?}", checkpoint.config().architecture, CacheType::of(&checkpoint))
    };
    let by_kind: BTreeMap<String, PathBuf> = folders.into_iter().map(|folder| (kind(&folder), folder)).collect();
    by_kind.into_values().collect()
}

#[test]
fn prefill_and_decode_give_the_same_bits() {
    let folders = one_of_each();
    assert!(folders.len() >= 8, "{folders:?}");
    for folder in folders {
        for engine in engines() {
            let class = engine.id().class;
            let model = LoadedModel::open(&folder, engine);
            let ids = ids(150, u32::try_from(model.trunk.config().vocab_size).expect("a small vocabulary"));
            let whole = with_threads(1, || in_chunks(&model, &ids, ids.len()));
            for (chunk, threads) in [(1, 2), (7, 1), (129, 3), (150, 3)] {
                let parts = with_threads(threads, || in_chunks(&model, &ids, chunk));
                let same = whole.iter().zip(&parts).all(|(left, right)| left.to_bits() == right.to_bits());
                assert!(same, "{} on {class}, chunks of {chunk}, {threads} threads", folder.display());
            }
        }
    }
}

#[test]
fn a_prompt_of_several_chunks_is_the_prompt_token_by_token() {
    let model = LoadedModel::open(&fixture("mixtral-7-float32"), default_engine());
    let ids = ids(u32::try_from(MAX_CHUNK_ROWS).expect("small") + 9, 384);
    assert_eq!(in_chunks(&model, &ids, ids.len()), in_chunks(&model, &ids, 1));
}

#[test]
fn a_truncated_cache_goes_on_as_if_nothing_had_followed() {
    let model = LoadedModel::open(&fixture("qwen3_moe-7-float32"), Arc::new(ReferenceEngine));
    let (prompt, wrong, right) = (ids(140, 384), ids(30, 383), ids(5, 300));
    let mut cache = model.cache();
    model.forward(&mut cache, &prompt);
    let expected = model.forward(&mut cache.clone(), &right);
    model.forward(&mut cache, &wrong);
    cache.truncate(prompt.len());
    assert_eq!(model.forward(&mut cache, &right), expected);
    cache.truncate(0);
    assert!(cache.is_empty());
    model.forward(&mut cache, &prompt);
    assert_eq!(model.forward(&mut cache, &right), expected, "a cache can be used again from the start");
}

#[test]
fn sums_have_the_same_bits_wherever_the_experts_are() {
    for engine in engines() {
        let model = LoadedModel::open(&skills(), Arc::clone(&engine));
        let scattered = Scattered::load(&model.checkpoint, &engine, model.trunk.config().router.experts);
        let prompt = ids(60, 512);
        let together = model.forward(&mut model.cache(), &prompt);
        let apart = model.trunk.forward(&mut model.cache(), &prompt, &scattered).expect("a pass");
        assert!(together.iter().zip(&apart).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", engine.id().class);
    }
}

#[test]
fn what_cannot_run_is_refused_before_anything_runs() {
    let model = LoadedModel::open(&skills(), Arc::new(ReferenceEngine));
    let mut cache = model.cache();
    let mut check = |ids: &[u32], expected: &str| {
        let error = model.try_forward(&mut cache, ids).expect_err("it must be refused");
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_retryable());
        assert!(cache.is_empty());
    };
    check(&[], "expected at least one token, got none");
    check(&[5, 512, 6], "token 512 lies outside the vocabulary of 512");
    check(&[5; 513], "513 tokens exceed the context of 512");

    let other = LoadedModel::open(&fixture("olmoe-7-float32"), Arc::new(ReferenceEngine));
    let error = model.try_forward(&mut other.cache(), &[5]).expect_err("a cache of another model");
    assert!(matches!(error, ForwardError::WrongCache { expected: 4, got: 2 }), "{error}");
}

/// Answers with whatever it is told to.
struct Answering(fn(&Rows) -> Result<Rows, ExpertsError>);

impl ExpertLayers for Answering {
    fn run(&self, _layer: u16, hidden: &Rows, _routes: &Routes) -> Result<Rows, ExpertsError> {
        (self.0)(hidden)
    }
}

#[test]
fn bad_answers_of_experts_are_errors_and_leave_the_cache_as_it_was() {
    let model = LoadedModel::open(&skills(), Arc::new(ReferenceEngine));
    let mut cache = model.cache();
    model.forward(&mut cache, &[5, 6, 7]);
    let expected = model.forward(&mut cache.clone(), &[8]);
    let mut error_of = |answer: fn(&Rows) -> Result<Rows, ExpertsError>| {
        let error = model.trunk.forward(&mut cache, &[9, 9, 9], &Answering(answer)).expect_err("a bad answer");
        assert_eq!(cache.len(), 3);
        error
    };
    let error = error_of(|_| Err(ExpertsError { message: "no holder of L0/E3".into(), retryable: true, expert: None }));
    assert_eq!((error.to_string().as_str(), error.is_retryable()), ("no holder of L0/E3", true));
    let error = error_of(|hidden| Ok(Rows::zeros(hidden.count() + 1, hidden.width())));
    assert_eq!(error.to_string(), "expected expert sums of shape (3, 128), got (4, 128)");
    let error = error_of(|hidden| Ok(Rows::new(hidden.width(), vec![f32::NAN; hidden.values().len()])));
    assert!(matches!(error, ForwardError::NotFinite { what: "router logits", layer: 1, position: 3 }), "{error}");
    assert_eq!(model.forward(&mut cache, &[8]), expected, "a failed pass leaves no trace");
}

/// Answers zeros at every layer but the last, and NaN there.
struct LateNan(u16);

impl ExpertLayers for LateNan {
    fn run(&self, layer: u16, hidden: &Rows, _routes: &Routes) -> Result<Rows, ExpertsError> {
        let value = if layer == self.0 { f32::NAN } else { 0.0 };
        Ok(Rows::new(hidden.width(), vec![value; hidden.values().len()]))
    }
}

#[test]
fn logits_that_are_no_numbers_are_never_returned() {
    let model = LoadedModel::open(&skills(), default_engine());
    let error = model.trunk.forward(&mut model.cache(), &[5, 6], &LateNan(3)).expect_err("NaN logits");
    assert_eq!(error.to_string(), "logits at layer 4, position 1, are not finite");
}

/// Notes the layers and rows it is asked for, and answers zeros.
#[derive(Default)]
struct Noting(Mutex<Vec<(u16, usize)>>);

impl ExpertLayers for Noting {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        assert_eq!(routes.count(), hidden.count());
        self.0.lock().expect("no panic").push((layer, hidden.count()));
        Ok(Rows::zeros(hidden.count(), hidden.width()))
    }
}

#[test]
fn experts_are_asked_once_a_layer_and_chunk_and_never_for_a_dense_layer() {
    let model = LoadedModel::open(&fixture("qwen3_moe-8-bfloat16"), default_engine());
    let noting = Noting::default();
    let prompt = ids(u32::try_from(MAX_CHUNK_ROWS).expect("small") + 88, 384);
    model.trunk.forward(&mut model.cache(), &prompt, &noting).expect("a pass");
    // Layer 1 of 3 is dense, and of the last layer only the row whose logits are asked for is needed.
    assert_eq!(*noting.0.lock().expect("no panic"), [(0, 512), (0, 88), (2, 1)]);
}

#[test]
fn loading_reports_every_stored_byte_once() {
    for folder in ["mixtral-7-float32", "qwen3_moe-8-bfloat16", "olmoe-8-bfloat16"] {
        let checkpoint = Arc::new(Checkpoint::open(&fixture(folder)).expect("a checkpoint"));
        let mut reports = Vec::new();
        let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine);
        let trunk = Trunk::load(&checkpoint, Arc::clone(&engine), &mut |done| reports.push(done)).expect("a trunk");
        assert!(reports.windows(2).all(|pair| pair[0] < pair[1]), "{reports:?}");
        assert_eq!(reports.last(), Some(&checkpoint.trunk_bytes()), "{folder}");
        let mut reports = Vec::new();
        let experts = LocalExperts::load(&checkpoint, engine, None, &mut |done| reports.push(done)).expect("experts");
        assert_eq!(reports.last(), Some(&checkpoint.expert_bytes()), "{folder}");
        assert!(reports.windows(2).all(|pair| pair[0] < pair[1]), "{reports:?}");
        assert_eq!(experts.pool().resident(), experts.pool().held(), "without a limit all are in memory");
        let f32_bytes = 4 * (checkpoint.parameters() * 4 - experts.pool().resident_bytes()) / 4;
        assert!(trunk.resident_bytes() <= f32_bytes, "{folder}: {} of {f32_bytes}", trunk.resident_bytes());
        assert!(trunk.resident_bytes() >= checkpoint.trunk_bytes(), "{folder}");
    }
}

/// A copy of the skills model in which the first value of `tensor` is infinite.
fn poisoned(tensor: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(skills()).expect("the skills model") {
        let path = entry.expect("an entry").path();
        let to = folder.path().join(path.file_name().expect("a name"));
        std::fs::write(&to, std::fs::read(&path).expect("a file")).expect("room");
    }
    let file = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).expect("the weights");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let tensors: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).expect("a header");
    let start = tensors[tensor]["data_offsets"][0].as_u64().expect("an offset") as usize;
    // bfloat16's infinity
    bytes[8 + header + start..][..2].copy_from_slice(&[0x80, 0x7f]);
    std::fs::write(&file, bytes).expect("room");
    folder
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine);
    for name in ["model.embed_tokens.weight", "model.layers.2.self_attn.k_proj.weight", "model.norm.weight"] {
        let folder = poisoned(name);
        let checkpoint = Checkpoint::open(folder.path()).expect("a checkpoint");
        let error = Trunk::load(&checkpoint, Arc::clone(&engine), &mut |_| {}).err().expect("it must be refused");
        assert!(
            matches!(&error, LoadError::Elements { name: found, .. } | LoadError::Engine { name: found, .. } if found == name),
            "{error}"
        );
    }
    let name = "model.layers.1.block_sparse_moe.experts.5.w2.weight";
    let folder = poisoned(name);
    let checkpoint = Arc::new(Checkpoint::open(folder.path()).expect("a checkpoint"));
    assert!(Trunk::load(&checkpoint, Arc::clone(&engine), &mut |_| {}).is_ok(), "experts are not the trunk's");
    for limit in [None, Some(0)] {
        let loaded = LocalExperts::load(&checkpoint, Arc::clone(&engine), limit, &mut |_| {});
        let error = loaded.err().expect("it must be refused");
        assert!(error.to_string().contains("L1/E5"), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    for engine in [engine, neuro_expert_runtime::default_engine()] {
        let error = LocalExperts::start(&checkpoint, engine, &mut |_| {}).err().expect("it must be refused");
        assert!(error.to_string().contains("L1/E5") && error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_memory_limit_changes_no_logit() {
    let checkpoint = Arc::new(Checkpoint::open(&fixture("qwen3_moe-8-bfloat16")).expect("a checkpoint"));
    let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine);
    let trunk = Trunk::load(&checkpoint, Arc::clone(&engine), &mut |_| {}).expect("a trunk");
    let load = |limit| LocalExperts::load(&checkpoint, Arc::clone(&engine), limit, &mut |_| {}).expect("experts");
    let logits = |experts: &LocalExperts| {
        let ids: Vec<u32> = (1..20).collect();
        trunk.forward(&mut trunk.new_cache(), &ids, experts).expect("a forward pass")
    };
    let all = load(None);
    let whole = all.pool().resident_bytes();
    let expected = logits(&all);
    let count = all.pool().held().len() as u64;
    for limit in [whole - 1, whole / 2, whole / count, 0] {
        let limited = load(Some(limit));
        assert_eq!(logits(&limited), expected, "limit {limit} of {whole}");
        let most = limit.max(whole / count);
        assert!(limited.pool().resident_bytes() <= most, "limit {limit} of {whole}");
        assert!(limited.pool().counters().evictions > 0, "limit {limit} of {whole}");
    }
}

#[test]
fn a_cache_takes_memory_for_what_it_holds() {
    let model = LoadedModel::open(&skills(), default_engine());
    let mut cache: KvCache = model.cache();
    assert_eq!(cache.bytes(), 0);
    model.forward(&mut cache, &ids(10, 512));
    let one_page = cache.bytes();
    model.forward(&mut cache, &ids(20, 512));
    assert_eq!((cache.len(), cache.bytes()), (30, one_page));
    model.forward(&mut cache, &ids(20, 512));
    assert_eq!(cache.bytes(), 2 * one_page);
}
