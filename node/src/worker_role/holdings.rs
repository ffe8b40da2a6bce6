//! Loading experts: from the orchestrator into the cache folder, verified, and from there into the pool.

use std::ops::ControlFlow;
use std::sync::Arc;

use futures::StreamExt;
use neuro_expert_runtime::{EngineError, ExpertPool, PoolError};
use neuro_model::{ModelConfig, names};
use neuro_network::control::{ChunkStream, ControlClient, ControlError};
use neuro_primitives::{ExpertId, Hash, Untrusted};
use neuro_protocol::control::FetchRequest;
use neuro_protocol::manifest::{Manifest, TensorEntry};

use super::cache::{CacheError, TensorCache};
use super::cached_expert::{CachedExpert, weights};
use super::parts::Parts;

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
    /// What came of tensors whose fetch broke off.
    pub parts: Parts,
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
    /// A tensor changed in the cache folder while it was loaded.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The expert cannot be brought into memory from the cache folder.
    #[error(transparent)]
    Pool(PoolError),
}

impl LoadExpertError {
    /// Whether the connection is at fault, so that trying again over a new one may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => source.is_retryable(),
            // A cache folder whose files keep changing is no reason to give the orchestrator up.
            _ => false,
        }
    }
}

/// Where tensors are fetched from.
pub trait TensorServer: Sync {
    /// The bytes behind a hash, from an offset on.
    fn fetch(&self, request: FetchRequest) -> impl Future<Output = Result<ChunkStream, ControlError>> + Send;
}

impl TensorServer for ControlClient {
    fn fetch(&self, request: FetchRequest) -> impl Future<Output = Result<ChunkStream, ControlError>> + Send {
        Self::fetch(self, request)
    }
}

/// An expert's tensors once they are here.
enum Arrived {
    /// All in the cache.
    Cached,
    /// The cache does not take them: their bytes, in the order of the entries.
    Loose(Vec<Vec<u8>>),
}

impl Holdings {
    /// Loads one expert; does nothing when it is held.
    ///
    /// # Errors
    /// When a tensor is not in the manifest, cannot be had, or makes no expert. The pool is then as it was.
    pub async fn load(&self, server: &impl TensorServer, expert: ExpertId) -> Result<(), LoadExpertError> {
        if self.pool.holds(expert) {
            return Ok(());
        }
        let entries = self.entries(expert)?;
        // A cached tensor that has changed is found when it is read. It is removed then and fetched once more.
        match self.load_arrived(server, expert, &entries).await {
            Err(LoadExpertError::Pool(error)) if error.is_retryable() => {
                tracing::warn!(%error, "a cached tensor is fetched again");
                self.load_arrived(server, expert, &entries).await
            }
            outcome => outcome,
        }
    }

    async fn load_arrived(
        &self,
        server: &impl TensorServer,
        expert: ExpertId,
        entries: &[TensorEntry],
    ) -> Result<(), LoadExpertError> {
        let arrived = self.arrive(server, entries).await?;
        let (config, cache, pool) = (Arc::clone(&self.config), self.cache.clone(), Arc::clone(&self.pool));
        let source = CachedExpert { config, entries: entries.to_vec(), cache };
        // Conversion takes milliseconds: not on a network thread.
        let converted = tokio::task::spawn_blocking(move || match arrived {
            Arrived::Cached => hold_cached(&pool, expert, source),
            Arrived::Loose(bytes) => hold_loose(&pool, expert, &source, &bytes),
        });
        converted.await.unwrap_or_else(|error| Err(LoadExpertError::Stopped(error.to_string())))
    }

    /// The entries of gate, up and down, and of their biases where the model has them.
    ///
    /// # Errors
    /// When the manifest lacks one.
    pub fn entries(&self, expert: ExpertId) -> Result<Vec<TensorEntry>, LoadExpertError> {
        let names = names::expert(&self.config, expert);
        let entry = |name: String| {
            let found = self.manifest.expert_tensors(expert).find(|entry| entry.name == name).cloned();
            found.ok_or(LoadExpertError::Unlisted { name, expert })
        };
        [names.gate, names.up, names.down].into_iter().chain(names.biases.into_iter().flatten()).map(entry).collect()
    }

