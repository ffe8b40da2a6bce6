//! What rounds of this program do, of all that a plan can ask for.

use neuro_fl_aggregator::RoundPlan;

use super::RoundError;

/// Refuses a plan that asks for more than one cohort a round, for noise, or for evaluations.
pub(super) fn check(plan: &RoundPlan) -> Result<(), RoundError> {
    let asked = [
        ("privacy", plan.privacy.is_some()),
        ("robust", plan.robust.is_some()),
        ("experts", !plan.experts.is_empty()),
        ("router", plan.router.is_some()),
        ("evaluation", plan.evaluation.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((section, _)) => Err(RoundError::Plan(format!("`neuro fl serve` does not run [{section}] yet"))),
        None => Ok(()),
    }
}
