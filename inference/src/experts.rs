//! The decoder's only question to the outside: the experts' sums for some rows of one layer.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use neuro_expert_runtime::activations::{ActivationError, encode};
use neuro_expert_runtime::{
    Engine, ExpertPool, ExpertSource, ExpertTensors, PoolError, SourceError, StoredExpert, TakeWeights, expert_weights,
    input_format,
};
use neuro_model::{Checkpoint, CheckpointError, TensorData, names};
use neuro_primitives::{ActivationFormat, ContributionError, ExpertId, FixedSum, JobId, Routes, Rows};

use crate::error::LoadError;
pub use recomputation::{Contribution, Recomputation};
pub use verified::WeightHashes;
use warming::Warming;

mod recomputation;
mod verified;
mod warming;

/// Who computes the experts: a pool in this process, or workers behind a network.
pub trait ExpertLayers: Send + Sync {
    /// Whether they are behind a network, so that this machine is idle while they compute.
    fn is_away(&self) -> bool {
        false
    }

    /// Runs the experts of `layer` for `hidden` (`[rows, d_model]`, f32, at most 512 rows) as `routes` says, one row of
    /// routes a row. Returns the sums of gate × output, `[rows, d_model]`, f32, made by the contribution rule.
    ///
    /// # Errors
    /// When an expert is held by nobody, or its holders fail.
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError>;

    /// As [`Self::run`], for rows of several jobs: the first rows are the first owner's, and so on.
    ///
    /// # Errors
    /// As there.
    fn run_for(&self, layer: u16, hidden: &Rows, routes: &Routes, owners: &[RowOwner]) -> Result<Rows, ExpertsError> {
        let _ = owners;
        self.run(layer, hidden, routes)
    }
}

/// Whose some rows of a call are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOwner {
    /// The job; 0 where there is none.
    pub job: JobId,
    /// How many rows; maybe none.
    pub rows: usize,
    /// Whether the job would rather pay twice than wait: two holders are asked from the start.
    pub twice: bool,
}

/// The experts gave no sums.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpertsError {
    /// What happened, for people.
    pub message: String,
    /// Whether the same call may succeed later, when other workers have joined, say.
    pub retryable: bool,
    /// The expert that nobody computed, where it is one: rows that do not need it can be had without it.
    pub expert: Option<u16>,
}

impl ExpertsError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }

    fn lasting(message: impl ToString) -> Self {
        Self { message: message.to_string(), retryable: false, expert: None }
    }
}

impl From<PoolError> for ExpertsError {
    fn from(error: PoolError) -> Self {
        Self { message: error.to_string(), retryable: error.is_retryable(), expert: None }
    }
}

impl From<ActivationError> for ExpertsError {
    fn from(error: ActivationError) -> Self {
        Self::lasting(error)
    }
}

impl From<ContributionError> for ExpertsError {
    fn from(error: ContributionError) -> Self {
        Self::lasting(error)
    }
}

/// All experts in this process. Gives the bytes that any set of workers gives.
pub struct LocalExperts {
    pool: Arc<ExpertPool>,
    /// Brings experts into memory while the first answers are computed without. Stops with this.
    _warming: Option<Warming>,
}

impl LocalExperts {
    /// Answers from `pool`, which should hold every expert.
    #[must_use]
    pub const fn new(pool: Arc<ExpertPool>) -> Self {
        Self { pool, _warming: None }
    }

    /// Every expert of `checkpoint`, read when it is first needed or when [`LocalExperts::load`] or
    /// [`ExpertPool::warm`] reads it; in memory up to `memory_limit_bytes`, all of them without a limit.
    ///
    /// # Errors
    /// When a tensor is missing.
    pub fn open(
        checkpoint: &Arc<Checkpoint>,
        engine: Arc<dyn Engine>,
        memory_limit_bytes: Option<u64>,
    ) -> Result<Self, LoadError> {
        Self::of(checkpoint, Arc::new(CheckpointSource(Arc::clone(checkpoint))), engine, memory_limit_bytes)
    }

    /// The experts that `checkpoint` tells of, read from `source`.
    fn of(
        checkpoint: &Checkpoint,
        source: Arc<dyn ExpertSource>,
        engine: Arc<dyn Engine>,
        memory_limit_bytes: Option<u64>,
    ) -> Result<Self, LoadError> {
        let pool = ExpertPool::new(engine, checkpoint.config().d_model).with_limit(memory_limit_bytes);
        for id in names::experts(checkpoint.config()) {
            pool.register(id, stored(checkpoint, id)?, Arc::clone(&source));
        }
        Ok(Self::new(Arc::new(pool)))
    }

