//! The files of one cohort of one round.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::{NodeId, UnixMillis};

use crate::os::private_file;

/// `rounds/NUMBER/COHORT` in a task's folder.
#[derive(Debug, Clone)]
pub struct CohortFolder {
    path: PathBuf,
}

/// What a round began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptConfig {
    /// When.
    pub began: UnixMillis,
    /// The random bytes that the task's server was given.
    pub random: [u8; 32],
    /// The signed configuration.
    pub config: Vec<u8>,
}

impl CohortFolder {
    /// The folder of `cohort` of `round`; made where it is missing.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(task_folder: &Path, round: u64, cohort: u16) -> io::Result<Self> {
        let path = task_folder.join("rounds").join(round.to_string()).join(cohort.to_string());
        private_file::create_folder(&path)?;
        Ok(Self { path })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The sum without masks.
    #[must_use]
    pub fn sum(&self) -> PathBuf {
        self.path.join("sum")
    }

    /// The signed roster that the round goes by, durably.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_roster(&self, roster: &[u8]) -> io::Result<()> {
        private_file::replace(&self.roster(), roster)
    }

    /// The signed roster that the round goes by.
    #[must_use]
    pub fn roster(&self) -> PathBuf {
        self.path.join("roster")
    }

    /// When the round began, its random bytes and the signed configuration, durably: before anybody hears of it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_config(&self, began: UnixMillis, random: [u8; 32], config: &[u8]) -> io::Result<()> {
        private_file::replace(&self.path.join("config"), &[&began.0.to_le_bytes()[..], &random, config].concat())?;
        File::open(&self.path)?.sync_all()
    }

    /// When the round began, its random bytes and its signed configuration; `None` before there is one.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn config(&self) -> io::Result<Option<KeptConfig>> {
        match fs::read(self.path.join("config")) {
            Ok(bytes) => {
                let (began, config) = bytes.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
                let (random, config) = config.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
                let began = UnixMillis(u64::from_le_bytes(*began));
                Ok(Some(KeptConfig { began, random: *random, config: config.to_vec() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps whose vectors are in the sum: before the sum itself.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_survivors(&self, survivors: &[NodeId]) -> io::Result<()> {
        let bytes: Vec<u8> = survivors.iter().flat_map(|node| node.0).collect();
        private_file::replace(&self.path.join("survivors"), &bytes)
    }

    /// Whose vectors are in the sum; nobody's before it was unmasked.
    #[must_use]
    pub fn survivors(&self) -> Vec<NodeId> {
        let bytes = fs::read(self.path.join("survivors")).unwrap_or_default();
        bytes.as_chunks::<32>().0.iter().copied().map(NodeId).collect()
    }

    /// Keeps what proves a member's fault.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_evidence(&self, against: NodeId, evidence: &str) -> io::Result<()> {
        private_file::replace(&self.path.join(format!("evidence-{against}")), evidence.as_bytes())
    }

    /// How it ended, as JSON.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_result(&self, result: &serde_json::Value) -> io::Result<()> {
        private_file::replace(&self.path.join("result.json"), result.to_string().as_bytes())
    }

    /// How it ended; `None` while it runs.
    #[must_use]
    pub fn result(&self) -> Option<serde_json::Value> {
        let text = fs::read(self.path.join("result.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Deletes what is not needed once the result is used: the journal and the sum.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn clean(&self) -> io::Result<()> {
        for path in [self.journal(), self.sum()] {
            fs::remove_file(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
        Ok(())
    }
}
