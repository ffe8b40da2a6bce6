//! The participant of a federated task: joins rounds, trains with a local command, sends masked updates.
//!
//! ```text
//! aggregator ◀─▶ session ──▶ part: secagg core, record, audit log
//!                   ▲             │ train, mask, upload
//!                   └── work ─────┘
//! ```
//!
//! A lost aggregator is tried again with growing pauses; parts in rounds go on meanwhile, and a participant that starts
//! again takes them up from their records.

pub mod audit;
pub mod buffer;
pub mod fetching;
pub mod floors_file;
pub mod offer;
mod part;
pub mod past;
pub mod payload;
pub mod record_store;
mod session;
pub mod task_folder;
pub mod trainer;
pub mod trainer_state;
pub mod training;
pub mod uploading;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neuro_network::federated::{ConnectError, ControlError, ControlErrorKind};
use neuro_primitives::NodeId;
use neuro_secagg::error::DocumentError;
use neuro_secagg::floors::FloorRefused;
use neuro_secagg::roster::RosterRefused;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::data_dir::{DataDir, DataDirError};
use audit::AuditLog;
use buffer::Buffers;
use floors_file::FloorsError;
pub use offer::{Noise, RoundOffer};
use part::Surroundings;
use past::PastFile;
use session::{Ended, Session};
use task_folder::{TaskFolder, TaskFolderError};
use trainer::TrainerCommand;

/// The first pause before a lost aggregator is tried again; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause: shorter than any phase that a plan would set for home machines.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How many times a participant that never got in tries before it gives up. A line that broke holds its place for 15 s.
const FIRST_ATTEMPTS: u32 = 6;

/// Finished work that waits to be looked at.
const WAITING_WORK: usize = 16;

/// How a participant is to run.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// Its folder.
    pub data_dir: DataDir,
    /// The invitation as text, or the name of a task that was joined before.
    pub task: String,
    /// The name shown to the aggregator.
    pub name: String,
    /// The local command that trains.
    pub trainer: TrainerCommand,
    /// Address space of the trainer in bytes; none: no bound.
    pub trainer_memory_bytes: Option<u64>,
    /// What it declares to be able to do, in the task's own unit.
    pub capability: u64,
    /// Its floors, if not those in the task's folder.
    pub floors: Option<PathBuf>,
    /// Whether to join only rounds whose dealers publish commitments, so that each share is checked when it arrives.
    pub verify_on_receipt: bool,
    /// After how many rounds it leaves; none: it stays.
    pub rounds: Option<u64>,
}

/// What happens while a participant runs.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are what the variants say")]
pub enum ParticipantEvent {
    /// It is let in and waits for rounds.
    Attending { task: String },
    /// A round is announced; what it promises is shown before it is joined.
    Offered(RoundOffer),
    /// The round is below a floor or breaks a rule: it is not joined.
    Refused { round: u64, reason: String },
    /// It takes part.
    Joined { round: u64 },
    /// It takes part again, from its record.
    Resumed { round: u64 },
    /// The trainer is done.
    Trained { round: u64, loss: Option<f64>, weight: u32 },
    /// The update is masked and stored.
    Masked { round: u64, bytes: u64 },
    /// The aggregator has the masked update.
    Uploaded { round: u64, bytes: u64 },
    /// It drops out of the round, for a reason of its own.
    GaveUp { round: u64, reason: String },
    /// Its part is over.
    Ended { round: u64, done: bool, reason: String },
    /// The aggregator is not reachable.
    Lost { reason: String, retry: Duration },
}

/// Hears what happens.
pub type Report = Arc<dyn Fn(ParticipantEvent) + Send + Sync>;

