//! Buffered rounds: training that takes longer than a round, and the round that its update goes into.
//!
//! In a round whose base is a signed list of versions a participant hands in what it learned from any of them, weighed by
//! how old it is. So its trainer is not stopped with the round: one runs for each layout, for as long as the list would
//! still admit it. What it leaves is kept until a sum with it may be open: an update whose round fails before that goes
//! into the next one. `buffer/LAYOUT/{update, kept.json}`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use neuro_fl_aggregator::Flat;
use neuro_fl_aggregator::staleness::{MOST_VERSIONS, VersionList, discount};
use neuro_network::FederatedClient;
use neuro_primitives::{Hash, Untrusted};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, unconstrained};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fetching::{FetchError, fetch_document};
use super::trainer_state::TrainerState;
use super::training::{Trained, Training, TrainingError};
use crate::os::private_file;

/// Bytes of a signed list: 64 hashes, the task, a count and a signature.
const MOST_LIST_BYTES: u64 = 32 * MOST_VERSIONS as u64 + 128;

/// A trainer at work, which several rounds may wait for.
type Run = Shared<BoxFuture<'static, Result<(), Arc<TrainingError>>>>;

/// What a participant learns for buffered rounds.
pub struct Buffers {
    task_folder: PathBuf,
    running: Mutex<BTreeMap<Hash, Run>>,
    stop: CancellationToken,
    _stop_at_the_end: DropGuard,
}

/// An update that waits for its round.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: String,
    weight: u32,
    loss: Option<f64>,
}

impl Buffers {
    /// The buffers in the task's folder. Trainers that run for them end with it.
    #[must_use]
    pub fn new(task_folder: &Path) -> Self {
        let stop = CancellationToken::new();
        let _stop_at_the_end = stop.clone().drop_guard();
        Self { task_folder: task_folder.to_owned(), running: Mutex::default(), stop, _stop_at_the_end }
    }

    /// An update from one of the versions in `list`, already weighed by its age: the one that is kept, else that of the
    /// trainer that runs, else that of one which begins now with the newest version.
    ///
    /// # Errors
    /// Those of the training.
    pub async fn update(&self, list: &VersionList, training: Training) -> Result<Trained, TrainingError> {
        let layout = training.attempt.config.layout;
        loop {
            if let Some(trained) = self.admitted(layout, list).map_err(at(&self.folder(layout)))? {
                return Ok(trained);
            }
            self.run(&training, list.versions[0]).await.map_err(TrainingError::Buffered)?;
        }
    }

    /// Forgets an update that may be in a sum, and keeps what its trainer left for the next one. Again changes nothing.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn used(&self, layout: Hash) -> io::Result<()> {
        let folder = self.folder(layout);
        TrainerState::of(&self.task_folder, layout).keep(&folder.join("trainer"))?;
        fs::remove_file(folder.join("kept.json")).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }

    /// The trainer for this layout.
    fn run(&self, training: &Training, newest: Hash) -> Run {
        let layout = training.attempt.config.layout;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = running.get(&layout).filter(|run| is_of_use(run)) {
            return run.clone();
        }
        let (folder, stop) = (self.folder(layout), self.stop.clone());
        let mut training = training.clone();
        (training.attempt.folder, training.attempt.base) = (folder.join("trainer"), newest);
        let work = tokio::spawn(async move {
            let at_folder = at(&folder);
            private_file::create_folder(&training.attempt.folder).map_err(at_folder)?;
            let trained = training.run(stop).await?;
            keep(&folder, newest, &trained).map_err(at(&folder))
        });
        let run = awaited(work);
        running.insert(layout, run.clone());
        run
    }

    /// The kept update, if the list admits its version; one that is too old is dropped.
    fn admitted(&self, layout: Hash, list: &VersionList) -> io::Result<Option<Trained>> {
        let folder = self.folder(layout);
        let kept: Kept = match fs::read(folder.join("kept.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => serde_json::from_slice(&text?).map_err(io::Error::other)?,
        };
        let version: Hash = kept.version.parse().map_err(io::Error::other)?;
        let Ok(tau) = list.staleness(&version) else {
            fs::remove_file(folder.join("kept.json"))?;
            return Ok(None);
        };
        let bytes = fs::read(folder.join("update"))?;
        let mut update = Flat(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect());
        discount(&mut update, tau);
        Ok(Some(Trained { update, control: None, weight: kept.weight, loss: kept.loss }))
    }

    fn folder(&self, layout: Hash) -> PathBuf {
        self.task_folder.join("buffer").join(&layout.to_string()[..32])
    }
}

