//! One run of a trainer in a folder that has the weights already, by the contract (docs/federated.md).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use neuro_fl_aggregator::evaluation::metrics_vector;
use neuro_fl_aggregator::signed_settings::metrics_layout;
use neuro_fl_aggregator::trainer_contract::{
    Action, CONTRACT_VERSION, CONTROL_UPDATE_FILE, GLOBAL_FILE, TASK_FILE, TaskFile, UPDATE_FILE, read_result,
    read_update, tensor_entries,
};
use neuro_fl_aggregator::{Layout, LayoutError, SignedSettings};
use neuro_model::tensor_file::TensorTable;
use neuro_primitives::Hash;
use neuro_secagg::config::RoundConfig;
use tokio_util::sync::CancellationToken;

use super::{Trained, TrainingError, at, read};
use crate::os::private_file;
use crate::participant_role::trainer::{TrainerCommand, TrainerLimits, run};
use crate::participant_role::trainer_state::TrainerState;

/// What a trainer is given.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The user's command.
    pub command: TrainerCommand,
    /// Address space of the command in bytes; none: no bound.
    pub memory_bytes: Option<u64>,
    /// The folder that the command runs in, with the weights and with SCAFFOLD's control variate.
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
}

impl Attempt {
    /// Hands over, trains, reads.
    ///
    /// # Errors
    /// See [`TrainingError`].
    pub async fn run(&self, stop: &CancellationToken) -> Result<Trained, TrainingError> {
        let settings = self.settings()?;
        let layout = self.layout(&settings)?;
        self.prepare(&layout, &settings)?;
        let limits = TrainerLimits { time: self.time, memory_bytes: self.memory_bytes };
        let line = run(&self.command, &self.folder, limits, stop).await?;
        self.trained(&line, &layout, &settings)
    }

    /// What the configuration tells trainers.
    pub(super) fn settings(&self) -> Result<SignedSettings, TrainingError> {
        Ok(SignedSettings::decode(&self.config.strategy.settings)?)
    }

    /// The layout of the weights. It must be the one of the configuration, which in an evaluation names the metrics.
    pub(super) fn layout(&self, settings: &SignedSettings) -> Result<Layout, TrainingError> {
        let weights = read(&self.folder.join(GLOBAL_FILE))?;
        let table = TensorTable::from_bytes(&weights).map_err(LayoutError::from)?;
        let layout = Layout::of_shapes(table.iter().map(|(name, entry)| (name, entry.shape.clone())))?;
        let got = if settings.is_evaluation() { metrics_layout(&settings.metrics) } else { layout.hash() };
        let expected = self.config.layout;
        if expected == got { Ok(layout) } else { Err(TrainingError::Layout { expected, got }) }
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
