//! What a task's server begins with, and the parts of a model that it trains.

use crate::layout::{Flat, Layout, LayoutError, TensorChoice};
use crate::round_plan::RoundPlan;
use crate::strategy::{LocalRule, Strategy, StrategyError};
use neuro_primitives::Hash;

/// Everything about a task that its plan does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSetup {
    /// The task's id: [`neuro_secagg::roster::task_id`].
    pub task: Hash,
    /// What is written in `round.toml`.
    pub plan: RoundPlan,
    /// N: how many members the roster lists.
    pub population: u32,
}

/// What a track is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The whole of what is trained, over selected batches.
    Model,
    /// An expert of the plan, over its own batches.
    Expert(usize),
    /// The router, after the experts, over all batches.
    Router,
}

/// Which tensors each track of a plan has, in the order of [`TaskSetup::roles`].
#[must_use]
pub fn choices(plan: &RoundPlan) -> Vec<&TensorChoice> {
    if plan.experts.is_empty() {
        return vec![&plan.tensors];
    }
    let experts = plan.experts.iter().map(|expert| &expert.tensors);
    experts.chain(plan.router.iter().map(|router| &router.tensors)).collect()
}

/// A part of the model with its own layout, its own strategy and its own cohorts.
pub struct Track {
    /// For people and file names.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Which tensors.
    pub layout: Layout,
    /// Their values now: `[layout.entries]`.
    pub model: Flat,
    /// What makes the next model from a sum.
    pub strategy: Box<dyn Strategy>,
}

impl Track {
    /// SCAFFOLD's c as the file that goes out with the next round; none with other strategies.
    ///
    /// # Errors
    /// Those of [`Layout::write`].
    pub fn control_file(&self) -> Result<Option<Vec<u8>>, LayoutError> {
        match self.strategy.local_rule() {
            LocalRule::Scaffold { control } => self.layout.write(&control).map(Some),
            _ => Ok(None),
        }
    }
}

impl TaskSetup {
    /// The roles of the plan in the order of its tracks: the model, or the experts and then the router.
    #[must_use]
    pub fn roles(&self) -> Vec<(String, Role)> {
        if self.plan.experts.is_empty() {
            return vec![("model".to_owned(), Role::Model)];
        }
        let experts = self.plan.experts.iter().enumerate().map(|(at, expert)| (expert.name.clone(), Role::Expert(at)));
        let router = self.plan.router.iter().map(|_| ("router".to_owned(), Role::Router));
        experts.chain(router).collect()
    }

    /// Tracks before the first round; `models` in the order of [`Self::roles`].
    ///
    /// # Errors
    /// Another number of models, or a vector that its layout does not fit.
    pub fn tracks(&self, models: Vec<(Layout, Flat)>) -> Result<Vec<Track>, StrategyError> {
        let roles = self.roles();
        if roles.len() != models.len() {
            let (expected, got) = (roles.len(), models.len());
            return Err(StrategyError::Length { what: "the list of models", expected, got });
        }
        let track = |((name, role), (layout, model)): ((String, Role), (Layout, Flat))| {
            let (expected, got) = (layout.entries(), model.0.len());
            if expected != got {
                return Err(StrategyError::Length { what: "the model", expected, got });
            }
            let strategy = self.plan.strategy.begin(expected, self.population)?;
            Ok(Track { name, role, layout, model, strategy })
        };
        roles.into_iter().zip(models).map(track).collect()
    }
}
