//! How much a session computes: what its parties learn of the text.

use std::fmt;

/// How much is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Prompts that are answered together, in the same rounds.
    pub prompts: u32,
    /// Rows of each prompt in the first turn: a [bucket](Self::bucket), and as many rows as were `answered`.
    pub rows: u32,
    /// Tokens of the longest answer that sessions before this one have told.
    pub answered: u32,
    /// The most tokens of an answer that are yet to come.
    pub tokens: u32,
}

/// The most prompts of one session.
pub const MAX_PROMPTS: u32 = 64;

/// The smallest bucket, and the one from which on buckets are its multiples.
const BUCKETS: [u32; 2] = [16, 256];

impl Lengths {
    /// Rows that a prompt of `rows` is padded to: the next power of two from 16 to 256, then the next multiple of 256. So
    /// parties learn the bucket instead of the length.
    #[must_use]
    pub const fn bucket(rows: u32) -> u32 {
        let [smallest, step] = BUCKETS;
        let rows = if rows < smallest { smallest } else { rows };
        if rows <= step { rows.next_power_of_two() } else { rows.div_ceil(step).saturating_mul(step) }
    }

    /// The same, each prompt padded to its bucket. What was answered stands behind the bucket, not in it: whoever makes a
    /// session fail after a token of his choice would otherwise learn whether the prompt and so many tokens are above a
    /// bucket's bound.
    #[must_use]
    pub const fn padded(self) -> Self {
        let prompt = self.rows.saturating_sub(self.answered);
        Self { rows: Self::bucket(prompt).saturating_add(self.answered), ..self }
    }

    /// Values that a party gets in `turn`: embeddings, and in the first turn a mark for each row that says whether it is
    /// padding.
    #[must_use]
    pub const fn values(&self, turn: u32, d_model: usize) -> usize {
        let prompts = self.prompts as usize;
        if turn == 0 { prompts * self.rows as usize * (d_model + 1) } else { prompts * d_model }
    }

    /// Rows of all prompts, padding and answers included.
    #[must_use]
    pub fn positions(&self) -> u64 {
        u64::from(self.prompts) * (u64::from(self.rows) + u64::from(self.tokens))
    }

    /// Why a model with room for `context` tokens cannot serve this; nothing where it can.
    #[must_use]
    pub fn refusal(&self, context: usize) -> Option<String> {
        let Self { prompts, rows, answered, tokens } = *self;
        let room = u32::try_from(context).unwrap_or(u32::MAX);
        if prompts == 0 || prompts > MAX_PROMPTS {
            return Some(format!("lengths: {prompts} prompts; a session has 1 to {MAX_PROMPTS}"));
        }
        let padded = self.padded().rows;
        if rows != padded {
            return Some(format!("lengths: {rows} rows are not padded; {padded} would be"));
        }
        (rows - answered > Self::bucket(room) || tokens == 0 || answered.saturating_add(tokens) > room)
            .then(|| format!("lengths: {rows} rows and {tokens} tokens do not fit a context of {context}"))
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prompts, rows, answered, tokens } = self;
        write!(formatter, "{prompts} prompts of {rows} rows, {tokens} tokens each")?;
        if *answered > 0 { write!(formatter, " after {answered}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_bucket_and_what_was_answered() {
        let lengths = |rows, answered, tokens| Lengths { prompts: 1, rows, answered, tokens };
        assert_eq!(lengths(9 + 7, 7, 25).padded(), lengths(14 + 7, 7, 25).padded());
        assert_eq!(lengths(9 + 7, 7, 25).padded().rows, 16 + 7);
        for fitting in [lengths(16, 0, 512), lengths(512, 0, 1), lengths(512 + 100, 100, 412)] {
            assert_eq!(fitting.refusal(512), None, "{fitting}");
        }
        for (refused, why) in [
            (lengths(23, 0, 25), "23 rows are not padded; 32 would be"),
            (lengths(32, 7, 25), "32 rows are not padded; 39 would be"),
            (lengths(5, 7, 25), "5 rows are not padded; 23 would be"),
            (lengths(768, 0, 1), "do not fit"),
            (lengths(16 + 100, 100, 413), "do not fit"),
            (lengths(u32::MAX, u32::MAX, 1), "do not fit"),
        ] {
            let refusal = refused.refusal(512).unwrap();
            assert!(refusal.contains(why), "{refusal}");
        }
    }
}