    /// As [`LocalExperts::open`], and reads every expert once, several side by side, so that a weight that cannot be
    /// used is found now. What does not fit within `memory_limit_bytes` is read again when it is needed. `progress`
    /// hears after each group of experts how many stored bytes were read so far.
    ///
    /// # Errors
    /// When a tensor is missing or not finite, or the engine refuses it.
    pub fn load(
        checkpoint: &Arc<Checkpoint>,
        engine: Arc<dyn Engine>,
        memory_limit_bytes: Option<u64>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, LoadError> {
        let experts = Self::open(checkpoint, engine, memory_limit_bytes)?;
        let ids = experts.pool.held();
        let (expert_bytes, count) = (u128::from(checkpoint.expert_bytes()), ids.len().max(1) as u128);
        let warmed = experts.pool.warm(&ids, &mut |done| {
            progress(u64::try_from(expert_bytes * done as u128 / count).unwrap_or(u64::MAX));
            ControlFlow::Continue(())
        });
        warmed.map_err(load_error)?;
        Ok(experts)
    }

    /// As [`LocalExperts::open`] without a limit, checks that every expert can be used, and brings all of them into memory
    /// on a thread of its own. Until it is through, calls compute with the checkpoint's bytes where they are mapped: the
    /// first answer waits for a look at the weights instead of a copy of them.
    ///
    /// # Errors
    /// When a tensor is missing or not finite, or the engine refuses it.
    pub fn start(
        checkpoint: &Arc<Checkpoint>,
        engine: Arc<dyn Engine>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, LoadError> {
        let Self { pool, .. } = Self::open(checkpoint, engine, None)?;
        let ids = pool.held();
        let (expert_bytes, count) = (u128::from(checkpoint.expert_bytes()), ids.len().max(1) as u128);
        let checked = pool.check_stored(&ids, &mut |done| {
            progress(u64::try_from(expert_bytes * done as u128 / count).unwrap_or(u64::MAX));
        });
        checked.map_err(load_error)?;
        let _warming = Some(Warming::start(&pool));
        Ok(Self { pool, _warming })
    }

    /// The pool that answers.
    #[must_use]
    pub const fn pool(&self) -> &Arc<ExpertPool> {
        &self.pool
    }
}

impl ExpertLayers for LocalExperts {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        let mut sums = FixedSum::zeros(hidden.count(), hidden.width());
        // Once for all experts of the layer, instead of once in each.
        let hidden = encode(hidden, self.pool.input_format(layer).unwrap_or(ActivationFormat::F32))?;
        for (row, partial) in self.pool.run(layer, &hidden, routes)?.iter().enumerate() {
            sums.add(row, partial)?;
        }
        Ok(sums.to_rows())
    }
}

/// The experts of a checkpoint, read where they lie. Pages of the file that were loaded are given up at once: the engine
/// has its own copy, and one copy is what the model may take.
struct CheckpointSource(Arc<Checkpoint>);

impl ExpertSource for CheckpointSource {
    fn load(&self, id: ExpertId, take: &mut TakeWeights<'_>) -> Result<(), SourceError> {
        let tensors = expert_tensors(&self.0, id).map_err(unreadable)?;
        let places = [&tensors.gate, &tensors.up, &tensors.down].map(place);
        let taken = expert_weights(self.0.config(), tensors).and_then(|weights| take(&weights));
        places.into_iter().flatten().for_each(|place| self.0.release(place));
        Ok(taken?)
    }

    fn look(&self, id: ExpertId, take: &mut TakeWeights<'_>) -> Result<(), SourceError> {
        let tensors = expert_tensors(&self.0, id).map_err(unreadable)?;
        take(&expert_weights(self.0.config(), tensors)?)?;
        Ok(())
    }
}

/// The tensors of expert `id` as they lie in `checkpoint`, biases included where the model has them.
///
/// # Errors
/// When a tensor is missing or unreadable.
pub fn expert_tensors(checkpoint: &Checkpoint, id: ExpertId) -> Result<ExpertTensors<'_>, CheckpointError> {
    let names = names::expert(checkpoint.config(), id);
    let biases = match &names.biases {
        Some([gate, up, down]) => Some([checkpoint.tensor(gate)?, checkpoint.tensor(up)?, checkpoint.tensor(down)?]),
        None => None,
    };
    Ok(ExpertTensors {
        gate: checkpoint.tensor(&names.gate)?,
        up: checkpoint.tensor(&names.up)?,
        down: checkpoint.tensor(&names.down)?,
        biases,
    })
}

/// The tensor's bytes in the mapped file; `None` where they were put together.
const fn place<'a>(tensor: &TensorData<'a>) -> Option<&'a [u8]> {
    match tensor.bytes {
        Cow::Borrowed(bytes) => Some(bytes),
        Cow::Owned(_) => None,
    }
}

/// What the checkpoint's tables say of an expert, without touching its bytes.
fn stored(checkpoint: &Checkpoint, id: ExpertId) -> Result<StoredExpert, LoadError> {
    let ExpertTensors { gate, up, down, biases } = expert_tensors(checkpoint, id)?;
    let tensors = [&gate, &up, &down].into_iter().chain(biases.iter().flatten());
    let stored_bytes = tensors.map(|tensor| tensor.bytes.len() as u64).sum();
    Ok(StoredExpert { stored_bytes, input_format: input_format([gate.tensor_type, up.tensor_type]) })
}

fn unreadable(error: CheckpointError) -> SourceError {
    SourceError::Unreadable { reason: error.to_string(), retryable: false }
}

fn load_error(error: PoolError) -> LoadError {
    match error {
        PoolError::Load { expert, source: SourceError::Engine(source) } => {
            LoadError::Engine { name: expert.to_string(), source }
        }
        error => LoadError::Experts(error),
    }
}
