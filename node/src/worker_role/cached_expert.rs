//! An expert in the worker's cache folder, read and verified again each time it comes into memory.

use std::sync::Arc;

use neuro_expert_runtime::{
    ExpertSource, ExpertTensors, SourceError, StoredExpert, TakeWeights, expert_weights, input_format,
};
use neuro_model::{ModelConfig, TensorData};
use neuro_primitives::ExpertId;
use neuro_protocol::manifest::TensorEntry;

use super::cache::TensorCache;

/// The tensors of one expert: gate, up, down.
pub struct CachedExpert {
    /// The model's configuration.
    pub config: Arc<ModelConfig>,
    /// What the manifest says of them.
    pub entries: [TensorEntry; 3],
    /// Where they lie.
    pub cache: TensorCache,
}

impl CachedExpert {
    /// What the pool needs to know before it reads anything.
    #[must_use]
    pub fn stored(&self) -> StoredExpert {
        let [gate, up, _] = &self.entries;
        StoredExpert {
            stored_bytes: self.entries.iter().map(|entry| entry.length).sum(),
            input_format: input_format([gate.tensor_type, up.tensor_type]),
        }
    }
}

impl ExpertSource for CachedExpert {
    /// The files are read, not mapped: what was hashed is what is converted, and a file that someone shortens meanwhile
    /// is an error and not the end of the process.
    fn load(&self, _: ExpertId, take: &mut TakeWeights<'_>) -> Result<(), SourceError> {
        let read = |entry: &TensorEntry| {
            let bytes = self.cache.read(&entry.hash, entry.length);
            bytes.map_err(|error| {
                let (reason, retryable) = (format!("tensor {}: {error}", entry.name), error.is_retryable());
                SourceError::Unreadable { reason, retryable }
            })
        };
        let [gate, up, down] = &self.entries;
        let bytes = [read(gate)?, read(up)?, read(down)?];
        let [gate, up, down] = [view(gate, &bytes[0]), view(up, &bytes[1]), view(down, &bytes[2])];
        let weights = expert_weights(&self.config, ExpertTensors { gate, up, down, biases: None })?;
        Ok(take(&weights)?)
    }
}

/// The tensor that `bytes` are by its entry.
pub fn view<'a>(entry: &'a TensorEntry, bytes: &'a [u8]) -> TensorData<'a> {
    TensorData {
        name: &entry.name,
        tensor_type: entry.tensor_type,
        shape: entry.shape.iter().map(|&length| usize::try_from(length).unwrap_or(usize::MAX)).collect(),
        bytes: bytes.into(),
    }
}
