//! What a participant remembers of a task: rounds that it joined, sums that it helped to open. `past.json`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::UnixMillis;
use neuro_secagg::floors::Past;
use serde::{Deserialize, Serialize};

use crate::os::private_file;

/// The file, and what stands in it.
#[derive(Debug)]
pub struct PastFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Content {
    /// The greatest round that was joined, and its cohorts.
    newest_round: Option<(u64, BTreeSet<u16>)>,
    /// Releases: round, cohort, and when.
    releases: Vec<(u64, u16, u64)>,
}

impl PastFile {
    /// The past in the task's folder; an empty one before the first round.
    ///
    /// # Errors
    /// When the file is there and cannot be read: then nothing is joined, since what was spent is not known.
    pub fn open(task_folder: &Path) -> io::Result<Self> {
        let path = task_folder.join("past.json");
        let content = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, content })
    }

    /// What the floors ask about, for a round without noise.
    #[must_use]
    pub fn at(&self, now: UnixMillis) -> Past {
        let Content { newest_round, releases } = &self.content;
        let releases = releases.iter().map(|&(_, _, at)| UnixMillis(at)).collect();
        Past { newest_round: newest_round.clone(), releases, ..Past::none(now) }
    }

    /// Remembers that a cohort was joined, durably: before anything of it leaves.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn joined(&mut self, round: u64, cohort: u16) -> io::Result<()> {
        match &mut self.content.newest_round {
            Some((newest, cohorts)) if *newest == round => drop(cohorts.insert(cohort)),
            newest => *newest = Some((round, BTreeSet::from([cohort]))),
        }
        self.save()
    }

    /// Charges a release, durably; the same round and cohort again changes nothing.
    ///
    /// # Errors
    /// When it cannot be written: then the answer must not leave.
    pub fn charge(&mut self, round: u64, cohort: u16, now: UnixMillis) -> io::Result<()> {
        if self.content.releases.iter().any(|&(r, c, _)| (r, c) == (round, cohort)) {
            return Ok(());
        }
        self.content.releases.push((round, cohort, now.0));
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        private_file::replace(&self.path, &serde_json::to_vec(&self.content).map_err(io::Error::other)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_rounds_and_releases_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut past = PastFile::open(folder.path()).unwrap();
        past.joined(3, 0).unwrap();
        past.joined(3, 2).unwrap();
        past.charge(3, 0, UnixMillis(50)).unwrap();
        past.charge(3, 0, UnixMillis(60)).unwrap();
        let past = PastFile::open(folder.path()).unwrap().at(UnixMillis(100));
        assert_eq!(past.newest_round, Some((3, BTreeSet::from([0, 2]))));
        assert_eq!(past.releases, [UnixMillis(50)]);
    }

    #[test]
    fn a_past_that_cannot_be_read_is_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("past.json"), b"{").unwrap();
        assert!(PastFile::open(folder.path()).is_err());
    }
}
