//! What a round began with, on disk: `rounds/NUMBER/{start, roster}` and each cohort's configuration.
//!
//! `start` is written last, so a round without it never began: nobody has heard of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::BatchInfo;
use neuro_primitives::{Hash, UnixMillis};
use neuro_secagg::config::SignedConfig;
use serde::{Deserialize, Serialize};

use crate::aggregator_role::cohort::CohortFolder;
use crate::os::private_file;

/// What the task's server is told of a round's beginning: the same whenever it is asked again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beginning {
    /// When.
    pub(super) began: UnixMillis,
    /// Random bytes.
    pub(super) random: [u8; 32],
    /// The roster's batches, ascending, and who was there.
    pub(super) open: Vec<BatchInfo>,
}

#[derive(Serialize, Deserialize)]
struct StartFile {
    began_unix_ms: u64,
    random: String,
    cohorts: u16,
    /// Number, members, present, capability.
    batches: Vec<(u16, u32, u32, u64)>,
}

/// The folder of one round.
pub(super) struct RoundFolder {
    task_folder: PathBuf,
    number: u64,
}

impl RoundFolder {
    pub(super) fn new(task_folder: &Path, number: u64) -> Self {
        Self { task_folder: task_folder.to_owned(), number }
    }

    fn path(&self) -> PathBuf {
        self.task_folder.join("rounds").join(self.number.to_string())
    }

    /// The folder of one of its cohorts, made where it is missing.
    pub(super) fn cohort(&self, cohort: u16) -> io::Result<CohortFolder> {
        CohortFolder::open(&self.task_folder, self.number, cohort)
    }

    /// Keeps everything, durably: before anybody hears of the round.
    pub(super) fn keep(&self, beginning: &Beginning, roster: &[u8], configs: &[SignedConfig]) -> io::Result<()> {
        private_file::create_folder(&self.path())?;
        for config in configs {
            self.cohort(config.config().cohort)?.keep_config(&config.encode())?;
        }
        private_file::replace(&self.path().join("roster"), roster)?;
        let batches = beginning.open.iter().map(|of| (of.batch, of.members, of.present, of.capability));
        let start = StartFile {
            began_unix_ms: beginning.began.0,
            random: Hash(beginning.random).to_string(),
            cohorts: u16::try_from(configs.len()).unwrap_or(u16::MAX),
            batches: batches.collect(),
        };
        private_file::replace(&self.path().join("start"), &serde_json::to_vec(&start).map_err(io::Error::other)?)?;
        File::open(self.path())?.sync_all()
    }

    /// What it began with, and of how many cohorts; none for a round that never did.
    pub(super) fn beginning(&self) -> io::Result<Option<(Beginning, u16)>> {
        let text = match fs::read(self.path().join("start")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let start: StartFile = serde_json::from_slice(&text).map_err(io::Error::other)?;
        let random: Hash = start.random.parse().map_err(io::Error::other)?;
        let batch = |(batch, members, present, capability)| BatchInfo { batch, members, present, capability };
        let open = start.batches.into_iter().map(batch).collect();
        let beginning = Beginning { began: UnixMillis(start.began_unix_ms), random: random.0, open };
        Ok(Some((beginning, start.cohorts)))
    }

    /// The signed roster that it goes by.
    pub(super) fn roster(&self) -> io::Result<Vec<u8>> {
        fs::read(self.path().join("roster"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_there_once_its_start_is() {
        let folder = tempfile::tempdir().unwrap();
        let round = RoundFolder::new(folder.path(), 4);
        assert_eq!(round.beginning().unwrap(), None);
        round.cohort(0).unwrap().keep_config(b"config").unwrap();
        assert_eq!(round.beginning().unwrap(), None, "a configuration alone is no round");
        let open = vec![BatchInfo { batch: 2, members: 9, present: 7, capability: 3 }];
        let beginning = Beginning { began: UnixMillis(5), random: [8; 32], open };
        round.keep(&beginning, b"roster", &[]).unwrap();
        assert_eq!(round.beginning().unwrap(), Some((beginning, 0)));
        assert_eq!(round.roster().unwrap(), b"roster");
        fs::write(folder.path().join("rounds/4/start"), b"{").unwrap();
        assert!(round.beginning().is_err());
    }
}
