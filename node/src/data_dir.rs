//! A node's folder: its key, its lock, what it remembers of others, and where it can be reached while it runs.
//!
//! | File | Holds | Mode |
//! |---|---|---|
//! | `node.key` | the secret seed of the node key, 64 hexadecimal digits | 0600 |
//! | `node.json` | addresses of the running node; removed when it stops | 0600 |
//! | `members` | nodes that were admitted, one id a line | 0600 |
//! | `ticket` | the ticket that last admitted this worker: where `neuro credit` asks | 0600 |
//! | `orchestrator.sqlite` | the orchestrator's store: workers, credit, vouchers | 0600 |
//! | `publishers` | first publisher seen of each model name (trust on first use) | 0600 |
//! | `tensors/` | verified tensors, named by their hash | 0700 |
//! | `vouchers/` | a worker's last voucher with each orchestrator, named by its id | 0700 |
//! | `evidence/` | an orchestrator's evidence of wrong answers, named by the worker's id | 0700 |
//! | `manifests/` | manifests of local checkpoints, so that they are hashed once | 0700 |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::{NodeKey, key::EntropyError};
use serde::{Deserialize, Serialize};

use crate::os::private_file;

/// The folder of one node. Created with mode 0700.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// Where a running node can be reached; the content of `node.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningNode {
    /// Process id.
    pub pid: u32,
    /// The node's id, hexadecimal.
    pub node: String,
    /// `http://host:port` of the OpenAI-compatible API, on an orchestrator.
    pub api: Option<String>,
    /// `host:port` of the control services, on an orchestrator.
    pub control: Option<String>,
    /// libp2p addresses.
    pub p2p: Vec<String>,
}

/// The folder, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file cannot be read, written or made.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The key file holds something else.
    #[error("{path} should hold 64 hexadecimal digits and does not; move it away to get a new key (and a new node id)")]
    MalformedKey {
        /// The key file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("{path} can be read by other users (mode {mode:o}); run: chmod 600 {path}")]
    ExposedKey {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no randomness for a new key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl DataDir {
    /// Opens the folder at `path` and makes it where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        private_file::create_folder(path).map_err(|source| failed("create", path, source))?;
        Ok(Self { path: path.to_owned() })
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A private folder in it, made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.join(name);
        private_file::create_folder(&path).map_err(|source| failed("create", &path, source))?;
        Ok(path)
    }

    /// The node's key; a new one on first use. Two processes that start at once agree on one key.
    ///
    /// # Errors
    /// When the file cannot be read or written, holds no key, or can be read by others.
    pub fn node_key(&self) -> Result<NodeKey, DataDirError> {
        let path = self.join("node.key");
        if !path.exists() {
            let key = NodeKey::generate()?;
            let text = data_encoding::HEXLOWER.encode(key.secret().as_ref());
            match private_file::create_new(&path, text.as_bytes()) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed("write", &path, source));
                }
                _ => {}
            }
        }
        read_key(&path)
    }

    /// Writes `node.json`. The file goes away when the guard is dropped.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn announce(&self, running: &RunningNode) -> Result<Announcement, DataDirError> {
        let path = self.join("node.json");
        let text = serde_json::to_vec_pretty(running).unwrap_or_default();
        private_file::replace(&path, &text).map_err(|source| failed("write", &path, source))?;
        Ok(Announcement { path })
    }

    /// The node that runs on this folder, if one does.
    ///
    /// # Errors
    /// When `node.json` is there and cannot be read; one that does not parse counts as none.
    pub fn running(&self) -> Result<Option<RunningNode>, DataDirError> {
        let path = self.join("node.json");
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// Whether `line` stands in the list file `name`.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn lists(&self, name: &str, line: &str) -> Result<bool, DataDirError> {
        Ok(self.lines(name)?.iter().any(|known| known == line))
    }

    /// The lines of the list file `name`; none when it is missing.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn lines(&self, name: &str) -> Result<Vec<String>, DataDirError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// The text of the file `name`; nothing when it is missing.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn recall(&self, name: &str) -> Result<Option<String>, DataDirError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// Writes `text` to the private file `name`, in place of what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, name: &str, text: &str) -> Result<(), DataDirError> {
        let path = self.join(name);
        private_file::replace(&path, text.as_bytes()).map_err(|source| failed("write", &path, source))
    }

    /// Adds `line` to the list file `name`, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, name: &str, line: &str) -> Result<(), DataDirError> {
        let path = self.join(name);
        private_file::append_line(&path, line).map_err(|source| failed("write", &path, source))
    }
}

/// Keeps `node.json` in place while the node runs.
#[derive(Debug)]
pub struct Announcement {
    path: PathBuf,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Nothing is lost when it stays: readers find nobody listening at its addresses.
        let _ = fs::remove_file(&self.path);
    }
}

fn read_key(path: &Path) -> Result<NodeKey, DataDirError> {
    let text = fs::read_to_string(path).map_err(|source| failed("read", path, source))?;
    if let Some(mode) = private_file::exposed_mode(path).map_err(|source| failed("read", path, source))? {
        return Err(DataDirError::ExposedKey { path: path.to_owned(), mode });
    }
    let malformed = || DataDirError::MalformedKey { path: path.to_owned() };
    let secret = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).map_err(|_| malformed())?;
    Ok(NodeKey::from_secret(&secret.try_into().map_err(|_| malformed())?))
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(&folder.path().join("node")).unwrap();
        let first = data_dir.node_key().unwrap().node_id();
        assert_eq!(data_dir.node_key().unwrap().node_id(), first);
        let mode = fs::metadata(data_dir.join("node.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_exposed_or_broken_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        data_dir.node_key().unwrap();
        let path = data_dir.join("node.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(data_dir.node_key(), Err(DataDirError::ExposedKey { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(data_dir.node_key(), Err(DataDirError::MalformedKey { .. })));
    }

    #[test]
    fn the_announcement_goes_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let running = RunningNode { pid: 7, node: "ab".into(), api: None, control: None, p2p: vec![] };
        let guard = data_dir.announce(&running).unwrap();
        assert_eq!(data_dir.running().unwrap(), Some(running));
        drop(guard);
        assert_eq!(data_dir.running().unwrap(), None);
    }

    #[test]
    fn lists_remember() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        assert!(!data_dir.lists("members", "a").unwrap());
        data_dir.append("members", "a").unwrap();
        data_dir.append("members", "b").unwrap();
        assert!(data_dir.lists("members", "a").unwrap());
        assert_eq!(data_dir.lines("members").unwrap(), ["a", "b"]);
    }
}
