//! SQLite: a file beside the program, for one orchestrator.

use std::path::Path;
use std::time::Duration;

use neuro_orchestrator::store::StoreError;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

use crate::database::{Database, Value};
use crate::migrations::{self, Migration, VERSION_TABLE};

/// The tables' history.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, sql: include_str!("../migrations/sqlite/0001_registry_and_credit.sql") },
    Migration { version: 2, sql: include_str!("../migrations/sqlite/0002_whole_vouchers.sql") },
];

/// How long a statement waits for another program that holds the file. Longer than a copy of a small database takes;
/// doubled, whoever asks for credit meanwhile waits twice as long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Readers are not in the writer's way (WAL). A commit survives the end of the process; the disk is told to keep it at
/// checkpoints only.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;";

const MAKE_WRITABLE: &str = "make the file and its folder writable for this user";

/// A file's database.
pub struct Sqlite {
    place: String,
    connection: Connection,
}

impl Sqlite {
    /// Opens the file, makes it if it is not there, and brings its tables to this program's version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open_with(path, flags)
    }

    fn open_with(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&place, "open", &error))?;
        let mut database = Self { place, connection };
        database.run("open", |connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.execute_batch(SETTINGS)
        })?;
        database.check_writable()?;
        database.begin()?;
        let migrated = database.migrate().and_then(|()| database.commit());
        if migrated.is_err() {
            database.roll_back();
        }
        migrated.map(|()| database)
    }

    /// SQLite opens what it may not write, and would say so at the first commit only.
    fn check_writable(&self) -> Result<(), StoreError> {
        if !self.run("open", |connection| connection.is_readonly("main"))? {
            return Ok(());
        }
        let (place, reason) = (self.place.clone(), "it is read-only".to_owned());
        Err(StoreError::Unavailable { place, action: "write", reason, remedy: MAKE_WRITABLE })
    }

    /// Applies what is pending, in the transaction that is open.
    fn migrate(&mut self) -> Result<(), StoreError> {
        let found = self.version()?;
        let pending = migrations::pending(MIGRATIONS, found.unwrap_or(0), &self.place)?;
        if found.is_none() {
            let first = format!("{VERSION_TABLE}; INSERT INTO neuro_schema VALUES (0)");
            self.run("write", |connection| connection.execute_batch(&first))?;
        }
        for migration in pending {
            self.run("write", |connection| {
                connection.execute_batch(migration.sql)?;
                connection.execute("UPDATE neuro_schema SET version = ?1", [migration.version]).map(drop)
            })?;
        }
        Ok(())
    }

    /// The tables' version; nothing for an empty file. The database of another program is left alone.
    fn version(&self) -> Result<Option<i64>, StoreError> {
        let count = |sql: &str| self.run("read", |c| c.query_row(sql, [], |row| row.get::<_, i64>(0)));
        if count("SELECT count(*) FROM sqlite_schema WHERE name = 'neuro_schema'")? > 0 {
            return count("SELECT version FROM neuro_schema").map(Some);
        }
        match count("SELECT count(*) FROM sqlite_schema")? {
            0 => Ok(None),
            tables => Err(StoreError::Damaged {
                place: self.place.clone(),
                what: format!("expected an empty file or a store, found {tables} tables and indexes of something else"),
            }),
        }
    }

    fn run<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        work(&self.connection).map_err(|error| failed(&self.place, action, &error))
    }
}

impl Database for Sqlite {
    fn place(&self) -> &str {
        &self.place
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.run("write", |connection| connection.execute_batch("BEGIN IMMEDIATE"))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.run("write", |connection| connection.execute_batch("COMMIT"))
    }

    fn roll_back(&mut self) {
        // Some errors have ended the transaction already; then there is nothing to undo.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    fn execute(&mut self, statement: &'static str, values: &[Value]) -> Result<(), StoreError> {
        self.run("write", |connection| {
            connection.prepare_cached(statement)?.execute(params_from_iter(values)).map(drop)
        })
    }

