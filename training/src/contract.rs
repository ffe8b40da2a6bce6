//! The trainer's contract (docs/federated.md) for the models of this crate: one round in a folder of files.
//!
//! ```text
//! task.json, global.safetensors ──┐
//! checkpoint, examples ───────────┼──▶ update.safetensors, the last line of standard output
//! control.safetensors, state/ ────┘
//! ```
//!
//! What is trained is what the round's tensors are: whole tensors, some of their rows, or adapters, whose names end in
//! `.lora_a` and `.lora_b`. Everything else is the participant's own copy of the model and stays as it is.
//!
//! What is kept for later rounds is a file for each round. A round that is trained again after a crash finds what the
//! rounds before it left, so that it comes to the same update.

mod checkpoint_files;
mod error;
mod local_examples;
mod round_tensors;
mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use neuro_fl_aggregator::trainer_contract::{
    Action, CONTRACT_VERSION, CONTROL_FILE, CONTROL_UPDATE_FILE, GLOBAL_FILE, ResultLine, RuleEntry, TASK_FILE,
    TaskFile, UPDATE_FILE,
};
use neuro_fl_aggregator::{Flat, Layout, LocalRule};
use neuro_model::Checkpoint;

use crate::choice::TrainedParts;
use crate::error::{ModelError, TrainError};
use crate::example::Example;
use crate::model::MoeModel;
use crate::moe_trainer::MoeTrainer;
use crate::network::check_supported;
use crate::trainer::Trainer;
use crate::weights::Weights;
pub use checkpoint_files::{adapters, apply};
pub use error::RoundFailure;
use local_examples::{Shuffled, Texts};
use round_tensors::RoundTensors;
use settings::Settings;
use state::State;

/// Metrics that an evaluation can ask for.
const METRICS: [&str; 2] = ["loss", "accuracy"];

/// What a participant trains with; it stays on its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalData {
    /// The model: a folder or a GGUF file with weights in f32, f16 or bf16.
    pub model: PathBuf,
    /// The examples: JSON lines.
    pub examples: PathBuf,
    /// Examples to measure on, which are not trained on; without them, the same.
    pub held_out: Option<PathBuf>,
}

/// A round's work, prepared.
struct Round<'a> {
    folder: &'a Path,
    task: TaskFile,
    layout: Layout,
    global: Flat,
    settings: Settings,
    texts: Texts,
    data: &'a LocalData,
    started: Instant,
}

impl LocalData {
    /// Looks at the model and the examples before any round asks for them. Returns how many examples there are.
    ///
    /// # Errors
    /// A model or a file of examples that no round could be trained with.
    pub fn check(&self) -> Result<usize, RoundFailure> {
        let checkpoint = Checkpoint::open(&self.model).map_err(ModelError::from)?;
        check_supported(checkpoint.config())?;
        Weights::check_types(&checkpoint)?;
        let texts = Texts::of(checkpoint);
        if let Some(held_out) = &self.held_out {
            texts.read(held_out)?;
        }
        Ok(texts.read(&self.examples)?.len())
    }
}

/// Does what `task.json` in `folder` asks for. What comes back is the last line for standard output.
///
/// # Errors
/// Whatever keeps the round from being trained or measured. Nothing of the attempt is used then.
pub fn take_part(folder: &Path, data: &LocalData) -> Result<ResultLine, RoundFailure> {
    let started = Instant::now();
    let task = read_task(folder)?;
    let settings = Settings::read(&task.training)?;
    let checkpoint = Checkpoint::open(&data.model).map_err(ModelError::from)?;
    let mut weights = Weights::read(&checkpoint)?;
    let tensors = RoundTensors::of(&task.tensors, &mut weights, settings.lora_alpha)?;
    let layout = layout_of(&task)?;
    let global = read_flat(&layout, &folder.join(GLOBAL_FILE))?;
    tensors.parts.write(&global.0, &mut weights)?;
    let model = MoeModel::new(checkpoint.config().clone(), weights, tensors.low_rank.as_ref())?;
    let texts = Texts::of(checkpoint);
    let round = Round { folder, task, layout, global, settings, texts, data, started };
    match round.task.action {
        Action::Train => round.train(model, tensors.parts),
        Action::Evaluate => round.evaluate(&model),
    }
}

