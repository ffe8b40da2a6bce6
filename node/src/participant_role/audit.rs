//! The audit log: what left this machine, and when.
//!
//! One JSON object a line in `audit.jsonl`, on disk before the bytes go out. The log is only ever appended to, and it
//! stays when a round's files are wiped.

use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::{Hash, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::os::private_file;

/// What left this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// Keys and commitments: a join.
    Join,
    /// The nonce of the graph's seed.
    Reveal,
    /// Sealed shares of this round's secrets.
    Shares,
    /// Which sealed shares were bad.
    Received,
    /// The signed statement of an upload.
    Statement,
    /// The masked update.
    Payload,
    /// A vote for a survivor set.
    Vote,
    /// Shares that unmask the sum.
    Answer,
    /// A message of another kind.
    Message,
}

impl Left {
    /// What a message is, by the number of its step in the specification.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        match message.first() {
            Some(1) => Self::Join,
            Some(2) => Self::Reveal,
            Some(3) => Self::Shares,
            Some(4) => Self::Received,
            Some(5) => Self::Statement,
            Some(6) => Self::Vote,
            Some(7) => Self::Answer,
            _ => Self::Message,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Milliseconds since the Unix epoch.
    pub time_unix_ms: u64,
    /// The round.
    pub round: u64,
    /// The cohort.
    pub cohort: u16,
    /// What left.
    pub left: Left,
    /// How many bytes.
    pub bytes: u64,
    /// Their BLAKE3 hash, hexadecimal.
    pub hash: String,
}

/// The log of one task.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    /// The log in the task's folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("audit.jsonl") }
    }

    /// Notes that `bytes` bytes with hash `hash` are about to leave. They may leave once this has returned.
    ///
    /// # Errors
    /// When the line is not on disk: then nothing may leave.
    pub fn note(&self, at: UnixMillis, round: u64, cohort: u16, left: Left, bytes: u64, hash: Hash) -> io::Result<()> {
        let line = AuditLine { time_unix_ms: at.0, round, cohort, left, bytes, hash: hash.to_string() };
        private_file::append_line(&self.path, &serde_json::to_string(&line).map_err(io::Error::other)?)
    }

    /// All lines that can be read, oldest first.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn lines(&self) -> io::Result<Vec<AuditLine>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_is_on_disk_in_order_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::new(folder.path());
        assert_eq!(log.lines().unwrap(), []);
        log.note(UnixMillis(5), 3, 0, Left::Join, 226, Hash::of(b"join")).unwrap();
        log.note(UnixMillis(6), 3, 0, Left::Payload, 3_250_000, Hash::of(b"payload")).unwrap();
        let lines = log.lines().unwrap();
        assert_eq!(lines.iter().map(|line| line.left).collect::<Vec<_>>(), [Left::Join, Left::Payload]);
        assert_eq!((lines[1].bytes, lines[1].hash.clone()), (3_250_000, Hash::of(b"payload").to_string()));
        assert_eq!(private_file::exposed_mode(&folder.path().join("audit.jsonl")).unwrap(), None);
    }

    #[test]
    fn what_is_not_on_disk_may_not_leave() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::new(&folder.path().join("missing"));
        assert!(log.note(UnixMillis(5), 3, 0, Left::Join, 1, Hash::of(b"")).is_err());
    }
}
