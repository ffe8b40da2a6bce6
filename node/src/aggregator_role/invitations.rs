//! The owner's side of enrolment: its key, the tasks that it may invite to, and the invitations.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use neuro_primitives::{NodeId, NodeKey, UnixMillis};
use neuro_protocol::federated::{Invitation, SignedInvitation};
use serde::{Deserialize, Serialize};

use super::enrolment::{EnrolError, RosterKeeper, TaskIdentity};
use crate::clock::unix_now;
use crate::data_dir::{DataDir, DataDirError};
use crate::os::private_file;
use crate::participant_role::task_folder::folder_of;

/// The owner's key of a data folder: `fl/owner/node.key`, made on first use.
///
/// # Errors
/// When it cannot be read or made, or others may read it.
pub fn owner_key(data_dir: &DataDir) -> Result<NodeKey, DataDirError> {
    data_dir.folder("fl")?;
    DataDir::open(&data_dir.folder("fl/owner")?)?.node_key()
}

/// What `task.json` holds: what an owner needs to invite to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFile {
    name: String,
    owner: String,
    aggregator: String,
    addresses: Vec<String>,
    batches: u16,
}

impl TaskFile {
    /// The file of a task that is aggregated at `addresses`.
    #[must_use]
    pub fn of(identity: &TaskIdentity, addresses: Vec<String>) -> Self {
        Self {
            name: identity.name.clone(),
            owner: identity.owner.to_string(),
            aggregator: identity.aggregator.to_string(),
            addresses,
            batches: identity.batches,
        }
    }

    /// Writes it into the task's folder.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        private_file::replace(&folder.join("task.json"), &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, EnrolError> {
        let bytes = fs::read(path).map_err(|source| EnrolError::Io { path: path.to_owned(), source })?;
        let file: Self = serde_json::from_slice(&bytes).map_err(|_| EnrolError::NoTask { path: path.to_owned() })?;
        if file.identity().is_some() { Ok(file) } else { Err(EnrolError::NoTask { path: path.to_owned() }) }
    }

    /// Task, owner and aggregator; none if an id is none.
    #[must_use]
    pub fn identity(&self) -> Option<TaskIdentity> {
        let node = |text: &str| {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
            Some(NodeId(bytes.try_into().ok()?))
        };
        Some(TaskIdentity {
            name: self.name.clone(),
            owner: node(&self.owner)?,
            aggregator: node(&self.aggregator)?,
            batches: self.batches.max(1),
        })
    }
}

/// The tasks that lie in a data folder, with their folders, by name.
#[must_use]
pub fn aggregated_tasks(data_dir: &DataDir) -> Vec<(PathBuf, TaskFile)> {
    let entries = fs::read_dir(data_dir.join("fl")).into_iter().flatten();
    let files = entries.filter_map(|entry| {
        let folder = entry.ok()?.path();
        let file: TaskFile = serde_json::from_slice(&fs::read(folder.join("task.json")).ok()?).ok()?;
        Some((folder, file))
    });
    let mut tasks: Vec<_> = files.collect();
    tasks.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    tasks
}

/// A task whose owner uses this data folder.
pub struct OwnedTask {
    /// The task's folder.
    pub folder: PathBuf,
    /// Its roster.
    pub roster: RosterKeeper,
    addresses: Vec<String>,
    owner: NodeKey,
}

impl OwnedTask {
    /// The task called `name`, or the only one there is. `None`: there is none, or several.
    ///
    /// # Errors
    /// When its roster cannot be used.
    pub fn find(data_dir: &DataDir, name: Option<&str>) -> Result<Option<Self>, EnrolError> {
        let mut found = aggregated_tasks(data_dir);
        found.retain(|(_, file)| name.is_none_or(|name| name == file.name));
        let (Some((folder, file)), true) = (found.pop(), found.is_empty()) else { return Ok(None) };
        Self::open(data_dir, folder, file).map(Some)
    }

    /// The task of an aggregator on another machine, by its `task.json`: from now on it is one of this data folder.
    ///
    /// # Errors
    /// When the file is none, or this folder's key is not the owner's.
    pub fn of_file(data_dir: &DataDir, path: &Path) -> Result<Self, EnrolError> {
        let file = TaskFile::read(path)?;
        let identity = file.identity().ok_or_else(|| EnrolError::NoTask { path: path.to_owned() })?;
        let folder = folder_of(data_dir, identity.id()).map_err(broken(path))?;
        file.save(&folder).map_err(|source| EnrolError::Io { path: folder.clone(), source })?;
        Self::open(data_dir, folder, file)
    }

    fn open(data_dir: &DataDir, folder: PathBuf, file: TaskFile) -> Result<Self, EnrolError> {
        let identity = file.identity().ok_or_else(|| EnrolError::NoTask { path: folder.join("task.json") })?;
        let owner = owner_key(data_dir).map_err(broken(&folder))?;
        if identity.owner != owner.node_id() {
            return Err(EnrolError::OwnerElsewhere { owner: identity.owner, got: owner.node_id() });
        }
        let roster = RosterKeeper::open(&folder, identity, Some(&owner), unix_now())?;
        Ok(Self { folder, roster, addresses: file.addresses, owner })
    }

    /// The owner's key.
    #[must_use]
    pub const fn owner(&self) -> &NodeKey {
        &self.owner
    }

    /// An invitation that enrols `uses` nodes within `lifetime`.
    ///
    /// # Errors
    /// When there is no randomness, or the task's name or addresses cannot stand in one.
    pub fn invite(&self, uses: u32, lifetime: Duration) -> Result<SignedInvitation, EnrolError> {
        let identity = self.roster.identity();
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        // The public half of a fresh key is as random as any.
        let random = NodeKey::generate()?.node_id().0;
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&random[..16]);
        let invitation = Invitation {
            owner: identity.owner,
            task: identity.name.clone(),
            aggregator: identity.aggregator,
            addresses: self.addresses.clone(),
            expires: UnixMillis(unix_now().0.saturating_add(lifetime_ms)),
            uses,
            nonce,
        };
        Ok(invitation.sign(&self.owner)?)
    }
}

fn broken(path: &Path) -> impl FnOnce(DataDirError) -> EnrolError + '_ {
    move |error| EnrolError::Io { path: path.to_owned(), source: io::Error::other(error) }
}
