//! Queries of many heads against a layer's cache.

use neuro_expert_runtime::kernels::InstructionSet;
use neuro_expert_runtime::kernels::attention::{Queries, attend};
use neuro_primitives::Rows;

use super::Span;
use crate::kv_cache::{HeadShape, LayerPages, PagePool};
use crate::parallel;

/// Query heads that a thread takes at once, as far as they share keys and values, so that these are read once. More
/// would leave threads without work while a token is decoded over one shared key.
const HEADS_AT_ONCE: usize = 8;

/// The heads of one attention layer.
pub struct Heads {
    /// Query heads; a multiple of the key/value heads.
    pub count: usize,
    /// What the cache holds per position.
    pub kv: HeadShape,
    /// What a dot product of query and key is multiplied by.
    pub scale: f32,
    /// A position sees itself and the `window - 1` positions before it; all of them if absent.
    pub window: Option<usize>,
    /// `[heads]`, f32: a logit of each head that takes part in its softmax and adds no value.
    pub sinks: Option<Vec<f32>>,
}

impl Heads {
    /// Every query over the positions of its own sequence that it may see. `queries`: `[asking, heads × key_dim]`, f32,
    /// those of the rows of `span` that ask. `[asking, heads × value_dim]`, f32.
    #[must_use]
    pub fn attend(&self, queries: &Rows, span: &Span<'_>, pool: &PagePool) -> Rows {
        let (stretches, askers) = (self.stretches(), askers(span, pool));
        let seen: usize = askers.iter().map(|asker| asker.to).sum();
        let attended = parallel::collect(askers.len() * stretches.len(), queries.width() * seen, |index| {
            let (row, stretch) = (index / stretches.len(), stretches[index % stretches.len()]);
            self.attend_stretch(queries.row(row), stretch, askers[row])
        });
        Rows::new(self.count * self.kv.value_dim, attended.concat())
    }

    /// The heads in stretches of at most [`HEADS_AT_ONCE`] that share keys and values: first head, number of heads.
    fn stretches(&self) -> Vec<(usize, usize)> {
        let group = self.group();
        let of_group = |start: usize| {
            (start..start + group)
                .step_by(HEADS_AT_ONCE)
                .map(move |first| (first, HEADS_AT_ONCE.min(start + group - first)))
        };
        (0..self.count).step_by(group).flat_map(of_group).collect()
    }

    /// Some heads of one row. `[heads, value_dim]`, f32.
    fn attend_stretch(&self, row: &[f32], (head, heads): (usize, usize), Asker { pages, to }: Asker<'_>) -> Vec<f32> {
        let (kv_head, width) = (head / self.group(), self.kv.key_dim);
        let from = self.window.map_or(0, |window| to.saturating_sub(window));
        let queries = Queries {
            values: &row[head * width..(head + heads) * width],
            heads,
            scale: self.scale,
            sinks: self.sinks.as_ref().map(|sinks| &sinks[head..head + heads]),
        };
        let (keys, values) = (pages.keys(kv_head, from, to), pages.values(kv_head, from, to));
        let (mut scratch, mut out) = (Vec::new(), vec![0.0; heads * self.kv.value_dim]);
        attend(InstructionSet::current(), &queries, keys, values, &mut scratch, &mut out);
        out
    }

    /// Query heads that share a key/value head.
    const fn group(&self) -> usize {
        self.count / self.kv.kv_heads
    }
}

/// A row that asks.
#[derive(Clone, Copy)]
struct Asker<'a> {
    pages: LayerPages<'a>,
    /// It sees positions below this.
    to: usize,
}

/// The rows of `span` that ask, in order.
fn askers<'a>(span: &Span<'a>, pool: &'a PagePool) -> Vec<Asker<'a>> {
    let mut askers = Vec::new();
    for segment in span.segments {
        let (end, pages) = (segment.first + segment.rows, pool.layer(span.layer, segment.pages));
        let asking = segment.asking.min(segment.rows);
        askers.extend((end - asking..end).map(|position| Asker { pages, to: position + 1 }));
    }
    askers
}
