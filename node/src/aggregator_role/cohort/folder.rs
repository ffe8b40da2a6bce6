//! The files of one cohort of one round.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::{Hash, NodeId};
use serde::{Deserialize, Serialize};

use crate::os::private_file;

/// `rounds/NUMBER/COHORT` in a task's folder.
#[derive(Debug, Clone)]
pub struct CohortFolder {
    path: PathBuf,
}

/// Who was asked for the shares that open the sum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// n.
    pub n: u16,
    /// S, ascending: whose vectors are in the sum.
    pub survivors: Vec<NodeId>,
}

#[derive(Serialize, Deserialize)]
struct AskedFile {
    n: u16,
    survivors: Vec<String>,
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

    /// The sum without masks; in central mode with the aggregator's noise.
    #[must_use]
    pub fn sum(&self) -> PathBuf {
        self.path.join("sum")
    }

    /// Keeps the signed configuration, durably.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_config(&self, config: &[u8]) -> io::Result<()> {
        private_file::replace(&self.path.join("config"), config)?;
        File::open(&self.path)?.sync_all()
    }

    /// The signed configuration.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn config(&self) -> io::Result<Vec<u8>> {
        fs::read(self.path.join("config"))
    }

    /// Keeps who is asked for shares: before anybody is. From then on the sum counts as released.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep_asked(&self, asked: &Asked) -> io::Result<()> {
        let survivors = asked.survivors.iter().map(ToString::to_string).collect();
        let text = serde_json::to_vec(&AskedFile { n: asked.n, survivors }).map_err(io::Error::other)?;
        private_file::replace(&self.path.join("asked"), &text)
    }

    /// Who was asked for shares; nobody before the certificate.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        let file: AskedFile = serde_json::from_slice(&fs::read(self.path.join("asked")).ok()?).ok()?;
        let nodes = file.survivors.iter().map(|node| node.parse::<Hash>().map(|hash| NodeId(hash.0)));
        Some(Asked { n: file.n, survivors: nodes.collect::<Result<_, _>>().ok()? })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_asked_for_shares_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let cohort = CohortFolder::open(folder.path(), 3, 1).unwrap();
        assert_eq!(cohort.asked(), None);
        let asked = Asked { n: 9, survivors: vec![NodeId([1; 32]), NodeId([2; 32])] };
        cohort.keep_asked(&asked).unwrap();
        assert_eq!(CohortFolder::open(folder.path(), 3, 1).unwrap().asked(), Some(asked));
    }
}
