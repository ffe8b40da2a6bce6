//! Numbered changes of the tables, applied in order and each once.

use neuro_orchestrator::store::StoreError;

/// One change. Once released, its text never changes; a correction is the next number.
pub struct Migration {
    /// Its number, from 1.
    pub version: i64,
    /// Its statements.
    pub sql: &'static str,
}

/// The statement of both databases that makes the table with the version.
pub const VERSION_TABLE: &str = "CREATE TABLE neuro_schema (version BIGINT NOT NULL)";

/// What is left to do at `place`, whose tables have the version `found`.
///
/// # Errors
/// [`StoreError::Newer`] when `found` is not known here.
pub fn pending<'a>(all: &'a [Migration], found: i64, place: &str) -> Result<&'a [Migration], StoreError> {
    let known = all.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(StoreError::Newer { place: place.to_owned(), got: found, known });
    }
    Ok(&all[all.partition_point(|migration| migration.version <= found)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Migration; 2] = [Migration { version: 1, sql: "one" }, Migration { version: 2, sql: "two" }];

    #[test]
    fn each_is_applied_once_and_in_order() {
        let left = |found| pending(&ALL, found, "here").map(|left| left.iter().map(|m| m.sql).collect::<Vec<_>>());
        assert_eq!(left(0).unwrap(), ["one", "two"]);
        assert_eq!(left(1).unwrap(), ["two"]);
        assert_eq!(left(2).unwrap(), [""; 0]);
        assert_eq!(left(3), Err(StoreError::Newer { place: "here".to_owned(), got: 3, known: 2 }));
    }

    /// Both databases are at the same version, and the numbers of the files are theirs.
    #[test]
    fn both_databases_have_the_same_versions() {
        let versions = |all: &[Migration]| all.iter().map(|migration| migration.version).collect::<Vec<_>>();
        assert_eq!(versions(crate::sqlite::MIGRATIONS), versions(crate::postgres::MIGRATIONS));
        assert_eq!(
            versions(crate::sqlite::MIGRATIONS),
            (1..).take(crate::sqlite::MIGRATIONS.len()).collect::<Vec<_>>()
        );
    }
}
