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

/// A cached tensor is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// It is gone, or the operating system does not give it.
    #[error("cannot read {}: {reason}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// Somebody wrote to it, or the disk is failing.
    #[error("{} has changed on disk: expected the {expected} bytes of its name, got {got} others", .file.display())]
    Changed {
        /// The file.
        file: PathBuf,
        /// Bytes it had.
        expected: u64,
        /// Bytes it has.
        got: u64,
    },
}

impl CacheError {
    /// Whether the tensor may be had again: always, its publisher has it.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        true
    }
}

impl TensorCache {
    /// The cache in `folder`, which must exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, complained: Arc::default() }
    }

    /// Whether a file of this name and length is there. Its content is checked when it is read.
    #[must_use]
    pub fn has(&self, hash: &Hash, length: u64) -> bool {
        fs::metadata(self.path(hash)).is_ok_and(|about| about.is_file() && about.len() == length)
    }

    /// The tensor with this hash and length. A file with another content is removed, so that it counts as missing from
    /// now on.
    ///
    /// # Errors
    /// When there is no such file, it cannot be read, or it has changed.
    pub fn read(&self, hash: &Hash, length: u64) -> Result<Vec<u8>, CacheError> {
        let file = self.path(hash);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(source) => return Err(CacheError::Unreadable { file, reason: source.to_string() }),
        };
        if bytes.len() as u64 == length && Hash::of(&bytes) == *hash {
            return Ok(bytes);
        }
        let _ = fs::remove_file(&file);
        Err(CacheError::Changed { file, expected: length, got: bytes.len() as u64 })
    }

    /// Stores `bytes`, whose hash the caller has checked to be `hash`; whether they are there now. Where that fails, as
    /// on a full disk, the cache is as it was, and the owner is told once.
    pub fn put(&self, hash: &Hash, bytes: &[u8]) -> bool {
        debug_assert_eq!(Hash::of(bytes), *hash);
        let Err(error) = private_file::replace(&self.path(hash), bytes) else { return true };
        if !self.complained.swap(true, Ordering::Relaxed) {
            let folder = self.folder.display();
            tracing::warn!(%error, "cannot cache tensors in {folder} (is the disk full?); they are kept in memory only");
        }
        false
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
            assert!(!cache.put(&Hash::of(content), content));
            assert!(!cache.has(&Hash::of(content), 3));
        }
        assert!(cache.complained.load(Ordering::Relaxed));
    }

    #[test]
    fn a_changed_file_is_named_and_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TensorCache::new(folder.path().to_owned());
        let hash = Hash::of(b"tensor");
        for changed in [&b"tensos"[..], b"tens", b"tensor and more", b""] {
            assert!(matches!(cache.read(&hash, 6), Err(CacheError::Unreadable { .. })));
            assert!(cache.put(&hash, b"tensor") && cache.has(&hash, 6));
            assert_eq!(cache.read(&hash, 6).as_deref(), Ok(&b"tensor"[..]));
            let file = cache.path(&hash);
            fs::write(&file, changed).unwrap();
            let error = cache.read(&hash, 6).unwrap_err();
            assert_eq!(error, CacheError::Changed { file: file.clone(), expected: 6, got: changed.len() as u64 });
            assert!(!file.exists() && !cache.has(&hash, 6));
        }
    }
}
