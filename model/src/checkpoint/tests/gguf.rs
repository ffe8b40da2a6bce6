//! GGUF files as checkpoints: the same model as the folder that they were made of, and one test for each refusal.

use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::SourceKind;
use crate::gguf::tests::fixture;
use crate::gguf::tests::writer::Writer;
use crate::gguf::{GgufError, GgufTensor};

const FAMILIES: [&str; 3] = ["mixtral", "qwen3_moe", "olmoe"];

/// A file made of the committed one.
struct Spoiled(tempfile::TempDir);

impl Spoiled {
    fn new(name: &str, change: impl FnOnce(Writer) -> Writer) -> Self {
        let spoiled = Self(tempfile::tempdir().unwrap());
        change(Writer::of(&fixture(name))).write(&spoiled.path());
        spoiled
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("model.gguf")
    }

    fn open(&self) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&self.path())
    }
}

#[track_caller]
fn refused(spoiled: &Spoiled, words: &[&str]) -> CheckpointError {
    let error = spoiled.open().expect_err("this file should be refused");
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    assert!(!error.is_retryable());
    error
}

/// The rows of `bytes` as Hugging Face has them: GGUF's llama keeps row `i + half` of a head beside row `i`.
fn halves(bytes: &[u8], heads: usize, rows: usize) -> Vec<u8> {
    let (row, width) = (bytes.len() / rows, rows / heads);
    let from = |at: usize| at / width * width + (at % width) % (width / 2) * 2 + (at % width) / (width / 2);
    (0..rows).flat_map(|at| bytes[from(at) * row..(from(at) + 1) * row].to_vec()).collect()
}

#[test]
fn a_file_holds_the_model_of_the_folder_that_it_was_made_of() {
    for family in FAMILIES {
        let file = Checkpoint::open(&fixture(&format!("{family}-f32.gguf"))).unwrap();
        let folder = Checkpoint::open(&fixture(&format!("{family}-f32"))).unwrap();
        assert_eq!((file.source_kind(), folder.source_kind()), (SourceKind::Gguf, SourceKind::Folder));
        assert_eq!(file.tensor_names().collect::<Vec<_>>(), folder.tensor_names().collect::<Vec<_>>());
        for name in folder.tensor_names() {
            let (ours, theirs) = (file.tensor(name).unwrap(), folder.tensor(name).unwrap());
            let heads = match name.rsplit_once('.').map(|(stem, _)| stem) {
                Some(stem) if family == "mixtral" && stem.ends_with("q_proj") => file.config().heads,
                Some(stem) if family == "mixtral" && stem.ends_with("k_proj") => file.config().kv_heads,
                _ => 0,
            };
            let bytes = if heads == 0 { ours.bytes.to_vec() } else { halves(&ours.bytes, heads, ours.shape[0]) };
            assert_eq!((ours.tensor_type, &ours.shape), (theirs.tensor_type, &theirs.shape), "{name}");
            assert!(bytes == *theirs.bytes, "{family}: {name}");
        }
        assert_eq!((file.trunk_bytes(), file.expert_bytes()), (folder.trunk_bytes(), folder.expert_bytes()));
        assert_eq!(file.parameters(), folder.parameters());
    }
}

#[test]
fn the_settings_are_those_of_the_folder_but_for_the_rotated_pairs() {
    for family in FAMILIES {
        for (file, folder) in
            [("f32.gguf", format!("gguf/{family}-f32")), ("7-q8_0.gguf", format!("{family}-7-float32"))]
        {
            let ours = Checkpoint::open(&fixture(&format!("{family}-{file}"))).unwrap();
            let theirs = Checkpoint::open(&fixture("..").join(folder)).unwrap();
            let fields: Value = serde_json::from_slice(ours.config_bytes()).unwrap();
            assert_eq!(fields["rope_interleave"], family == "mixtral");
            let mut expected = theirs.config().clone();
            expected.rope.pairing = ours.config().rope.pairing;
            if family == "mixtral" || family == "olmoe" {
                expected.d_dense = ours.config().d_dense;
            }
            assert_eq!(*ours.config(), expected, "{family} {file}");
        }
    }
}

#[test]
fn quantised_experts_are_slices_of_the_file_s_own_bytes() {
    let path = fixture("qwen3_moe-7-q8_0.gguf");
    let file = Checkpoint::open(&path).unwrap();
    let raw = crate::gguf::GgufFile::open(&path).unwrap();
    let stack: &GgufTensor = raw.tensor("blk.1.ffn_down_exps.weight").unwrap();
    let expert = file.tensor("model.layers.1.mlp.experts.5.down_proj.weight").unwrap();
    assert_eq!((expert.tensor_type, &expert.shape[..]), (TensorType::Q8_0, &[64, 96][..]));
    let each = stack.place.len() / 8;
    assert!(matches!(expert.bytes, std::borrow::Cow::Borrowed(_)));
    assert_eq!(*expert.bytes, raw.bytes()[stack.place.start + 5 * each..stack.place.start + 6 * each]);
    assert_eq!(file.tensor("model.layers.1.mlp.gate.weight").unwrap().tensor_type, TensorType::F32);
    assert_eq!(file.expert_bytes(), 2 * 8 * 3 * 64 * 96 / 32 * 34);
}

