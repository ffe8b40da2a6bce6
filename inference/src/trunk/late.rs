//! Weights of the trunk that are computed with where they are mapped until they are brought into memory.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use neuro_expert_runtime::{Engine, EngineError, Linear, Weight};
use neuro_model::Checkpoint;
use neuro_primitives::Rows;

use super::loading::refused;
use crate::error::LoadError;

/// A linear layer of a checkpoint. Clones are the same layer.
#[derive(Clone)]
pub(crate) struct LateLinear {
    checkpoint: Arc<Checkpoint>,
    engine: Arc<dyn Engine>,
    name: Arc<str>,
    /// Of the weight as it is stored.
    bytes: u64,
    in_memory: Arc<OnceLock<Box<dyn Linear>>>,
}

impl LateLinear {
    /// The tensor `name`, which is looked at and left where it is.
    ///
    /// # Errors
    /// When it is missing, or the engine would refuse it.
    pub(super) fn new(checkpoint: &Arc<Checkpoint>, engine: &Arc<dyn Engine>, name: &str) -> Result<Self, LoadError> {
        let (checkpoint, engine, name) = (Arc::clone(checkpoint), Arc::clone(engine), Arc::from(name));
        let mut late = Self { checkpoint, engine, name, bytes: 0, in_memory: Arc::default() };
        late.bytes = late.stored(|weight| {
            late.engine.check_linear(weight)?;
            Ok(weight.bytes.len() as u64)
        })?;
        Ok(late)
    }

    /// Brings it into memory and gives up the pages that were mapped. Until then calls compute without.
    ///
    /// # Errors
    /// When the checkpoint was changed since it was opened.
    pub(crate) fn bring_in(&self) -> Result<(), LoadError> {
        let linear = self.stored(|weight| self.engine.linear(weight))?;
        drop(self.in_memory.set(linear));
        if let Cow::Borrowed(bytes) = self.checkpoint.tensor(&self.name)?.bytes {
            self.checkpoint.release(bytes);
        }
        Ok(())
    }

    /// What `with` makes of the weight where it lies.
    fn stored<T>(&self, with: impl FnOnce(&Weight<'_>) -> Result<T, EngineError>) -> Result<T, LoadError> {
        let weight = Weight::new(self.checkpoint.tensor(&self.name)?);
        weight.and_then(|weight| with(&weight)).map_err(|source| refused(&self.name, source))
    }
}

impl Linear for LateLinear {
    fn apply(&self, input: &Rows) -> Result<Rows, EngineError> {
        if let Some(linear) = self.in_memory.get() {
            return linear.apply(input);
        }
        let gone = |_| EngineError::Gone { name: self.name.to_string() };
        let weight = Weight::new(self.checkpoint.tensor(&self.name).map_err(gone)?)?;
        self.engine.linear_in_place(&weight)?.apply(input)
    }

    fn resident_bytes(&self) -> u64 {
        self.bytes
    }
}
