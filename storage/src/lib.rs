//! The orchestrator's store in SQLite and PostgreSQL.
//!
//! Which records there are and which rules they keep is `neuro_orchestrator::store`'s to say. Here is where they lie:
//!
//! ```text
//! open(address) ─▶ Address ─▶ Sqlite ──┐
//!                         └─▶ Postgres ─┤ trait Database: values in, rows out
//!                                       └─▶ SqlStore: statements and records, the same for both
//! ```
//!
//! Both databases understand the statements as they are written; only connections, migrations and the meaning of errors
//! differ. One writer at a time: SQLite has one anyway, in PostgreSQL commits take an advisory lock. So statements need
//! not think of others, and orchestrators that share a database cannot wait for each other in a circle.
//!
//! What is committed survives the end of the process, however it ends. In SQLite the last batches before a power cut
//! may be missing, whole ones from the end.

mod address;
mod database;
mod migrations;
mod postgres;
mod records;
mod sqlite;
mod statements;
mod store;

use neuro_orchestrator::store::{Store, StoreError};

use crate::address::Address;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::store::SqlStore;

/// Opens the store at `address`: a path or `sqlite:PATH` (made if it is not there), or `postgres://…`. Its tables are
/// brought to this program's version.
///
/// # Errors
/// [`StoreError::Address`] for anything else; [`StoreError::Newer`] for the tables of a newer program;
/// [`StoreError::Insecure`] where a password and records would travel in the clear; [`StoreError::Unavailable`] when the
/// place cannot be reached or written.
pub fn open(address: &str) -> Result<Box<dyn Store>, StoreError> {
    match Address::parse(address)? {
        Address::Sqlite(path) => Ok(Box::new(SqlStore::new(Sqlite::open(&path)?))),
        Address::Postgres(config) => Ok(Box::new(SqlStore::new(Postgres::open(*config)?))),
    }
}
