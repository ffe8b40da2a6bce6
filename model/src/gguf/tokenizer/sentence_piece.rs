//! SentencePiece BPE: spaces become `▁`, and pieces are merged in the order of their scores.
//!
//! A file has no merges, but every merge makes a piece: where two pieces together are a third, they are merged, those
//! with the best score first. Of several ways to make a piece, those with the longer first half come first, as in the
//! converter of `transformers`. What no piece covers becomes its bytes.

use serde_json::{Value, json};

use crate::gguf::tokenizer::vocabulary::Vocabulary;
use crate::gguf::tokenizer::{Kind, around};
use crate::gguf::{GgufError, GgufFile};

/// The longest piece that is taken apart to find its merges, in bytes. Trainers keep to 16 characters; a file could
/// otherwise make the work grow with the square of its length.
const MAX_PIECE_BYTES: usize = 512;

pub(super) fn json(file: &GgufFile, vocabulary: &Vocabulary<'_>) -> Result<Value, GgufError> {
    let scores = scores(file, vocabulary)?;
    let prefix = file.bool(ADD_PREFIX)?.unwrap_or(true);
    let underline = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let space = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
    let mut normalizers = vec![underline];
    let mut decoders = vec![space, json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": vocabulary.added(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": around(file, vocabulary, Kind::SentencePiece, true)?,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": vocabulary.unknown(), "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary.json(), "merges": merges(vocabulary, &scores),
        },
    }))
}

fn scores(file: &GgufFile, vocabulary: &Vocabulary<'_>) -> Result<Vec<f32>, GgufError> {
    let scores = file.f32s(SCORES)?.ok_or_else(|| file.no_key(SCORES, "a score for every token"))?;
    if scores.len() == vocabulary.len() && scores.iter().all(|score| !score.is_nan()) {
        return Ok(scores);
    }
    let expected = format!("{} numbers, as many as tokens", vocabulary.len());
    Err(file.wrong_text(SCORES, expected, &format!("{} numbers, some of which may not be one", scores.len())))
}

/// A way to make a piece.
struct Merge<'a> {
    score: f32,
    halves: [&'a str; 2],
    ids: [u32; 2],
}

fn merges(vocabulary: &Vocabulary<'_>, scores: &[f32]) -> Vec<Value> {
    let pieces = vocabulary.tokens().zip(scores).enumerate();
    let pieces = pieces.filter(|(id, (piece, _))| vocabulary.is_text(*id) && piece.len() <= MAX_PIECE_BYTES);
    let mut merges: Vec<Merge<'_>> =
        pieces.flat_map(|(_, (piece, score))| halvings(vocabulary, piece, *score)).collect();
    let lengths = |merge: &Merge<'_>| merge.halves.map(|half| half.chars().count());
    merges.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| lengths(b).cmp(&lengths(a))));
    merges.into_iter().map(|merge| json!(merge.halves)).collect()
}

/// The ways to make `piece` of two others.
fn halvings<'a>(vocabulary: &Vocabulary<'_>, piece: &'a str, score: f32) -> Vec<Merge<'a>> {
    let cuts = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
    let known = cuts.filter_map(|(left, right)| {
        Some(Merge { score, halves: [left, right], ids: [vocabulary.id(left)?, vocabulary.id(right)?] })
    });
    let mut merges: Vec<Merge<'a>> = known.collect();
    merges.sort_by_key(|merge| merge.ids);
    merges
}

const SCORES: &str = "tokenizer.ggml.scores";
const ADD_PREFIX: &str = "tokenizer.ggml.add_space_prefix";
