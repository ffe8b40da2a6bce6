//! Who the three parties are: a file that everyone pins, behind a trait that a registry can take over.
//!
//! ```toml
//! [[party]]
//! index = 0
//! node = "64 hexadecimal digits"
//! address = "party.example:11716"
//! operator = "Example Ltd"
//! network = "AS64496"
//! region = "eu-west"
//! ```
//!
//! The node key is what counts: a connection to a party is one to its key. Operator, network and region are what the
//! operators say of themselves; two parties of one owner could read everything together.

mod file;

use std::path::PathBuf;

use neuro_primitives::codec::Writer;
use neuro_primitives::{Hash, NodeId};
use neuro_smpc::party::PartyId;
use serde::{Deserialize, Serialize};

pub use self::file::PartiesFile;

/// The most bytes of a text in an entry: more is no name.
const MAX_TEXT_BYTES: usize = 200;

/// Where the parties of a session are named.
pub trait PartyRegistry: Send + Sync {
    /// The three parties, checked.
    ///
    /// # Errors
    /// Fewer than three, or entries that cannot be.
    fn parties(&self) -> Result<Parties, PartiesError>;
}

/// One party as its operator describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyEntry {
    /// 0, 1 or 2.
    pub index: u8,
    /// Its node key, hexadecimal.
    #[serde(with = "node_text")]
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Who runs it.
    pub operator: String,
    /// In which network it is.
    pub network: String,
    /// Where it is.
    pub region: String,
}

/// What is known so far; the content of a parties file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// One entry a party, in the order of indices.
    #[serde(default, rename = "party")]
    pub entries: Vec<PartyEntry>,
}

/// Three parties with different keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    entries: [PartyEntry; 3],
}

/// Why these are not three parties.
#[derive(Debug, thiserror::Error)]
pub enum PartiesError {
    /// The file cannot be read or written.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is no parties file.
    #[error("{path} is no parties file: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where it is wrong.
        reason: String,
    },
    /// Not everybody is named yet.
    #[error("expected the parties 0, 1 and 2, got {got} of them: {missing} missing")]
    Missing {
        /// How many are named.
        got: usize,
        /// Which are not.
        missing: String,
    },
    /// An index above 2.
    #[error("expected a party's index to be 0, 1 or 2, got {got}")]
    Index {
        /// The index.
        got: u8,
    },
    /// Two entries for one place.
    #[error("party {index} is named twice")]
    IndexTwice {
        /// The place.
        index: u8,
    },
    /// One node in two places: it would hold all three components.
    #[error("parties {first} and {second} have one key: together they would be one who reads everything")]
    OneKey {
        /// One place.
        first: u8,
        /// The other.
        second: u8,
    },
    /// A text that is empty, too long, or would spoil a terminal.
    #[error("party {index}: {what} should have 1 to {MAX_TEXT_BYTES} bytes without control characters")]
    Text {
        /// Whose.
        index: u8,
        /// Which text.
        what: &'static str,
    },
}

impl Draft {
    /// Checks what is there; places may be missing.
    ///
    /// # Errors
    /// An index above 2 or twice, one key twice, a text that is none.
    pub fn check(&self) -> Result<(), PartiesError> {
        for (at, entry) in self.entries.iter().enumerate() {
            if entry.index > 2 {
                return Err(PartiesError::Index { got: entry.index });
            }
            for (what, text) in entry.texts() {
                if text.is_empty() || text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
                    return Err(PartiesError::Text { index: entry.index, what });
                }
            }
            for other in &self.entries[..at] {
                if other.index == entry.index {
                    return Err(PartiesError::IndexTwice { index: entry.index });
                }
                if other.node == entry.node {
                    return Err(PartiesError::OneKey { first: other.index, second: entry.index });
                }
            }
        }
        Ok(())
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When the place or the key is taken already.
    pub fn add(&mut self, entry: PartyEntry) -> Result<(), PartiesError> {
        self.entries.push(entry);
        self.entries.sort_by_key(|entry| entry.index);
        self.check()
    }

    /// The places that nobody has.
    #[must_use]
    pub fn missing(&self) -> Vec<u8> {
        (0..3).filter(|index| self.entries.iter().all(|entry| entry.index != *index)).collect()
    }
}

impl TryFrom<Draft> for Parties {
    type Error = PartiesError;

    fn try_from(mut draft: Draft) -> Result<Self, PartiesError> {
        draft.check()?;
        draft.entries.sort_by_key(|entry| entry.index);
        let missing: Vec<String> = draft.missing().iter().map(u8::to_string).collect();
        let got = draft.entries.len();
        let entries = draft.entries.try_into();
        entries.map(|entries| Self { entries }).map_err(|_| PartiesError::Missing { got, missing: missing.join(", ") })
    }
}

impl Parties {
    /// All three, in order.
    #[must_use]
    pub const fn entries(&self) -> &[PartyEntry; 3] {
        &self.entries
    }

    /// One of them.
    #[must_use]
    pub const fn entry(&self, party: PartyId) -> &PartyEntry {
        &self.entries[party.index()]
    }

    /// Their keys.
    #[must_use]
    pub fn nodes(&self) -> [NodeId; 3] {
        [0, 1, 2].map(|at: usize| self.entries[at].node)
    }

    /// Which party a node is.
    #[must_use]
    pub fn party_of(&self, node: NodeId) -> Option<PartyId> {
        PartyId::ALL.into_iter().find(|party| self.entry(*party).node == node)
    }

    /// Names the whole file: keys, and what the operators say.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut writer = Writer::new();
        writer.text("neuro smpc parties 1");
        for entry in &self.entries {
            writer.u8(entry.index);
            writer.raw(&entry.node.0);
            entry.texts().iter().for_each(|(_, text)| writer.text(text));
        }
        Hash::of(&writer.finish())
    }

    /// What speaks against these three being independent, in sentences.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        for (first, second) in [(0, 1), (0, 2), (1, 2)] {
            let pairs = self.entries[first].texts().into_iter().zip(self.entries[second].texts()).skip(1);
            for ((what, left), (_, right)) in pairs {
                if left == right {
                    doubts.push(format!("parties {first} and {second} have the same {what}: {left}"));
                }
            }
        }
        doubts
    }
}

impl PartyEntry {
    const fn texts(&self) -> [(&'static str, &String); 4] {
        [("address", &self.address), ("operator", &self.operator), ("network", &self.network), ("region", &self.region)]
    }
}

/// Node ids as hexadecimal text.
mod node_text {
    use neuro_primitives::NodeId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(node: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(node)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
