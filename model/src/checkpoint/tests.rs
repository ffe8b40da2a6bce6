//! Whole folders: good ones, and one test for each way of being wrong.

use safetensors::tensor::Dtype;
use serde_json::json;

use super::*;
use crate::checkpoint::tests::fixture::{Folder, Written};
use crate::config::{Architecture, ConfigError};
use crate::names;
use crate::tensor_file::HeaderError;
use neuro_primitives::TensorType;

mod fixture;
mod gguf;

const SKILLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/skills/checkpoint");
const QUERY: &str = "model.layers.1.self_attn.q_proj.weight";

/// Opens a folder that must fail, and checks that the message has every one of `words`.
#[track_caller]
fn refused(folder: &Folder, words: &[&str]) -> CheckpointError {
    let error = Checkpoint::open(folder.path()).expect_err("this folder should be refused");
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    assert!(!error.is_retryable());
    error
}

#[test]
fn the_shipped_model_opens() {
    let checkpoint = Checkpoint::open(Path::new(SKILLS)).unwrap();
    let config = checkpoint.config();
    assert_eq!((config.architecture, config.layers, config.router.experts), (Architecture::Mixtral, 4, 8));
    assert_eq!((config.bos, &config.eos[..], config.rope.theta), (Some(0), &[1][..], 1e4));
    assert_eq!(checkpoint.tensor_names().count(), 127);
    assert_eq!(checkpoint.parameters(), 3_478_656);
    assert_eq!(checkpoint.trunk_bytes() + checkpoint.expert_bytes(), 2 * checkpoint.parameters());
    assert_eq!(checkpoint.expert_bytes(), 4 * 8 * 3 * 256 * 128 * 2);
    let names: Vec<&str> = checkpoint.assets().iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!(names, ["config.json", "tokenizer.json", "tokenizer_config.json"]);
    assert!(checkpoint.config_bytes().starts_with(b"{"));
}

#[test]
fn the_shipped_model_s_tokenizer_and_template_fit_its_weights() {
    let checkpoint = Checkpoint::open(Path::new(SKILLS)).unwrap();
    for name in checkpoint.tensor_names() {
        let tensor = checkpoint.tensor(name).unwrap();
        assert_eq!(tensor.count(), tensor.shape.iter().product::<usize>(), "{name}");
    }
    let message = crate::ChatMessage { role: "user".into(), content: "Q".into() };
    let prompt = checkpoint.chat_template().unwrap().unwrap().render(&[message], true).unwrap();
    assert_eq!(prompt, "<s>user: Q</s><s>assistant: ");
    let tokenizer = checkpoint.tokenizer().unwrap();
    let ids = tokenizer.encode(&prompt, false).unwrap();
    assert_eq!((ids[0], tokenizer.decode(&ids, false).unwrap()), (0, prompt));
    assert_eq!(tokenizer.vocab_size(), checkpoint.config().vocab_size);
}

#[test]
fn one_file_and_many_files_give_the_same_tensors() {
    let (single, many) = (Folder::mixtral(), Folder::mixtral());
    let single = Checkpoint::open(single.write().path()).unwrap();
    let many = Checkpoint::open(many.write_shards(|_| {}).path()).unwrap();
    assert_eq!(single.tensor_names().collect::<Vec<_>>(), many.tensor_names().collect::<Vec<_>>());
    for name in single.tensor_names() {
        assert_eq!(single.tensor(name).unwrap(), many.tensor(name).unwrap());
    }
    assert_eq!((single.trunk_bytes(), single.expert_bytes()), (many.trunk_bytes(), many.expert_bytes()));
}

#[test]
fn every_architecture_opens_and_its_bytes_add_up() {
    for config in [
        json!({"model_type": "mixtral"}),
        json!({"model_type": "olmoe", "clip_qkv": 1.0}),
        json!({"model_type": "qwen3_moe", "mlp_only_layers": [0], "attention_bias": true, "head_dim": 6}),
        json!({"model_type": "qwen3_moe", "tie_word_embeddings": true}),
    ] {
        let folder = Folder::new(config);
        let checkpoint = Checkpoint::open(folder.write().path()).unwrap();
        let stored: usize = folder.tensors.values().map(|tensor| tensor.bytes.len()).sum();
        assert_eq!(checkpoint.trunk_bytes() + checkpoint.expert_bytes(), stored as u64);
        assert_eq!(checkpoint.parameters() * 2, stored as u64);
        let experts = checkpoint.tensor_names().filter_map(|name| names::expert_of(checkpoint.config(), name));
        assert_eq!(experts.count(), 3 * names::experts(checkpoint.config()).count());
    }
}

