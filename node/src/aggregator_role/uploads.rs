//! Payloads as they arrive: each in a file of its own, taken up again after a break, complete when its hash is right and it
//! is a vector of the cohort.
//!
//! A payload is expected once its member has stated its hash and length under its signature; nothing else is taken.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use neuro_network::federated::{ControlError, ControlErrorKind, PayloadStream};
use neuro_primitives::{Hash, NodeId};
use neuro_protocol::federated::{UploadReply, UploadStart};
use neuro_secagg::packing::{Modulus, check_form};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

use crate::os::private_file;

/// The payloads of one cohort.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    /// L: entries of a vector.
    entries: usize,
    expected: Mutex<HashMap<NodeId, Expected>>,
    turns: Mutex<HashMap<NodeId, Arc<Turn>>>,
}

/// Held while a payload's file is written or read: the number of the member's newest stream, which alone may write. What was
/// added to the sum has to be the same when it is taken out.
type Turn = tokio::sync::Mutex<u64>;

/// What a member stated, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// BLAKE3 of the payload.
    pub payload: Hash,
    /// Its length.
    pub bytes: u64,
    /// What its entries are taken modulo of.
    pub modulus: Modulus,
    /// Bytes that are held, from the first one on.
    pub held: u64,
    /// Whether all are there, their hash is right, they are a vector, and they are on disk.
    pub complete: bool,
    /// Whether the bytes of the stated hash are no vector: none that come later can be.
    pub unfit: bool,
}