    fn rows(&mut self, statement: &'static str, values: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        self.run("read", |connection| {
            let mut prepared = connection.prepare_cached(statement)?;
            let columns = prepared.column_count();
            let rows = prepared.query_map(params_from_iter(values), |row| {
                (0..columns).map(|column| row.get_ref(column).map(value)).collect()
            })?;
            rows.collect()
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Real(real) => ValueRef::Real(*real),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value(column: ValueRef<'_>) -> Value {
    match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

fn failed(place: &str, action: &'static str, error: &rusqlite::Error) -> StoreError {
    let (place, reason) = (place.to_owned(), error.to_string());
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return StoreError::Damaged { place, what: reason };
        }
        Some(ErrorCode::DiskFull) => "free space on the disk",
        Some(ErrorCode::ReadOnly) => MAKE_WRITABLE,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "check that the folder is there and that this user may write in it"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "end the other program that holds the file",
        _ => "check the disk, or name another store",
    };
    StoreError::Unavailable { place, action, reason, remedy }
}

#[cfg(test)]
mod tests {
    use neuro_orchestrator::Standing;
    use neuro_orchestrator::store::{Batch, BatchId, Hardware, Store, WorkerRecord};
    use neuro_primitives::NodeId;

    use super::*;
    use crate::store::SqlStore;

    /// A worker whose name is so long.
    fn batch(sequence: u64, name_bytes: usize) -> Batch {
        let id = BatchId { writer: NodeId([9; 32]), sequence, run: 1 };
        let worker = WorkerRecord {
            id: NodeId([sequence as u8; 32]),
            name: "n".repeat(name_bytes),
            team: None,
            hardware: Hardware::default(),
            first_seen_s: 1,
            last_seen_s: 1,
            standing: Standing::default(),
            excluded: None,
        };
        Batch { workers: vec![worker], ..Batch::empty(id, 1) }
    }

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        (folder, path)
    }

    #[test]
    fn a_full_disk_fails_a_commit_whole_and_says_what_to_do() {
        let (_folder, path) = file();
        let database = Sqlite::open(&path).unwrap();
        database.connection.execute_batch("PRAGMA max_page_count = 40").unwrap();
        let mut store = SqlStore::new(database);
        store.commit(&batch(1, 10)).unwrap();
        let full = store.commit(&batch(2, 1 << 20)).unwrap_err();
        assert!(full.is_retryable() && full.remedy().contains("free space"), "{full}");
        assert_eq!(store.workers().unwrap().len(), 1);
        store.commit(&batch(2, 10)).unwrap();
        assert_eq!(store.workers().unwrap().len(), 2, "once there is space it goes on");
    }

    #[test]
    fn a_file_that_cannot_be_written_says_what_to_do() {
        let (_folder, path) = file();
        drop(Sqlite::open(&path).unwrap());
        let read_only = Sqlite::open_with(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).err().unwrap();
        assert!(read_only.remedy().contains("writable"), "{read_only}");
        let nowhere = Sqlite::open(Path::new("/nowhere/at/all.sqlite")).err().unwrap();
        assert!(nowhere.to_string().contains("/nowhere/at/all.sqlite"), "{nowhere}");
        assert!(nowhere.remedy().contains("folder"), "{nowhere}");
    }

    #[test]
    fn what_is_no_store_is_left_alone() {
        let (_folder, path) = file();
        std::fs::write(&path, "Dear diary, today nothing happened. ".repeat(100)).unwrap();
        assert!(matches!(Sqlite::open(&path).err().unwrap(), StoreError::Damaged { .. }));
        let (_folder, path) = file();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
        let other = Sqlite::open(&path).err().unwrap();
        assert!(other.to_string().contains("something else"), "{other}");
        let tables =
            Connection::open(&path).unwrap().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
        assert_eq!(tables, Ok(1_i64));
    }
}
