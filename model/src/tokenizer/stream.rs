//! Decoding token by token.

use crate::tokenizer::Tokenizer;
use crate::tokenizer::decoding::Piece;

/// Decodes tokens as they come. What has been given out never changes, no part of a character is given out, and all
/// that is given out, joined, equals [`Tokenizer::decode`] of all tokens.
///
/// Held back are the beginning of a character (at most three bytes), and for tokenizers with byte tokens a run of
/// those until another token ends it: one bad byte spoils the whole run, so before its end nothing of it is certain.
#[derive(Debug)]
pub struct TokenStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    /// No token has counted yet.
    first: bool,
    /// Bytes of a character whose end has not come.
    partial: Vec<u8>,
    /// Bytes of a run of byte tokens.
    run: Vec<u8>,
    /// How often the text's beginning may still lose its character.
    strips_left: usize,
}

impl<'a> TokenStream<'a> {
    /// A stream at the beginning of a text.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, skip_special: bool) -> Self {
        let strips_left = tokenizer.decoding.strip().map_or(0, |(_, count)| count);
        Self { tokenizer, skip_special, first: true, partial: Vec::new(), run: Vec::new(), strips_left }
    }

    /// Takes the next token. Returns the text that became certain, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        if self.skip_special && self.tokenizer.is_special(id) {
            return None;
        }
        let token = self.tokenizer.token(id)?;
        let piece = self.tokenizer.decoding.piece(&token, self.first);
        self.first = false;
        let text = match piece {
            Piece::Text(text) => self.end_run() + &text,
            Piece::Bytes(bytes) => self.complete_characters(&bytes),
            Piece::RunByte(byte) => {
                self.run.push(byte);
                return None;
            }
        };
        self.stripped(text)
    }

    /// Ends the text. Returns what was held back, with U+FFFD for what is not UTF-8. The stream is as new.
    pub fn finish(&mut self) -> Option<String> {
        let partial = std::mem::take(&mut self.partial);
        let text = self.end_run() + &String::from_utf8_lossy(&partial);
        let rest = self.stripped(text);
        *self = Self::new(self.tokenizer, self.skip_special);
        rest
    }

    /// The text of a run that has ended: its characters, or one U+FFFD for each of its bytes.
    fn end_run(&mut self) -> String {
        let run = std::mem::take(&mut self.run);
        String::from_utf8(run).unwrap_or_else(|error| "\u{FFFD}".repeat(error.as_bytes().len()))
    }

    /// Adds bytes and takes out all that cannot change any more.
    fn complete_characters(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let keep = incomplete_tail(&self.partial);
        let tail = self.partial.split_off(self.partial.len() - keep);
        let text = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial = tail;
        text
    }

    /// Removes what the text's beginning loses.
    fn stripped(&mut self, mut text: String) -> Option<String> {
        if let Some((character, _)) = self.tokenizer.decoding.strip() {
            while self.strips_left > 0 && text.starts_with(character) {
                text.remove(0);
                self.strips_left -= 1;
            }
            if !text.is_empty() {
                self.strips_left = 0;
            }
        }
        Some(text).filter(|text| !text.is_empty())
    }
}

/// How many bytes at the end are the beginning of a character that further bytes may complete.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let invalid = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