impl Uploads {
    /// The payloads below the cohort's folder, each of `entries` entries.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(cohort_folder: &Path, entries: usize) -> io::Result<Self> {
        let folder = cohort_folder.join("payloads");
        private_file::create_folder(&folder)?;
        Ok(Self { folder, entries, expected: Mutex::default(), turns: Mutex::default() })
    }

    /// Where a member's payload lies.
    #[must_use]
    pub fn path(&self, of: NodeId) -> PathBuf {
        self.folder.join(of.to_string())
    }

    /// Takes chunks of this payload from now on, from the byte on that is held already.
    pub fn await_payload(&self, of: NodeId, payload: Hash, bytes: u64, modulus: Modulus) {
        let held = fs::metadata(self.path(of)).map_or(0, |facts| facts.len());
        // More than was stated is none of this payload.
        let held = if held <= bytes { held } else { 0 };
        let fresh = Expected { payload, bytes, modulus, held, complete: false, unfit: false };
        let mut expected = self.lock();
        let known = expected.entry(of).or_insert(fresh);
        if known.payload != payload || known.bytes != bytes {
            *known = Expected { held: 0, ..fresh };
        }
    }

    /// How far a member's payload is; `None` when none is expected.
    #[must_use]
    pub fn state(&self, of: NodeId) -> Option<Expected> {
        self.lock().get(&of).copied()
    }

    /// Bytes held of all payloads.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.lock().values().map(|expected| expected.held).sum()
    }

    /// Takes a member's chunks, until it sends them in another stream. Returns how far its payload is then; complete means on disk and of the right hash.
    ///
    /// # Errors
    /// `NotFound` when none is expected; `BadRequest` when the chunks are not those that come next, or not a vector.
    pub async fn receive(
        &self,
        from: NodeId,
        start: &UploadStart,
        mut chunks: PayloadStream,
    ) -> Result<UploadReply, ControlError> {
        let turn = Arc::clone(self.turns().entry(from).or_default());
        let mut newest = turn.lock().await;
        let mut expected = self.fitting(from, start)?;
        *newest += 1;
        let mine = *newest;
        let path = self.path(from);
        let mut file = open_at(&path, expected.held).await.map_err(broken)?;
        drop(newest);
        while let Some(chunk) = chunks.next().await {
            // What came before a break stays.
            let Ok(chunk) = chunk else { break };
            if expected.held + chunk.len() as u64 > expected.bytes {
                return Err(bad_request(format!("expected {} bytes of payload, got more", expected.bytes)));
            }
            let _newest = still(&turn, mine).await?;
            file.write_all(&chunk).await.map_err(broken)?;
            // Nothing is left to be written when the turn is over.
            file.flush().await.map_err(broken)?;
            expected.held += chunk.len() as u64;
        }
        let _newest = still(&turn, mine).await?;
        let judged = if expected.held == expected.bytes {
            let read = tokio::task::spawn_blocking(move || read_back(&path)).await;
            let (hash, last) = read.map_err(|error| broken(io::Error::other(error)))?.map_err(broken)?;
            self.judge(&mut expected, hash, last)
        } else {
            Ok(())
        };
        self.lock().insert(from, expected);
        judged.map(|()| UploadReply { held_bytes: expected.held, complete: expected.complete })
    }

    /// Whether all bytes, of this hash and with this byte at their end, are the stated vector. If not, the next attempt begins
    /// anew: which byte is wrong is not known.
    fn judge(&self, expected: &mut Expected, hash: Hash, last: Option<u8>) -> Result<(), ControlError> {
        let length = usize::try_from(expected.bytes).unwrap_or(usize::MAX);
        let judged = match check_form(self.entries, length, last, expected.modulus) {
            _ if hash != expected.payload => Err(bad_request("the payload's bytes are not those of the signed hash")),
            Err(why) => {
                expected.unfit = true;
                Err(bad_request(format!("the payload is no vector of the cohort: {why}")))
            }
            Ok(()) => Ok(()),
        };
        expected.complete = judged.is_ok();
        if judged.is_err() {
            expected.held = 0;
        }
        judged
    }

    /// What is expected, if `start` is where it goes on.
    fn fitting(&self, from: NodeId, start: &UploadStart) -> Result<Expected, ControlError> {
        let nothing = || ControlError::new(ControlErrorKind::NotFound, "no payload of this node is expected");
        let expected = self.state(from).ok_or_else(nothing)?;
        if start.payload != expected.payload.0 {
            return Err(bad_request("the payload's hash is not the one of the signed statement"));
        }
        if expected.unfit {
            return Err(bad_request("the payload of the signed hash is no vector of the cohort"));
        }
        if start.offset != expected.held {
            return Err(bad_request(format!("expected byte {} next, got byte {}", expected.held, start.offset)));
        }
        Ok(expected)
    }

    /// Deletes all payloads.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn wipe(&self) -> io::Result<()> {
        self.lock().clear();
        fs::remove_dir_all(&self.folder)
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<Turn>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Expected>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn, if it is still that of stream `mine`.
async fn still(turn: &Turn, mine: u64) -> Result<tokio::sync::MutexGuard<'_, u64>, ControlError> {
    let newest = turn.lock().await;
    if *newest == mine { Ok(newest) } else { Err(bad_request("a newer upload of this payload took its place")) }
}

/// The file, to go on with at byte `held`: what lies beyond was not acknowledged.
async fn open_at(path: &Path, held: u64) -> io::Result<tokio::fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(path).await?;
    file.set_len(held).await?;
    tokio::io::AsyncSeekExt::seek(&mut file, io::SeekFrom::End(0)).await?;
    Ok(file)
}

/// The file's hash and its last byte, once it is on disk.
fn read_back(path: &Path) -> io::Result<(Hash, Option<u8>)> {
    let mut file = File::open(path)?;
    file.sync_all()?;
    let mut hasher = blake3::Hasher::new();
    let mut last = [0];
    if io::copy(&mut file, &mut hasher)? == 0 {
        return Ok((Hash(*hasher.finalize().as_bytes()), None));
    }
    file.seek(io::SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok((Hash(*hasher.finalize().as_bytes()), Some(last[0])))
}

fn bad_request(message: impl Into<String>) -> ControlError {
    ControlError::new(ControlErrorKind::BadRequest, message)
}

/// This machine's disk, which is none of the member's business.
fn broken(error: io::Error) -> ControlError {
    tracing::error!(%error, "a payload cannot be stored");
    ControlError::new(ControlErrorKind::Internal, "the payload cannot be stored")
}

#[cfg(test)]
mod tests;