/// The end of a trainer's work, for all who wait for it.
fn awaited(work: JoinHandle<Result<(), TrainingError>>) -> Run {
    let ended = async move {
        match work.await {
            Ok(result) => result.map_err(Arc::new),
            Err(error) => Err(Arc::new(TrainingError::Lost(error.to_string()))),
        }
    };
    ended.boxed().shared()
}

/// Whether there is something to wait for: work that goes on, or that left an update which nobody has heard of yet.
/// Work that failed while no round waited for it says nothing about the next round's.
fn is_of_use(run: &Run) -> bool {
    run.peek().is_none() && unconstrained(run.clone()).now_or_never().is_none_or(|ended| ended.is_ok())
}

/// `kept.json` comes last: without it there is no update.
fn keep(folder: &Path, version: Hash, trained: &Trained) -> io::Result<()> {
    let bytes: Vec<u8> = trained.update.0.iter().flat_map(|value| value.to_le_bytes()).collect();
    private_file::replace(&folder.join("update"), &bytes)?;
    let kept = Kept { version: version.to_string(), weight: trained.weight, loss: trained.loss };
    private_file::replace(&folder.join("kept.json"), &serde_json::to_vec(&kept).map_err(io::Error::other)?)
}

/// An update for the list that the configuration names.
pub(super) async fn buffered(buffers: &Buffers, list: Hash, training: Training) -> Result<Trained, TrainingError> {
    let list = fetch_list(&training.client, list, training.attempt.config.task).await?;
    buffers.update(&list, training).await
}

/// The list that a configuration names, signed by the aggregator.
///
/// # Errors
/// When the connection breaks, or it is another list or somebody else's.
async fn fetch_list(client: &FederatedClient, hash: Hash, task: Hash) -> Result<VersionList, TrainingError> {
    let bytes = fetch_document(client, hash, MOST_LIST_BYTES).await?;
    let list = VersionList::verify(Untrusted::new(&bytes), task, client.peer())?;
    let got = list.hash();
    if got == hash { Ok(list) } else { Err(FetchError::Hash { expected: hash, got }.into()) }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TrainingError + use<> {
    let path = path.to_owned();
    move |source| TrainingError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_update_is_weighed_by_its_age_and_dropped_when_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let (buffers, layout) = (Buffers::new(folder.path()), Hash([1; 32]));
        let of = |byte: u8| Hash::of(&[byte]);
        let list = |versions: &[u8]| VersionList { task: of(9), versions: versions.iter().map(|&v| of(v)).collect() };
        assert_eq!(buffers.admitted(layout, &list(&[1])).unwrap(), None);
        let trained = Trained { update: Flat(vec![2.0, -4.0]), control: None, weight: 5, loss: Some(0.5) };
        private_file::create_folder(&buffers.folder(layout)).unwrap();
        keep(&buffers.folder(layout), of(1), &trained).unwrap();
        let admitted = buffers.admitted(layout, &list(&[4, 3, 2, 1])).unwrap().unwrap();
        assert_eq!((admitted.update.0, admitted.weight), (vec![1.0, -2.0], 5));
        assert_eq!(buffers.admitted(layout, &list(&[5, 4, 3, 2])).unwrap(), None);
        assert_eq!(buffers.admitted(layout, &list(&[1])).unwrap(), None, "it is gone");
    }

    /// A run whose work has ended so, and which nobody waited for.
    async fn unheard(outcome: Result<(), TrainingError>) -> Run {
        let work = tokio::spawn(async { outcome });
        while !work.is_finished() {
            tokio::task::yield_now().await;
        }
        awaited(work)
    }

    #[tokio::test]
    async fn a_trainer_that_failed_between_two_rounds_is_not_waited_for_by_the_second() {
        let failed = unheard(Err(TrainingError::NoControl)).await;
        assert!(!is_of_use(&failed));
        let left_an_update = unheard(Ok(())).await;
        assert!(is_of_use(&left_an_update), "the round that takes this one up finds the update");
        assert!(!is_of_use(&left_an_update), "it was heard of");
        let at_work = awaited(tokio::spawn(std::future::pending()));
        assert!(is_of_use(&at_work) && is_of_use(&at_work));
    }
}
