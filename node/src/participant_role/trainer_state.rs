//! What a trainer keeps between rounds: `state/` in its folder, which never leaves this machine.
//!
//! SCAFFOLD's own cᵢ and Ditto's personal model live there. The task's folder has the state as the last round left it
//! that this participant uploaded to and that had a sum; each round gets a copy, so that a round that came to nothing
//! changes nothing. There is one for each layout: an expert's cᵢ is none of the router's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::trainer_contract::STATE_FOLDER;
use neuro_primitives::Hash;

use crate::os::private_file;

/// The state for one layout of a task.
#[derive(Debug, Clone)]
pub struct TrainerState {
    kept: PathBuf,
}

impl TrainerState {
    /// The state for `layout` in the task's folder.
    #[must_use]
    pub fn of(task_folder: &Path, layout: Hash) -> Self {
        Self { kept: task_folder.join(STATE_FOLDER).join(&layout.to_string()[..32]) }
    }

    /// Puts a copy into the trainer's folder, in the place of what an earlier run left there.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn hand_over(&self, trainer_folder: &Path) -> io::Result<()> {
        // A process that ended between two renames.
        if !self.kept.exists() && self.older().exists() {
            fs::rename(self.older(), &self.kept)?;
        }
        let copy = trainer_folder.join(STATE_FOLDER);
        remove(&copy)?;
        private_file::create_folder(&copy)?;
        if self.kept.exists() { copy_folder(&self.kept, &copy) } else { Ok(()) }
    }

    /// Keeps what the trainer left, once its update counts. Again changes nothing.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep(&self, trainer_folder: &Path) -> io::Result<()> {
        let left = trainer_folder.join(STATE_FOLDER);
        if !left.is_dir() {
            return Ok(());
        }
        if let Some(parent) = self.kept.parent() {
            private_file::create_folder(parent)?;
        }
        if self.kept.exists() {
            remove(&self.older())?;
            fs::rename(&self.kept, self.older())?;
        }
        fs::rename(left, &self.kept)?;
        remove(&self.older())
    }

    fn older(&self) -> PathBuf {
        self.kept.with_extension("older")
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Files and folders; links lead elsewhere and are left out.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            private_file::create_folder(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Places {
        _folder: tempfile::TempDir,
        task: PathBuf,
        trainer: PathBuf,
    }

    fn places() -> Places {
        let folder = tempfile::tempdir().unwrap();
        let (task, trainer) = (folder.path().join("task"), folder.path().join("trainer"));
        fs::create_dir_all(&task).unwrap();
        fs::create_dir_all(&trainer).unwrap();
        Places { _folder: folder, task, trainer }
    }

    #[test]
    fn only_the_state_of_an_update_that_counts_is_handed_on() {
        let Places { _folder, task, trainer } = places();
        let state = TrainerState::of(&task, Hash([1; 32]));
        state.hand_over(&trainer).unwrap();
        fs::create_dir(trainer.join("state/deep")).unwrap();
        fs::write(trainer.join("state/deep/c"), b"1").unwrap();
        state.keep(&trainer).unwrap();
        state.keep(&trainer).unwrap();
        state.hand_over(&trainer).unwrap();
        assert_eq!(fs::read(trainer.join("state/deep/c")).unwrap(), b"1");
        fs::write(trainer.join("state/deep/c"), b"2").unwrap();
        // The round came to nothing: the next one begins where the last that counted ended.
        state.hand_over(&trainer).unwrap();
        assert_eq!(fs::read(trainer.join("state/deep/c")).unwrap(), b"1");
        let other = TrainerState::of(&task, Hash([2; 32]));
        other.hand_over(&trainer).unwrap();
        assert!(!trainer.join("state/deep").exists(), "another layout has its own");
    }

    #[test]
    fn a_crash_between_two_renames_loses_nothing() {
        let Places { _folder, task, trainer } = places();
        let state = TrainerState::of(&task, Hash([1; 32]));
        state.hand_over(&trainer).unwrap();
        fs::write(trainer.join("state/c"), b"1").unwrap();
        state.keep(&trainer).unwrap();
        fs::rename(&state.kept, state.older()).unwrap();
        state.hand_over(&trainer).unwrap();
        assert_eq!(fs::read(trainer.join("state/c")).unwrap(), b"1");
    }
}
