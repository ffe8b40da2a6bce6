//! Attention: "Attention Is All You Need", Vaswani et al., arXiv 1706.03762, equation 1, in two kinds.
//!
//! A position's result depends on its query and on the keys and values before it, and on nothing else: every (position,
//! head) is computed with the same operations in the same order, whether the position came in a prompt or was decoded
//! alone, and whichever thread took it.

mod grouped;
mod heads;
mod latent;

use std::borrow::Cow;

use neuro_expert_runtime::EngineError;
use neuro_primitives::Rows;

use crate::kv_cache::{PageId, PagePool};
use crate::rope::Rotation;

pub use grouped::GroupedAttention;
pub use heads::Heads;
pub use latent::{HeadProjections, LatentAttention, LatentQuery};

/// One layer's attention.
pub enum Attention {
    /// Query heads that share keys and values.
    Grouped(GroupedAttention),
    /// Keys and values made of one short vector per position.
    Latent(LatentAttention),
}

/// The rows of a call: whose they are, where they stand, and which of them ask.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// The layer, from 0.
    pub layer: usize,
    /// The sequences' parts, row after row.
    pub segments: &'a [Segment<'a>],
    /// The rotation of every row's position.
    pub rotation: &'a Rotation,
}

/// The rows of one sequence.
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    /// The sequence's pages, with room for all these rows. No two segments write into the same page.
    pub pages: &'a [PageId],
    /// Position of the first row.
    pub first: usize,
    /// How many rows.
    pub rows: usize,
    /// How many of the last rows attend; the others only leave their keys and values.
    pub asking: usize,
}

impl Attention {
    /// Writes the keys and values of `hidden` (`[rows, d_model]`, f32, normalised) into the segments' pages, and attends
    /// from the rows that ask: `[asking, d_model]`, f32.
    ///
    /// # Errors
    /// When the engine fails. The segments' positions are then to be written again.
    pub fn apply(&self, hidden: &Rows, span: &Span<'_>, pool: &mut PagePool) -> Result<Rows, EngineError> {
        match self {
            Self::Grouped(grouped) => grouped.apply(hidden, span, pool),
            Self::Latent(latent) => latent.apply(hidden, span, pool),
        }
    }
}

impl Span<'_> {
    /// The rows that ask, ascending.
    #[must_use]
    pub fn asking(&self) -> Vec<usize> {
        asking(self.segments)
    }

    /// Of `hidden` (`[rows, d_model]`), `rows`.
    fn gathered<'h>(hidden: &'h Rows, rows: &[usize]) -> Cow<'h, Rows> {
        if rows.len() == hidden.count() { Cow::Borrowed(hidden) } else { Cow::Owned(hidden.gather(rows)) }
    }

    /// Writes row by row what `row` gives (key and value) to the positions of the segments.
    fn write<'r>(&self, pool: &mut PagePool, row: impl Fn(usize) -> (&'r [f32], &'r [f32])) {
        let mut index = 0;
        for segment in self.segments {
            for position in segment.first..segment.first + segment.rows {
                let (key, value) = row(index);
                pool.write(self.layer, segment.pages, position, key, value);
                index += 1;
            }
        }
    }
}

/// The rows of `segments` that ask, ascending.
#[must_use]
pub fn asking(segments: &[Segment<'_>]) -> Vec<usize> {
    let mut end = 0;
    let of_segment = |segment: &Segment<'_>| {
        end += segment.rows;
        end - segment.asking.min(segment.rows)..end
    };
    segments.iter().flat_map(of_segment).collect()
}

#[cfg(test)]
mod tests;
