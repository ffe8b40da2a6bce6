//! A stream of tokens gives the text of a whole decode, never half a character.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tokenizer::tests::{all_bytes, llama_decoder, metaspace_decoder, skills, spaced};

/// Every decoder that is supported, over a vocabulary that brings out its quirks.
fn every_kind() -> Vec<(&'static str, Tokenizer)> {
    let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
    let two_strips = json!({"type": "Sequence", "decoders": [replace, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 3, "stop": 0}]});
    vec![
        ("byte level", all_bytes()),
        ("skills", skills()),
        ("llama", spaced(&llama_decoder())),
        ("metaspace always", spaced(&metaspace_decoder("always"))),
        ("metaspace first", spaced(&metaspace_decoder("first"))),
        ("metaspace never", spaced(&metaspace_decoder("never"))),
        ("replace alone", spaced(&replace)),
        ("strip three", spaced(&two_strips)),
        ("byte tokens alone", spaced(&json!({"type": "ByteFallback"}))),
        ("sequence of one", spaced(&json!({"type": "Sequence", "decoders": [metaspace_decoder("always")]}))),
        ("no decoder", spaced(&Value::Null)),
    ]
}

/// All that the stream gives out for `ids`, piece by piece.
fn pieces(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> Vec<String> {
    let mut stream = tokenizer.stream(skip_special);
    let mut pieces: Vec<String> = ids.iter().filter_map(|&id| stream.push(id)).collect();
    pieces.extend(stream.finish());
    pieces
}

#[test]
fn a_character_comes_out_whole_with_its_last_byte() {
    let tokenizer = all_bytes();
    let mut stream = tokenizer.stream(true);
    let given: Vec<Option<String>> = "é日😀".bytes().map(|byte| stream.push(3 + u32::from(byte))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(given, [None, some("é"), None, None, some("日"), None, None, None, some("😀")]);
    assert_eq!(stream.finish(), None);
}

#[test]
fn a_beginning_that_is_never_completed_becomes_a_replacement_character() {
    let tokenizer = all_bytes();
    let mut stream = tokenizer.stream(true);
    assert_eq!(stream.push(3 + 0xE6), None);
    assert_eq!(stream.push(3 + u32::from(b'a')).as_deref(), Some("\u{FFFD}a"));
    assert_eq!(stream.push(3 + 0xF0), None);
    assert_eq!(stream.push(3 + 0x9F), None);
    assert_eq!(stream.finish().as_deref(), Some("\u{FFFD}"));
    assert_eq!(stream.finish(), None, "the stream is as new");
}

#[test]
fn only_the_text_s_first_space_is_dropped() {
    let tokenizer = spaced(&llama_decoder());
    assert_eq!(pieces(&tokenizer, &[1, 2], true), ["Hello", " world"]);
    assert_eq!(pieces(&tokenizer, &[0, 1, 2], true), ["Hello", " world"], "special tokens do not count");
    assert_eq!(pieces(&tokenizer, &[3, 1], true), [" Hello"]);
    assert_eq!(pieces(&spaced(&metaspace_decoder("always")), &[7, 2], true), ["ab", " world"]);
}

#[test]
fn a_run_of_byte_tokens_comes_out_when_it_ends() {
    let tokenizer = spaced(&llama_decoder());
    let byte = |byte: u32| 8 + byte;
    let good = [byte(0xE5), byte(0x8F), byte(0xAB), 2];
    assert_eq!(pieces(&tokenizer, &good, true), ["叫 world"]);
    let spoiled = [byte(0xE5), byte(0x8F), byte(0xAB), byte(0xFF), 2];
    assert_eq!(pieces(&tokenizer, &spoiled, true), ["\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD} world"]);
}

#[test]
fn special_tokens_and_ids_without_a_token_give_nothing() {
    let tokenizer = skills();
    let mut stream = tokenizer.stream(true);
    assert_eq!((stream.push(0), stream.push(1), stream.push(4_000_000)), (None, None, None));
    assert_eq!(tokenizer.stream(false).push(1).as_deref(), Some("</s>"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pieces_join_to_the_whole_decoding(picks in prop::collection::vec(any::<u32>(), 0..40), skip in any::<bool>()) {
        for (kind, tokenizer) in KINDS.iter() {
            // Most picks fall on few tokens, so that runs, spaces and specials meet.
            let span = tokenizer.vocab_size() as u32 + 2;
            let ids: Vec<u32> = picks.iter().map(|pick| if pick % 3 == 0 { pick % 9 } else { pick / 3 % span }).collect();
            let whole = tokenizer.decode(&ids, skip).unwrap();
            prop_assert_eq!(pieces(tokenizer, &ids, skip).concat(), whole, "{}: {:?}", kind, ids);
        }
    }

    #[test]
    fn characters_split_anywhere_join_to_the_text(text in "\\PC{0,20}") {
        let ids: Vec<u32> = text.bytes().map(|byte| 3 + u32::from(byte)).collect();
        let pieces = pieces(&KINDS[0].1, &ids, true);
        let halves = pieces.concat().contains(char::REPLACEMENT_CHARACTER);
        prop_assert_eq!(halves, text.contains(char::REPLACEMENT_CHARACTER));
        prop_assert_eq!(pieces.concat(), text);
    }
}

static KINDS: std::sync::LazyLock<Vec<(&'static str, Tokenizer)>> = std::sync::LazyLock::new(every_kind);
