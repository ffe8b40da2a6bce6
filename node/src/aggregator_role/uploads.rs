//! Payloads as they arrive: each in a file of its own, taken up again after a break, complete when its hash is right.
//!
//! A payload is expected once its member has stated its hash and length under its signature; nothing else is taken.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use neuro_network::federated::{ControlError, ControlErrorKind, PayloadStream};
use neuro_primitives::{Hash, NodeId};
use neuro_protocol::federated::{UploadReply, UploadStart};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

use crate::os::private_file;

/// The payloads of one cohort.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    expected: Mutex<HashMap<NodeId, Expected>>,
}

/// What a member stated, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// BLAKE3 of the payload.
    pub payload: Hash,
    /// Its length.
    pub bytes: u64,
    /// Bytes that are held, from the first one on.
    pub held: u64,
    /// Whether all are there, their hash is right, and they are on disk.
    pub complete: bool,
}

impl Uploads {
    /// The payloads below the cohort's folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(cohort_folder: &Path) -> io::Result<Self> {
        let folder = cohort_folder.join("payloads");
        private_file::create_folder(&folder)?;
        Ok(Self { folder, expected: Mutex::new(HashMap::new()) })
    }

    /// Where a member's payload lies.
    #[must_use]
    pub fn path(&self, of: NodeId) -> PathBuf {
        self.folder.join(of.to_string())
    }

    /// Takes chunks of this payload from now on, from the byte on that is held already.
    pub fn await_payload(&self, of: NodeId, payload: Hash, bytes: u64) {
        let held = fs::metadata(self.path(of)).map_or(0, |facts| facts.len());
        // More than was stated is none of this payload.
        let held = if held <= bytes { held } else { 0 };
        let fresh = Expected { payload, bytes, held, complete: false };
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

    /// Takes a member's chunks. Returns how far its payload is then; complete means on disk and of the right hash.
    ///
    /// # Errors
    /// `NotFound` when none is expected; `BadRequest` when the chunks are not those that come next.
    pub async fn receive(
        &self,
        from: NodeId,
        start: &UploadStart,
        mut chunks: PayloadStream,
    ) -> Result<UploadReply, ControlError> {
        let mut expected = self.fitting(from, start)?;
        let path = self.path(from);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(&path).await.map_err(broken)?;
        // What lies beyond was not acknowledged.
        file.set_len(expected.held).await.map_err(broken)?;
        tokio::io::AsyncSeekExt::seek(&mut file, io::SeekFrom::End(0)).await.map_err(broken)?;
        while let Some(chunk) = chunks.next().await {
            // What came before a break stays.
            let Ok(chunk) = chunk else { break };
            if expected.held + chunk.len() as u64 > expected.bytes {
                return Err(bad_request(format!("expected {} bytes of payload, got more", expected.bytes)));
            }
            file.write_all(&chunk).await.map_err(broken)?;
            expected.held += chunk.len() as u64;
        }
        file.flush().await.map_err(broken)?;
        if expected.held == expected.bytes {
            let right = expected.payload;
            let same = tokio::task::spawn_blocking(move || is_on_disk(&path, right)).await;
            expected.complete = same.map_err(|error| broken(io::Error::other(error)))?.map_err(broken)?;
            if !expected.complete {
                // The next attempt begins anew: which byte is wrong is not known.
                expected.held = 0;
            }
        }
        self.lock().insert(from, expected);
        if expected.bytes > 0 && expected.held == 0 {
            return Err(bad_request("the payload's bytes are not those of the signed hash"));
        }
        Ok(UploadReply { held_bytes: expected.held, complete: expected.complete })
    }

    /// What is expected, if `start` is where it goes on.
    fn fitting(&self, from: NodeId, start: &UploadStart) -> Result<Expected, ControlError> {
        let nothing = || ControlError::new(ControlErrorKind::NotFound, "no payload of this node is expected");
        let expected = self.state(from).ok_or_else(nothing)?;
        if start.payload != expected.payload.0 {
            return Err(bad_request("the payload's hash is not the one of the signed statement"));
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

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Expected>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the file's hash is `right`; if so, it is flushed first.
fn is_on_disk(path: &Path, right: Hash) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.sync_all()?;
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finalize().as_bytes() == &right.0)
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
