//! PostgreSQL: a server's database, which several orchestrators may share.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use ::postgres::error::SqlState;
use ::postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use ::postgres::{Client, Config, Error, NoTls, Row, Statement};
use bytes::BytesMut;
use neuro_orchestrator::store::StoreError;

use crate::address;
use crate::database::{Database, Value};
use crate::migrations::{self, Migration, VERSION_TABLE};

/// The tables' history.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, sql: include_str!("../migrations/postgres/0001_registry_and_credit.sql") },
    Migration { version: 2, sql: include_str!("../migrations/postgres/0002_whole_vouchers.sql") },
];

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may leave bytes unanswered before it is taken as gone.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a statement may take, waiting for other writers included, in milliseconds.
const SESSION: &str = "SET statement_timeout = 10000; SET application_name = 'neuro'";

/// Begins a transaction and waits until no other store writes. The number is this program's own (`neuro` in ASCII).
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(474215511663)";

/// A server's database.
pub struct Postgres {
    place: String,
    config: Config,
    session: Option<Session>,
    /// Between [`Database::begin`] and its end. A broken connection is not replaced meanwhile: what follows would be
    /// written outside the transaction.
    in_transaction: bool,
}

/// A connection that lives, and its prepared statements.
struct Session {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
}

impl Postgres {
    /// Connects and brings the tables to this program's version.
    pub fn open(mut config: Config) -> Result<Self, StoreError> {
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
        let mut database = Self { place: address::place(&config), config, session: None, in_transaction: false };
        database.begin()?;
        let migrated = database.migrate().and_then(|()| database.commit());
        if migrated.is_err() {
            database.roll_back();
        }
        migrated.map(|()| database)
    }

    /// Applies what is pending, in the transaction that is open.
    fn migrate(&mut self) -> Result<(), StoreError> {
        let found = self.version()?;
        let pending = migrations::pending(MIGRATIONS, found.unwrap_or(0), &self.place)?;
        if found.is_none() {
            let first = format!("{VERSION_TABLE}; INSERT INTO neuro_schema VALUES (0)");
            self.run("write", |session| session.client.batch_execute(&first))?;
        }
        for migration in pending {
            self.run("write", |session| {
                session.client.batch_execute(migration.sql)?;
                session.client.execute("UPDATE neuro_schema SET version = $1", &[&migration.version]).map(drop)
            })?;
        }
        Ok(())
    }

    /// The tables' version; nothing where there are none.
    fn version(&mut self) -> Result<Option<i64>, StoreError> {
        self.run("read", |session| {
            let known = session.client.query_one("SELECT to_regclass('neuro_schema') IS NOT NULL", &[])?;
            if !known.get::<_, bool>(0) {
                return Ok(None);
            }
            Ok(Some(session.client.query_one("SELECT version FROM neuro_schema", &[])?.get(0)))
        })
    }

    /// Runs `work` over a connection, a new one if the last one broke.
    fn run<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&mut Session) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let failed = |error: &Error| failed(&self.place, action, error);
        let mut session = match self.session.take() {
            Some(session) if self.in_transaction || !session.client.is_closed() => session,
            _ => Session::open(&self.config).map_err(|error| failed(&error))?,
        };
        let done = work(&mut session);
        self.session = Some(session);
        done.map_err(|error| failed(&error))
    }
}

impl Session {
    fn open(config: &Config) -> Result<Self, Error> {
        let mut client = config.connect(NoTls)?;
        client.batch_execute(SESSION)?;
        Ok(Self { client, prepared: HashMap::new() })
    }

    fn statement(&mut self, text: &'static str) -> Result<Statement, Error> {
        if let Some(prepared) = self.prepared.get(text) {
            return Ok(prepared.clone());
        }
        let prepared = self.client.prepare(text)?;
        self.prepared.insert(text, prepared.clone());
        Ok(prepared)
    }
}

impl Database for Postgres {
    fn place(&self) -> &str {
        &self.place
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let begun = self.run("write", |session| session.client.batch_execute(BEGIN));
        self.in_transaction = begun.is_ok();
        // The transaction may be open though the lock did not come.
        begun.inspect_err(|_| self.roll_back())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let committed = self.run("write", |session| session.client.batch_execute("COMMIT"));
        self.in_transaction &= committed.is_err();
        committed
    }

    fn roll_back(&mut self) {
        self.in_transaction = false;
        // A transaction goes with its connection.
        self.session.take_if(|session| session.client.batch_execute("ROLLBACK").is_err());
    }

    fn execute(&mut self, statement: &'static str, values: &[Value]) -> Result<(), StoreError> {
        self.run("write", |session| {
            let statement = session.statement(statement)?;
            session.client.execute(&statement, &parameters(values)).map(drop)
        })
    }

    fn rows(&mut self, statement: &'static str, values: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        self.run("read", |session| {
            let statement = session.statement(statement)?;
            let rows = session.client.query(&statement, &parameters(values))?;
            rows.iter().map(row_values).collect()
        })
    }
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn row_values(row: &Row) -> Result<Vec<Value>, Error> {
    (0..row.len()).map(|column| row_value(row, column)).collect()
}

fn row_value(row: &Row, column: usize) -> Result<Value, Error> {
    Ok(match *row.columns()[column].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map(Value::Integer),
        Type::FLOAT8 => row.try_get::<_, Option<f64>>(column)?.map(Value::Real),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Value::Bytes),
        _ => row.try_get::<_, Option<String>>(column)?.map(Value::Text),
    }
    .unwrap_or(Value::Null))
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(integer) => integer.to_sql(kind, out),
            Self::Real(real) => real.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn failed(place: &str, action: &'static str, error: &Error) -> StoreError {
    let remedy = match error.code() {
        Some(&SqlState::DISK_FULL) => "free space on the server's disk",
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => "name the server that accepts writes, not its copy",
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => "let the user create tables and write in this database",
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            "check the user and the password of the URL"
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => "make the database with createdb, or check the URL",
        Some(&SqlState::QUERY_CANCELED) => "find out what keeps the server busy",
        Some(&SqlState::TOO_MANY_CONNECTIONS) => "let the server take more connections",
        _ => "check that PostgreSQL runs and can be reached from here",
    };
    StoreError::Unavailable { place: place.to_owned(), action, reason: reason(error), remedy }
}

/// The server's own words, or the chain of causes where it said none.
fn reason(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => said.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
