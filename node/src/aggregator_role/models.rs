//! Global weights by their hash: `models/HASH.safetensors` in the task's folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::Hash;

use crate::os::private_file;

/// The folder of weights.
#[derive(Debug, Clone)]
pub struct Models {
    folder: PathBuf,
}

impl Models {
    /// The weights in the task's folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(task_folder: &Path) -> io::Result<Self> {
        let folder = task_folder.join("models");
        private_file::create_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Where weights with this hash lie, if they are here.
    #[must_use]
    pub fn path(&self, hash: Hash) -> PathBuf {
        self.folder.join(format!("{hash}.safetensors"))
    }

    /// Keeps a file's bytes, durably, and names them.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<Hash> {
        let hash = Hash::of(bytes);
        let path = self.path(hash);
        if !path.exists() {
            private_file::replace(&path, bytes)?;
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(hash)
    }

    /// The bytes with this hash.
    ///
    /// # Errors
    /// When they are not here, or were changed on disk.
    pub fn read(&self, hash: Hash) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(hash))?;
        if Hash::of(&bytes) == hash { Ok(bytes) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_named_by_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let models = Models::open(folder.path()).unwrap();
        let hash = models.keep(b"weights").unwrap();
        assert_eq!(models.keep(b"weights").unwrap(), hash);
        assert_eq!(models.read(hash).unwrap(), b"weights");
        fs::write(models.path(hash), b"other").unwrap();
        assert_eq!(models.read(hash).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(models.read(Hash([0; 32])).is_err());
    }
}
