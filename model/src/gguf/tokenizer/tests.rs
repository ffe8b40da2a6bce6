//! Tokens against those of the folder's own tokenizer, of llama.cpp and of sentencepiece.

use serde_json::Value;

use super::*;
use crate::Tokenizer;
use crate::gguf::tests::fixture;
use crate::gguf::tests::writer::Writer;

/// What a file gives as `tokenizer.json`.
fn json(writer: &Writer) -> Result<Value, GgufError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    writer.write(&path);
    let assets = assets(&GgufModel::open(&path)?)?;
    let bytes = assets.into_iter().find(|(name, _)| *name == "tokenizer.json").map(|(_, bytes)| bytes);
    Ok(bytes.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap()))
}

#[track_caller]
fn tokenizer(writer: &Writer) -> Tokenizer {
    Tokenizer::from_bytes(json(writer).unwrap().to_string().as_bytes()).unwrap()
}

#[track_caller]
fn refused(writer: &Writer, words: &[&str]) {
    let message = json(writer).unwrap_err().to_string();
    words.iter().for_each(|word| assert!(message.contains(word), "{message:?} does not say {word:?}"));
}

fn expected(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn byte_level() -> Writer {
    Writer::of(&fixture("byte-level.gguf"))
}

fn sentence_piece() -> Writer {
    Writer::of(&fixture("sentence-piece.gguf"))
}

#[test]
fn every_set_of_patterns_cuts_as_llama_cpp_does() {
    let expected = expected("byte-level.json");
    let mut different = Vec::new();
    for (pre, lists) in expected["ids"].as_object().unwrap() {
        let tokenizer = tokenizer(&byte_level().text("tokenizer.ggml.pre", pre));
        for (text, list) in expected["texts"].as_array().unwrap().iter().zip(lists.as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let got = tokenizer.encode(text, false).unwrap();
            if got != ids(list) {
                different.push(format!("{pre}: {text:?}: {got:?} and not {list}"));
            }
            assert_eq!(tokenizer.decode(&got, false).unwrap(), text, "{pre}");
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn sentence_pieces_are_those_of_llama_cpp_and_of_sentencepiece() {
    let (tokenizer, expected) = (tokenizer(&sentence_piece()), expected("sentence-piece.json"));
    let mut different = Vec::new();
    for (number, text) in expected["texts"].as_array().unwrap().iter().enumerate() {
        let text = text.as_str().unwrap();
        let got = tokenizer.encode(text, false).unwrap();
        for other in
            ["llama", "sentencepiece"].map(|name| &expected[name][number]).into_iter().filter(|list| !list.is_null())
        {
            if got != ids(other) {
                different.push(format!("{text:?}: {got:?} and not {other}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn text_survives_sentence_pieces_there_and_back() {
    let tokenizer = tokenizer(&sentence_piece());
    for text in ["Hello world", "naïve  日本 😀\n\tend", "a<role>b", ""] {
        let ids = tokenizer.encode(text, true).unwrap();
        assert_eq!(ids[0], 1, "a text begins with the token for it");
        assert_eq!(tokenizer.decode(&ids, true).unwrap().replace("<role> ", "<role>"), text);
    }
}

#[test]
fn the_ids_are_those_of_the_folder_that_the_file_was_made_of() {
    for (file, folder) in [("mixtral-7-q8_0.gguf", "mixtral-7-float32"), ("olmoe-7-q8_0.gguf", "olmoe-7-float32")] {
        let ours = tokenizer(&Writer::of(&fixture(file)));
        let theirs = std::fs::read(fixture("..").join(folder).join("tokenizer.json")).unwrap();
        let theirs = Tokenizer::from_bytes(&theirs).unwrap();
        for text in expected("byte-level.json")["texts"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            assert_eq!(ours.encode(text, true).unwrap(), theirs.encode(text, true).unwrap(), "{text:?}");
        }
    }
}

#[test]
fn begin_and_end_are_put_where_the_file_says() {
    let around = |writer: &Writer| {
        let ids = tokenizer(writer).encode("a", true).unwrap();
        (ids.first() == Some(&0), ids.last() == Some(&1))
    };
    let plain = byte_level().without("tokenizer.ggml.add_bos_token");
    assert_eq!(around(&plain), (false, false));
    assert_eq!(around(&plain.clone().text("tokenizer.ggml.pre", "llama-bpe")), (true, false));
    assert_eq!(around(&plain.clone().bool("tokenizer.ggml.add_bos_token", true)), (true, false));
    assert_eq!(around(&plain.bool("tokenizer.ggml.add_eos_token", true)), (false, true));
    let neither = sentence_piece().bool("tokenizer.ggml.add_bos_token", false);
    assert_ne!(tokenizer(&neither).encode("a", true).unwrap()[0], 1);
    let bare = sentence_piece().bool("tokenizer.ggml.add_space_prefix", false);
    let bare = tokenizer(&bare);
    assert_eq!(bare.decode(&bare.encode(" a", false).unwrap(), false).unwrap(), " a");
}

#[test]
fn control_tokens_are_special_and_user_s_own_are_not() {
    let tokenizer = tokenizer(&sentence_piece());
    let role = tokenizer.token_id("<role>").unwrap();
    assert!(
        tokenizer.is_special(0) && tokenizer.is_special(1) && tokenizer.is_special(2) && !tokenizer.is_special(role)
    );
    assert!(tokenizer.encode("a<role>b", false).unwrap().contains(&role));
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    refused(
        &byte_level().text("tokenizer.ggml.pre", "martian"),
        &["tokenizer.ggml.pre", "\"martian\"", "llama-bpe", "qwen2"],
    );
    refused(&byte_level().text("tokenizer.ggml.model", "t5"), &["tokenizer.ggml.model", "\"t5\"", "gpt2 or llama"]);
    refused(&byte_level().without("tokenizer.ggml.merges"), &["no key \"tokenizer.ggml.merges\""]);
    refused(&byte_level().without("tokenizer.ggml.tokens"), &["no key \"tokenizer.ggml.tokens\""]);
    refused(&byte_level().texts("tokenizer.ggml.merges", &["ab"]), &["tokenizer.ggml.merges", "\"ab\""]);
    refused(&byte_level().i32s("tokenizer.ggml.token_type", &[1, 1]), &["token_type", "800 types", "got 2"]);
    refused(&byte_level().i32s("tokenizer.ggml.token_type", &[-1]), &["token_type", "negative"]);
    refused(&sentence_piece().without("tokenizer.ggml.scores"), &["no key \"tokenizer.ggml.scores\""]);
    refused(&sentence_piece().f32s("tokenizer.ggml.scores", &[0.0]), &["tokenizer.ggml.scores", "600 numbers"]);
    let twice = byte_level().texts("tokenizer.ggml.tokens", &["a", "b", "a"]).without("tokenizer.ggml.token_type");
    refused(&twice, &["tokenizer.ggml.tokens", "\"a\" as 0 and as 2"]);
    let beyond = byte_level().u32("tokenizer.ggml.bos_token_id", 9999).bool("tokenizer.ggml.add_bos_token", true);
    refused(&beyond, &["bos_token_id", "the id of a token", "9999"]);
}

#[test]
fn a_file_without_a_tokenizer_gives_none() {
    assert_eq!(json(&Writer::new()).unwrap(), Value::Null);
    assert_eq!(json(&Writer::new().text("tokenizer.ggml.model", "none")).unwrap(), Value::Null);
}
