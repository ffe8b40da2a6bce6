//! Text to tokens and back, by `tokenizer.json`.
//!
//! Encoding and whole decoding are the `tokenizers` library's. What is added here: the bytes of a single token (for
//! log-probabilities), and [`TokenStream`], which decodes token by token and gives in all exactly what the whole
//! decoding gives.

mod decoding;
mod stream;

use std::fmt;
use std::path::PathBuf;

use tokenizers::Tokenizer as HubTokenizer;

use crate::tokenizer::decoding::Decoding;

pub use crate::tokenizer::stream::TokenStream;

/// A tokenizer.
pub struct Tokenizer {
    inner: HubTokenizer,
    decoding: Decoding,
    vocab_size: usize,
}

/// What can go wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The model has none.
    #[error("{}: no tokenizer.json", dir.display())]
    NoFile {
        /// The model's folder.
        dir: PathBuf,
    },
    /// Not a `tokenizer.json`.
    #[error("tokenizer.json is not valid: {reason}")]
    Malformed {
        /// What the library says.
        reason: String,
    },
    /// A way of putting tokens together that this engine does not have.
    #[error(
        "decoder {got} is not supported; supported are ByteLevel, Metaspace and a Sequence of Replace, ByteFallback, Fuse and Strip"
    )]
    Decoder {
        /// The decoder.
        got: String,
    },
    /// A text could not be encoded.
    #[error("text of {bytes} bytes cannot be encoded: {reason}")]
    Encode {
        /// The text's length.
        bytes: usize,
        /// What the library says.
        reason: String,
    },
    /// Tokens could not be decoded.
    #[error("{tokens} tokens cannot be decoded: {reason}")]
    Decode {
        /// How many.
        tokens: usize,
        /// What the library says.
        reason: String,
    },
}

impl TokenizerError {
    /// Never: the same input fails the same way.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Truncation and padding that it may ask for are switched off: they are settings for
    /// training in batches, and would silently cut long prompts.
    ///
    /// # Errors
    ///
    /// Not a tokenizer, or one whose decoder is not supported.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let malformed = |error: tokenizers::Error| TokenizerError::Malformed { reason: error.to_string() };
        let mut inner = HubTokenizer::from_bytes(bytes).map_err(malformed)?;
        inner.with_truncation(None).map_err(malformed)?.with_padding(None);
        let decoding = Decoding::new(inner.get_decoder())?;
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        Ok(Self { inner, decoding, vocab_size })
    }

    /// The tokens of `text`. With `add_special`, those that the tokenizer puts around every text too; a chat template
    /// writes them itself, so its output is encoded without.
    ///
    /// # Errors
    ///
    /// The tokenizer's model cannot represent the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        match self.inner.encode_fast(text, add_special) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(TokenizerError::Encode { bytes: text.len(), reason: error.to_string() }),
        }
    }

    /// The text of `ids`, without special tokens if `skip_special`. Bytes that are not UTF-8 become U+FFFD; ids that
    /// have no token (models have more rows than tokenizers have tokens) are passed over.
    ///
    /// # Errors
    ///
    /// The decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        let failed = |error: tokenizers::Error| TokenizerError::Decode { tokens: ids.len(), reason: error.to_string() };
        self.inner.decode(ids, skip_special).map_err(failed)
    }

    /// A stream that decodes tokens as they come.
    #[must_use]
    pub fn stream(&self, skip_special: bool) -> TokenStream<'_> {
        TokenStream::new(self, skip_special)
    }

    /// Whether `id` is a special token (begin, end, roles…), which `skip_special` leaves out.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.token(id).is_some_and(|token| self.inner.get_added_vocabulary().is_special_token(&token))
    }

    /// The id of the token that is written `token` in the vocabulary.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The bytes that `id` puts into a text, which may be a part of a character. A leading space is there even where
    /// a whole decoding would drop it at the beginning of a text. `None` where there is no such token.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        self.token(id).map(|token| self.decoding.token_bytes(&token))
    }

    /// [`Self::token_bytes`] as text, with U+FFFD for what is not UTF-8. `None` where there is no such token.
    #[must_use]
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.token_bytes(id).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// One more than the greatest id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The token as the vocabulary writes it.
    fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size).field("decoding", &self.decoding).finish()
    }
}

#[cfg(test)]
mod tests;