#[test]
fn all_three_types_are_read_side_by_side() {
    let mut folder = Folder::mixtral();
    let (single, half) = (1.5_f32.to_le_bytes().repeat(4), 0x3E00_u16.to_le_bytes().repeat(4));
    folder.tensors.insert("model.norm.weight".into(), Written { dtype: Dtype::F32, shape: vec![4], bytes: single });
    let norm = "model.layers.0.input_layernorm.weight";
    folder.tensors.insert(norm.into(), Written { dtype: Dtype::F16, shape: vec![4], bytes: half });
    let checkpoint = Checkpoint::open(folder.write().path()).unwrap();
    for (name, stored) in [("model.norm.weight", TensorType::F32), (norm, TensorType::F16)] {
        let tensor = checkpoint.tensor(name).unwrap();
        assert_eq!((tensor.tensor_type, tensor.count()), (stored, 4));
    }
    assert_eq!(checkpoint.tensor(QUERY).unwrap().tensor_type, TensorType::BF16);
}

#[test]
fn a_missing_tensor_is_named() {
    let mut folder = Folder::mixtral();
    folder.tensors.remove(QUERY);
    let error = refused(folder.write(), &[QUERY, "missing", "mixtral"]);
    assert!(matches!(error, CheckpointError::Missing { .. }));
}

#[test]
fn asking_for_a_tensor_that_the_model_does_not_have_is_an_error() {
    let folder = Folder::mixtral();
    let checkpoint = Checkpoint::open(folder.write().path()).unwrap();
    assert!(
        matches!(checkpoint.tensor("nothing"), Err(CheckpointError::Missing { tensor, .. }) if tensor == "nothing")
    );
}

#[test]
fn a_config_that_disagrees_with_its_tensors_names_both() {
    let mut folder = Folder::mixtral();
    folder.config["hidden_size"] = json!(8);
    refused(folder.write(), &["model.embed_tokens.weight", "model.safetensors", "[8, 4]", "[8, 8]", "config.json"]);

    let mut fewer_experts = Folder::mixtral();
    fewer_experts.config["num_experts"] = json!(2);
    refused(fewer_experts.write(), &["gate.weight", "[3, 4]", "[2, 4]"]);

    let mut more_layers = Folder::mixtral();
    more_layers.config["num_hidden_layers"] = json!(3);
    refused(more_layers.write(), &["model.layers.2.", "missing"]);

    let mut fewer_layers = Folder::mixtral();
    fewer_layers.config["num_hidden_layers"] = json!(1);
    refused(fewer_layers.write(), &["model.layers.1.", "unknown", "config.json"]);
}

#[test]
fn a_tensor_that_would_be_left_out_is_an_error_and_a_useless_one_is_not() {
    let mut biased = Folder::mixtral();
    biased.tensors.insert("model.layers.0.self_attn.q_proj.bias".into(), Written::zeros(Dtype::BF16, &[4]));
    let error = refused(biased.write(), &["q_proj.bias", "unknown", "mixtral"]);
    assert!(matches!(error, CheckpointError::Unexpected { .. }));

    let mut old = Folder::mixtral();
    old.tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), Written::zeros(Dtype::F64, &[2]));
    let checkpoint = Checkpoint::open(old.write().path()).unwrap();
    assert!(checkpoint.tensor_names().all(|name| !name.contains("inv_freq")));

    let mut tied = Folder::new(json!({"model_type": "olmoe", "tie_word_embeddings": true}));
    tied.tensors.insert("lm_head.weight".into(), Written::zeros(Dtype::BF16, &[8, 4]));
    let checkpoint = Checkpoint::open(tied.write().path()).unwrap();
    assert!(checkpoint.tensor(names::output(checkpoint.config())).is_ok());
}

#[test]
fn a_type_that_weights_cannot_have_is_named() {
    let mut folder = Folder::mixtral();
    folder.tensors.insert(QUERY.into(), Written::zeros(Dtype::I8, &[4, 4]));
    refused(folder.write(), &[QUERY, "I8", "BF16", "model.safetensors"]);
}

#[test]
fn a_wrong_shape_of_the_right_size_is_refused() {
    let mut folder = Folder::mixtral();
    folder.tensors.insert(QUERY.into(), Written::zeros(Dtype::BF16, &[2, 8]));
    refused(folder.write(), &[QUERY, "[2, 8]", "[4, 4]"]);
}

