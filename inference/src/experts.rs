//! The decoder's only question to the outside: the experts' sums for some rows of one layer.

use std::sync::Arc;

use neuro_expert_runtime::{Engine, ExpertPool, ExpertTensors, PoolError, expert_weights};
use neuro_model::names::ExpertTensorNames;
use neuro_model::{Checkpoint, CheckpointError, names};
use neuro_primitives::{ContributionError, ExpertId, FixedSum, Routes, Rows};

use crate::error::LoadError;

/// Who computes the experts: a pool in this process, or workers behind a network.
pub trait ExpertLayers: Send + Sync {
    /// Runs the experts of `layer` for `hidden` (`[rows, d_model]`, f32, at most 512 rows) as `routes` says, one row of
    /// routes a row. Returns the sums of gate × output, `[rows, d_model]`, f32, made by the contribution rule.
    ///
    /// # Errors
    /// When an expert is held by nobody, or its holders fail.
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError>;
}

/// The experts gave no sums.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpertsError {
    /// What happened, for people.
    pub message: String,
    /// Whether the same call may succeed later, when other workers have joined, say.
    pub retryable: bool,
}

impl ExpertsError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }

    fn lasting(message: impl ToString) -> Self {
        Self { message: message.to_string(), retryable: false }
    }
}

impl From<PoolError> for ExpertsError {
    fn from(error: PoolError) -> Self {
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
}

impl LocalExperts {
    /// Answers from `pool`, which should hold every expert.
    #[must_use]
    pub const fn new(pool: Arc<ExpertPool>) -> Self {
        Self { pool }
    }

    /// Loads every expert of `checkpoint` into one pool on `engine`, one at a time. `progress` hears after each expert
    /// how many stored bytes were read so far.
    ///
    /// # Errors
    /// When a tensor is missing or not finite, or the engine refuses it.
    pub fn load(
        checkpoint: &Checkpoint,
        engine: Arc<dyn Engine>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, LoadError> {
        let pool = ExpertPool::new(engine, checkpoint.config().d_model);
        let mut bytes_done = 0;
        for id in names::experts(checkpoint.config()) {
            bytes_done += load_expert(checkpoint, id, &pool)?;
            progress(bytes_done);
        }
        Ok(Self::new(Arc::new(pool)))
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
        for (row, partial) in self.pool.run(layer, &hidden.clone().into(), routes)?.iter().enumerate() {
            sums.add(row, partial)?;
        }
        Ok(sums.to_rows())
    }
}

/// Puts one expert into `pool` and returns the bytes it took in the checkpoint.
fn load_expert(checkpoint: &Checkpoint, id: ExpertId, pool: &ExpertPool) -> Result<u64, LoadError> {
    let names = names::expert(checkpoint.config(), id);
    let tensors = expert_tensors(checkpoint, &names)?;
    let matrices = [&tensors.gate, &tensors.up, &tensors.down].into_iter();
    let bytes = matrices.chain(tensors.biases.iter().flatten()).map(|tensor| tensor.bytes.len() as u64).sum();
    expert_weights(checkpoint.config(), tensors)
        .and_then(|weights| pool.insert(id, &weights))
        .map_err(|source| LoadError::Engine { name: id.to_string(), source })?;
    Ok(bytes)
}

/// One expert's tensors, biases included where the model has them, as they lie in `checkpoint`.
///
/// # Errors
/// When a tensor is missing or unreadable.
pub fn expert_tensors<'a>(
    checkpoint: &'a Checkpoint,
    names: &ExpertTensorNames,
) -> Result<ExpertTensors<'a>, CheckpointError> {
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
