//! Byte-level BPE: text is cut by patterns, every byte has a letter, and letters are merged in the order of a list.

use serde_json::{Value, json};

use crate::gguf::tokenizer::pre_tokenizer::PreTokenizer;
use crate::gguf::tokenizer::vocabulary::Vocabulary;
use crate::gguf::tokenizer::{Kind, around};
use crate::gguf::{GgufError, GgufFile};

pub(super) fn json(file: &GgufFile, vocabulary: &Vocabulary<'_>) -> Result<Value, GgufError> {
    let pre = PreTokenizer::of(file)?;
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": vocabulary.added(),
        "pre_tokenizer": pre.json(),
        "post_processor": around(file, vocabulary, Kind::ByteLevel, pre.adds_begin())?,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pre.ignores_merges(), "vocab": vocabulary.json(), "merges": merges(file)?,
        },
    }))
}

/// Two tokens with a space between them, which may not be the first character: one of them may be a space itself.
fn merges(file: &GgufFile) -> Result<Vec<Value>, GgufError> {
    let merges = file.texts(MERGES)?.ok_or_else(|| file.no_key(MERGES, "pairs of tokens"))?;
    let pair = |merge: &str| {
        let at = merge.char_indices().skip(1).find(|(_, letter)| *letter == ' ').map(|(at, _)| at);
        let halves = at.map(|at| json!([&merge[..at], &merge[at + 1..]]));
        halves.ok_or_else(|| file.wrong_text(MERGES, "pairs of tokens with a space between", &format!("{merge:?}")))
    };
    merges.map(pair).collect()
}

const MERGES: &str = "tokenizer.ggml.merges";