#[test]
fn truncated_and_malformed_files_are_named() {
    let folder = Folder::mixtral();
    let whole = std::fs::read(folder.write().file("model.safetensors")).unwrap();
    folder.put("model.safetensors", &whole[..whole.len() - 10]);
    let error = refused(&folder, &["model.safetensors", "truncated"]);
    assert!(matches!(error, CheckpointError::Header { source: HeaderError::PastEnd { .. }, .. }));
    folder.put("model.safetensors", &whole[..100]);
    refused(&folder, &["model.safetensors", "truncated"]);
    folder.put("model.safetensors", b"");
    refused(&folder, &["model.safetensors", "truncated"]);
    folder.put("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
    refused(&folder, &["model.safetensors", "not safetensors"]);
}

#[test]
fn a_folder_without_weights_or_configuration_says_what_it_expects() {
    let folder = Folder::mixtral();
    refused(&folder, &["no config.json"]);
    folder.put("config.json", folder.config.to_string());
    refused(&folder, &["no weights", "model.safetensors.index.json"]);
    let nowhere = Checkpoint::open(&folder.file("nowhere")).unwrap_err();
    assert!(nowhere.to_string().contains("nowhere"), "{nowhere}");
}

#[test]
fn a_bad_configuration_names_its_file() {
    let mut folder = Folder::mixtral();
    folder.config["model_type"] = json!("gpt2");
    let error = refused(folder.write(), &["config.json", "gpt2", "mixtral"]);
    assert!(matches!(error, CheckpointError::Config { source: ConfigError::UnknownArchitecture { .. }, .. }));
}

#[test]
fn tensors_that_the_index_promises_must_be_there() {
    let folder = Folder::mixtral();
    folder.write_shards(|map| drop(map.insert("extra".into(), "model-00001-of-00002.safetensors".into())));
    refused(&folder, &["extra", "model-00001-of-00002.safetensors", "index"]);

    let swapped = Folder::mixtral();
    swapped.write_shards(|map| drop(map.insert("lm_head.weight".into(), "model-00002-of-00002.safetensors".into())));
    refused(&swapped, &["lm_head.weight", "model-00002-of-00002.safetensors"]);

    let gone = Folder::mixtral();
    gone.write_shards(|_| {});
    std::fs::remove_file(gone.file("model-00002-of-00002.safetensors")).unwrap();
    refused(&gone, &["model-00002-of-00002.safetensors"]);
}

#[test]
fn an_index_that_leads_out_of_the_folder_is_refused() {
    for named in ["../model.safetensors", "/etc/passwd", "sub/model.safetensors", "..", ".", "", "a\\b", "./x", "x/"] {
        let folder = Folder::mixtral();
        folder.write_shards(|map| drop(map.insert(QUERY.into(), named.into())));
        let error = refused(&folder, &[QUERY, "same folder"]);
        assert!(matches!(error, CheckpointError::OutsideFolder { .. }), "{named:?}");
    }
}

#[test]
fn an_index_that_is_not_one_is_refused() {
    let folder = Folder::mixtral();
    folder.write_shards(|_| {}).put("model.safetensors.index.json", b"{\"weight_map\": []}");
    assert!(matches!(refused(&folder, &["index.json"]), CheckpointError::Index { .. }));
    let map: std::collections::BTreeMap<String, String> =
        (0..3000).map(|n| (format!("t{n}"), format!("f{n}"))).collect();
    folder.put("model.safetensors.index.json", json!({"weight_map": map}).to_string());
    refused(&folder, &["3000 files", "2048"]);
}

#[test]
fn a_tensor_in_two_files_counts_where_the_index_says_and_is_refused_where_it_does_not() {
    let folder = Folder::mixtral();
    folder.write_shards(|_| {});
    let both = std::fs::read(folder.file("model-00001-of-00002.safetensors")).unwrap();
    folder.put("model-00003-of-00003.safetensors", &both);
    let with_third = |first_too: bool| {
        folder.write_shards(|map| {
            drop(map.insert(QUERY.into(), "model-00002-of-00002.safetensors".into()));
            let first = "model-00001-of-00002.safetensors";
            let moved = map.iter().find(|(_, file)| *file == first).map(|(name, _)| name.clone()).unwrap();
            map.insert(moved, "model-00003-of-00003.safetensors".into());
            if first_too {
                let unlisted = map.iter().rfind(|(_, file)| *file == first).map(|(name, _)| name.clone()).unwrap();
                map.remove(&unlisted);
            }
        });
    };
    with_third(false);
    assert!(Checkpoint::open(folder.path()).is_ok());
    with_third(true);
    assert!(matches!(refused(&folder, &["both in"]), CheckpointError::Twice { .. }));
}

#[test]
fn end_tokens_of_the_generation_settings_take_the_place_of_the_model_s() {
    let folder = Folder::mixtral();
    let eos = |folder: &Folder| Checkpoint::open(folder.path()).unwrap().config().eos.clone();
    assert_eq!(eos(folder.write()), [2]);
    assert_eq!(eos(folder.put("generation_config.json", b"{\"eos_token_id\": [4, 5]}")), [4, 5]);
    assert_eq!(eos(folder.put("generation_config.json", b"{}")), [2]);
    folder.put("generation_config.json", b"{\"eos_token_id\": \"x\"}");
    refused(&folder, &["generation_config.json", "eos_token_id"]);
}

#[test]
fn a_model_may_lack_tokenizer_and_template() {
    let folder = Folder::mixtral();
    let checkpoint = Checkpoint::open(folder.write().path()).unwrap();
    assert!(matches!(checkpoint.tokenizer(), Err(crate::TokenizerError::NoFile { .. })));
    assert!(checkpoint.chat_template().unwrap().is_none());
    folder.put("chat_template.jinja", "{{ messages | length }}");
    let template = Checkpoint::open(folder.path()).unwrap().chat_template().unwrap().unwrap();
    assert_eq!(template.render(&[], false).unwrap(), "0");
}
