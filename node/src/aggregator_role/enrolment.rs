//! Who may take part: the task's roster on disk, and what changes it.
//!
//! The roster is signed by the model owner; whoever holds the owner's key may list and revoke nodes, from this process
//! or another. An invitation that the owner signed lets its bearer be listed by a process that has the key, so many
//! times as it says, and never a node that was revoked.
//!
//! | File | Holds |
//! |---|---|
//! | `roster` | the signed roster, replaced as a whole |
//! | `enrolled.jsonl` | which invitation enrolled whom, and who was revoked |
//! | `roster.lock` | held while the roster is changed |

mod draw;
mod error;
mod history;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use neuro_primitives::{Hash, NodeId, NodeKey, UnixMillis};
use neuro_protocol::federated::SignedInvitation;
use neuro_secagg::roster::{Pin, Registry, Roster, RosterFields, RosterMember, SignedRoster, task_id};

use crate::os::private_file;
pub use error::EnrolError;
use history::{Event, History};

/// How long a roster holds before its owner has to sign again: participants refuse an expired one.
const ROSTER_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a task is called and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIdentity {
    /// Its name.
    pub name: String,
    /// The model owner.
    pub owner: NodeId,
    /// The node that runs rounds.
    pub aggregator: NodeId,
    /// How many batches new members are spread over, at least 1.
    pub batches: u16,
}

impl TaskIdentity {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> Hash {
        task_id(self.owner, &self.name)
    }
}

/// What changes a roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterChange {
    /// Lists a node; one that is listed stays in its batch.
    List(NodeId),
    /// Takes a node off.
    Revoke(NodeId),
}

/// The roster of one task, shared by all who ask.
#[derive(Debug)]
pub struct RosterKeeper {
    folder: PathBuf,
    identity: TaskIdentity,
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    roster: Arc<Roster>,
    encoded: Arc<[u8]>,
}

impl RosterKeeper {
    /// Opens the roster in the task's folder; with the owner's key, makes an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read or is not the owner's.
    pub fn open(
        folder: &Path,
        identity: TaskIdentity,
        owner: Option<&NodeKey>,
        now: UnixMillis,
    ) -> Result<Self, EnrolError> {
        let path = folder.join("roster");
        let fields = RosterFields {
            task_name: identity.name.clone(),
            owner: identity.owner,
            aggregator: identity.aggregator,
            version: 1,
            issued: now,
            expires: expiry(now),
            members: Vec::new(),
        };
        if !path.exists() {
            let missing = || EnrolError::NoRoster { task_file: folder.join("task.json") };
            let signed = Roster::new(fields)?.sign(owner.ok_or_else(missing)?)?;
            private_file::create_new(&path, &signed.encode()).or_else(first_was_enough).map_err(at(&path))?;
        }
        let current = RwLock::new(read(&path, &identity, now)?);
        Ok(Self { folder: folder.to_owned(), identity, current })
    }

    /// Puts a roster into the task's folder that its owner signed on another machine. An aggregator that runs takes it
    /// up by itself. Returns its version.
    ///
    /// # Errors
    /// When it is not the owner's for this task, or older than the one that is here.
    pub fn put(folder: &Path, identity: &TaskIdentity, bytes: &[u8], now: UnixMillis) -> Result<u64, EnrolError> {
        let _lock = lock(folder)?;
        let path = folder.join("roster");
        let newest = match path.exists() {
            true => Some(read(&path, identity, now)?.roster.version()),
            false => None,
        };
        let pin = Pin { owner: identity.owner, task: identity.id(), newest };
        let roster = SignedRoster::decode(bytes)?.verify(|signed| signed.check(&pin, now))?;
        private_file::replace(&path, bytes).map_err(at(&path))?;
        Ok(roster.fields().version)
    }

    /// The task's name, owner and aggregator.
    #[must_use]
    pub const fn identity(&self) -> &TaskIdentity {
        &self.identity
    }

