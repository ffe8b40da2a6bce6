//! One round's training: the global weights come, the trainer runs, its update is read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use neuro_fl_aggregator::trainer_contract::{
    Action, CONTRACT_VERSION, CONTROL_UPDATE_FILE, ContractError, GLOBAL_FILE, TASK_FILE, TaskFile, UPDATE_FILE,
    read_result, read_update, tensor_entries,
};
use neuro_fl_aggregator::{Flat, Layout, LayoutError, StrategyError, StrategySettings};
use neuro_model::tensor_file::TensorTable;
use neuro_network::FederatedClient;
use neuro_primitives::Hash;
use neuro_secagg::config::RoundConfig;
use tokio_util::sync::CancellationToken;

use super::fetching::{FetchError, fetch};
use super::trainer::{TrainerCommand, TrainerError, TrainerLimits, run};
use crate::os::private_file;

/// There is no update. Nothing has been masked, and nobody else is concerned.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The weights.
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
    /// The weights are of another layout than the configuration's.
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
    /// The strategy.
    #[error("the round's strategy cannot be followed: {0}")]
    Strategy(#[from] StrategyError),
    /// The command.
    #[error(transparent)]
    Trainer(#[from] TrainerError),
    /// What the command left.
    #[error("the trainer's work is not used: {0}")]
    Contract(#[from] ContractError),
}

impl TrainingError {
    /// Whether a new connection may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Fetch(FetchError::Control(error)) if error.is_retryable())
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Δ: `[entries]`, f32.
    pub update: Flat,
    /// The control variate's change, with strategies that have one.
    pub control: Option<Flat>,
    /// How much it counts, at most the configuration's cap.
    pub weight: u32,
    /// The trainer's loss.
    pub loss: Option<f64>,
}

/// One round's training.
pub struct Training {
    /// Where the weights come from.
    pub client: FederatedClient,
    /// The user's command.
    pub command: TrainerCommand,
    /// Address space of the command in bytes; none: no bound.
    pub memory_bytes: Option<u64>,
    /// The folder that the command runs in.
    pub folder: PathBuf,
    /// The round.
    pub config: RoundConfig,
    /// The task's name.
    pub task: String,
    /// Of the trainer's randomness: the same when it runs again.
    pub seed: u64,
}

impl Training {
    /// Fetches, trains, reads.
    ///
    /// # Errors
    /// See [`TrainingError`].
    pub async fn run(self, stop: CancellationToken) -> Result<Trained, TrainingError> {
        let base = self.config.base.hash();
        let global = self.folder.join(GLOBAL_FILE);
        fetch(&self.client, base, &global).await?;
        let layout = self.layout(&read(&global)?)?;
        let settings = StrategySettings::decode(&self.config.strategy.settings)?;
        let limits = TrainerLimits { time: time_limit(&self.config), memory_bytes: self.memory_bytes };
        self.prepare(&layout, &settings, limits.time)?;
        let line = run(&self.command, &self.folder, limits, &stop).await?;
        let result = read_result(&line, &base, self.config.weight_cap)?;
        let (update, control) = (self.file(UPDATE_FILE)?, self.file(CONTROL_UPDATE_FILE)?);
        let (update, control) = read_update(&layout, settings.parts(), update.as_deref(), control.as_deref())?;
        Ok(Trained { update, control, weight: result.weight, loss: result.loss })
    }

    /// The layout of the weights, which must be the one of the configuration.
    fn layout(&self, weights: &[u8]) -> Result<Layout, TrainingError> {
        let table = TensorTable::from_bytes(weights).map_err(LayoutError::from)?;
        let layout = Layout::of_shapes(table.iter().map(|(name, entry)| (name, entry.shape.clone())))?;
        let (expected, got) = (self.config.layout, layout.hash());
        if expected == got { Ok(layout) } else { Err(TrainingError::Layout { expected, got }) }
    }

    /// Writes `task.json` and removes what an earlier run left.
    fn prepare(&self, layout: &Layout, settings: &StrategySettings, limit: Duration) -> Result<(), TrainingError> {
        for file in [UPDATE_FILE, CONTROL_UPDATE_FILE] {
            drop(fs::remove_file(self.folder.join(file)));
        }
        let task = TaskFile {
            contract: CONTRACT_VERSION,
            task: self.task.clone(),
            round: self.config.round,
            model: self.config.base.hash().to_string(),
            action: Action::Train,
            tensors: tensor_entries(layout),
            rule: (&settings.local_rule(None)).into(),
            seed: self.seed,
            deadline_s: limit.as_secs(),
            weight_cap: self.config.weight_cap,
            training: serde_json::Map::new(),
            metrics: Vec::new(),
        };
        let path = self.folder.join(TASK_FILE);
        let text = serde_json::to_vec_pretty(&task).map_err(io::Error::other).map_err(at(&path))?;
        private_file::replace(&path, &text).map_err(at(&path))
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

/// From the join to the end of uploads: later nobody takes the update.
fn time_limit(config: &RoundConfig) -> Duration {
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
