//! One round's training or measuring: what it is about is fetched, the trainer runs, its work is read.

mod attempt;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use neuro_fl_aggregator::signed_settings::SettingsError;
use neuro_fl_aggregator::staleness::VersionRefused;
use neuro_fl_aggregator::trainer_contract::{CONTROL_FILE, ContractError, GLOBAL_FILE};
use neuro_fl_aggregator::{EncodeError, Flat, Layout, LayoutError, SignedSettings, StrategySettings};
use neuro_network::FederatedClient;
use neuro_primitives::Hash;
use neuro_secagg::config::RoundConfig;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::fetching::{FetchError, fetch};
use super::trainer::TrainerError;
pub use attempt::Attempt;

/// There is no update. Nothing has been masked, and nobody else is concerned.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The weights or the control variate.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The weights, or the metrics, are of another layout than the configuration's.
    #[error("expected weights of layout {expected}, got {got}")]
    Layout {
        /// The configuration's.
        expected: Hash,
        /// The weights'.
        got: Hash,
    },
    /// The weights cannot be read.
    #[error("the global weights cannot be read: {0}")]
    Weights(#[from] LayoutError),
    /// What the configuration tells trainers.
    #[error("the round's settings cannot be followed: {0}")]
    Settings(#[from] SettingsError),
    /// SCAFFOLD without its control variate.
    #[error("expected the hash of a control variate in the round's settings, got none")]
    NoControl,
    /// The command.
    #[error(transparent)]
    Trainer(#[from] TrainerError),
    /// What the command left.
    #[error("the trainer's work is not used: {0}")]
    Contract(#[from] ContractError),
    /// What it measured.
    #[error("the trainer's figures are not used: {0}")]
    Metrics(#[from] EncodeError),
    /// The list of versions of a buffered round.
    #[error("the round's list of versions is refused: {0}")]
    Versions(#[from] VersionRefused),
    /// The training that a buffered round waited for.
    #[error(transparent)]
    Buffered(Arc<TrainingError>),
    /// The training that a buffered round waited for ended without a word.
    #[error("the training was lost: {0}")]
    Lost(String),
}

impl TrainingError {
    /// Whether a new connection may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch(FetchError::Control(error)) => error.is_retryable(),
            Self::Buffered(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Δ, or in an evaluation the metrics: `[entries]`, f32.
    pub update: Flat,
    /// The control variate's change, with strategies that have one.
    pub control: Option<Flat>,
    /// How much it counts, at most the configuration's cap.
    pub weight: u32,
    /// The trainer's loss.
    pub loss: Option<f64>,
}

/// One round's training.
#[derive(Clone)]
pub struct Training {
    /// Where the weights come from.
    pub client: FederatedClient,
    /// One trainer runs at a time.
    pub turn: Arc<Semaphore>,
    /// What is done once they are here.
    pub attempt: Attempt,
}

impl Training {
    /// Fetches, trains, reads.
    ///
    /// # Errors
    /// See [`TrainingError`].
    pub async fn run(self, stop: CancellationToken) -> Result<Trained, TrainingError> {
        let settings = self.attempt.settings()?;
        fetch(&self.client, self.attempt.base, &self.attempt.folder.join(GLOBAL_FILE)).await?;
        let layout = self.attempt.layout(&settings)?;
        self.fetch_control(&layout, &settings).await?;
        let _turn = tokio::select! {
            turn = self.turn.acquire() => turn.map_err(|_| TrainerError::Stopped)?,
            () = stop.cancelled() => return Err(TrainerError::Stopped.into()),
        };
        self.attempt.run(&stop).await
    }

    /// SCAFFOLD's c, which the signed settings name: the same for everybody, of the layout and finite.
    async fn fetch_control(&self, layout: &Layout, settings: &SignedSettings) -> Result<(), TrainingError> {
        if !matches!(settings.strategy, StrategySettings::Scaffold { .. }) {
            return Ok(());
        }
        let path = self.attempt.folder.join(CONTROL_FILE);
        fetch(&self.client, settings.control.ok_or(TrainingError::NoControl)?, &path).await?;
        Ok(layout.read(&read(&path)?).map(drop)?)
    }
}

/// From the join to the end of uploads: later nobody takes the update.
#[must_use]
pub fn time_limit(config: &RoundConfig) -> Duration {
    let spans = &config.deadlines;
    let phases = [spans.join_ms, spans.reveal_ms, spans.shares_ms, spans.received_ms, spans.upload_ms];
    Duration::from_millis(phases.into_iter().map(u64::from).sum())
}

fn read(path: &Path) -> Result<Vec<u8>, TrainingError> {
    fs::read(path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TrainingError + '_ {
    move |source| TrainingError::Io { path: path.to_owned(), source }
}
