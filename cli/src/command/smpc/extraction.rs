//! What asking a private model tells of it, counted at the client.

use std::sync::Arc;

use neuro_node::data_dir::DataDir;
use neuro_node::smpc_role::model::ClientModel;
use neuro_node::smpc_role::secret_weights::{Manifest, QUERIES, QueryError, QueryLedger, Reservation};
use neuro_primitives::NodeId;
use serde_json::{Value, json};

use super::split::opened;
use crate::failure::Failure;
use crate::output::{Output, Style};

/// What no number of parties helps against.
const RISK: &str =
    "what is told of a private model can be used to train another one like it: the more tokens, the better";

/// This client's account with a private model's owner.
pub struct Account<'a> {
    manifest: &'a Manifest,
    ledger: Arc<QueryLedger>,
    client: NodeId,
    /// Prompts of the session: every turn tells a token of each.
    prompts: u64,
    /// Tokens of earlier sessions.
    used: u64,
}

impl<'a> Account<'a> {
    /// That of `client` with so many prompts, where the model's weights are secret.
    ///
    /// # Errors
    /// A count that cannot be read.
    pub fn of(
        model: &'a ClientModel,
        data_dir: &DataDir,
        (client, prompts): (NodeId, usize),
    ) -> Result<Option<Self>, Failure> {
        let Some(manifest) = model.secret() else { return Ok(None) };
        let ledger = QueryLedger::open(data_dir.folder(QUERIES)?);
        let used = ledger.used(manifest.hash(), client)?;
        Ok(Some(Self { manifest, ledger, client, prompts: prompts.max(1) as u64, used }))
    }

    /// As many of `tokens` as are left for each prompt; one where none is, for the parties to say so.
    pub fn left_of(&self, tokens: usize) -> usize {
        let left = self.manifest.limits.queries.saturating_sub(self.used) / self.prompts;
        usize::try_from(left.max(1)).map_or(tokens, |left| left.min(tokens))
    }

    /// Counts a session's tokens, so many of each prompt; what is not spent is taken back at its end. The parties' counts are what binds.
    ///
    /// # Errors
    /// A count that cannot be kept.
    pub fn reserve(&self, tokens: usize) -> Result<Reservation, QueryError> {
        self.ledger.reserve(self.manifest.hash(), self.client, self.prompts * tokens as u64, u64::MAX)
    }

    /// Says who owns the model, what is opened and how much of it was asked.
    pub fn introduce(&self, output: Output) {
        let Manifest { owner, limits, .. } = self.manifest;
        eprintln!("{} of owner {}", output.paint(Style::Strong, "secret weights"), owner.short());
        eprintln!("told: {}; {} of {} tokens so far, counted here", opened(self.manifest), self.used, limits.queries);
        eprintln!("{RISK}");
    }

    /// The same for programs.
    pub fn object(&self) -> Value {
        json!({
            "model": self.manifest.hash().to_string(),
            "owner": self.manifest.owner.to_string(),
            "told": opened(self.manifest),
            "tokens_before": self.used,
            "token_cap": self.manifest.limits.queries,
            "risk": RISK,
        })
    }
}
