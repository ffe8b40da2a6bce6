//! The tokenizer of a GGUF file as the files of a Hugging Face folder.
//!
//! Two kinds are known, by `tokenizer.ggml.model`: `gpt2`, a byte-level BPE with its merges, and `llama`, a
//! SentencePiece BPE, whose merges follow from the scores of its pieces. Both become a `tokenizer.json`, so that one
//! library encodes for all models.

mod byte_level;
pub(crate) mod pre_tokenizer;
mod sentence_piece;
mod vocabulary;

use serde_json::{Value, json};

use crate::gguf::tokenizer::vocabulary::Vocabulary;
use crate::gguf::{GgufError, GgufFile, GgufModel};

/// Names and bytes of the files with tokenizer and chat template, ascending by name; none where the model has none.
pub(crate) fn assets(model: &GgufModel) -> Result<Vec<(&'static str, Vec<u8>)>, GgufError> {
    let file = model.first();
    let mut assets = Vec::new();
    if let Some(template) = file.text(TEMPLATE)? {
        assets.push(("chat_template.jinja", template.as_bytes().to_vec()));
    }
    if let Some(kind) = Kind::of(file)? {
        let vocabulary = Vocabulary::read(file)?;
        let json = match kind {
            Kind::ByteLevel => byte_level::json(file, &vocabulary)?,
            Kind::SentencePiece => sentence_piece::json(file, &vocabulary)?,
        };
        assets.push(("tokenizer.json", json.to_string().into_bytes()));
        let named = |key: &str, default| Ok(special(file, key, default)?.and_then(|id| vocabulary.token(id)));
        let [bos, eos] = [named(BEGIN, kind.begin())?, named(END, kind.end())?];
        let config = json!({"bos_token": bos, "eos_token": eos});
        assets.push(("tokenizer_config.json", config.to_string().into_bytes()));
    }
    Ok(assets)
}

/// The token that begins a text.
pub(super) fn begin(file: &GgufFile) -> Result<Option<u32>, GgufError> {
    special(file, BEGIN, Kind::of(file)?.and_then(Kind::begin))
}

/// The tokens that end an answer: of the text, of a turn, and of a message to a tool.
pub(super) fn ends(file: &GgufFile) -> Result<Vec<u32>, GgufError> {
    let mut ends: Vec<u32> = Vec::new();
    for (key, default) in [(END, Kind::of(file)?.and_then(Kind::end)), (END_OF_TURN, None), (END_OF_MESSAGE, None)] {
        ends.extend(special(file, key, default)?.filter(|id| !ends.contains(id)));
    }
    Ok(ends)
}

/// The id under `key`; the greatest number of 32 bits says that there is none.
fn special(file: &GgufFile, key: &str, default: Option<u32>) -> Result<Option<u32>, GgufError> {
    match file.header().value(key) {
        Some(crate::gguf::Value::Signed(-1)) => Ok(None),
        _ => Ok(file.u32(key)?.or(default).filter(|&id| id != u32::MAX)),
    }
}

/// How text becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ByteLevel,
    SentencePiece,
}

impl Kind {
    /// `None` where the file has no tokenizer.
    fn of(file: &GgufFile) -> Result<Option<Self>, GgufError> {
        match file.text(MODEL)? {
            None | Some("none" | "no_vocab") => Ok(None),
            Some("gpt2") => Ok(Some(Self::ByteLevel)),
            Some("llama") => Ok(Some(Self::SentencePiece)),
            Some(other) => Err(file.wrong_text(MODEL, "gpt2 or llama", &format!("{other:?}"))),
        }
    }

    /// The beginning where a file names none.
    fn begin(self) -> Option<u32> {
        (self == Self::SentencePiece).then_some(1)
    }

    /// The end where a file names none.
    fn end(self) -> Option<u32> {
        (self == Self::SentencePiece).then_some(2)
    }
}

/// What puts begin and end around every text; null where there is nothing to put.
fn around(file: &GgufFile, vocabulary: &Vocabulary<'_>, kind: Kind, add_begin: bool) -> Result<Value, GgufError> {
    let mut special_tokens = serde_json::Map::new();
    let mut side = |key: &str, default: Option<u32>, add: bool| -> Result<Vec<Value>, GgufError> {
        let Some(id) = special(file, key, default)?.filter(|_| add) else { return Ok(Vec::new()) };
        let token = vocabulary.token(id);
        let token = token.ok_or_else(|| file.wrong_text(key, "the id of a token", &id.to_string()))?;
        special_tokens.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
        Ok(vec![json!({"SpecialToken": {"id": token, "type_id": 0}})])
    };
    let before = side(BEGIN, kind.begin(), file.bool(ADD_BEGIN)?.unwrap_or(add_begin))?;
    let after = side(END, kind.end(), file.bool(ADD_END)?.unwrap_or(false))?;
    if special_tokens.is_empty() {
        return Ok(Value::Null);
    }
    let sequence = |id: &str| vec![json!({"Sequence": {"id": id, "type_id": 0}})];
    let single = [before.clone(), sequence("A"), after.clone()].concat();
    let pair = [single.clone(), before, sequence("B"), after].concat();
    Ok(json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special_tokens}))
}

const MODEL: &str = "tokenizer.ggml.model";
const TEMPLATE: &str = "tokenizer.chat_template";
const BEGIN: &str = "tokenizer.ggml.bos_token_id";
const END: &str = "tokenizer.ggml.eos_token_id";
const END_OF_TURN: &str = "tokenizer.ggml.eot_token_id";
const END_OF_MESSAGE: &str = "tokenizer.ggml.eom_token_id";
const ADD_BEGIN: &str = "tokenizer.ggml.add_bos_token";
const ADD_END: &str = "tokenizer.ggml.add_eos_token";

#[cfg(test)]
mod tests;
