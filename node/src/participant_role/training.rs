//! One round's training or measuring: what it is about is fetched, the trainer runs, its work is read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use neuro_fl_aggregator::evaluation::metrics_vector;
use neuro_fl_aggregator::signed_settings::{SettingsError, metrics_layout};
use neuro_fl_aggregator::staleness::VersionRefused;
use neuro_fl_aggregator::trainer_contract::{
    Action, CONTRACT_VERSION, CONTROL_FILE, CONTROL_UPDATE_FILE, ContractError, GLOBAL_FILE, TASK_FILE, TaskFile,
    UPDATE_FILE, read_result, read_update, tensor_entries,
};
use neuro_fl_aggregator::{EncodeError, Flat, Layout, LayoutError, SignedSettings, StrategySettings};
use neuro_model::tensor_file::TensorTable;
use neuro_network::FederatedClient;
use neuro_primitives::Hash;
use neuro_secagg::config::RoundConfig;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::fetching::{FetchError, fetch};
use super::trainer::{TrainerCommand, TrainerError, TrainerLimits, run};
use super::trainer_state::TrainerState;
use crate::os::private_file;

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
    /// The user's command.
    pub command: TrainerCommand,
    /// Address space of the command in bytes; none: no bound.
    pub memory_bytes: Option<u64>,
    /// The folder that the command runs in.
    pub folder: PathBuf,
    /// The task's folder, which keeps the trainer's state.
    pub task_folder: PathBuf,
    /// The round.
    pub config: RoundConfig,
    /// The weights to train from.
    pub base: Hash,
    /// The task's name.
    pub task: String,
    /// Of the trainer's randomness: the same when it runs again.
    pub seed: u64,
    /// How long the trainer may take.
    pub time: Duration,
    /// One trainer runs at a time.
    pub turn: Arc<Semaphore>,
}

impl Training {
    /// Fetches, trains, reads.
    ///
    /// # Errors
    /// See [`TrainingError`].
    pub async fn run(self, stop: CancellationToken) -> Result<Trained, TrainingError> {
        let settings = SignedSettings::decode(&self.config.strategy.settings)?;
        let global = self.folder.join(GLOBAL_FILE);
        fetch(&self.client, self.base, &global).await?;
        let layout = self.layout(&read(&global)?, &settings)?;
        self.fetch_control(&layout, &settings).await?;
        let _turn = tokio::select! {
            turn = self.turn.acquire() => turn.map_err(|_| TrainerError::Stopped)?,
            () = stop.cancelled() => return Err(TrainerError::Stopped.into()),
        };
        self.prepare(&layout, &settings)?;
        let limits = TrainerLimits { time: self.time, memory_bytes: self.memory_bytes };
        let line = run(&self.command, &self.folder, limits, &stop).await?;
        self.trained(&line, &layout, &settings)
    }

    /// The layout of the weights. It must be the one of the configuration, which in an evaluation names the metrics.
    fn layout(&self, weights: &[u8], settings: &SignedSettings) -> Result<Layout, TrainingError> {
        let table = TensorTable::from_bytes(weights).map_err(LayoutError::from)?;
        let layout = Layout::of_shapes(table.iter().map(|(name, entry)| (name, entry.shape.clone())))?;
        let got = if settings.is_evaluation() { metrics_layout(&settings.metrics) } else { layout.hash() };
        let expected = self.config.layout;
        if expected == got { Ok(layout) } else { Err(TrainingError::Layout { expected, got }) }
    }

    /// SCAFFOLD's c, which the signed settings name: the same for everybody, of the layout and finite.
    async fn fetch_control(&self, layout: &Layout, settings: &SignedSettings) -> Result<(), TrainingError> {
        if !matches!(settings.strategy, StrategySettings::Scaffold { .. }) {
            return Ok(());
        }
        let path = self.folder.join(CONTROL_FILE);
        fetch(&self.client, settings.control.ok_or(TrainingError::NoControl)?, &path).await?;
        Ok(layout.read(&read(&path)?).map(drop)?)
    }

    /// Writes `task.json`, hands over the state, and removes what an earlier run left.
    fn prepare(&self, layout: &Layout, settings: &SignedSettings) -> Result<(), TrainingError> {
        for file in [UPDATE_FILE, CONTROL_UPDATE_FILE] {
            drop(fs::remove_file(self.folder.join(file)));
        }
        TrainerState::of(&self.task_folder, layout.hash()).hand_over(&self.folder).map_err(at(&self.folder))?;
        let task = TaskFile {
            contract: CONTRACT_VERSION,
            task: self.task.clone(),
            round: self.config.round,
            model: self.base.to_string(),
            action: if settings.is_evaluation() { Action::Evaluate } else { Action::Train },
            tensors: tensor_entries(layout),
            rule: (&settings.strategy.local_rule(None)).into(),
            seed: self.seed,
            deadline_s: self.time.as_secs(),
            weight_cap: self.config.weight_cap,
            training: settings.training.clone(),
            metrics: settings.metrics.clone(),
        };
        let path = self.folder.join(TASK_FILE);
        let text = serde_json::to_vec_pretty(&task).map_err(io::Error::other).map_err(at(&path))?;
        private_file::replace(&path, &text).map_err(at(&path))
    }

    /// What the trainer left, and its last line.
    fn trained(&self, line: &str, layout: &Layout, settings: &SignedSettings) -> Result<Trained, TrainingError> {
        let result = read_result(line, &self.base, self.config.weight_cap)?;
        let (weight, loss) = (result.weight, result.loss);
        if settings.is_evaluation() {
            let update = metrics_vector(&settings.metrics, &measured(result.metrics, loss))?;
            return Ok(Trained { update, control: None, weight, loss });
        }
        let (update, control) = (self.file(UPDATE_FILE)?, self.file(CONTROL_UPDATE_FILE)?);
        let parts = settings.strategy.parts();
        let (update, control) = read_update(layout, parts, update.as_deref(), control.as_deref())?;
        Ok(Trained { update, control, weight, loss })
    }

    /// The bytes of a file that the trainer may have written.
    fn file(&self, name: &str) -> Result<Option<Vec<u8>>, TrainingError> {
        let path = self.folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }
}

/// The metrics of the line. A loss that stands beside them counts as one, unless they have their own.
fn measured(mut metrics: BTreeMap<String, f64>, loss: Option<f64>) -> BTreeMap<String, f64> {
    if let Some(loss) = loss {
        metrics.entry("loss".to_owned()).or_insert(loss);
    }
    metrics
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
