//! The router: which experts a row goes to, and with what gate.
//!
//! Softmax over all experts in f32; the `top_k` largest, ties to the lowest index; gates divided by their sum where
//! the model renormalises (Mixtral always, Qwen3 when its configuration says so, `OLMoE` by default not). "Mixtral of
//! Experts", arXiv 2401.04088, section 2.1; "`OLMoE`", arXiv 2409.02060.

use neuro_expert_runtime::EngineError;
use neuro_model::RouterRule;
use neuro_primitives::{Route, Routes, Rows};

use crate::projection::Projection;
use crate::sums::exponentiate;

/// One layer's router.
pub struct Router {
    rule: RouterRule,
    /// `[d_model] → [experts]`.
    projection: Projection,
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
    /// A router with `rule`, whose `projection` gives one logit an expert.
    #[must_use]
    pub const fn new(rule: RouterRule, projection: Projection) -> Self {
        Self { rule, projection }
    }

    /// The experts and gates of every row of `hidden` (`[rows, d_model]`, f32, normalised).
    ///
    /// # Errors
    /// When the engine fails or a logit is not finite.
    pub fn route(&self, hidden: &Rows) -> Result<Routes, RouterError> {
        let logits = self.projection.apply(hidden)?;
        let mut routes = Routes::new();
        for (row, logits) in logits.iter().enumerate() {
            let chosen = choose(&self.rule, logits).ok_or(RouterError::NotFinite { row })?;
            routes.push_row(chosen);
        }
        Ok(routes)
    }
}

/// The routes of one row of logits (`[experts]`, f32), best first; `None` when a logit is not finite.
#[must_use]
pub fn choose(rule: &RouterRule, logits: &[f32]) -> Option<Vec<Route>> {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    let mut scores = logits.to_vec();
    let total = exponentiate(&mut scores);
    scores.iter_mut().for_each(|score| *score /= total);
    let mut chosen = best(&scores, rule.top_k);
    if rule.renormalise {
        // Best first, one after another: the order in which the reference implementations add them.
        let kept: f32 = chosen.iter().map(|route| route.gate).sum();
        chosen.iter_mut().for_each(|route| route.gate /= kept);
    }
    Some(chosen)
}

/// The `top_k` largest scores, best first, equal ones by index.
fn best(scores: &[f32], top_k: usize) -> Vec<Route> {
    let mut order: Vec<Route> = (0_u16..).zip(scores).map(|(expert, &gate)| Route { expert, gate }).collect();
    // A stable sort keeps equal scores in the order of their index.
    order.sort_by(|left, right| right.gate.total_cmp(&left.gate));
    order.truncate(top_k);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(top_k: usize, renormalise: bool) -> RouterRule {
        RouterRule::softmax(4, top_k, renormalise)
    }

    fn check(rule: &RouterRule, logits: &[f32], expected: &[(u16, f32)]) {
        let routes = choose(rule, logits).expect("finite logits");
        assert_eq!(routes.len(), expected.len());
        for (route, (expert, gate)) in routes.iter().zip(expected) {
            assert_eq!(route.expert, *expert, "{routes:?}");
            assert!((route.gate - gate).abs() < 1e-6, "{routes:?}");
        }
    }

    #[test]
    fn gates_are_a_softmax_over_all_experts_or_over_the_chosen() {
        // softmax of ln(1, 2, 3, 4) is (0.1, 0.2, 0.3, 0.4)
        let logits = [1.0_f32, 2.0, 3.0, 4.0].map(libm::logf);
        check(&rule(2, false), &logits, &[(3, 0.4), (2, 0.3)]);
        check(&rule(2, true), &logits, &[(3, 4.0 / 7.0), (2, 3.0 / 7.0)]);
        check(&rule(4, false), &logits, &[(3, 0.4), (2, 0.3), (1, 0.2), (0, 0.1)]);
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        check(&rule(2, true), &[1.0, 5.0, 5.0, 5.0], &[(1, 0.5), (2, 0.5)]);
        check(&rule(1, true), &[0.0, -0.0, 0.0, 0.0], &[(0, 1.0)]);
    }

    #[test]
    fn far_apart_logits_stay_finite() {
        check(&rule(2, true), &[-3e38, 3e38, 0.0, 1.0], &[(1, 1.0), (0, 0.0)]);
    }

    #[test]
    fn a_logit_that_is_no_number_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(choose(&rule(2, true), &[0.0, bad, 1.0, 2.0]), None);
        }
    }
}
