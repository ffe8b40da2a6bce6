//! An expert in the worker's cache folder, read and verified again each time it comes into memory.

use std::sync::Arc;

use neuro_expert_runtime::{
    EngineError, ExpertSource, ExpertTensors, ExpertWeights, SourceError, StoredExpert, TakeWeights, expert_weights,
};
use neuro_model::{ModelConfig, TensorData};
use neuro_primitives::{ActivationFormat, ExpertId};
use neuro_protocol::manifest::TensorEntry;

use super::cache::TensorCache;

/// The tensors of one expert in the cache folder.
pub struct CachedExpert {
    /// The model's configuration.
    pub config: Arc<ModelConfig>,
    /// What the manifest says of them: gate, up and down, then their biases where the model has them.
    pub entries: Vec<TensorEntry>,
    /// Where they lie.
    pub cache: TensorCache,
}

impl CachedExpert {
    /// What the pool needs to know before it reads anything.
    #[must_use]
    pub fn stored(&self) -> StoredExpert {
        let floats = self.entries.iter().take(2).any(|entry| entry.tensor_type.is_float());
        StoredExpert {
            stored_bytes: self.entries.iter().map(|entry| entry.length).sum(),
            input_format: if floats { ActivationFormat::F32 } else { ActivationFormat::Q8 },
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
        let bytes = self.entries.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(take(&weights(&self.config, &self.entries, &bytes)?)?)
    }
}

/// The weights that `bytes` are by their `entries`: gate, up and down, then their biases where the model has them.
///
/// # Errors
/// When there are not three or six tensors, or one does not fit the configuration.
pub fn weights<'a>(
    config: &ModelConfig,
    entries: &'a [TensorEntry],
    bytes: &'a [Vec<u8>],
) -> Result<ExpertWeights<'a>, EngineError> {
    let mut tensors = entries.iter().zip(bytes).map(|(entry, bytes)| view(entry, bytes));
    let mut three = || Some([tensors.next()?, tensors.next()?, tensors.next()?]);
    let Some([gate, up, down]) = three() else {
        return Err(EngineError::Backend { message: "an expert has fewer than three tensors".to_owned() });
    };
    expert_weights(config, ExpertTensors { gate, up, down, biases: three() })
}

/// The tensor that `bytes` are by its entry.
fn view<'a>(entry: &'a TensorEntry, bytes: &'a [u8]) -> TensorData<'a> {
    TensorData {
        name: &entry.name,
        tensor_type: entry.tensor_type,
        shape: entry.shape.iter().map(|&length| usize::try_from(length).unwrap_or(usize::MAX)).collect(),
        bytes: bytes.into(),
    }
}
