//! Counted places: so many in all, so many per holder.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bounded number of places, of which one holder gets only some.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    held: Arc<Mutex<Held<K>>>,
    total: usize,
    per_holder: usize,
}

#[derive(Debug)]
struct Held<K> {
    total: usize,
    by_holder: HashMap<K, usize>,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<K: Hash + Eq> {
    held: Arc<Mutex<Held<K>>>,
    holder: K,
}

impl<K: Hash + Eq + Clone> Slots<K> {
    /// `total` places, at most `per_holder` for one holder.
    pub(crate) fn new(total: usize, per_holder: usize) -> Self {
        let held = Held { total: 0, by_holder: HashMap::new() };
        Self { held: Arc::new(Mutex::new(held)), total, per_holder }
    }

    /// A place for `holder`, or `None` when there is none left.
    pub(crate) fn take(&self, holder: K) -> Option<Slot<K>> {
        let mut held = lock(&self.held);
        let own = held.by_holder.get(&holder).copied().unwrap_or(0);
        if held.total >= self.total || own >= self.per_holder {
            return None;
        }
        held.total += 1;
        held.by_holder.insert(holder.clone(), own + 1);
        drop(held);
        Some(Slot { held: Arc::clone(&self.held), holder })
    }
}

impl<K: Hash + Eq> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.total -= 1;
        if let Some(own) = held.by_holder.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                held.by_holder.remove(&self.holder);
            }
        }
    }
}

fn lock<K>(held: &Mutex<Held<K>>) -> MutexGuard<'_, Held<K>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_out_per_holder_and_in_all_and_come_back() {
        let slots = Slots::new(3, 2);
        let first = slots.take("a").unwrap();
        let second = slots.take("a").unwrap();
        assert!(slots.take("a").is_none(), "a has its share");
        let third = slots.take("b").unwrap();
        assert!(slots.take("c").is_none(), "all are taken");
        drop(first);
        assert!(slots.take("c").is_some());
        drop((second, third));
        assert!(lock(&slots.held).by_holder.is_empty(), "nobody is remembered");
    }
}
