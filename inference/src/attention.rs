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

use crate::kv_cache::LayerCache;
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

/// Where the rows of a call stand, and which of them ask.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// Position of the first row.
    pub first: usize,
    /// How many of the last rows attend; the others only leave their keys and values.
    pub asking: usize,
    /// The rotation of every row's position.
    pub rotation: &'a Rotation,
}

impl Attention {
    /// Writes the keys and values of `hidden` (`[rows, d_model]`, f32, normalised) into `cache`, and attends from the
    /// rows that ask: `[span.asking, d_model]`, f32.
    ///
    /// # Errors
    /// When the engine fails. Positions from `span.first` on are then to be written again.
    pub fn apply(&self, hidden: &Rows, span: &Span<'_>, cache: &mut LayerCache) -> Result<Rows, EngineError> {
        match self {
            Self::Grouped(grouped) => grouped.apply(hidden, span, cache),
            Self::Latent(latent) => latent.apply(hidden, span, cache),
        }
    }
}

impl Span<'_> {
    /// The rows of `hidden` (`[rows, d_model]`) that ask: `[asking, d_model]`.
    fn asking<'h>(&self, hidden: &'h Rows) -> Cow<'h, Rows> {
        match self.skipped(hidden.count()) {
            0 => Cow::Borrowed(hidden),
            skipped => Cow::Owned(hidden.slice(skipped, hidden.count())),
        }
    }

    /// Of `rows`, those that do not ask.
    const fn skipped(&self, rows: usize) -> usize {
        rows.saturating_sub(self.asking)
    }
}

#[cfg(test)]
mod tests;
