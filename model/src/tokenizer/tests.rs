//! Text to ids and back, and the bytes of single tokens.

use serde_json::{Value, json};

use super::*;

const SKILLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/skills/checkpoint/tokenizer.json");

/// The shipped model's tokenizer: byte-level BPE.
pub(super) fn skills() -> Tokenizer {
    Tokenizer::from_bytes(&std::fs::read(SKILLS).unwrap()).unwrap()
}

/// Bytes of the byte-level alphabet as tokens, in the order of their bytes, after two special tokens and one that is
/// only added. The id of byte `b` is `3 + b`.
pub(super) fn all_bytes() -> Tokenizer {
    let plain: Vec<u8> = (0x21..=0x7E).chain(0xA1..=0xAC).chain(0xAE..=0xFF).collect();
    let mut beyond = (0x100..).map(|code| char::from_u32(code).unwrap());
    let written =
        (0..=255_u8).map(|byte| if plain.contains(&byte) { char::from(byte) } else { beyond.next().unwrap() });
    let added_first = ["<s>", "</s>", "日本"].map(str::to_owned).into_iter();
    let all = added_first.chain(written.map(String::from));
    let vocab: serde_json::Map<String, Value> = all.enumerate().map(|(id, token)| (token, json!(id))).collect();
    let json = json!({
        "version": "1.0",
        "added_tokens": [added(0, "<s>", true), added(1, "</s>", true), added(2, "日本", false)],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap()
}

fn added(id: usize, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special})
}

/// A small vocabulary in the style of SentencePiece, with `decoder`: `<s>`, the tokens below, then `<0x00>` to `<0xFF>`.
pub(super) fn spaced(decoder: &Value) -> Tokenizer {
    Tokenizer::from_bytes(spaced_json(decoder).to_string().as_bytes()).unwrap()
}

fn spaced_json(decoder: &Value) -> Value {
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let words = ["<s>", "▁Hello", "▁world", "▁", "▁▁", "a", "é", "▁a▁b"].map(str::to_owned);
    let vocab: serde_json::Map<String, Value> =
        words.into_iter().chain(bytes).enumerate().map(|(id, token)| (token, json!(id))).collect();
    json!({
        "version": "1.0", "added_tokens": [added(0, "<s>", true)], "decoder": decoder,
        "model": {"type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true, "unk_token": "<s>"},
    })
}

/// Mixtral's and Llama's decoder.
pub(super) fn llama_decoder() -> Value {
    json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
}

pub(super) fn metaspace_decoder(scheme: &str) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true})
}

#[test]
fn text_survives_the_way_there_and_back() {
    let tokenizer = skills();
    for text in ["What is 12+35?", "user: sort 3 1 2", "naïve 日本 😀\n\tend", ""] {
        let ids = tokenizer.encode(text, false).unwrap();
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    }
}

#[test]
fn special_tokens_are_recognised_in_text_and_left_out_on_request() {
    let tokenizer = skills();
    let ids = tokenizer.encode("<s>user: hi</s>", false).unwrap();
    assert_eq!((ids[0], ids[ids.len() - 1]), (0, 1));
    assert!(tokenizer.is_special(0) && tokenizer.is_special(1) && !tokenizer.is_special(ids[1]));
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "user: hi");
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "<s>user: hi</s>");
    assert_eq!((tokenizer.token_id("</s>"), tokenizer.vocab_size()), (Some(1), 512));
}

#[test]
fn the_bytes_of_a_text_s_tokens_are_the_text_s_bytes() {
    let tokenizer = skills();
    let text = "sum of 7 and 8: 日本 é 😀";
    let ids = tokenizer.encode(text, false).unwrap();
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id).unwrap()).collect();
    assert_eq!(bytes, text.as_bytes());
}

#[test]
fn every_byte_has_its_token() {
    let tokenizer = all_bytes();
    for byte in 0..=255_u8 {
        assert_eq!(tokenizer.token_bytes(3 + u32::from(byte)), Some(vec![byte]));
    }
    assert_eq!(tokenizer.token_text(3 + 0xE6).as_deref(), Some("\u{FFFD}"));
    assert_eq!(tokenizer.token_bytes(2).unwrap(), "日本".as_bytes(), "an added token is as it is written");
    assert_eq!(tokenizer.token_bytes(9999), None);
}

#[test]
fn spaces_and_byte_tokens_show_in_the_bytes_of_sentencepiece_tokens() {
    let tokenizer = spaced(&llama_decoder());
    assert_eq!(tokenizer.token_bytes(1).unwrap(), b" Hello");
    assert_eq!(tokenizer.token_bytes(8 + 0xE5).unwrap(), [0xE5]);
    assert_eq!(tokenizer.token_text(5).unwrap(), "a");
    assert_eq!(spaced(&metaspace_decoder("always")).token_bytes(7).unwrap(), b" a b");
}

#[test]
fn truncation_and_padding_of_the_file_are_off() {
    let mut json = serde_json::from_slice::<Value>(&std::fs::read(SKILLS).unwrap()).unwrap();
    json["truncation"] = json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
                             "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"});
    let tokenizer = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
    let text = "a text of more than four tokens";
    assert_eq!(tokenizer.encode(text, false).unwrap(), skills().encode(text, false).unwrap());
}

#[test]
fn decoders_that_cannot_stream_are_refused_by_name() {
    let refused = |decoder: Value| {
        let bytes = spaced_json(&decoder).to_string();
        let error = Tokenizer::from_bytes(bytes.as_bytes()).unwrap_err();
        assert!(matches!(error, TokenizerError::Decoder { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(json!({"type": "WordPiece", "prefix": "##", "cleanup": true})).contains("WordPiece"));
    let regex = json!({"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"});
    assert!(refused(json!({"type": "Sequence", "decoders": [regex, {"type": "Fuse"}]})).contains("Regex"));
    let early_strip = json!([{"type": "Strip", "content": " ", "start": 1, "stop": 0}, {"type": "Fuse"}]);
    assert!(refused(json!({"type": "Sequence", "decoders": early_strip})).contains("Strip"));
}

#[test]
fn what_is_not_a_tokenizer_is_an_error() {
    for bytes in [&b""[..], b"{}", b"[1, 2]", br#"{"model": {"type": "BPE"}}"#] {
        assert!(matches!(Tokenizer::from_bytes(bytes), Err(TokenizerError::Malformed { .. })));
    }
}
