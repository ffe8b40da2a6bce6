//! Experts that specialise: one expert is one cohort, with a least number of contributors.
//!
//! Its layout is the expert's tensors and its row of the router. Every entry of that vector comes from every member of
//! the cohort, so there is no entry that one participant alone has touched. With fewer contributors than the plan asks
//! for the cohort is not opened and the expert keeps its bits. The router round comes last, over all batches.

use crate::layout::TensorChoice;
use crate::selection::BatchInfo;

/// Of two contributors each learns the other's part by taking away its own.
pub const LEAST_CONTRIBUTORS: u16 = 3;

/// One expert of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertPlan {
    /// For people.
    pub name: String,
    /// The expert's tensors and its rows of the router.
    pub tensors: TensorChoice,
    /// The batches that hold its data, ascending.
    pub batches: Vec<u16>,
    /// The fewest contributors.
    pub least: u16,
}

/// What becomes of an expert in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpertCohort {
    /// A cohort of these batches is opened.
    Open {
        /// Which expert of the plan.
        expert: usize,
        /// Ascending.
        batches: Vec<u16>,
        /// Members present.
        members: u32,
    },
    /// Nobody trains it.
    TooFew {
        /// Which expert of the plan.
        expert: usize,
        /// The plan's least.
        expected: u16,
        /// Members present.
        got: u32,
    },
}

/// The cohorts of one round, in the order of the plan.
#[must_use]
pub fn cohorts(plans: &[ExpertPlan], open: &[BatchInfo]) -> Vec<ExpertCohort> {
    plans.iter().enumerate().map(|(expert, plan)| cohort(expert, plan, open)).collect()
}

fn cohort(expert: usize, plan: &ExpertPlan, open: &[BatchInfo]) -> ExpertCohort {
    let own: Vec<&BatchInfo> = open.iter().filter(|batch| plan.batches.contains(&batch.batch)).collect();
    let members = own.iter().map(|batch| batch.present).sum();
    let expected = plan.least.max(LEAST_CONTRIBUTORS);
    if members < u32::from(expected) {
        return ExpertCohort::TooFew { expert, expected, got: members };
    }
    let mut batches: Vec<u16> = own.iter().map(|batch| batch.batch).collect();
    batches.sort_unstable();
    ExpertCohort::Open { expert, batches, members }
}