impl Round<'_> {
    fn train(&self, model: MoeModel, parts: TrainedParts) -> Result<ResultLine, RoundFailure> {
        let examples = self.texts.read(&self.data.examples)?;
        let (count, state) = (examples.len(), State::open(self.folder, self.task.round)?);
        let plan = self.settings.plan(count);
        let source = Shuffled::new(examples, self.settings.batch, self.task.seed);
        let mut trainer = MoeTrainer::of_parts(model.clone(), parts.clone(), Box::new(source), plan);
        trainer.restore(state.read(&self.layout)?);
        let left = Duration::from_secs(self.task.deadline_s).saturating_sub(self.started.elapsed());
        let trained = trainer.train(&self.global, &self.rule()?, left)?;
        self.write(UPDATE_FILE, &trained.update)?;
        if let Some(control) = &trained.control {
            self.write(CONTROL_UPDATE_FILE, control)?;
        }
        state.write(&self.layout, &trainer.kept())?;
        let mut line = self.line(count, f64::from(trained.loss), BTreeMap::new());
        if self.data.held_out.is_some() {
            let local: Vec<f32> = self.global.0.iter().zip(&trained.update.0).map(|(x, step)| x + step).collect();
            let mut weights = model.weights().clone();
            parts.write(&local, &mut weights)?;
            let (_, loss, accuracy) = self.measure(&model.with_weights(weights)?)?;
            line.loss = Some(loss);
            line.metrics = BTreeMap::from([("loss".to_owned(), loss), ("accuracy".to_owned(), accuracy)]);
        }
        Ok(line)
    }

    fn evaluate(&self, model: &MoeModel) -> Result<ResultLine, RoundFailure> {
        if let Some(unknown) = self.task.metrics.iter().find(|name| !METRICS.contains(&name.as_str())) {
            return Err(RoundFailure::Metric { got: unknown.clone() });
        }
        let (count, loss, accuracy) = self.measure(model)?;
        let measured = [("loss", loss), ("accuracy", accuracy)].map(|(name, value)| (name.to_owned(), value));
        let asked = measured.into_iter().filter(|(name, _)| self.task.metrics.contains(name));
        Ok(self.line(count, loss, asked.collect()))
    }

    /// How many examples were measured on, the loss in nats per learnt token, and the part of the examples that greedy
    /// decoding would get right to the last token.
    fn measure(&self, model: &MoeModel) -> Result<(usize, f64, f64), RoundFailure> {
        let examples = self.texts.read(self.data.held_out.as_ref().unwrap_or(&self.data.examples))?;
        let (mut loss, mut tokens, mut right) = (0.0, 0, 0);
        let deadline = Duration::from_secs(self.task.deadline_s);
        for (done, batch) in examples.chunks(self.settings.batch).enumerate() {
            if self.started.elapsed() >= deadline {
                let (steps, done) = (examples.len().div_ceil(self.settings.batch) as u32, done as u32);
                return Err(TrainError::Deadline { steps, done, deadline }.into());
            }
            let (evaluation, learnt) = (model.evaluate(batch)?, batch.iter().map(Example::learnt).sum::<usize>());
            loss += f64::from(evaluation.loss) * learnt as f64;
            tokens += learnt;
            right += evaluation.exact.iter().filter(|exact| **exact).count();
        }
        Ok((examples.len(), loss / tokens.max(1) as f64, right as f64 / examples.len().max(1) as f64))
    }

    fn rule(&self) -> Result<LocalRule, RoundFailure> {
        Ok(match self.task.rule {
            RuleEntry::Plain => LocalRule::Plain,
            RuleEntry::Proximal { mu } => LocalRule::Proximal { mu },
            RuleEntry::Scaffold => {
                LocalRule::Scaffold { control: read_flat(&self.layout, &self.folder.join(CONTROL_FILE))? }
            }
            RuleEntry::Personal { lambda } => LocalRule::Personal { lambda },
        })
    }

    fn line(&self, count: usize, loss: f64, metrics: BTreeMap<String, f64>) -> ResultLine {
        let weight = u32::try_from(count).unwrap_or(u32::MAX);
        ResultLine { weight, loss: Some(loss), model: Some(self.task.model.clone()), metrics }
    }

    fn write(&self, name: &str, values: &Flat) -> Result<(), RoundFailure> {
        let path = self.folder.join(name);
        let bytes = self.layout.write(values).map_err(|why| RoundFailure::file(&path, why))?;
        fs::write(&path, bytes).map_err(|source| RoundFailure::io(&path, source))
    }
}

fn read_task(folder: &Path) -> Result<TaskFile, RoundFailure> {
    let path = folder.join(TASK_FILE);
    let bytes = fs::read(&path).map_err(|source| RoundFailure::io(&path, source))?;
    let task: TaskFile = serde_json::from_slice(&bytes).map_err(|why| RoundFailure::Task { why: why.to_string() })?;
    if task.contract == CONTRACT_VERSION { Ok(task) } else { Err(RoundFailure::Contract { got: task.contract }) }
}

/// The round's vector, as its files have it.
fn layout_of(task: &TaskFile) -> Result<Layout, RoundFailure> {
    let shapes = task.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.clone()));
    Layout::of_shapes(shapes).map_err(|why| RoundFailure::Task { why: why.to_string() })
}

fn read_flat(layout: &Layout, path: &Path) -> Result<Flat, RoundFailure> {
    let bytes = fs::read(path).map_err(|source| RoundFailure::io(path, source))?;
    layout.read(&bytes).map_err(|why| RoundFailure::file(path, why))
}
