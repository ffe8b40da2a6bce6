//! The pages of all sequences, and those kept for sequences to come.

use std::collections::BTreeSet;

use neuro_primitives::JobId;

use super::Account;
use super::prefixes::{Prefix, Prefixes, extended, root};
use crate::kv_cache::{PAGE_POSITIONS, PageId, PagePool};

/// What the pages are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageFigures {
    /// The most pages there may be.
    pub capacity: usize,
    /// Pages with keys and values, kept ones included.
    pub used: usize,
    /// Of these, pages that no sequence uses; they go when others need room.
    pub idle: usize,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Tokens of prompts that needed no computing, since the start.
    pub reused_tokens: u64,
}

/// The pool, and what of it can be used again.
#[derive(Debug)]
pub(super) struct Pages {
    pool: PagePool,
    prefixes: Prefixes,
    reused_tokens: u64,
}

/// The pages of one sequence.
#[derive(Debug, Default)]
pub(super) struct PageTable {
    /// In order.
    pub(super) pages: Vec<PageId>,
    /// The names of the full pages from the first on, as far as they were told.
    named: Vec<Prefix>,
}

impl Pages {
    pub(super) fn new(pool: PagePool) -> Self {
        Self { pool, prefixes: Prefixes::default(), reused_tokens: 0 }
    }

    pub(super) const fn pool_mut(&mut self) -> &mut PagePool {
        &mut self.pool
    }

    pub(super) const fn capacity(&self) -> usize {
        self.pool.capacity()
    }

    /// Pages that a sequence could get.
    pub(super) fn available(&self) -> usize {
        self.pool.capacity() - self.pool.used() + self.prefixes.idle()
    }

    pub(super) fn figures(&self) -> PageFigures {
        debug_assert!(self.prefixes.len() <= self.pool.used());
        PageFigures {
            capacity: self.pool.capacity(),
            used: self.pool.used(),
            idle: self.prefixes.idle(),
            page_bytes: self.pool.layout().page_bytes(),
            reused_tokens: self.reused_tokens,
        }
    }

    /// Fills an empty table with the pages that are there of the beginning of `ids`, all but the last token at most: its
    /// logits are to be computed. Notes their producers. The positions held then.
    pub(super) fn adopt(
        &mut self,
        table: &mut PageTable,
        producers: &mut BTreeSet<JobId>,
        account: &Account,
        ids: &[u32],
    ) -> usize {
        let reusable = &ids[..ids.len().saturating_sub(1)];
        let mut prefix = root(account);
        for tokens in reusable.chunks_exact(PAGE_POSITIONS) {
            prefix = extended(prefix, tokens);
            let Some((page, producer)) = self.prefixes.take(&prefix, &mut self.pool) else { break };
            producers.insert(producer);
            table.pages.push(page);
            table.named.push(prefix);
        }
        let held = table.pages.len() * PAGE_POSITIONS;
        self.reused_tokens += held as u64;
        held
    }

    /// Makes room for `positions` in `table`, as far as there are pages. Whether there were enough.
    pub(super) fn grow(&mut self, table: &mut PageTable, positions: usize) -> bool {
        while table.pages.len() < positions.div_ceil(PAGE_POSITIONS) {
            let Some(page) = self.allocate() else { return false };
            table.pages.push(page);
        }
        true
    }

    fn allocate(&mut self) -> Option<PageId> {
        self.pool.allocate().or_else(|| self.prefixes.evict(&mut self.pool).then(|| self.pool.allocate()).flatten())
    }

    /// The full pages of `table`, which holds `ids` (those held), can be used again by `account`.
    pub(super) fn keep(&mut self, table: &mut PageTable, account: &Account, ids: &[u32], producer: JobId) {
        for (index, tokens) in ids.chunks_exact(PAGE_POSITIONS).enumerate().skip(table.named.len()) {
            let parent = table.named.last().copied().unwrap_or_else(|| root(account));
            let prefix = extended(parent, tokens);
            self.prefixes.keep((parent, prefix), table.pages[index], producer, &mut self.pool);
            table.named.push(prefix);
        }
    }

    /// Lets all pages of `table` go; the last first, so that what is evicted first is the end of a text.
    pub(super) fn release(&mut self, table: &mut PageTable) {
        for page in std::mem::take(table).pages.into_iter().rev() {
            self.prefixes.let_go(page, &mut self.pool);
        }
    }

    /// Forgets what `producer` computed and what follows it. Sequences may still use the pages.
    pub(super) fn forget(&mut self, producer: JobId) {
        self.prefixes.forget(producer, &mut self.pool);
    }
}
