//! The completer whose experts live on workers.

use std::sync::Arc;

use neuro_inference::GenerateRequest;
use neuro_model::{ChatTemplate, Tokenizer};
use neuro_orchestrator::Orchestrator;
use neuro_primitives::JobId;

use super::experts::RemoteExperts;
use super::shared::Shared;
use crate::completer::{Caller, Completer, Explanation, Job, Load, ModelSummary, SubmitError, WorkerShare};

/// Completes with the orchestrator's trunk and the workers' experts.
pub struct DistributedCompleter {
    /// The node.
    pub shared: Arc<Shared>,
    /// The way to experts, which remembers who computed what.
    pub experts: Arc<RemoteExperts>,
    /// The model's tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// The model's chat template.
    pub template: Option<ChatTemplate>,
    /// The engine class that requests run in.
    pub engine: &'static str,
    /// Positions that a job can have: the model's, or fewer where keys and values have no room for more.
    pub context: usize,
}

impl Completer for DistributedCompleter {
    fn model(&self) -> ModelSummary {
        let (config, manifest) = (self.shared.trunk.config(), self.shared.publication.manifest());
        ModelSummary {
            id: manifest.model_id().to_string(),
            name: manifest.manifest().name.clone(),
            created_unix_s: self.shared.started.0 / 1000,
            context: self.context,
            vocab_size: config.vocab_size,
            eos: config.eos.clone(),
        }
    }

    fn ready(&self) -> Result<(), String> {
        let coverage = self.shared.dispatch.view(|core, _| core.coverage());
        if coverage.is_complete() {
            return Ok(());
        }
        let workers = self.shared.dispatch.view(|core, _| core.workers().len());
        Err(format!(
            "{} of {} experts have a holder, {workers} workers are connected",
            coverage.covered, coverage.experts
        ))
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    fn load(&self) -> Load {
        self.shared.runner.load()
    }

    fn submit(&self, request: GenerateRequest, caller: Caller) -> Result<Job, SubmitError> {
        // A request that comes while an expert is being placed anew waits for it, as a running one does.
        if !self.shared.dispatch.view(Orchestrator::admits_requests) {
            self.ready().map_err(SubmitError::NotReady)?;
        }
        self.shared.runner.submit(request, caller)
    }

    fn explain(&self, job: JobId) -> Option<Explanation> {
        let shares = self.experts.shares(job)?;
        let held = self.shared.dispatch.view(|core, _| core.workers());
        let shares = shares.into_iter().map(|(worker, share)| WorkerShare {
            worker: worker.to_string(),
            name: self.shared.roster.facts(worker).map(|facts| facts.name).unwrap_or_default(),
            experts_held: held.iter().find(|view| view.id == worker).map_or(0, |view| view.experts_ready as u64),
            tasks: share.tasks,
            expert_rows: share.expert_rows,
            compute_us: share.compute_us,
        });
        let mut shares: Vec<WorkerShare> = shares.collect();
        shares.sort_by(|a, b| (&a.name, &a.worker).cmp(&(&b.name, &b.worker)));
        Some(Explanation { engine: self.engine.to_owned(), shares })
    }
}
