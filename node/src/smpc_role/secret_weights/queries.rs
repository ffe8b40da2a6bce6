//! How often each client was told something of a private model. The counts are on disk before anything is told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use neuro_primitives::{Hash, NodeId};

use crate::os::private_file;

/// Counts of queries, a file for each model and client.
pub struct QueryLedger {
    folder: PathBuf,
    /// Held while a count is read and written.
    writing: Mutex<()>,
}

/// Why a session does not begin.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The owner's cap.
    #[error(
        "the owner of this model lets a client key have {cap} tokens; {used} of them are used or reserved, and this \
         session asks for up to {asked}"
    )]
    Reached {
        /// The owner's limit.
        cap: u64,
        /// What was told, and what sessions that run may yet tell.
        used: u64,
        /// What this session may come to.
        asked: u64,
    },
    /// Counts that cannot be kept: then nothing is told.
    #[error("the count of queries cannot be kept: {0}")]
    Io(#[from] io::Error),
}

impl QueryLedger {
    /// Counts in `folder`.
    #[must_use]
    pub fn open(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, writing: Mutex::new(()) })
    }

    /// What `client` has used or reserved of `model`.
    ///
    /// # Errors
    /// A file that cannot be read or is no count.
    pub fn used(&self, model: Hash, client: NodeId) -> Result<u64, QueryError> {
        Ok(count(&self.file(model, client))?)
    }

    /// Reserves `asked` queries for a session. What it does not use is given back when the reservation is dropped; a
    /// process that dies gives nothing back.
    ///
    /// # Errors
    /// More than `cap` in all; a count that cannot be kept.
    pub fn reserve(
        self: &Arc<Self>,
        model: Hash,
        client: NodeId,
        asked: u64,
        cap: u64,
    ) -> Result<Reservation, QueryError> {
        let file = self.file(model, client);
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let used = count(&file)?;
        if used.saturating_add(asked) > cap {
            return Err(QueryError::Reached { cap, used, asked });
        }
        write(&file, used + asked)?;
        Ok(Reservation { ledger: Arc::clone(self), file, unused: asked })
    }

    fn file(&self, model: Hash, client: NodeId) -> PathBuf {
        self.folder.join(format!("{model}-{client}"))
    }
}

/// Queries that a session may make.
pub struct Reservation {
    ledger: Arc<QueryLedger>,
    file: PathBuf,
    unused: u64,
}

impl Reservation {
    /// So many more are used.
    pub const fn spend(&mut self, queries: u64) {
        self.unused = self.unused.saturating_sub(queries);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.unused == 0 {
            return;
        }
        let _writing = self.ledger.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let given_back = count(&self.file).and_then(|used| write(&self.file, used.saturating_sub(self.unused)));
        if let Err(error) = given_back {
            tracing::warn!(%error, "queries that a session did not use could not be given back");
        }
    }
}

fn count(file: &Path) -> io::Result<u64> {
    match std::fs::read_to_string(file) {
        Ok(text) => text.trim_end().parse().map_err(|_| io::Error::other(format!("{} is no count", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn write(file: &Path, count: u64) -> io::Result<()> {
    private_file::replace(file, format!("{count}\n").as_bytes())
}