/// A participant cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The task's folder, the invitation, the roster.
    #[error(transparent)]
    Task(#[from] TaskFolderError),
    /// The floors.
    #[error(transparent)]
    Floors(#[from] FloorsError),
    /// The trainer is not one that the floors name.
    #[error(transparent)]
    Trainer(#[from] FloorRefused),
    /// The disk: without it nothing may leave.
    #[error("this machine's disk fails: {0}")]
    Io(#[from] io::Error),
    /// The services.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The aggregator's answer.
    #[error("the aggregator answered: {0}")]
    Control(#[from] ControlError),
    /// A configuration that is none.
    #[error("the aggregator's configuration is malformed: {0}")]
    Document(#[from] DocumentError),
    /// The owner has to list this node first.
    #[error("the roster does not list this node, {0}")]
    NotListed(NodeId),
    /// The aggregator finishes.
    #[error("the aggregator ended the conversation: {reason}")]
    Dismissed {
        /// Its words.
        reason: String,
    },
    /// The aggregator ended the conversation without a word.
    #[error("the aggregator is gone")]
    Gone,
    /// No randomness.
    #[error("no randomness: {0}")]
    Entropy(String),
}

impl JoinError {
    /// Whether trying again over a new connection may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Gone | Self::Dismissed { .. } | Self::NotListed(_) => true,
            Self::Connect(error) => error.is_retryable(),
            Self::Control(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether a peer or a rule refused this participant.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Task(error) => !matches!(error, TaskFolderError::DataDir(_) | TaskFolderError::Io { .. }),
            Self::Trainer(_) | Self::NotListed(_) | Self::Control(_) => true,
            _ => false,
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotListed(node) => Some(format!("ask the task's owner to run: neuro fl invite --node {node}")),
            Self::Task(TaskFolderError::Roster(RosterRefused::Expired { .. })) => {
                Some("set this machine's clock right; if it is right, ask the task's owner for a newer roster".into())
            }
            Self::Task(TaskFolderError::Invitation(_)) => Some("ask the task's owner for a new invitation".into()),
            Self::Control(error) if error.kind == ControlErrorKind::NotAllowed => {
                Some("ask the task's owner for a new invitation".into())
            }
            Self::Control(_) | Self::Connect(_) | Self::Gone => Some("check that the aggregator runs".into()),
            _ => None,
        }
    }
}

/// Takes part in a task's rounds until `stop` is cancelled, or until enough rounds were taken part in.
///
/// # Errors
/// When the invitation or this node is refused, the aggregator was never reached, or the disk fails.
pub async fn join_task(options: JoinOptions, report: Report, stop: CancellationToken) -> Result<(), JoinError> {
    let key = options.data_dir.node_key()?;
    let folder = match options.task.starts_with("neuro-invitation-") {
        true => TaskFolder::by_invitation(&options.data_dir, &options.task)?,
        false => TaskFolder::by_name(&options.data_dir, &options.task)?,
    };
    let floors = floors_file::read(options.floors.as_deref(), folder.path())?;
    floors.admit_trainer(&options.trainer.program.display().to_string())?;
    let (work, finished) = mpsc::channel(WAITING_WORK);
    let around = Surroundings {
        key,
        task: folder.invitation().task.clone(),
        folder: folder.path().to_owned(),
        command: options.trainer,
        memory_bytes: options.trainer_memory_bytes,
        capability: options.capability,
        verify_on_receipt: options.verify_on_receipt,
        audit: AuditLog::new(folder.path()),
        past: PastFile::open(folder.path())?,
        work,
        training: Arc::new(Semaphore::new(1)),
        uploading: Arc::new(Semaphore::new(1)),
        buffers: Arc::new(Buffers::new(folder.path())),
    };
    let mut session = Session::new(folder, floors, options.name, around, finished, report, options.rounds);
    session.resume().await?;
    tokio::select! {
        outcome = keep_attending(&mut session) => outcome,
        () = stop.cancelled() => Ok(()),
    }
}

/// Attends, and attends again after each loss.
async fn keep_attending(session: &mut Session) -> Result<(), JoinError> {
    let (mut pause, mut attempts) = (FIRST_PAUSE, 0);
    loop {
        let error = match session.attend().await {
            Ok(Ended::Enough) => return Ok(()),
            Err(error) => error,
        };
        if matches!(error, JoinError::Gone | JoinError::Dismissed { .. }) {
            (pause, attempts) = (FIRST_PAUSE, 0);
        }
        attempts += 1;
        let hopeless = !session.ever_attended() && attempts >= FIRST_ATTEMPTS;
        if hopeless || !error.is_retryable() {
            return Err(error);
        }
        (session.report)(ParticipantEvent::Lost { reason: error.to_string(), retry: pause });
        session.rest(pause).await?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
