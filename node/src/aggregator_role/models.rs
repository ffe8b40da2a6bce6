//! What participants fetch by hash: `models/HASH.safetensors` (weights, control variates), `HASH.versions`, `HASH.roster`.

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

/// Documents that are named by the hash of their unsigned bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// A list of admissible versions.
    Versions,
    /// The roster that a round goes by.
    Roster,
}

impl Signed {
    const fn extension(self) -> &'static str {
        match self {
            Self::Versions => "versions",
            Self::Roster => "roster",
        }
    }
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

    /// Keeps signed bytes under the hash of what was signed, durably.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_signed(&self, kind: Signed, hash: Hash, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(format!("{hash}.{}", kind.extension()));
        if path.exists() { Ok(()) } else { private_file::replace(&path, bytes) }
    }

    /// The file with this hash, whatever it holds.
    #[must_use]
    pub fn find(&self, hash: Hash) -> Option<PathBuf> {
        let names = ["safetensors", Signed::Versions.extension(), Signed::Roster.extension()];
        names.map(|name| self.folder.join(format!("{hash}.{name}"))).into_iter().find(|path| path.is_file())
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
        assert_eq!(models.find(hash), Some(models.path(hash)));
        models.keep_signed(Signed::Versions, Hash([1; 32]), b"list").unwrap();
        assert_eq!(fs::read(models.find(Hash([1; 32])).unwrap()).unwrap(), b"list");
        assert_eq!(models.find(Hash([2; 32])), None);
        fs::write(models.path(hash), b"other").unwrap();
        assert_eq!(models.read(hash).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(models.read(Hash([0; 32])).is_err());
    }
}