#[test]
fn tokenizer_and_template_come_with_the_file() {
    let file = Checkpoint::open(&fixture("mixtral-7-q8_0.gguf")).unwrap();
    let folder = Checkpoint::open(&fixture("..").join("mixtral-7-float32")).unwrap();
    let names: Vec<&str> = file.assets().iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!(names, ["chat_template.jinja", "config.json", "tokenizer.json", "tokenizer_config.json"]);
    let message = crate::ChatMessage { role: "user".into(), content: "ban den?".into() };
    let render = |checkpoint: &Checkpoint| {
        checkpoint.chat_template().unwrap().unwrap().render(std::slice::from_ref(&message), true)
    };
    let prompt = render(&folder).unwrap();
    assert_eq!(render(&file).unwrap(), prompt);
    let ids = |checkpoint: &Checkpoint| checkpoint.tokenizer().unwrap().encode(&prompt, false).unwrap();
    assert_eq!(ids(&file), ids(&folder));
    assert_eq!((file.config().bos, &file.config().eos[..]), (Some(0), &[1][..]));
}

#[test]
fn ends_of_turns_end_answers_too() {
    let spoiled = Spoiled::new("mixtral-f32.gguf", |file| {
        file.u32("tokenizer.ggml.eot_token_id", 5).u32("tokenizer.ggml.eom_token_id", 1)
    });
    assert_eq!(spoiled.open().unwrap().config().eos, [1, 5]);
}

#[test]
fn a_model_in_parts_is_the_same_model() {
    let whole = Writer::of(&fixture("olmoe-f32.gguf"));
    let dir = tempfile::tempdir().unwrap();
    let part = |number: u32, from: &Writer| {
        from.clone().u32("split.no", number).u32("split.count", 3).u32("split.tensors.count", 15)
    };
    let path = |number: u32| dir.path().join(format!("olmoe-0000{}-of-00003.gguf", number + 1));
    assert_eq!(whole.tensors.len(), 15);
    part(0, &Writer { tensors: Vec::new(), ..whole.clone() }).write(&path(0));
    part(1, &Writer { tensors: whole.tensors[..8].to_vec(), ..Writer::new() }).write(&path(1));
    part(2, &Writer { tensors: whole.tensors[8..].to_vec(), ..Writer::new() }).write(&path(2));
    let single = Checkpoint::open(&fixture("olmoe-f32.gguf")).unwrap();
    let parts = Checkpoint::open(&path(2)).unwrap();
    assert!(single.tensor_names().eq(parts.tensor_names()));
    assert!(single.tensor_names().all(|name| single.tensor(name).unwrap() == parts.tensor(name).unwrap()));
    assert_eq!(single.config_bytes(), parts.config_bytes());
    assert_eq!(parts.files().len(), 3);
}

/// Cuts a stack into tensors of one expert, as files had them before experts were stacked.
fn one_by_one(file: Writer, stem: &str) -> Writer {
    let stacked = format!("blk.0.{stem}_exps.weight");
    let stack = file.find(&stacked).clone();
    let (experts, shape) =
        (stack.shape[0] as usize, stack.shape[1..].iter().map(|&size| size as usize).collect::<Vec<_>>());
    let slices = stack.bytes.chunks(stack.bytes.len() / experts).enumerate();
    slices.fold(file.remove(&stacked), |file, (expert, bytes)| {
        file.tensor(&format!("blk.0.{stem}.{expert}.weight"), TensorType::F32, &shape, bytes)
    })
}

/// Puts the gates of every expert above its ups, as newer files may have them.
fn fused(file: Writer) -> Writer {
    let [gate, up] = ["gate", "up"].map(|part| file.find(&format!("blk.0.ffn_{part}_exps.weight")).clone());
    let shape: Vec<usize> = [gate.shape[0], gate.shape[1] * 2, gate.shape[2]].map(|size| size as usize).to_vec();
    let each = gate.bytes.len() / shape[0];
    let bytes: Vec<u8> =
        gate.bytes.chunks(each).zip(up.bytes.chunks(each)).flat_map(|(gate, up)| [gate, up].concat()).collect();
    file.remove(&gate.name).remove(&up.name).tensor("blk.0.ffn_gate_up_exps.weight", TensorType::F32, &shape, &bytes)
}

