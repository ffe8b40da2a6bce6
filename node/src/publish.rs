//! From a checkpoint on disk to a signed manifest, and to the bytes behind each hash.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use neuro_expert_runtime::Engine;
use neuro_inference::{LoadError, Recomputation};
use neuro_model::{Checkpoint, CheckpointError, names};
use neuro_primitives::{Hash, NodeKey, Untrusted};
use neuro_protocol::manifest::{AssetEntry, Manifest, SignedManifest, TensorEntry, TensorPlace, VerifiedManifest};
use neuro_protocol::version::ENGINE_SPEC;

use crate::data_dir::{DataDir, DataDirError};
use crate::local::folder_name;
use crate::os::private_file;

mod activation_formats;

/// A checkpoint with its signed manifest: what an orchestrator serves to workers.
pub struct Publication {
    checkpoint: Arc<Checkpoint>,
    manifest: VerifiedManifest,
    /// Where each tensor's bytes lie: hash to tensor name.
    names: BTreeMap<Hash, String>,
}

/// A checkpoint cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The checkpoint has a fault.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The data folder has one.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Our own manifest does not verify.
    #[error("the manifest made from {folder} does not verify: {reason}")]
    Manifest {
        /// The checkpoint's folder or file.
        folder: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Publication {
    /// Hashes the checkpoint (or finds its manifest from last time) and signs it with `key`. `progress` is told the
    /// bytes hashed so far, from several threads.
    ///
    /// # Errors
    /// When a tensor or the data folder cannot be read.
    pub fn new(
        checkpoint: Arc<Checkpoint>,
        data_dir: &DataDir,
        key: &NodeKey,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Self, PublishError> {
        let remembered = data_dir.folder("manifests")?.join(fingerprint(&checkpoint).to_string());
        let manifest = match fs::read(&remembered).ok().and_then(|bytes| Manifest::from_canonical(&bytes).ok()) {
            Some(manifest) => manifest,
            None => {
                let manifest = describe(&checkpoint, progress)?;
                // Only a convenience: without it the checkpoint is hashed again next time.
                let _ = private_file::replace(&remembered, &manifest.to_canonical());
                manifest
            }
        };
        let names = manifest.tensors.iter().map(|tensor| (tensor.hash, tensor.name.clone())).collect();
        let signed = SignedManifest::sign(&manifest, key);
        let manifest = SignedManifest::verify(Untrusted::new(signed)).map_err(|error| PublishError::Manifest {
            folder: checkpoint.path().display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self { checkpoint, manifest, names })
    }

    /// The signed manifest.
    #[must_use]
    pub const fn manifest(&self) -> &VerifiedManifest {
        &self.manifest
    }

    /// The checkpoint behind it.
    #[must_use]
    pub const fn checkpoint(&self) -> &Arc<Checkpoint> {
        &self.checkpoint
    }

    /// The checkpoint's experts, computed by `engine` with no other bytes than the manifest names.
    ///
    /// # Errors
    /// When a tensor is missing.
    pub fn recomputation(&self, engine: Arc<dyn Engine>) -> Result<Recomputation, LoadError> {
        let of_experts = self.manifest.manifest().tensors.iter().filter(|tensor| tensor.place != TensorPlace::Trunk);
        let hashes = of_experts.map(|tensor| (tensor.name.clone(), tensor.hash)).collect();
        Recomputation::verified(&self.checkpoint, engine, hashes)
    }

    /// The tensor with this hash; `None` when the model has no such tensor.
    #[must_use]
    pub fn name_of(&self, hash: &Hash) -> Option<String> {
        self.names.get(hash).cloned()
    }
}

/// Names a checkpoint's state: by the paths, sizes and modification times of its files, and by what was read or made of
/// them, because another build may make another configuration or other names of the same GGUF file.
fn fingerprint(checkpoint: &Checkpoint) -> Hash {
    let mut lines = vec![format!("spec {ENGINE_SPEC}\n")];
    lines.extend(checkpoint.files().iter().filter_map(|file| facts(file)));
    lines.extend(checkpoint.assets().iter().map(|asset| format!("{} {}\n", asset.name, Hash::of(&asset.bytes))));
    lines.extend(checkpoint.tensor_names().map(|name| format!("{name}\n")));
    Hash::of(lines.concat().as_bytes())
}

/// Where a file lies, how long it is and when it was changed: of a link, what it leads to.
fn facts(file: &Path) -> Option<String> {
    let facts = fs::metadata(file).ok()?;
    let changed = facts.modified().ok()?;
    Some(format!("{} {} {changed:?}\n", file.display(), facts.len()))
}

/// The manifest of `checkpoint`, hashing its tensors on all cores.
fn describe(checkpoint: &Checkpoint, progress: &(dyn Fn(u64) + Sync)) -> Result<Manifest, CheckpointError> {
    let config = checkpoint.config();
    let mut tensors = hash_tensors(checkpoint, progress)?;
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut assets: Vec<AssetEntry> = checkpoint
        .assets()
        .iter()
        .map(|asset| AssetEntry {
            name: asset.name.clone(),
            length: asset.bytes.len() as u64,
            hash: Hash::of(&asset.bytes),
        })
        .collect();
    assets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Manifest {
        name: folder_name(checkpoint.path()),
        architecture: config.architecture.to_string(),
        engine_spec: ENGINE_SPEC,
        config: checkpoint.config_bytes().to_vec(),
        assets,
        activation_formats: activation_formats::of_layers(config, &tensors),
        tensors,
    })
}

/// Every tensor with its hash, in no particular order.
pub(crate) fn hash_tensors(
    checkpoint: &Checkpoint,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<TensorEntry>, CheckpointError> {
    let names: Vec<&str> = checkpoint.tensor_names().collect();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || {
        let mut entries = Vec::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let entry = entry_of(checkpoint, name)?;
            progress(done.fetch_add(entry.length, Ordering::Relaxed) + entry.length);
            entries.push(entry);
        }
        Ok::<_, CheckpointError>(entries)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::with_capacity(names.len());
        for worker in workers {
            match worker.join() {
                Ok(entries) => all.extend(entries?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

fn entry_of(checkpoint: &Checkpoint, name: &str) -> Result<TensorEntry, CheckpointError> {
    let tensor = checkpoint.tensor(name)?;
    let hash = Hash::of(&tensor.bytes);
    checkpoint.release(&tensor.bytes);
    Ok(TensorEntry {
        name: name.to_owned(),
        place: names::expert_of(checkpoint.config(), name).map_or(TensorPlace::Trunk, TensorPlace::Expert),
        tensor_type: tensor.tensor_type,
        shape: tensor.shape.iter().map(|&length| length as u64).collect(),
        length: tensor.bytes.len() as u64,
        hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_has_other_facts_and_one_that_is_gone_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.gguf");
        assert_eq!(facts(&file), None);
        fs::write(&file, "short").unwrap();
        let before = facts(&file);
        fs::write(&file, "longer").unwrap();
        assert!(before.is_some() && before != facts(&file));
    }
}
