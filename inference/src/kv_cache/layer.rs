//! One layer of a sequence's pages, as attention reads it.

use std::ops::Range;

use neuro_expert_runtime::kernels::attention::Run;

use super::page::Page;
use super::{PAGE_POSITIONS, PageId, PagePool};

/// Keys and values of one layer of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct LayerPages<'a> {
    pub(super) pool: &'a PagePool,
    /// The sequence's pages, in order.
    pub(super) table: &'a [PageId],
    pub(super) layer: usize,
}

impl<'a> LayerPages<'a> {
    /// The keys of `head` at positions `from..to` in runs that lie side by side.
    pub fn keys(self, head: usize, from: usize, to: usize) -> impl Iterator<Item = Run<'a>> + Clone {
        let shape = self.pool.layout().shape;
        self.parts(from, to).map(move |(page, offsets)| page.keys(self.layer, head, offsets, shape))
    }

    /// The values of `head` at positions `from..to`, as [`Self::keys`]; the keys themselves where values are shared.
    pub fn values(self, head: usize, from: usize, to: usize) -> impl Iterator<Item = Run<'a>> + Clone {
        let shape = self.pool.layout().shape;
        self.parts(from, to).map(move |(page, offsets)| page.values(self.layer, head, offsets, shape))
    }

    /// The pages that hold `from..to`, with those of their positions that lie in it.
    fn parts(self, from: usize, to: usize) -> impl Iterator<Item = (&'a Page, Range<usize>)> + Clone {
        let pages = (from / PAGE_POSITIONS)..to.div_ceil(PAGE_POSITIONS);
        pages.map(move |index| {
            let base = index * PAGE_POSITIONS;
            (self.pool.page(self.table[index]), from.max(base) - base..to.min(base + PAGE_POSITIONS) - base)
        })
    }
}
