//! The rounds of a task: `history.jsonl`, one line for each that ended. A line is the commit of its round.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::checkpoint::{Checkpoint, CohortRecord, RoundKind, RoundRecord};
use neuro_fl_aggregator::ledger::LedgerLine;
use neuro_primitives::Hash;
use serde::{Deserialize, Serialize};

use crate::os::private_file;

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedRound {
    /// Its number.
    pub number: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Whether the sum came out.
    pub done: bool,
    /// How it ended, for people.
    pub outcome: String,
    /// Whether another try may do better.
    pub retryable: bool,
    /// Members of the cohort.
    pub members: u32,
    /// Members whose vectors are in the sum.
    pub survivors: u32,
    /// The sum of the weights.
    pub weight: u64,
    /// The sum's hash, hexadecimal; empty without one.
    pub sum: String,
    /// The weights after it, hexadecimal.
    pub model: String,
    /// Bytes of payloads.
    pub payload_bytes: u64,
    /// Who was caught breaking the protocol, hexadecimal.
    pub blamed: Vec<String>,
    /// The round as exports and curves have it.
    #[serde(default)]
    pub record: Option<RoundRecord>,
    /// Where the task stands after it.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// What it cost.
    #[serde(default)]
    pub charges: Vec<LedgerLine>,
}

impl EndedRound {
    /// The round as exports and curves have it; of one that never got to a sum, what is known.
    #[must_use]
    pub fn to_record(&self) -> RoundRecord {
        let known = || RoundRecord {
            round: self.number,
            kind: RoundKind::Train,
            began_unix_ms: self.began_unix_ms,
            took_ms: self.took_ms,
            strategy: String::new(),
            cohorts: vec![CohortRecord {
                cohort: 0,
                name: "model".into(),
                members: self.members,
                survivors: self.survivors,
                weight: self.weight as f64,
                update_norm: 0.0,
                failure: (!self.done).then(|| self.outcome.clone()),
            }],
            metrics: std::collections::BTreeMap::new(),
            spent: None,
            succeeded: self.done,
        };
        let mut record = self.record.clone().unwrap_or_else(known);
        // The task's server is made anew to close a round; it does not know how long the round took.
        record.took_ms = self.took_ms;
        record
    }
}

/// All rounds that ended, oldest first.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    rounds: Vec<EndedRound>,
}

impl History {
    /// The history in the task's folder.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(task_folder: &Path) -> io::Result<Self> {
        let path = task_folder.join("history.jsonl");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let rounds = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { path, rounds })
    }

    /// The rounds.
    #[must_use]
    pub fn rounds(&self) -> &[EndedRound] {
        &self.rounds
    }

    /// The weights after the last round that had a result.
    #[must_use]
    pub fn model(&self) -> Option<Hash> {
        self.rounds.iter().rev().find(|round| round.done).and_then(|round| round.model.parse().ok())
    }

    /// How many rounds had a result.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.rounds.iter().filter(|round| round.done).count() as u64
    }

    /// How many failed since the last one that had a result.
    #[must_use]
    pub fn failed_in_a_row(&self) -> usize {
        self.rounds.iter().rev().take_while(|round| !round.done).count()
    }

    /// The number of the last round that ended; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.rounds.last().map_or(0, |round| round.number)
    }

    /// Commits a round: on disk when this returns. The same round again changes nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit(&mut self, round: EndedRound) -> io::Result<()> {
        if round.number > self.newest() {
            private_file::append_line(&self.path, &serde_json::to_string(&round).map_err(io::Error::other)?)?;
            self.rounds.push(round);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(number: u64, done: bool) -> EndedRound {
        EndedRound {
            number,
            began_unix_ms: 1,
            took_ms: 2,
            done,
            outcome: "ended".into(),
            retryable: !done,
            members: 8,
            survivors: 8,
            weight: 80,
            sum: String::new(),
            model: Hash::of(&number.to_le_bytes()).to_string(),
            payload_bytes: 1,
            blamed: Vec::new(),
            record: None,
            checkpoint: None,
            charges: Vec::new(),
        }
    }

    #[test]
    fn the_last_result_is_the_model_even_after_failures() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        assert_eq!((history.newest(), history.model()), (0, None));
        for (number, done) in [(1, true), (2, false), (3, false), (3, true)] {
            history.commit(round(number, done)).unwrap();
        }
        let history = History::open(folder.path()).unwrap();
        assert_eq!((history.newest(), history.done(), history.failed_in_a_row()), (3, 1, 2));
        assert_eq!(history.model(), Some(Hash::of(&1_u64.to_le_bytes())));
    }
}
