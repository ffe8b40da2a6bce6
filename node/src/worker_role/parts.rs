//! Tensors whose fetch broke off: the bytes that came are not asked for again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use neuro_primitives::Hash;

/// Broken-off tensors that are remembered. A load fetches three tensors at a time, so these are the last two loads';
/// what a worker was told to hold and then was not asked for again does not pile up.
const MOST_PARTS: usize = 6;

/// Beginnings of tensors by the hash of the whole. Not verified: only the whole can be.
#[derive(Debug, Default)]
pub struct Parts(Mutex<BTreeMap<Hash, Vec<u8>>>);

/// The beginning of one tensor while the rest is fetched. Dropped, as when the connection breaks or the fetch is
/// given up, it goes back to the others.
pub struct Part<'a> {
    parts: &'a Parts,
    hash: Hash,
    bytes: Vec<u8>,
}

impl Parts {
    /// What came of the tensor with this hash so far.
    pub fn take(&self, hash: Hash) -> Part<'_> {
        Part { parts: self, hash, bytes: self.lock().remove(&hash).unwrap_or_default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Hash, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part<'_> {
    /// Bytes that are here.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Adds what came next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// All that came, when nothing more will. Nothing is remembered then.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let mut parts = self.parts.lock();
        parts.insert(self.hash, std::mem::take(&mut self.bytes));
        if parts.len() > MOST_PARTS {
            parts.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_there_again_and_what_was_finished_is_not() {
        let (parts, hash) = (Parts::default(), Hash([7; 32]));
        let mut part = parts.take(hash);
        part.push(b"tens");
        drop(part);
        let mut part = parts.take(hash);
        assert_eq!(part.len(), 4);
        part.push(b"or");
        assert_eq!(part.finish(), b"tensor");
        assert_eq!(parts.take(hash).len(), 0);
    }

    #[test]
    fn only_a_few_are_remembered() {
        let parts = Parts::default();
        for number in 0..20 {
            parts.take(Hash([number; 32])).push(b"x");
        }
        assert_eq!(parts.lock().len(), MOST_PARTS);
    }
}
