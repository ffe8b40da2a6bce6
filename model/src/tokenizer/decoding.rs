//! How tokens become text: the decoders of `tokenizer.json`, taken apart so that they work token by token.

use serde_json::Value;
use tokenizers::DecoderWrapper;
use tokenizers::decoders::sequence::Sequence;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

use crate::tokenizer::TokenizerError;

/// The rule of one tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decoding {
    /// No decoder: tokens with a space between them.
    Spaced,
    /// Byte-level BPE: each character of a token stands for one byte.
    Bytes,
    /// One character stands for a space.
    Metaspace {
        /// That character.
        mark: char,
        /// The first token of a text loses its marks.
        strip_first: bool,
    },
    /// Texts are replaced; some tokens (`<0xE5>`) stand for one byte; the beginning of the text may lose characters.
    Fallback {
        /// What is replaced in every token, and by what, in order.
        replacements: Vec<(String, String)>,
        /// There are tokens for single bytes.
        byte_tokens: bool,
        /// The character that the text's beginning loses, and how often at most.
        strip: Option<(char, usize)>,
    },
}

/// What one token gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that is complete by itself.
    Text(String),
    /// Bytes that may be part of a character.
    Bytes(Vec<u8>),
    /// One byte of a run; the whole run is UTF-8 or none of it is.
    RunByte(u8),
}

impl Decoding {
    /// The rule of a decoder.
    pub(super) fn new(decoder: Option<&DecoderWrapper>) -> Result<Self, TokenizerError> {
        match decoder {
            None => Ok(Self::Spaced),
            Some(DecoderWrapper::ByteLevel(_)) => Ok(Self::Bytes),
            Some(DecoderWrapper::Metaspace(metaspace)) => Ok(Self::metaspace(metaspace)),
            Some(DecoderWrapper::Sequence(sequence)) => match sequence.get_decoders() {
                [single] => Self::new(Some(single)),
                _ => Self::fallback(sequence),
            },
            Some(DecoderWrapper::Replace(_) | DecoderWrapper::ByteFallback(_)) => {
                Self::fallback(&Sequence::new(decoder.cloned().into_iter().collect()))
            }
            Some(other) => Err(unsupported(other)),
        }
    }

    /// What `token` gives; `first` is whether it begins the text.
    pub(super) fn piece(&self, token: &str, first: bool) -> Piece {
        match self {
            Self::Spaced if first => Piece::Text(token.to_owned()),
            Self::Spaced => Piece::Text(format!(" {token}")),
            Self::Bytes => Piece::Bytes(byte_level(token)),
            Self::Metaspace { mark, strip_first: true } if first => Piece::Text(token.replace(*mark, "")),
            Self::Metaspace { mark, .. } => Piece::Text(token.replace(*mark, " ")),
            Self::Fallback { replacements, byte_tokens, .. } => {
                let text = replacements.iter().fold(token.to_owned(), |text, (from, to)| text.replace(from, to));
                match byte_token(&text).filter(|_| *byte_tokens) {
                    Some(byte) => Piece::RunByte(byte),
                    None => Piece::Text(text),
                }
            }
        }
    }

    /// The bytes of `token` within a text.
    pub(super) fn token_bytes(&self, token: &str) -> Vec<u8> {
        let first = matches!(self, Self::Spaced);
        match self.piece(token, first) {
            Piece::Text(text) => text.into_bytes(),
            Piece::Bytes(bytes) => bytes,
            Piece::RunByte(byte) => vec![byte],
        }
    }

    /// What the text's beginning loses: a character, and how often at most.
    pub(super) fn strip(&self) -> Option<(char, usize)> {
        match self {
            Self::Fallback { strip, .. } => *strip,
            _ => None,
        }
    }

    fn metaspace(metaspace: &Metaspace) -> Self {
        let strip_first = metaspace.prepend_scheme != PrependScheme::Never;
        Self::Metaspace { mark: metaspace.get_replacement(), strip_first }
    }

    /// The steps must come in the order that their token-by-token form assumes: replacements, byte tokens, joining,
    /// then stripping what was joined.
    fn fallback(sequence: &Sequence) -> Result<Self, TokenizerError> {
        let (mut replacements, mut byte_tokens, mut fused, mut strip) = (Vec::new(), false, false, None);
        for step in sequence.get_decoders() {
            match step {
                DecoderWrapper::Replace(_) if !byte_tokens && !fused => replacements.push(replacement(step)?),
                DecoderWrapper::ByteFallback(_) if !fused => byte_tokens = true,
                DecoderWrapper::Fuse(_) if strip.is_none() => fused = true,
                DecoderWrapper::Strip(cut) if fused && strip.is_none() && cut.stop == 0 => {
                    strip = Some((cut.content, cut.start));
                }
                other => return Err(unsupported(other)),
            }
        }
        Ok(Self::Fallback { replacements, byte_tokens, strip })
    }
}

/// The library keeps the pattern to itself, but writes it out.
fn replacement(step: &DecoderWrapper) -> Result<(String, String), TokenizerError> {
    let value = serde_json::to_value(step).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let from = text(value.pointer("/pattern/String")).filter(|from| !from.is_empty());
    from.zip(text(value.get("content"))).ok_or_else(|| unsupported(step))
}

fn unsupported(decoder: &DecoderWrapper) -> TokenizerError {
    let text = serde_json::to_string(decoder).unwrap_or_default();
    TokenizerError::Decoder { got: text.chars().take(200).collect() }
}

/// The bytes that a token's characters stand for. A token with a character that stands for none (an added token, as a
/// rule) is taken as it is written.
fn byte_level(token: &str) -> Vec<u8> {
    token.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// GPT-2's table: printable Latin-1 characters stand for their own byte; the 68 other bytes are, in order, the
/// characters from U+0100 on.
fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => u8::try_from(code).ok(),
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// The byte of a token like `<0xE5>`.
fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}
