//! The whole model in this process: the trunk and every expert.
//!
//! Gives the same bytes as a network of workers with the same engine, because both add experts' outputs by the
//! contribution rule.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use neuro_expert_runtime::{Engine, ExpertPool, default_engine};
use neuro_inference::{GenerateRequest, LoadError, LocalExperts, Trunk};
use neuro_model::{ChatTemplate, Checkpoint, CheckpointError, TemplateError, Tokenizer, TokenizerError};

use crate::completer::{Caller, Completer, Job, Load, ModelSummary, SubmitError};
use crate::jobs::{JobLimits, JobRunner, TrunkDecoder};
use crate::publish::hash_tensors;

/// How to load a model into this process.
#[derive(Default)]
pub struct LocalOptions {
    /// What people call it; `None` takes the folder's name.
    pub name: Option<String>,
    /// How many jobs run and wait.
    pub jobs: JobLimits,
    /// What computes; `None` is the default engine.
    pub engine: Option<Arc<dyn Engine>>,
    /// Bytes that the experts may take in memory; those beyond are read from the files when they are needed. `None`
    /// keeps all of them.
    pub memory_limit_bytes: Option<u64>,
    /// Bytes that keys and values of all jobs may take; `None` takes a part of the memory that is free.
    pub cache_bytes: Option<u64>,
}

/// A model that could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The folder is no checkpoint that can be served.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its tokenizer is missing or cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Its chat template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Its weights cannot be used.
    #[error(transparent)]
    Weights(#[from] LoadError),
    /// The operating system gave no thread for the jobs.
    #[error("cannot start the threads that run jobs: {0}")]
    Threads(#[from] std::io::Error),
}

impl LocalError {
    /// Whether trying again, unchanged, may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Threads(_))
    }
}

/// How far loading is, in bytes as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes read.
    pub bytes_done: u64,
    /// Bytes of the whole model.
    pub bytes_total: u64,
}

/// A model whose trunk and experts live in this process.
pub struct LocalCompleter {
    model: ModelSummary,
    /// The model's id: made when it is first asked for, because hashing takes as long as loading.
    id: OnceLock<String>,
    checkpoint: Arc<Checkpoint>,
    tokenizer: Arc<Tokenizer>,
    chat_template: Option<ChatTemplate>,
    trunk: Arc<Trunk>,
    pool: Arc<ExpertPool>,
    jobs: JobRunner,
}

impl LocalCompleter {
    /// Loads the checkpoint folder `dir`, blocking; `progress` hears after each tensor or expert.
    ///
    /// # Errors
    /// When a file is missing or wrong, or there are no threads.
    pub fn load(dir: &Path, options: LocalOptions, progress: &mut dyn FnMut(LoadProgress)) -> Result<Self, LocalError> {
        let checkpoint = Arc::new(Checkpoint::open(dir)?);
        let tokenizer = Arc::new(checkpoint.tokenizer()?);
        let chat_template = checkpoint.chat_template()?;
        let engine = options.engine.unwrap_or_else(default_engine);
        let (trunk_bytes, bytes_total) =
            (checkpoint.trunk_bytes(), checkpoint.trunk_bytes() + checkpoint.expert_bytes());
        let mut tell = |bytes_done| progress(LoadProgress { bytes_done, bytes_total });
        let trunk = Arc::new(Trunk::load(&checkpoint, Arc::clone(&engine), &mut tell)?);
        let mut tell_experts = |bytes| tell(trunk_bytes + bytes);
        let experts = match options.memory_limit_bytes {
            None => LocalExperts::start(&checkpoint, engine, &mut tell_experts)?,
            limit => LocalExperts::load(&checkpoint, engine, limit, &mut tell_experts)?,
        };
        let pool = Arc::clone(experts.pool());
        let (experts, cache_bytes) = (Arc::new(experts), options.cache_bytes);
        let decoder = TrunkDecoder::new(Arc::clone(&trunk), Arc::clone(&tokenizer), experts, cache_bytes);
        let name = options.name.unwrap_or_else(|| folder_name(dir));
        let model = ModelSummary { context: decoder.context(), ..summary(&checkpoint, name) };
        let jobs = JobRunner::start(options.jobs, decoder)?;
        Ok(Self { model, id: OnceLock::new(), checkpoint, tokenizer, chat_template, trunk, pool, jobs })
    }

    /// The jobs, for status views.
    #[must_use]
    pub const fn jobs(&self) -> &JobRunner {
        &self.jobs
    }

    /// The trunk, for those who want logits and not text.
    #[must_use]
    pub const fn trunk(&self) -> &Arc<Trunk> {
        &self.trunk
    }

    /// The experts, for status views.
    #[must_use]
    pub const fn experts(&self) -> &Arc<ExpertPool> {
        &self.pool
    }
}

impl Completer for LocalCompleter {
    fn model(&self) -> ModelSummary {
        // A tensor that was there when the checkpoint was opened is there now: there is nothing to report.
        let id = self.id.get_or_init(|| weights_hash(&self.checkpoint).unwrap_or_default());
        ModelSummary { id: id.clone(), ..self.model.clone() }
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat_template.as_ref()
    }

    fn load(&self) -> Load {
        self.jobs.load()
    }

    fn submit(&self, request: GenerateRequest, caller: Caller) -> Result<Job, SubmitError> {
        self.jobs.submit(request, caller)
    }
}

/// All of the summary but the id.
fn summary(checkpoint: &Checkpoint, name: String) -> ModelSummary {
    let config = checkpoint.config();
    ModelSummary {
        id: String::new(),
        name,
        created_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        context: config.context,
        vocab_size: config.vocab_size,
        eos: config.eos.clone(),
    }
}

/// Names these exact weights: BLAKE3 over the configuration, and over each tensor's name and hash by name, in
/// hexadecimal. Not the manifest's hash, which covers more than a folder says.
pub(crate) fn weights_hash(checkpoint: &Checkpoint) -> Result<String, CheckpointError> {
    let mut tensors = hash_tensors(checkpoint, &|_| ())?;
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = blake3::Hasher::new();
    hash_part(&mut hasher, checkpoint.config_bytes());
    for tensor in &tensors {
        hash_part(&mut hasher, tensor.name.as_bytes());
        hash_part(&mut hasher, &tensor.hash.0);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Length first, so that no two lists of parts run together into the same bytes.
fn hash_part(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// The folder's name, or its parent's where the folder is only called `checkpoint`; of a GGUF file, its own.
pub(crate) fn folder_name(dir: &Path) -> String {
    if let Some(name) = crate::gguf_files::model_name(dir) {
        return name;
    }
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match name(&dir) {
        Some(own) if own == "checkpoint" => dir.parent().and_then(name).unwrap_or(own),
        Some(own) => own,
        None => "model".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_like_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        for (path, name) in [("skills/checkpoint", "skills"), ("Qwen3-30B-A3B", "Qwen3-30B-A3B"), ("absent/one", "one")]
        {
            let path = dir.path().join(path);
            assert_eq!(folder_name(&path), name);
        }
    }
}
