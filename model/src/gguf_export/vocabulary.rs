//! A tokenizer in the format's words: tokens with types, merges, and the name of the rule that splits text first.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::gguf;
use crate::gguf_export::ExportError;
use crate::gguf_writer::MetadataValue;

/// What `tokenizer.json` says, as the format has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// Every token with its kind, by id; as many as the embedding has rows.
    tokens: Vec<(String, TokenKind)>,
    /// Pairs in the order in which they are merged, with a space between.
    merges: Vec<String>,
    /// How text is split before merging: one of the format's names.
    splitting: Splitting,
    unknown: Option<u32>,
    padding: Option<u32>,
}

/// The kinds of tokens, by their numbers in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// How text becomes pieces that are merged alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Splitting {
    /// Bytes as letters, split by the rule of this name.
    Bytes(&'static str),
    /// Spaces as `▁`, not split, bytes as tokens of their own: SentencePiece.
    Spaces,
}

#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pre_tokenizer: Value,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: usize,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    vocab: Value,
    #[serde(default)]
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    unk_token: Option<String>,
}

/// Older files have a pair in one text, newer ones in a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    chat_template: Value,
    #[serde(default)]
    unk_token: Value,
    #[serde(default)]
    pad_token: Value,
}

impl Vocabulary {
    /// The vocabulary of a checkpoint's `tokenizer.json`.
    ///
    /// # Errors
    /// When there is none, when it is not BPE, or when it has more tokens than the embedding has rows.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, ExportError> {
        let bytes = asset(checkpoint, TOKENIZER).ok_or(ExportError::NoTokenizer)?;
        let json = |source| ExportError::Json { file: TOKENIZER, source };
        let file: TokenizerFile = serde_json::from_slice(bytes).map_err(json)?;
        let kind = file.model.kind.as_deref().unwrap_or("BPE");
        let Some(vocab) = file.model.vocab.as_object().filter(|_| kind == "BPE") else {
            return Err(ExportError::Tokenizer { got: kind.to_owned() });
        };
        let config = tokenizer_config(checkpoint)?;
        let unknown = content(&config.unk_token).or(file.model.unk_token.as_deref());
        let ids = vocab.iter().filter_map(|(token, id)| Some((token.as_str(), usize::try_from(id.as_u64()?).ok()?)));
        let tokens = tokens(ids, &file, unknown, checkpoint.config().vocab_size)?;
        let id = |token: Option<&str>| {
            let position = tokens.iter().position(|(known, _)| Some(known.as_str()) == token)?;
            u32::try_from(position).ok()
        };
        let (unknown, padding) = (id(unknown), id(content(&config.pad_token)));
        let splitting = splitting(&file)?;
        let merges = file.model.merges.into_iter().map(Merge::joined).collect();
        Ok(Self { tokens, merges, splitting, unknown, padding })
    }

    /// The keys `tokenizer.*`.
    pub(super) fn metadata(&self, config: &ModelConfig) -> Vec<(String, MetadataValue)> {
        let mut all: Vec<(String, MetadataValue)> = Vec::new();
        let mut put = |key: &str, value: MetadataValue| all.push((format!("tokenizer.{key}"), value));
        put("ggml.tokens", MetadataValue::texts(self.tokens.iter().map(|(token, _)| token.as_str())));
        put("ggml.token_type", MetadataValue::integers(self.tokens.iter().map(|(_, kind)| *kind as i32)));
        match self.splitting {
            Splitting::Bytes(name) => {
                put("ggml.model", "gpt2".into());
                put("ggml.pre", name.into());
                put("ggml.merges", MetadataValue::texts(self.merges.iter().map(String::as_str)));
            }
            Splitting::Spaces => {
                put("ggml.model", "llama".into());
                put("ggml.pre", "default".into());
                // SentencePiece numbers tokens in the order in which they were merged, the best first.
                put("ggml.scores", MetadataValue::floats((0..self.tokens.len()).map(|id| -(id as f32))));
            }
        }
        let named = [
            ("bos", config.bos),
            ("eos", config.eos.first().copied()),
            ("unknown", self.unknown),
            ("padding", self.padding),
        ];
        for (name, id) in named {
            if let Some(id) = id {
                put(&format!("ggml.{name}_token_id"), id.into());
            }
        }
        put("ggml.add_bos_token", (self.splitting == Splitting::Spaces && config.bos.is_some()).into());
        all
    }
}

