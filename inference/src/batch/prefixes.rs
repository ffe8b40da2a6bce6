//! Which pages hold the beginning of which text.
//!
//! A page is found by a hash over the account, all tokens before it and its own: a page of another account, or after
//! another beginning, has another name. Whoever holds this holds one reference to each page in it.

use std::collections::{BTreeMap, BTreeSet};

use neuro_primitives::{Hash, JobId};

use super::Account;
use crate::kv_cache::{PageId, PagePool};

/// The name of a text's beginning, one page long or many.
pub(super) type Prefix = Hash;

/// A page that can be used again.
#[derive(Debug, Clone, Copy)]
struct Kept {
    page: PageId,
    parent: Prefix,
    /// Who computed it.
    producer: JobId,
    /// When it was last let go; later ones are larger. 0 while a sequence uses it.
    idle_since: u64,
}

/// The pages that can be used again.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    kept: BTreeMap<Prefix, Kept>,
    by_page: BTreeMap<PageId, Prefix>,
    /// Those that no sequence uses, the longest unused first.
    idle: BTreeMap<u64, Prefix>,
    now: u64,
}

/// The empty beginning of every text of `account`.
pub(super) fn root(account: &Account) -> Prefix {
    Hash::of(&[b"neuro/prefix".as_slice(), &account.label()].concat())
}

/// The beginning that `ids` make of `parent`.
pub(super) fn extended(parent: Prefix, ids: &[u32]) -> Prefix {
    let ids = ids.iter().flat_map(|id| id.to_le_bytes());
    Hash::of(&parent.0.into_iter().chain(ids).collect::<Vec<u8>>())
}

impl Prefixes {
    /// Pages that no sequence uses.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Pages in all.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The page of `prefix` and who computed it, if there is one. The caller now refers to it, too.
    pub(super) fn take(&mut self, prefix: &Prefix, pool: &mut PagePool) -> Option<(PageId, JobId)> {
        let kept = self.kept.get_mut(prefix)?;
        self.idle.remove(&kept.idle_since);
        kept.idle_since = 0;
        pool.retain(kept.page);
        Some((kept.page, kept.producer))
    }

    /// `page`, which `producer` filled, holds the end of `prefix`, which follows `parent`. Nothing happens when there
    /// is such a page.
    pub(super) fn keep(
        &mut self,
        (parent, prefix): (Prefix, Prefix),
        page: PageId,
        producer: JobId,
        pool: &mut PagePool,
    ) {
        if self.kept.contains_key(&prefix) {
            return;
        }
        pool.retain(page);
        self.kept.insert(prefix, Kept { page, parent, producer, idle_since: 0 });
        self.by_page.insert(page, prefix);
    }

    /// A sequence lets `page` go.
    pub(super) fn let_go(&mut self, page: PageId, pool: &mut PagePool) {
        pool.release(page);
        let Some(prefix) = self.by_page.get(&page) else { return };
        if pool.references(page) == 1
            && let Some(kept) = self.kept.get_mut(prefix)
        {
            self.now += 1;
            kept.idle_since = self.now;
            self.idle.insert(self.now, *prefix);
        }
    }

    /// Frees the page that was unused for the longest time. Whether there was one.
    pub(super) fn evict(&mut self, pool: &mut PagePool) -> bool {
        let Some((_, prefix)) = self.idle.pop_first() else { return false };
        self.drop_page(&prefix, pool);
        true
    }

    /// Forgets what `producer` computed, and what follows it. Others may still use the pages.
    pub(super) fn forget(&mut self, producer: JobId, pool: &mut PagePool) {
        let by_producer = self.kept.iter().filter(|(_, kept)| kept.producer == producer);
        let mut wrong: BTreeSet<Prefix> = by_producer.map(|(prefix, _)| *prefix).collect();
        // Children may come before their parents in the order of hashes, so look until nothing is added.
        loop {
            let follows = |(prefix, kept): &(&Prefix, &Kept)| wrong.contains(&kept.parent) && !wrong.contains(*prefix);
            let more: Vec<Prefix> = self.kept.iter().filter(follows).map(|(prefix, _)| *prefix).collect();
            if more.is_empty() {
                break;
            }
            wrong.extend(more);
        }
        wrong.iter().for_each(|prefix| self.drop_page(prefix, pool));
    }

    fn drop_page(&mut self, prefix: &Prefix, pool: &mut PagePool) {
        let Some(kept) = self.kept.remove(prefix) else { return };
        self.by_page.remove(&kept.page);
        self.idle.remove(&kept.idle_since);
        pool.release(kept.page);
    }
}
