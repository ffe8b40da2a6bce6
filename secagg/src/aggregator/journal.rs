//! The journal: the inputs that changed the round, each bound to all before it (section 13).
//!
//! An entry is milliseconds since the round began u64 ‖ the input's canonical bytes ‖ link 32, where link =
//! BLAKE3(the link before ‖ the entry's bytes before its own link). The first entry's link before is the config hash.
//! The caller frames entries in its file and flushes each before it carries out the effects that follow.

use std::time::Duration;

use neuro_primitives::Hash;
use neuro_primitives::clock::Moment;
use neuro_primitives::codec::{CodecError, Reader, Writer};

use super::input::Input;

/// The last link of a journal and the moment that its milliseconds count from.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    link: Hash,
    began: Option<Moment>,
    entries: u64,
}

/// An entry that does not follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The entry is not in the canonical form.
    #[error(transparent)]
    Form(#[from] CodecError),
    /// The entry holds an input that this version does not know.
    #[error("an input of unknown kind")]
    UnknownInput,
    /// The entry is not the one that was written after the one before it.
    #[error("expected a link to {expected:?}, got {got:?}")]
    Link {
        /// The link that the entry should carry.
        expected: Hash,
        /// The link that it carries.
        got: Hash,
    },
}

impl Journal {
    /// An empty journal of the round with this configuration.
    pub(super) const fn new(config: Hash) -> Self {
        Self { link: config, began: None, entries: 0 }
    }

    /// How many entries there are.
    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    /// The bytes of the next entry.
    pub(super) fn append(&mut self, now: Moment, input: &Input) -> Vec<u8> {
        let began = *self.began.get_or_insert(now);
        let mut entry = Writer::new();
        entry.u64(u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX));
        input.encode(&mut entry);
        let mut entry = entry.finish();
        self.advance(&entry);
        entry.extend_from_slice(&self.link.0);
        entry
    }

    /// Reads an entry and takes it as the last one.
    pub(super) fn follow(&mut self, entry: &[u8]) -> Result<(Moment, Input), EntryError> {
        let mut reader = Reader::new(entry);
        let moment = Moment::default().after(Duration::from_millis(reader.u64()?));
        let input = Input::decode(&mut reader)?.ok_or(EntryError::UnknownInput)?;
        let fields = &entry[..entry.len() - reader.left()];
        let got = Hash(reader.array()?);
        reader.finish()?;
        let expected = next_link(&self.link, fields);
        if got != expected {
            return Err(EntryError::Link { expected, got });
        }
        self.advance(fields);
        Ok((moment, input))
    }

    fn advance(&mut self, fields: &[u8]) {
        self.link = next_link(&self.link, fields);
        self.entries += 1;
    }
}

fn next_link(before: &Hash, fields: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0).update(fields);
    Hash(*hasher.finalize().as_bytes())
}