/// The text of the chat template, where there is one.
pub(super) fn chat_template(checkpoint: &Checkpoint) -> Result<Option<String>, ExportError> {
    if let Some(bytes) = asset(checkpoint, "chat_template.jinja") {
        return Ok(Some(String::from_utf8_lossy(bytes).into_owned()));
    }
    let named = match tokenizer_config(checkpoint)?.chat_template {
        Value::String(template) => return Ok(Some(template)),
        Value::Array(named) => named,
        _ => return Ok(None),
    };
    let default = named.iter().find(|template| template["name"] == "default");
    Ok(default.and_then(|template| template["template"].as_str()).map(str::to_owned))
}

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

fn asset<'a>(checkpoint: &'a Checkpoint, name: &str) -> Option<&'a [u8]> {
    checkpoint.assets().iter().find(|asset| asset.name == name).map(|asset| asset.bytes.as_slice())
}

fn tokenizer_config(checkpoint: &Checkpoint) -> Result<TokenizerConfig, ExportError> {
    let json = |source| ExportError::Json { file: TOKENIZER_CONFIG, source };
    asset(checkpoint, TOKENIZER_CONFIG)
        .map_or_else(|| Ok(TokenizerConfig::default()), |bytes| serde_json::from_slice(bytes).map_err(json))
}

/// Older files describe a token with its settings, newer ones just write it.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

fn tokens<'a>(
    ids: impl Iterator<Item = (&'a str, usize)>,
    file: &TokenizerFile,
    unknown: Option<&str>,
    size: usize,
) -> Result<Vec<(String, TokenKind)>, ExportError> {
    let mut known: BTreeMap<usize, (String, TokenKind)> =
        ids.map(|(token, id)| (id, (token.to_owned(), plain_kind(token, file.model.byte_fallback)))).collect();
    for token in &file.added_tokens {
        let kind = if token.special { TokenKind::Control } else { TokenKind::UserDefined };
        known.insert(token.id, (token.content.clone(), kind));
    }
    // Where bytes are tokens, nothing is unknown but to SentencePiece, whose readers ask for such a token.
    if let Some((_, kind)) =
        known.values_mut().find(|(token, _)| file.model.byte_fallback && Some(token.as_str()) == unknown)
    {
        *kind = TokenKind::Unknown;
    }
    if let Some((&id, _)) = known.last_key_value().filter(|(id, _)| **id >= size) {
        return Err(ExportError::Token { id, size });
    }
    let unused = |id| (format!("[PAD{id}]"), TokenKind::Unused);
    Ok((0..size).map(|id| known.remove(&id).unwrap_or_else(|| unused(id))).collect())
}

/// `<0x0A>` is a byte where bytes are tokens of their own.
fn plain_kind(token: &str, byte_fallback: bool) -> TokenKind {
    let byte =
        token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')).is_some_and(|digits| digits.len() == 2);
    if byte && byte_fallback { TokenKind::Byte } else { TokenKind::Normal }
}

/// The rule's name follows from its patterns, which must be known exactly: another rule gives other tokens than the
/// model was trained on.
fn splitting(file: &TokenizerFile) -> Result<Splitting, ExportError> {
    if file.model.byte_fallback {
        return Ok(Splitting::Spaces);
    }
    let patterns = patterns(&file.pre_tokenizer);
    let name = patterns.as_deref().and_then(gguf::pre_tokenizer_name);
    name.map(Splitting::Bytes).ok_or_else(|| ExportError::Splitting { got: file.pre_tokenizer.to_string() })
}

/// The patterns that text is cut by, one after the other; `None` where something else is done to it.
fn patterns(step: &Value) -> Option<Vec<&str>> {
    match step["type"].as_str()? {
        "Sequence" => {
            let steps = step["pretokenizers"].as_array()?.iter().map(patterns).collect::<Option<Vec<_>>>()?;
            Some(steps.concat())
        }
        "Split" => Some(vec![step["pattern"]["Regex"].as_str().filter(|_| step["behavior"] == "Isolated")?]),
        // The rule of GPT-2 is what byte-level steps do unless they are told not to.
        "ByteLevel" if step["use_regex"] == false => Some(Vec::new()),
        "ByteLevel" => Some(vec![gguf::GPT2_PATTERN]),
        _ => None,
    }
}

impl Merge {
    fn joined(self) -> String {
        match self {
            Self::Joined(text) => text,
            Self::Pair(left, right) => format!("{left} {right}"),
        }
    }
}
