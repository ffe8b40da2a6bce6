//! Verified tensors on the worker's disk, named by their BLAKE3 hash.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use neuro_primitives::Hash;

use crate::os::private_file;

/// A folder of tensors. What it returns always has the hash that was asked for.
#[derive(Debug, Clone)]
pub struct TensorCache {
    folder: PathBuf,
    /// Whether a failed write was told: a full disk refuses every tensor, and its owner needs to hear it once.
    complained: Arc<AtomicBool>,
}

impl TensorCache {
    /// The cache in `folder`, which must exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, complained: Arc::default() }
    }

    /// The tensor with this hash. A file whose content has changed is removed and counts as missing.
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<Vec<u8>> {
        let path = self.path(hash);
        let bytes = fs::read(&path).ok()?;
        if Hash::of(&bytes) == *hash {
            return Some(bytes);
        }
        tracing::warn!(tensor = %hash, "a cached tensor has changed on disk; it is fetched again");
        let _ = fs::remove_file(path);
        None
    }

    /// Stores `bytes`, whose hash the caller has checked to be `hash`. Where that fails, as on a full disk, the cache is
    /// as it was, and the owner is told once.
    pub fn put(&self, hash: &Hash, bytes: &[u8]) {
        debug_assert_eq!(Hash::of(bytes), *hash);
        let Err(error) = private_file::replace(&self.path(hash), bytes) else { return };
        if !self.complained.swap(true, Ordering::Relaxed) {
            let folder = self.folder.display();
            tracing::warn!(%error, "cannot cache tensors in {folder} (is the disk full?); they are kept in memory only");
        }
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(hash.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_takes_nothing_costs_nothing_but_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TensorCache::new(folder.path().join("missing"));
        for content in [b"one", b"two"] {
            cache.put(&Hash::of(content), content);
            assert_eq!(cache.get(&Hash::of(content)), None);
        }
        assert!(cache.complained.load(Ordering::Relaxed));
    }

    #[test]
    fn a_changed_file_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TensorCache::new(folder.path().to_owned());
        let hash = Hash::of(b"tensor");
        assert_eq!(cache.get(&hash), None);
        cache.put(&hash, b"tensor");
        assert_eq!(cache.get(&hash).as_deref(), Some(&b"tensor"[..]));
        fs::write(cache.path(&hash), b"tensos").unwrap();
        assert_eq!(cache.get(&hash), None);
        assert!(!cache.path(&hash).exists());
    }
}