    /// Fetches what is not in the cache.
    async fn arrive(&self, server: &impl TensorServer, entries: &[TensorEntry]) -> Result<Arrived, LoadExpertError> {
        let fetched = futures::future::try_join_all(entries.iter().map(|entry| self.tensor(server, entry))).await?;
        if fetched.iter().all(Option::is_none) {
            return Ok(Arrived::Cached);
        }
        let bytes = |(bytes, entry): (Option<Vec<u8>>, &TensorEntry)| match bytes {
            Some(bytes) => Ok(bytes),
            None => Ok(self.cache.read(&entry.hash, entry.length)?),
        };
        fetched.into_iter().zip(entries).map(bytes).collect::<Result<_, LoadExpertError>>().map(Arrived::Loose)
    }

    /// Sees to it that the tensor is in the cache. Where the cache does not take it: its bytes, whose hash was checked.
    async fn tensor(
        &self,
        server: &impl TensorServer,
        entry: &TensorEntry,
    ) -> Result<Option<Vec<u8>>, LoadExpertError> {
        if self.cache.has(&entry.hash, entry.length) {
            return Ok(None);
        }
        for _ in 0..FETCH_ATTEMPTS {
            let received = fetch(server, &self.parts, entry).await?;
            if let Some(bytes) = verified(received, entry) {
                return Ok(if self.cache.put(&entry.hash, &bytes) { None } else { Some(bytes) });
            }
            tracing::warn!(tensor = entry.name, "a tensor arrived damaged");
        }
        let TensorEntry { name, length, hash, .. } = entry.clone();
        Err(LoadExpertError::Damaged { name, length, hash, attempts: FETCH_ATTEMPTS })
    }
}

/// Registers an expert with its files and reads it once, so that weights that cannot be used are found now.
fn hold_cached(pool: &ExpertPool, expert: ExpertId, source: CachedExpert) -> Result<(), LoadExpertError> {
    pool.register(expert, source.stored(), Arc::new(source));
    pool.warm(&[expert], &mut |_| ControlFlow::Continue(())).map_err(|error| {
        pool.remove(expert);
        LoadExpertError::Pool(error)
    })
}

/// Without files, the expert stays in memory as long as it is held.
fn hold_loose(
    pool: &ExpertPool,
    expert: ExpertId,
    source: &CachedExpert,
    bytes: &[Vec<u8>],
) -> Result<(), LoadExpertError> {
    Ok(pool.insert(expert, &weights(&source.config, &source.entries, bytes)?)?)
}

/// Fetches a tensor from where the last attempt broke off. Stops reading once more came than the manifest says.
async fn fetch(
    server: &impl TensorServer,
    parts: &Parts,
    entry: &TensorEntry,
) -> Result<Untrusted<Vec<u8>>, LoadExpertError> {
    let failed = |source| LoadExpertError::Fetch { name: entry.name.clone(), source };
    let mut part = parts.take(entry.hash);
    let request = FetchRequest { hash: entry.hash.0.to_vec(), offset: part.len() };
    let mut chunks = server.fetch(request).await.map_err(failed)?;
    while let Some(chunk) = chunks.next().await {
        part.push(&chunk.map_err(failed)?.data);
        if part.len() > entry.length {
            break;
        }
    }
    Ok(Untrusted::new(part.finish()))
}

fn verified(received: Untrusted<Vec<u8>>, entry: &TensorEntry) -> Option<Vec<u8>> {
    received.verify(|bytes| if Hash::of(&bytes) == entry.hash { Ok(bytes) } else { Err(()) }).ok()
}

#[cfg(test)]
mod tests;
