//! Verified tensors on the worker's disk, named by their BLAKE3 hash.

use std::fs;
use std::io;
use std::path::PathBuf;

use neuro_primitives::Hash;

use crate::os::private_file;

/// A folder of tensors. What it returns always has the hash that was asked for.
#[derive(Debug, Clone)]
pub struct TensorCache {
    folder: PathBuf,
}

impl TensorCache {
    /// The cache in `folder`, which must exist.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
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

    /// Stores `bytes`, whose hash the caller has checked to be `hash`.
    ///
    /// # Errors
    /// Those of the operating system, such as a full disk. The cache is then as it was.
    pub fn put(&self, hash: &Hash, bytes: &[u8]) -> io::Result<()> {
        debug_assert_eq!(Hash::of(bytes), *hash);
        private_file::replace(&self.path(hash), bytes)
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(hash.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TensorCache::new(folder.path().to_owned());
        let hash = Hash::of(b"tensor");
        assert_eq!(cache.get(&hash), None);
        cache.put(&hash, b"tensor").unwrap();
        assert_eq!(cache.get(&hash).as_deref(), Some(&b"tensor"[..]));
        fs::write(cache.path(&hash), b"tensos").unwrap();
        assert_eq!(cache.get(&hash), None);
        assert!(!cache.path(&hash).exists());
    }
}
