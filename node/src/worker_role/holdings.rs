//! Loading experts: from the cache or the orchestrator, verified, converted, into the pool.

use std::sync::Arc;

use futures::StreamExt;
use neuro_expert_runtime::{EngineError, ExpertPool, ExpertTensors, expert_weights};
use neuro_model::{ModelConfig, TensorData, names};
use neuro_network::control::{ControlClient, ControlError};
use neuro_primitives::{ExpertId, Hash, Untrusted};
use neuro_protocol::control::FetchRequest;
use neuro_protocol::manifest::{Manifest, TensorEntry};

use super::cache::TensorCache;

/// How often a tensor that arrives damaged is fetched again before the expert is reported as failed.
const FETCH_ATTEMPTS: u32 = 3;

/// What a worker needs to turn an expert's name into a loaded expert.
pub struct Holdings {
    /// The model.
    pub manifest: Arc<Manifest>,
    /// Its configuration.
    pub config: Arc<ModelConfig>,
    /// Where loaded experts go.
    pub pool: Arc<ExpertPool>,
    /// Where verified tensors are kept.
    pub cache: TensorCache,
}

/// An expert could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadExpertError {
    /// The manifest does not list one of its tensors.
    #[error("the manifest lists no tensor {name} for expert {expert}")]
    Unlisted {
        /// The tensor.
        name: String,
        /// The expert.
        expert: ExpertId,
    },
    /// The orchestrator did not deliver.
    #[error("tensor {name} cannot be fetched: {source}")]
    Fetch {
        /// The tensor.
        name: String,
        /// The control plane's answer.
        source: ControlError,
    },
    /// What arrived is something else.
    #[error("tensor {name} arrived damaged {attempts} times: expected {length} bytes with hash {hash}")]
    Damaged {
        /// The tensor.
        name: String,
        /// Its length.
        length: u64,
        /// Its hash.
        hash: Hash,
        /// How often it was fetched.
        attempts: u32,
    },
    /// The conversion did not end.
    #[error("converting the weights was broken off: {0}")]
    Stopped(String),
    /// The engine refuses the weights.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl LoadExpertError {
    /// Whether the connection is at fault, so that trying again over a new one may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => source.is_retryable(),
            _ => false,
        }
    }
}

impl Holdings {
    /// Loads one expert; does nothing when it is held.
    ///
    /// # Errors
    /// When a tensor is not in the manifest, cannot be had, or makes no expert. The pool is then as it was.
    pub async fn load(&self, client: &ControlClient, expert: ExpertId) -> Result<(), LoadExpertError> {
        if self.pool.holds(expert) {
            return Ok(());
        }
        let names = names::expert(&self.config, expert);
        let entries =
            [self.entry(expert, &names.gate)?, self.entry(expert, &names.up)?, self.entry(expert, &names.down)?];
        let [gate, up, down] = entries.map(|entry| self.tensor(client, entry));
        let bytes = futures::try_join!(gate, up, down)?;
        let parts = [(entries[0].clone(), bytes.0), (entries[1].clone(), bytes.1), (entries[2].clone(), bytes.2)];
        let (config, pool) = (Arc::clone(&self.config), Arc::clone(&self.pool));
        // Conversion takes milliseconds: not on a network thread.
        let converted = tokio::task::spawn_blocking(move || {
            let [gate, up, down] = parts.each_ref().map(view);
            let weights = expert_weights(&config, ExpertTensors { gate, up, down, biases: None })?;
            Ok(pool.insert(expert, &weights)?)
        });
        converted.await.unwrap_or_else(|error| Err(LoadExpertError::Stopped(error.to_string())))
    }

    fn entry(&self, expert: ExpertId, name: &str) -> Result<&TensorEntry, LoadExpertError> {
        let found = self.manifest.expert_tensors(expert).find(|entry| entry.name == name);
        found.ok_or_else(|| LoadExpertError::Unlisted { name: name.to_owned(), expert })
    }

    /// The tensor's bytes, whose hash was checked.
    async fn tensor(&self, client: &ControlClient, entry: &TensorEntry) -> Result<Vec<u8>, LoadExpertError> {
        if let Some(bytes) = self.cache.get(&entry.hash) {
            return Ok(bytes);
        }
        for _ in 0..FETCH_ATTEMPTS {
            let received = fetch(client, entry).await?;
            if let Some(bytes) = verified(received, entry) {
                self.cache.put(&entry.hash, &bytes);
                return Ok(bytes);
            }
            tracing::warn!(tensor = entry.name, "a tensor arrived damaged");
        }
        let TensorEntry { name, length, hash, .. } = entry.clone();
        Err(LoadExpertError::Damaged { name, length, hash, attempts: FETCH_ATTEMPTS })
    }
}

/// Fetches a tensor. Stops reading once more came than the manifest says.
async fn fetch(client: &ControlClient, entry: &TensorEntry) -> Result<Untrusted<Vec<u8>>, LoadExpertError> {
    let failed = |source| LoadExpertError::Fetch { name: entry.name.clone(), source };
    let request = FetchRequest { hash: entry.hash.0.to_vec(), offset: 0 };
    let mut chunks = client.fetch(request).await.map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.map_err(failed)?.data);
        if bytes.len() as u64 > entry.length {
            break;
        }
    }
    Ok(Untrusted::new(bytes))
}

fn verified(received: Untrusted<Vec<u8>>, entry: &TensorEntry) -> Option<Vec<u8>> {
    received.verify(|bytes| if Hash::of(&bytes) == entry.hash { Ok(bytes) } else { Err(()) }).ok()
}

fn view((entry, bytes): &(TensorEntry, Vec<u8>)) -> TensorData<'_> {
    TensorData {
        name: &entry.name,
        tensor_type: entry.tensor_type,
        shape: entry.shape.iter().map(|&length| usize::try_from(length).unwrap_or(usize::MAX)).collect(),
        bytes: bytes.into(),
    }
}
