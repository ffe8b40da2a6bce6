//! Restart: the journal's inputs through a new core (section 13).

use std::sync::Arc;

use neuro_primitives::NodeKey;

use super::effect::Effect;
use super::journal::EntryError;
use super::{Aggregator, SetupError};
use crate::config::SignedConfig;
use crate::roster::Registry;

/// Why a journal gives no round.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// There is no core for this configuration.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// An entry before the last is not what was written.
    #[error("journal entry {at}: {source}")]
    Entry {
        /// Which entry, from 0.
        at: u64,
        /// What is wrong with it.
        source: EntryError,
    },
}

/// The core after the inputs of `journal`, in the state that it had. A last entry that is torn counts for nothing, since
/// nothing followed from it: the caller cuts its file after [`Aggregator::journal_entries`] entries.
///
/// The phase's clock starts anew with [`super::Input::Start`], which also repeats what the caller may have lost.
///
/// # Errors
/// When there is no such round, or when an entry other than the last is broken.
pub fn replay(
    config: SignedConfig,
    registry: Arc<dyn Registry + Send + Sync>,
    key: NodeKey,
    journal: impl Iterator<Item = Vec<u8>>,
) -> Result<Aggregator, ReplayError> {
    Aggregator::new(config, registry, key)?.replayed(journal)
}

impl Aggregator {
    /// [`replay`] for a core that was made by [`Aggregator::with_modulus`] and has taken no input.
    ///
    /// # Errors
    /// When an entry other than the last is broken.
    pub fn replayed(mut self, journal: impl Iterator<Item = Vec<u8>>) -> Result<Self, ReplayError> {
        let mut entries = journal.peekable();
        while let Some(entry) = entries.next() {
            match self.journal.follow(&entry) {
                Ok((_, input)) => {
                    let mut effects = Vec::new();
                    self.apply(&input, &mut effects);
                    self.proved.extend(effects.into_iter().filter(|effect| matches!(effect, Effect::Blame(_))));
                }
                Err(_) if entries.peek().is_none() => break,
                Err(source) => return Err(ReplayError::Entry { at: self.journal.entries(), source }),
            }
        }
        Ok(self)
    }
}