#[test]
fn experts_one_by_one_or_fused_are_the_same_experts() {
    let stacked = Checkpoint::open(&fixture("mixtral-f32.gguf")).unwrap();
    let singles = ["ffn_gate", "ffn_up", "ffn_down"];
    for other in [
        Spoiled::new("mixtral-f32.gguf", |file| singles.into_iter().fold(file, one_by_one)),
        Spoiled::new("mixtral-f32.gguf", fused),
    ] {
        let other = other.open().unwrap();
        assert!(stacked.tensor_names().all(|name| stacked.tensor(name).unwrap() == other.tensor(name).unwrap()));
    }
}

#[test]
fn without_an_output_projection_the_embedding_is_it() {
    let spoiled = Spoiled::new("qwen3_moe-f32.gguf", |file| file.remove("output.weight"));
    let checkpoint = spoiled.open().unwrap();
    assert!(checkpoint.config().tie_embeddings);
    assert!(checkpoint.tensor_names().all(|name| name != names::OUTPUT));
}

#[test]
fn tensors_that_are_missing_or_of_no_use_are_named() {
    let gone = Spoiled::new("mixtral-f32.gguf", |file| file.remove("blk.0.attn_q.weight"));
    refused(&gone, &["model.layers.0.self_attn.q_proj.weight", "missing", "mixtral"]);
    for name in
        ["rope_freqs.weight", "blk.0.attn_q.bias", "blk.0.ffn_up_shexp.weight", "blk.00.attn_q.weight", "blk.0.x"]
    {
        let more = Spoiled::new("mixtral-f32.gguf", |file| file.counting(name, &[32], 0));
        let error = refused(&more, &["unknown", "model.gguf"]);
        assert!(matches!(error, CheckpointError::Unexpected { .. }), "{name}");
    }
    let twice = Spoiled::new("mixtral-f32.gguf", |file| file.counting("blk.0.ffn_gate.0.weight", &[32, 32], 0));
    assert!(matches!(refused(&twice, &["experts.0.w1.weight"]), CheckpointError::Twice { .. }));
    let ninth = Spoiled::new("mixtral-f32.gguf", |file| file.u32("llama.expert_count", 7));
    refused(&ninth, &["block_sparse_moe.gate.weight", "[8, 32]", "[7, 32]"]);
    let wide = Spoiled::new("mixtral-f32.gguf", |file| file.u32("llama.embedding_length", 64));
    refused(&wide, &["embed_tokens", "config.json asks for"]);
}

#[test]
fn settings_that_cannot_be_are_refused_with_key_and_file() {
    let spoiled = |change: fn(Writer) -> Writer| Spoiled::new("mixtral-f32.gguf", change);
    refused(
        &spoiled(|file| file.text("general.architecture", "mamba")),
        &["general.architecture", "mamba", "qwen3moe"],
    );
    refused(&spoiled(|file| file.without("general.architecture")), &["no key", "general.architecture"]);
    refused(&spoiled(|file| file.without("llama.block_count")), &["model.gguf", "no key \"llama.block_count\""]);
    refused(&spoiled(|file| file.u32("llama.block_count", 1 << 30)), &["llama.block_count", "at most 4096"]);
    refused(&spoiled(|file| file.without("llama.expert_count")), &["none of the 1 layers has experts"]);
    refused(
        &spoiled(|file| file.text("llama.rope.scaling.type", "longrope")),
        &["rope.scaling.type", "longrope", "yarn"],
    );
    refused(
        &spoiled(|file| file.u32("llama.rope.dimension_count", 4)),
        &["rope.dimension_count", "expected 8", "got 4"],
    );
    refused(&spoiled(|file| file.u32("llama.expert_gating_func", 2)), &["expert_gating_func", "softmax", "got 2"]);
    refused(&spoiled(|file| file.f32("llama.expert_weights_scale", 2.5)), &["expert_weights_scale", "2.5"]);
    refused(&spoiled(|file| file.f32("llama.logit_scale", 0.5)), &["llama.logit_scale", "0.5"]);
    refused(
        &spoiled(|file| file.i32s("llama.attention.head_count_kv", &[2, 4])),
        &["head_count_kv", "every layer", "[2, 4]"],
    );
    refused(&spoiled(|file| file.text("llama.context_length", "long")), &["llama.context_length", "\"long\""]);
    let error =
        refused(&spoiled(|file| file.text("tokenizer.ggml.pre", "martian")), &["tokenizer.ggml.pre", "martian"]);
    assert!(matches!(error, CheckpointError::Gguf(GgufError::Key { .. })));
}

#[test]
fn what_is_no_model_at_all_says_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.bin");
    std::fs::write(&path, b"PK\x03\x04 something else").unwrap();
    let message = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(message.contains("weights.bin") && message.contains("not a GGUF file"), "{message}");
    let missing = Checkpoint::open(&dir.path().join("none.gguf")).unwrap_err().to_string();
    assert!(missing.contains("none.gguf") && !missing.contains("config.json"), "{missing}");
    let empty = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(empty.contains("no config.json") && empty.contains(".gguf file"), "{empty}");
}
