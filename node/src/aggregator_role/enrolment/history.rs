//! Which invitation enrolled whom, and who was revoked: a list that only grows.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{EnrolError, at};
use crate::os::private_file;

/// One line of `enrolled.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(super) enum Event {
    /// An invitation enrolled a node.
    Enrolled {
        /// The invitation's nonce, hexadecimal.
        invitation: String,
        /// The node, hexadecimal.
        node: String,
        /// When, in milliseconds since the Unix epoch.
        unix_ms: u64,
    },
    /// The owner took a node off the roster.
    Revoked {
        /// The node, hexadecimal.
        node: String,
        /// When, in milliseconds since the Unix epoch.
        unix_ms: u64,
    },
}

/// The file.
pub(super) struct History {
    path: PathBuf,
}

/// What stands in it.
pub(super) struct Events(Vec<Event>);

impl History {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn append(&self, event: &Event) -> Result<(), EnrolError> {
        let line = serde_json::to_string(event).map_err(io::Error::other).map_err(at(&self.path))?;
        private_file::append_line(&self.path, &line).map_err(at(&self.path))
    }

    pub(super) fn read(&self) -> Result<Events, EnrolError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(Events(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Events(Vec::new())),
            Err(error) => Err(at(&self.path)(error)),
        }
    }
}

impl Events {
    /// Whether the node was ever revoked. Only the owner lists such a node again, by its key.
    pub(super) fn is_revoked(&self, node: &str) -> bool {
        self.0.iter().any(|event| matches!(event, Event::Revoked { node: revoked, .. } if revoked == node))
    }

    /// How many nodes the invitation with this nonce has enrolled.
    pub(super) fn enrolled_by(&self, nonce: &str) -> usize {
        let by_it = |event: &&Event| matches!(event, Event::Enrolled { invitation, .. } if invitation == nonce);
        self.0.iter().filter(by_it).count()
    }
}
