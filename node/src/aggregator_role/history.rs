//! The rounds of a task: `history.jsonl`, one line for each that ended. A line is the commit of its round.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::checkpoint::{Checkpoint, RoundRecord};
use neuro_fl_aggregator::ledger::LedgerLine;
use neuro_primitives::{Hash, NodeId};
use neuro_privacy::Spent;
use serde::{Deserialize, Serialize};

use crate::os::private_file;

/// How one cohort of a round ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedCohort {
    /// Its number.
    pub cohort: u16,
    /// What it was about: the model, an expert, a shard.
    pub name: String,
    /// Whether its sum was used. One that came out has a hash in `sum`, used or not.
    pub done: bool,
    /// How it ended, for people.
    pub outcome: String,
    /// n.
    pub members: u32,
    /// |S|.
    pub survivors: u32,
    /// Σw.
    pub weight: u64,
    /// The sum's hash, hexadecimal; empty without one.
    pub sum: String,
    /// Bytes of payloads.
    pub payload_bytes: u64,
    /// The ε of the sum by itself; none without one, or without noise.
    pub epsilon: Option<f64>,
    /// Who was caught breaking the protocol, hexadecimal.
    pub blamed: Vec<String>,
}

/// A track as a round left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTrack {
    /// Its name.
    pub name: String,
    /// Its weights, hexadecimal.
    pub model: String,
    /// The round whose `strategy/ROUND/TRACK` has its strategy's state; none before the first step.
    pub strategy: Option<u64>,
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedRound {
    /// Its number.
    pub number: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Whether the model moved, or an evaluation has its figures.
    pub done: bool,
    /// How it ended, for people.
    pub outcome: String,
    /// Whether another try may do better.
    pub retryable: bool,
    /// Members of its cohorts together.
    pub members: u32,
    /// Members whose vectors are in sums that were used.
    pub survivors: u32,
    /// The sum of the weights.
    pub weight: u64,
    /// The hash of its one cohort's sum, hexadecimal; empty without one.
    pub sum: String,
    /// The weights of all tracks together after it, hexadecimal.
    pub model: String,
    /// Bytes of payloads.
    pub payload_bytes: u64,
    /// Who was caught breaking the protocol, hexadecimal.
    pub blamed: Vec<String>,
    /// Where the task stands after it.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// What it cost.
    #[serde(default)]
    pub charges: Vec<LedgerLine>,
    /// Its cohorts.
    #[serde(default)]
    pub cohorts: Vec<EndedCohort>,
    /// The round as exports and reports read it.
    #[serde(default)]
    pub record: Option<RoundRecord>,
    /// The tracks after it.
    #[serde(default)]
    pub tracks: Vec<KeptTrack>,
}

/// All rounds that ended, oldest first.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    rounds: Vec<EndedRound>,
}

impl History {
    /// The history in the task's folder. A last line that a crash tore is cut off: its round is still open.
    ///
    /// # Errors
    /// When it is there and cannot be read, or a whole line of it is something else.
    pub fn open(task_folder: &Path) -> io::Result<Self> {
        let path = task_folder.join("history.jsonl");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            text => text?,
        };
        let (mut rounds, mut whole) = (Vec::new(), 0);
        for line in text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let wrong = |error| io::Error::other(format!("{}: line {}: {error}", path.display(), rounds.len() + 1));
            let round = serde_json::from_slice(line).map_err(wrong)?;
            rounds.push(round);
            whole += line.len();
        }
        if whole < text.len() {
            tracing::warn!(path = %path.display(), "the history's last line was torn");
            OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
        }
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

    /// Where the task stands; none before the first round.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.rounds.last()?.checkpoint.as_ref()
    }

    /// The tracks as the last round left them; none before the first.
    #[must_use]
    pub fn tracks(&self) -> &[KeptTrack] {
        self.rounds.last().map_or(&[], |round| &round.tracks)
    }

    /// The different weights of track `at`, the newest first, `first` being those before the first round.
    #[must_use]
    pub fn versions(&self, at: usize, first: Hash) -> Vec<Hash> {
        let kept = self.rounds.iter().rev().filter_map(|round| round.tracks.get(at)?.model.parse().ok());
        let mut versions: Vec<Hash> = kept.chain([first]).collect();
        let mut seen = std::collections::BTreeSet::new();
        versions.retain(|version| seen.insert(*version));
        versions
    }

    /// What the task has cost so far; none without noise.
    #[must_use]
    pub fn spent(&self) -> Option<Spent> {
        self.rounds.iter().rev().find_map(|round| round.charges.last())?.spent
    }

    /// Who was caught breaking the protocol, and in which round first: no later round calls them.
    #[must_use]
    pub fn blamed(&self) -> BTreeMap<NodeId, u64> {
        let of_round = |round: &EndedRound| {
            let nodes = round.blamed.iter().filter_map(|node| node.parse::<Hash>().ok());
            nodes.map(|hash| (NodeId(hash.0), round.number)).collect::<Vec<_>>()
        };
        // The newest first, so that the oldest stays.
        self.rounds.iter().rev().flat_map(of_round).collect()
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

    fn track(number: u64) -> KeptTrack {
        let model = Hash::of(&number.to_le_bytes()).to_string();
        KeptTrack { name: "model".into(), model, strategy: Some(number) }
    }

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
            checkpoint: None,
            charges: Vec::new(),
            cohorts: Vec::new(),
            record: None,
            tracks: vec![track(number)],
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
        assert_eq!((history.newest(), history.rounds().len()), (3, 3));
        assert_eq!(history.model(), Some(Hash::of(&1_u64.to_le_bytes())));
    }

    #[test]
    fn a_torn_line_is_cut_off_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        history.commit(round(1, true)).unwrap();
        let path = folder.path().join("history.jsonl");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..9]].concat()).unwrap();
        let mut history = History::open(folder.path()).unwrap();
        history.commit(round(2, true)).unwrap();
        assert_eq!(History::open(folder.path()).unwrap().newest(), 2);
        fs::write(&path, [b"{}\n", &whole[..]].concat()).unwrap();
        assert!(History::open(folder.path()).is_err());
    }

    #[test]
    fn who_was_named_stays_named_with_the_first_round() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        let (one, two) = (NodeId([1; 32]), NodeId([2; 32]));
        for (number, blamed) in [(1, vec![one]), (2, vec![]), (3, vec![one, two])] {
            let blamed = blamed.iter().map(ToString::to_string).collect();
            history.commit(EndedRound { blamed, ..round(number, true) }).unwrap();
        }
        let history = History::open(folder.path()).unwrap();
        assert_eq!(history.blamed(), BTreeMap::from([(one, 1), (two, 3)]));
    }

    #[test]
    fn versions_are_the_different_weights_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        let first = Hash::of(b"first");
        assert_eq!(history.versions(0, first), [first]);
        for number in 1..3 {
            history.commit(round(number, true)).unwrap();
        }
        // A round that failed leaves the weights of the one before.
        history.commit(EndedRound { tracks: vec![track(2)], ..round(3, false) }).unwrap();
        let hash = |number: u64| Hash::of(&number.to_le_bytes());
        assert_eq!(history.versions(0, first), [hash(2), hash(1), first]);
    }
}
