//! A place for a store that a test may break on purpose.

use std::path::PathBuf;

use neuro_orchestrator::store::{Store, StoreError};

/// Somewhere a store can be opened, again and again.
pub trait Place {
    /// Opens what is there.
    fn open(&self) -> Result<Box<dyn Store>, StoreError>;

    /// Runs a statement past the store.
    fn run(&self, statement: &str);
}

/// A file of its own.
pub struct File {
    folder: tempfile::TempDir,
}

impl File {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.sqlite")
    }
}

impl Place for File {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        neuro_storage::open(&format!("sqlite:{}", self.path().display()))
    }

    fn run(&self, statement: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(statement).unwrap();
    }
}

/// One database of a server, by its URL.
pub struct DatabaseOfServer(pub String);

impl Place for DatabaseOfServer {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        neuro_storage::open(&self.0)
    }

    fn run(&self, statement: &str) {
        let mut client = postgres::Client::connect(&self.0, postgres::NoTls).unwrap();
        client.batch_execute(statement).unwrap();
    }
}
