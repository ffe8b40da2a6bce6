//! Tokens and their types.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::gguf::{GgufError, GgufFile};

/// The tokens of a file, by id.
pub(super) struct Vocabulary<'a> {
    tokens: Vec<Cow<'a, str>>,
    kinds: Vec<u64>,
    ids: HashMap<Cow<'a, str>, u32>,
}

/// The type of a token that is text like any other, as the format numbers it.
const NORMAL: u64 = 1;
/// The type of the token for what has no token.
const UNKNOWN: u64 = 2;
/// The type of tokens that are no text.
const CONTROL: u64 = 3;
/// The type of text that is never taken apart.
const USER_DEFINED: u64 = 4;

impl<'a> Vocabulary<'a> {
    pub(super) fn read(file: &'a GgufFile) -> Result<Self, GgufError> {
        let texts = file.texts(TOKENS)?.ok_or_else(|| file.no_key(TOKENS, "the tokens' texts"))?;
        let tokens: Vec<Cow<'a, str>> = texts.enumerate().map(|(id, text)| named(id, text)).collect();
        let kinds = file.u64s(KINDS)?.unwrap_or_else(|| vec![NORMAL; tokens.len()]);
        if kinds.len() != tokens.len() {
            let expected = format!("{} types, as many as tokens", tokens.len());
            return Err(file.wrong_text(KINDS, expected, &kinds.len().to_string()));
        }
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (0..).zip(&tokens) {
            if let Some(first) = ids.insert(token.clone(), id) {
                let got = format!("{token:?} as {first} and as {id}");
                return Err(file.wrong_text(TOKENS, "tokens that are all different", &got));
            }
        }
        Ok(Self { tokens, kinds, ids })
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn token(&self, id: u32) -> Option<String> {
        self.tokens.get(id as usize).map(|token| token.clone().into_owned())
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// Whether the tokenizer may make `id` out of smaller pieces.
    pub(super) fn is_text(&self, id: usize) -> bool {
        self.kinds.get(id).is_some_and(|&kind| kind == NORMAL || kind == USER_DEFINED)
    }

    pub(super) fn unknown(&self) -> Option<String> {
        let id = self.kinds.iter().position(|&kind| kind == UNKNOWN)?;
        self.tokens.get(id).map(|token| token.clone().into_owned())
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| &**token)
    }

    /// Token to id, as `tokenizer.json` has it.
    pub(super) fn json(&self) -> Map<String, Value> {
        self.tokens().zip(0_u32..).map(|(token, id)| (token.to_owned(), json!(id))).collect()
    }

    /// The tokens that are looked for in the text before it is taken apart.
    pub(super) fn added(&self) -> Vec<Value> {
        let all = self.tokens().zip(&self.kinds).enumerate();
        let added = all.filter(|(_, (_, kind))| matches!(**kind, UNKNOWN | CONTROL | USER_DEFINED));
        added
            .map(|(id, (token, kind))| {
                json!({
                    "id": id, "content": token, "special": *kind != USER_DEFINED,
                    "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                })
            })
            .collect()
    }
}

/// A token without a text gets a name, since it must not be found everywhere.
fn named(id: usize, text: &str) -> Cow<'_, str> {
    if text.is_empty() { Cow::Owned(format!("[EMPTY_{id}]")) } else { Cow::Borrowed(text) }
}

const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";
