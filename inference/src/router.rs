//! The router: which experts a row goes to, and with what gate.
//!
//! Logits become scores, the best `top_k` are chosen, ties to the lowest id, and their scores become gates; what a
//! model does differently is in its [`RouterRule`]. "Mixtral of Experts", arXiv 2401.04088, section 2.1; "`OLMoE`",
//! arXiv 2409.02060; "DeepSeek-V2", arXiv 2405.04434, section 2.2; "DeepSeek-V3", arXiv 2412.19437, section 2.1.2.

mod choice;

use neuro_expert_runtime::EngineError;
use neuro_model::RouterRule;
use neuro_primitives::{Routes, Rows};

use crate::projection::Projection;

pub use choice::choose;

/// One layer's router.
pub struct Router {
    rule: RouterRule,
    /// `[d_model] → [experts]`, with the logits' bias where the model has one.
    projection: Projection,
    /// `[experts]`, f32, finite: added to the scores for the choice alone.
    selection_bias: Option<Vec<f32>>,
}

/// Rows that could not be routed.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A row's logits are NaN or infinite.
    #[error("the router logits of row {row} are not finite")]
    NotFinite {
        /// The row within the call.
        row: usize,
    },
}

impl Router {
    /// A router with `rule`, whose `projection` gives one logit an expert; `selection_bias` (`[experts]`, f32) counts
    /// for the choice and not for the gates.
    #[must_use]
    pub const fn new(rule: RouterRule, projection: Projection, selection_bias: Option<Vec<f32>>) -> Self {
        Self { rule, projection, selection_bias }
    }

    /// The experts and gates of every row of `hidden` (`[rows, d_model]`, f32, normalised).
    ///
    /// # Errors
    /// When the engine fails or a logit is not finite.
    pub fn route(&self, hidden: &Rows) -> Result<Routes, RouterError> {
        let logits = self.projection.apply(hidden)?;
        let mut routes = Routes::new();
        for (row, logits) in logits.iter().enumerate() {
            let chosen = choose(&self.rule, logits, self.selection_bias.as_deref());
            routes.push_row(chosen.ok_or(RouterError::NotFinite { row })?);
        }
        Ok(routes)
    }
}
