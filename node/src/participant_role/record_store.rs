//! One cohort's folder at a participant: the record that makes "signed", "uploaded" and "answered" true.
//!
//! The record is replaced as a whole and flushed, the folder's entry too, before the effect that follows it
//! (docs/spec/secagg.md, section 13). A record that is missing or unreadable means: out of the round.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::os::private_file;

/// Bytes of a record: inboxes of 1,600 shares, a cohort of 4,096 rows, and room to double.
const MAX_RECORD_BYTES: u64 = 8 << 20;

/// The folder of one cohort of one round.
#[derive(Debug, Clone)]
pub struct RecordStore {
    folder: PathBuf,
}

impl RecordStore {
    /// The folder of `cohort` of `round` below the task's folder; made where it is missing.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(task_folder: &Path, round: u64, cohort: u16) -> io::Result<Self> {
        let folder = task_folder.join("rounds").join(round.to_string()).join(cohort.to_string());
        private_file::create_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Cohorts that have a record: those that a restarted participant goes on with.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open_rounds(task_folder: &Path) -> io::Result<Vec<(u64, u16)>> {
        let rounds = numbers_in::<u64>(&task_folder.join("rounds"))?;
        let mut open = Vec::new();
        for round in rounds {
            let folder = task_folder.join("rounds").join(round.to_string());
            let cohorts = numbers_in::<u16>(&folder)?;
            let with_record = |cohort: &u16| folder.join(cohort.to_string()).join("record").is_file();
            open.extend(cohorts.into_iter().filter(with_record).map(|cohort| (round, cohort)));
        }
        open.sort_unstable();
        Ok(open)
    }

    /// The signed roster that the round goes by.
    #[must_use]
    pub fn roster(&self) -> PathBuf {
        self.folder.join("roster")
    }

    /// Keeps the signed roster that the round goes by.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_roster(&self, roster: &[u8]) -> io::Result<()> {
        private_file::replace(&self.roster(), roster)
    }

    /// Where the masked payload lies.
    #[must_use]
    pub fn payload(&self) -> PathBuf {
        self.folder.join("payload")
    }

    /// The trainer's folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn trainer_folder(&self) -> io::Result<PathBuf> {
        let folder = self.folder.join("trainer");
        private_file::create_folder(&folder)?;
        Ok(folder)
    }

    /// Replaces the record, durably: when this returns, a crash of the machine does not undo it.
    ///
    /// # Errors
    /// Those of the operating system: then what depends on it must not happen.
    pub fn save(&self, record: &[u8]) -> io::Result<()> {
        private_file::replace(&self.folder.join("record"), record)
    }

    /// The record; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is larger than any.
    pub fn load(&self) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder.join("record");
        match fs::metadata(&path) {
            Ok(facts) if facts.len() > MAX_RECORD_BYTES => Err(io::ErrorKind::FileTooLarge.into()),
            Ok(_) => fs::read(&path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes everything of the cohort but the fact that it was. A trainer that is just being stopped may still write
    /// into its folder, which holds no secrets of the round: who runs it removes what is left.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn wipe(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.is_dir() { drop(fs::remove_dir_all(&path)) } else { fs::remove_file(&path)? }
        }
        File::open(&self.folder)?.sync_all()
    }
}

/// Names in `folder` that are numbers; none where there is no folder.
fn numbers_in<T: std::str::FromStr>(folder: &Path) -> io::Result<Vec<T>> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().parse().ok()));
            names.filter_map(Result::transpose).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_replaced_whole_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = RecordStore::open(folder.path(), 7, 0).unwrap();
        assert_eq!(store.load().unwrap(), None);
        store.save(b"joined").unwrap();
        store.save(b"signed").unwrap();
        let again = RecordStore::open(folder.path(), 7, 0).unwrap();
        assert_eq!(again.load().unwrap().unwrap(), b"signed");
        assert_eq!(RecordStore::open_rounds(folder.path()).unwrap(), [(7, 0)]);
    }

    #[test]
    fn a_wiped_round_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = RecordStore::open(folder.path(), 7, 2).unwrap();
        store.save(b"secret").unwrap();
        fs::write(store.payload(), b"masked").unwrap();
        fs::write(store.trainer_folder().unwrap().join("global.safetensors"), b"weights").unwrap();
        store.wipe().unwrap();
        assert_eq!(store.load().unwrap(), None);
        assert!(!store.payload().exists());
        assert_eq!(RecordStore::open_rounds(folder.path()).unwrap(), []);
    }
}
