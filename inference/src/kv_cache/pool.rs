//! Pages for many sequences, as many as its bound says, each counted by who refers to it.

use neuro_model::ModelConfig;

use super::page::Page;
use super::{CacheType, HeadShape, LayerPages, PAGE_POSITIONS};

/// A page of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(usize);

/// What a page holds of each position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLayout {
    /// Layers of the model.
    pub layers: usize,
    /// The heads of a layer.
    pub shape: HeadShape,
    /// How elements are kept.
    pub cache_type: CacheType,
}

/// Pages of keys and values. A page lives while somebody refers to it; its memory goes with the last reference.
#[derive(Debug, Clone)]
pub struct PagePool {
    layout: PageLayout,
    /// The most pages at once.
    capacity: usize,
    slots: Vec<Slot>,
    /// Slots without a page.
    free: Vec<PageId>,
    used: usize,
}

/// A place for a page. `references` is 0 exactly where there is none.
#[derive(Debug, Clone)]
struct Slot {
    page: Page,
    references: u32,
}

impl PageLayout {
    /// The pages of a model.
    #[must_use]
    pub fn of(config: &ModelConfig, cache_type: CacheType) -> Self {
        Self { layers: config.layers, shape: HeadShape::of(config), cache_type }
    }

    /// Bytes that a page takes.
    #[must_use]
    pub const fn page_bytes(self) -> u64 {
        let elements = self.layers * (self.shape.page_keys() + self.shape.page_values());
        (elements * self.cache_type.bytes()) as u64
    }
}

impl PagePool {
    /// A pool of at most `capacity` pages.
    #[must_use]
    pub const fn new(layout: PageLayout, capacity: usize) -> Self {
        Self { layout, capacity, slots: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// A pool that always has another page, as far as there is memory.
    #[must_use]
    pub const fn unbounded(layout: PageLayout) -> Self {
        Self::new(layout, usize::MAX)
    }

    /// What a page of it looks like.
    #[must_use]
    pub const fn layout(&self) -> PageLayout {
        self.layout
    }

    /// The most pages at once.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Pages that somebody refers to.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// A page of zeros with one reference; `None` when as many are used as there may be.
    pub fn allocate(&mut self) -> Option<PageId> {
        if self.used >= self.capacity {
            return None;
        }
        self.used += 1;
        let slot = Slot { page: Page::zeros(self.layout), references: 1 };
        if let Some(id) = self.free.pop() {
            self.slots[id.0] = slot;
            return Some(id);
        }
        self.slots.push(slot);
        Some(PageId(self.slots.len() - 1))
    }

    /// One more refers to `page`.
    pub fn retain(&mut self, page: PageId) {
        self.slots[page.0].references += 1;
    }

    /// One fewer refers to `page`; the last one frees it.
    ///
    /// # Panics
    /// When nobody referred to it: a bug of ours, which would end in one page with two owners.
    pub fn release(&mut self, page: PageId) {
        let slot = &mut self.slots[page.0];
        assert!(slot.references > 0, "{page:?} is free already");
        slot.references -= 1;
        if slot.references == 0 {
            slot.page = Page::empty();
            self.free.push(page);
            self.used -= 1;
        }
    }

    /// How many refer to `page`.
    #[must_use]
    pub fn references(&self, page: PageId) -> u32 {
        self.slots[page.0].references
    }

    /// Writes the key (`[kv_heads × key_dim]`, f32) and value (`[kv_heads × value_dim]`, f32; unused where values are
    /// shared) of `position` of the sequence with `table`, over what was there.
    pub fn write(&mut self, layer: usize, table: &[PageId], position: usize, key: &[f32], value: &[f32]) {
        let (page, offset) = (table[position / PAGE_POSITIONS], position % PAGE_POSITIONS);
        self.slots[page.0].page.write(layer, offset, self.layout.shape, key, value);
    }

    /// One layer of the sequence with `table`.
    #[must_use]
    pub const fn layer<'a>(&'a self, layer: usize, table: &'a [PageId]) -> LayerPages<'a> {
        LayerPages { pool: self, table, layer }
    }

    pub(super) fn page(&self, page: PageId) -> &Page {
        &self.slots[page.0].page
    }
}