    /// The newest roster.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).roster)
    }

    /// The same with its signature, as it is sent.
    #[must_use]
    pub fn encoded(&self) -> Arc<[u8]> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).encoded)
    }

    /// Whether the roster lists `node`.
    #[must_use]
    pub fn lists(&self, node: NodeId) -> bool {
        self.current.read().unwrap_or_else(PoisonError::into_inner).roster.batch_of(node).is_some()
    }

    /// Takes over what another process has written. Returns whether there was something.
    ///
    /// # Errors
    /// When the new file cannot be read; the old roster stays then.
    pub fn refresh(&self, now: UnixMillis) -> Result<bool, EnrolError> {
        let path = self.folder.join("roster");
        // A file's time is too coarse to tell two changes apart.
        if fs::read(&path).map_err(at(&path))?[..] == self.encoded()[..] {
            return Ok(false);
        }
        let newer = read(&path, &self.identity, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = newer;
        Ok(true)
    }

    /// Changes the roster: a new version, signed by the owner, on disk when this returns.
    ///
    /// # Errors
    /// When `owner` is not the owner's key, or the file cannot be written.
    pub fn change(&self, owner: &NodeKey, changes: &[RosterChange], now: UnixMillis) -> Result<(), EnrolError> {
        let _lock = self.lock()?;
        self.refresh(now)?;
        let mut fields = self.roster().fields().clone();
        for change in changes {
            match *change {
                RosterChange::List(node) => self.list(&mut fields, node)?,
                RosterChange::Revoke(node) => {
                    fields.members.retain(|member| member.node != node);
                    self.history().append(&Event::Revoked { node: node.to_string(), unix_ms: now.0 })?;
                }
            }
        }
        self.replace(owner, fields, now)
    }

    /// Lets `peer` in by an invitation, if it is not in yet. `owner` is the owner's key, if it is here.
    ///
    /// # Errors
    /// When the invitation does not let it in; `OwnerAway` when it would and the key is not here.
    pub fn enrol(
        &self,
        owner: Option<&NodeKey>,
        peer: NodeId,
        invitation: &str,
        now: UnixMillis,
    ) -> Result<(), EnrolError> {
        if self.lists(peer) {
            return Ok(());
        }
        if invitation.is_empty() {
            return Err(EnrolError::NotInvited(peer));
        }
        let signed = SignedInvitation::from_text(invitation)?;
        let invitation = signed.verify_for(self.identity.owner, &self.identity.name, now)?;
        let owner = owner.ok_or(EnrolError::OwnerAway(peer))?;
        let _lock = self.lock()?;
        self.refresh(now)?;
        if self.lists(peer) {
            return Ok(());
        }
        let nonce = data_encoding::HEXLOWER.encode(&invitation.nonce);
        let events = self.history().read()?;
        if events.is_revoked(&peer.to_string()) {
            return Err(EnrolError::Revoked(peer));
        }
        if invitation.uses == 0 {
            return Err(EnrolError::OwnerAway(peer));
        }
        if events.enrolled_by(&nonce) >= invitation.uses as usize {
            return Err(EnrolError::UsedUp { uses: invitation.uses });
        }
        self.history().append(&Event::Enrolled { invitation: nonce, node: peer.to_string(), unix_ms: now.0 })?;
        let mut fields = self.roster().fields().clone();
        self.list(&mut fields, peer)?;
        self.replace(owner, fields, now)
    }

    /// Adds `node` in a batch drawn at random: false identities that enrol together are spread over batches.
    fn list(&self, fields: &mut RosterFields, node: NodeId) -> Result<(), EnrolError> {
        if let Err(place) = fields.members.binary_search_by_key(&node, |member| member.node) {
            let batch = draw::batch(self.identity.batches)?;
            fields.members.insert(place, RosterMember { node, batch });
        }
        Ok(())
    }

    fn replace(&self, owner: &NodeKey, fields: RosterFields, now: UnixMillis) -> Result<(), EnrolError> {
        let version = fields.version + 1;
        let signed = Roster::new(RosterFields { version, issued: now, expires: expiry(now), ..fields })?.sign(owner)?;
        let path = self.folder.join("roster");
        private_file::replace(&path, &signed.encode()).map_err(at(&path))?;
        let newer = read(&path, &self.identity, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = newer;
        Ok(())
    }

    fn history(&self) -> History {
        History::new(self.folder.join("enrolled.jsonl"))
    }

    fn lock(&self) -> Result<File, EnrolError> {
        lock(&self.folder)
    }
}

/// Only one process changes the roster at a time; the lock goes with the file handle.
fn lock(folder: &Path) -> Result<File, EnrolError> {
    let path = folder.join("roster.lock");
    let file = File::create(&path).map_err(at(&path))?;
    file.lock().map_err(at(&path))?;
    Ok(file)
}

fn read(path: &Path, identity: &TaskIdentity, now: UnixMillis) -> Result<Current, EnrolError> {
    let bytes = fs::read(path).map_err(at(path))?;
    let pin = Pin { owner: identity.owner, task: identity.id(), newest: None };
    let roster = SignedRoster::decode(&bytes)?.verify(|signed| signed.check(&pin, now))?;
    Ok(Current { roster: Arc::new(roster), encoded: bytes.into() })
}

fn expiry(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_add(u64::try_from(ROSTER_LIFETIME.as_millis()).unwrap_or(u64::MAX)))
}

/// Two processes that start at once agree on one file.
fn first_was_enough(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> EnrolError + '_ {
    move |source| EnrolError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
