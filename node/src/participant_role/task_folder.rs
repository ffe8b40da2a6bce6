//! A participant's folder of one task: whom it believes, and what it remembers.
//!
//! The pin comes from an invitation that the participant got outside the aggregator: owner and task never change
//! afterwards, and the newest roster seen only becomes newer.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::{Hash, NodeId, UnixMillis};
use neuro_protocol::federated::{Invitation, InvitationError, SignedInvitation};
use neuro_secagg::error::DocumentError;
use neuro_secagg::roster::{Pin, Roster, RosterRefused, SignedRoster, task_id};
use serde::{Deserialize, Serialize};

use crate::data_dir::{DataDir, DataDirError};
use crate::os::private_file;

/// The task cannot be joined from this folder.
#[derive(Debug, thiserror::Error)]
pub enum TaskFolderError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A file.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The invitation.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The pin holds something else.
    #[error("{path} is damaged; move the task's folder away and join with an invitation again")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Another process takes part with this folder.
    #[error("another process takes part in this task with {path}")]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// No such task was joined before.
    #[error("no task called {name:?} was joined with this data folder; join it with an invitation")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The roster that the aggregator sent.
    #[error("the aggregator's roster is refused: {0}")]
    Roster(#[from] RosterRefused),
    /// The roster's bytes.
    #[error("the aggregator's roster is malformed: {0}")]
    Document(#[from] DocumentError),
}

/// What `pin.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PinFile {
    task_name: String,
    owner: String,
    aggregator: String,
    addresses: Vec<String>,
    invitation: String,
    #[serde(default)]
    newest: Option<(u64, String)>,
}

/// The folder, locked as long as this lives.
#[derive(Debug)]
pub struct TaskFolder {
    path: PathBuf,
    file: PinFile,
    invitation: Invitation,
    pin: Pin,
    _lock: FolderLock,
}

impl TaskFolder {
    /// The folder of the task that `invitation` leads to. What was pinned before stays pinned.
    ///
    /// # Errors
    /// When the invitation is forged, or another process uses the folder.
    pub fn by_invitation(data_dir: &DataDir, text: &str) -> Result<Self, TaskFolderError> {
        let signed = SignedInvitation::from_text(text)?;
        let invitation = signed.verify_signature()?.clone();
        let path = folder_of(data_dir, task_id(invitation.owner, &invitation.task))?;
        let lock = lock(&path)?;
        let newest = read_pin(&path)?.and_then(|file| file.newest);
        let file = PinFile {
            task_name: invitation.task.clone(),
            owner: invitation.owner.to_string(),
            aggregator: invitation.aggregator.to_string(),
            addresses: invitation.addresses.clone(),
            invitation: signed.to_text(),
            newest,
        };
        let folder = Self::with(path, file, invitation, lock)?;
        folder.save()?;
        Ok(folder)
    }

    /// The folder of a task that was joined before, by its name.
    ///
    /// # Errors
    /// When there is none, or another process uses it.
    pub fn by_name(data_dir: &DataDir, name: &str) -> Result<Self, TaskFolderError> {
        for path in folders(data_dir) {
            match read_pin(&path)? {
                Some(file) if file.task_name == name => {
                    let invitation = SignedInvitation::from_text(&file.invitation)?.verify_signature()?.clone();
                    let lock = lock(&path)?;
                    return Self::with(path, file, invitation, lock);
                }
                _ => {}
            }
        }
        Err(TaskFolderError::Unknown { name: name.to_owned() })
    }

    fn with(path: PathBuf, file: PinFile, invitation: Invitation, lock: FolderLock) -> Result<Self, TaskFolderError> {
        let damaged = || TaskFolderError::Damaged { path: path.join("pin.json") };
        let newest = match &file.newest {
            Some((version, hash)) => Some((*version, hash.parse().map_err(|_| damaged())?)),
            None => None,
        };
        let pin = Pin { owner: invitation.owner, task: task_id(invitation.owner, &invitation.task), newest };
        Ok(Self { path, file, invitation, pin, _lock: lock })
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The invitation, whose owner's signature was checked.
    #[must_use]
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// The invitation as text.
    #[must_use]
    pub fn invitation_text(&self) -> &str {
        &self.file.invitation
    }

    /// The aggregator.
    #[must_use]
    pub const fn aggregator(&self) -> NodeId {
        self.invitation.aggregator
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> Hash {
        self.pin.task
    }

    /// Takes a roster that the aggregator sent, if it is the owner's and not older than what was seen; remembers it
    /// durably before it is used.
    ///
    /// # Errors
    /// When it is refused, or cannot be remembered.
    pub fn take_roster(&mut self, bytes: &[u8], now: UnixMillis) -> Result<Roster, TaskFolderError> {
        let pin = self.pin;
        let roster = SignedRoster::decode(bytes)?.verify(|signed| signed.check(&pin, now))?;
        self.pin.advance(&roster);
        if self.pin.newest != pin.newest {
            self.file.newest = self.pin.newest.map(|(version, hash)| (version, hash.to_string()));
            self.save()?;
        }
        Ok(roster)
    }

    fn save(&self) -> Result<(), TaskFolderError> {
        let path = self.path.join("pin.json");
        let text = serde_json::to_vec_pretty(&self.file).map_err(io::Error::other).map_err(at(&path))?;
        private_file::replace(&path, &text).map_err(at(&path))
    }
}

/// `fl/TASK`, by the first half of the task's id.
///
/// # Errors
/// When it cannot be made.
pub fn folder_of(data_dir: &DataDir, task: Hash) -> Result<PathBuf, DataDirError> {
    data_dir.folder("fl")?;
    data_dir.folder(&format!("fl/{}", &task.to_string()[..32]))
}

/// All folders below `fl`.
fn folders(data_dir: &DataDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir.join("fl")).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn read_pin(folder: &Path) -> Result<Option<PinFile>, TaskFolderError> {
    let path = folder.join("pin.json");
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| TaskFolderError::Damaged { path }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(at(&path)(error)),
    }
}

/// The lock of a folder. It is given up by name: closing the file would not do while a process that this one has just
/// started still holds a copy of it.
#[derive(Debug)]
struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing it right afterwards does the same, if later.
        let _ = self.0.unlock();
    }
}

/// Two processes with one key would be one participant that contradicts itself.
fn lock(folder: &Path) -> Result<FolderLock, TaskFolderError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock(file)),
        Err(TryLockError::WouldBlock) => Err(TaskFolderError::Taken { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TaskFolderError + '_ {
    move |source| TaskFolderError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
