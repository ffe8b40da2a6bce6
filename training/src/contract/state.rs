//! What this trainer leaves for itself in `state/`: its own control variate, its personal model.
//!
//! A file for each round, `control-7.safetensors`. A round reads what the newest round before it left, so that it comes
//! to the same when it is trained again, and removes what no round needs any more.

use std::fs;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::trainer_contract::STATE_FOLDER;
use neuro_fl_aggregator::{Flat, Layout};

use super::{RoundFailure, read_flat};
use crate::moe_trainer::Kept;

/// What the files' names begin with.
const KINDS: [&str; 2] = ["control", "personal"];

/// The folder, as one round uses it.
pub(super) struct State {
    folder: PathBuf,
    round: u64,
}

impl State {
    /// `state/` in the trainer's folder.
    pub(super) fn open(folder: &Path, round: u64) -> Result<Self, RoundFailure> {
        let folder = folder.join(STATE_FOLDER);
        fs::create_dir_all(&folder).map_err(|source| RoundFailure::io(&folder, source))?;
        Ok(Self { folder, round })
    }

    /// What the rounds before this one left.
    pub(super) fn read(&self, layout: &Layout) -> Result<Kept, RoundFailure> {
        let [control, personal] = KINDS.map(|kind| self.newest(kind, layout));
        Ok(Kept { control: control?, personal: personal? })
    }

    /// Leaves what this round came to.
    pub(super) fn write(&self, layout: &Layout, kept: &Kept) -> Result<(), RoundFailure> {
        for (kind, values) in KINDS.into_iter().zip([&kept.control, &kept.personal]) {
            let Some(values) = values else { continue };
            let (path, draft) = (self.path(kind, self.round), self.folder.join("draft"));
            let bytes = layout.write(values).map_err(|why| RoundFailure::file(&path, why))?;
            fs::write(&draft, bytes)
                .and_then(|()| fs::rename(&draft, &path))
                .map_err(|e| RoundFailure::io(&path, e))?;
            // The round before stays: this one may be trained again.
            for round in self.rounds(kind)?.into_iter().rev().skip(2) {
                drop(fs::remove_file(self.path(kind, round)));
            }
        }
        Ok(())
    }

    fn newest(&self, kind: &str, layout: &Layout) -> Result<Option<Flat>, RoundFailure> {
        let before = self.rounds(kind)?.into_iter().rfind(|&round| round < self.round);
        before.map(|round| read_flat(layout, &self.path(kind, round))).transpose()
    }

    /// The rounds that left a file of this kind, ascending.
    fn rounds(&self, kind: &str) -> Result<Vec<u64>, RoundFailure> {
        let entries = fs::read_dir(&self.folder).map_err(|source| RoundFailure::io(&self.folder, source))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let number = |name: String| {
            name.strip_prefix(kind)?.strip_prefix('-')?.strip_suffix(".safetensors")?.parse::<u64>().ok()
        };
        let mut rounds: Vec<u64> = names.filter_map(number).collect();
        rounds.sort_unstable();
        Ok(rounds)
    }

    fn path(&self, kind: &str, round: u64) -> PathBuf {
        self.folder.join(format!("{kind}-{round}.safetensors"))
    }
}
