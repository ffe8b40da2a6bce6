//! What is simulated.

use std::path::PathBuf;

use neuro_secagg::config::{MOST_ENTRIES, MOST_MEMBERS, MOST_WEIGHT};
use neuro_secagg::masks::Generator;
use neuro_secagg::roster::MOST_ROSTERED;

use crate::PlanError;

/// One round. [`SimulationPlan::new`] has the defaults of the specification.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationPlan {
    /// All participants.
    pub members: u32,
    /// Cohorts that they are dealt to, as evenly as possible; each has its own sum.
    pub cohorts: u16,
    /// `m`: values of an update.
    pub entries: u32,
    /// `b`: bits of a quantised value.
    pub value_bits: u8,
    /// Units per 1.0.
    pub scale: f64,
    /// Least and greatest weight of a participant; the greatest is the cap `W`.
    pub weights: (u32, u32),
    /// What masks are made of.
    pub generator: Generator,
    /// γ, in 1/10,000.
    pub corrupt_bps: u16,
    /// δ, in 1/10,000.
    pub dropout_bps: u16,
    /// Whether dealers commit to their polynomials.
    pub commitments: Commitments,
    /// Who is lost in each cohort.
    pub losses: Losses,
    /// Who starts again from what it stored.
    pub restarts: Restarts,
    /// Threads that remove masks.
    pub threads: usize,
    /// How many of each cohort's participants work everything out by themselves, as real ones do; all, if none is said. The
    /// others go by what one of them has worked out from the same public bytes ([`neuro_secagg::participant::Shared`]). The
    /// reported cost of a participant is that of those who do not.
    pub alone: Option<u16>,
    /// A folder for the records of participants, which then keep nothing in memory between two messages: what this
    /// process holds is the aggregator's. Only for measuring; it costs a restart for each message.
    pub park: Option<PathBuf>,
}

/// Feldman commitments (section 7.4 of the specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commitments {
    /// Dealers make none.
    None,
    /// Dealers make them, holders do not look at them.
    Made,
    /// Holders check each share against them when it arrives.
    Verified,
}

/// How many members of each cohort send nothing any more from a step on. Who they are comes from the seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// After the join: the cohort is announced again without them.
    pub reveal: u16,
    /// After the reveal.
    pub shares: u16,
    /// After dealing shares.
    pub received: u16,
    /// Before the upload: their shares are dealt, their vector never comes.
    pub upload: u16,
    /// After the upload: they are in the sum and must not be needed any more.
    pub vote: u16,
    /// After the vote.
    pub answer: u16,
}

/// Who starts again, and goes on from what it stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restarts {
    /// Every participant after every message.
    pub participants: bool,
    /// The aggregator at the beginning of every phase.
    pub aggregator: bool,
}

impl SimulationPlan {
    /// A round of one cohort, without losses: values within ±0.6 in 9 bits with weights from 500 to 1,000, so that the
    /// mean's error is below 2·10^−6; 10 % corrupt members and 10 % dropout tolerated.
    #[must_use]
    pub const fn new(members: u32, entries: u32) -> Self {
        Self {
            members,
            cohorts: 1,
            entries,
            value_bits: 9,
            scale: 425.0,
            weights: (500, 1_000),
            generator: Generator::Aes128Ctr,
            corrupt_bps: 1_000,
            dropout_bps: 1_000,
            commitments: Commitments::None,
            losses: Losses { reveal: 0, shares: 0, received: 0, upload: 0, vote: 0, answer: 0 },
            restarts: Restarts { participants: false, aggregator: false },
            threads: 1,
            alone: None,
            park: None,
        }
    }

    /// Members of cohort `number`, as numbers of participants.
    pub(crate) fn members_of(&self, number: u16) -> std::ops::Range<u32> {
        let begin = |number: u16| {
            // At most `members`.
            (u64::from(self.members) * u64::from(number) / u64::from(self.cohorts.max(1))) as u32
        };
        begin(number)..begin(number + 1)
    }

    /// Whether such a round can be set up.
    ///
    /// # Errors
    /// The first number that cannot be.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let within = |what, got: u64, least: u64, most: u64| {
            if (least..=most).contains(&got) { Ok(()) } else { Err(PlanError::Range { what, least, most, got }) }
        };
        within("participants", self.members.into(), 2, MOST_ROSTERED as u64)?;
        within("cohorts", self.cohorts.into(), 1, u64::from(self.members / 2))?;
        within("members of a cohort", self.members_of(0).len() as u64, 2, MOST_MEMBERS.into())?;
        within("entries", self.entries.into(), 1, MOST_ENTRIES.into())?;
        within("the greatest weight", self.weights.1.into(), 1, MOST_WEIGHT.into())?;
        within("the least weight", self.weights.0.into(), 1, self.weights.1.into())?;
        within("participants that work alone", self.alone.unwrap_or(1).into(), 1, u16::MAX.into())?;
        within("lost members of a cohort", self.losses.total().into(), 0, self.members_of(0).len() as u64 - 1)
    }
}

impl Losses {
    /// A share of every cohort is lost before its upload.
    #[must_use]
    pub fn before_upload(cohort: u16, percent: u16) -> Self {
        Self {
            upload: u16::try_from(u32::from(cohort) * u32::from(percent) / 100).unwrap_or(u16::MAX),
            ..Self::default()
        }
    }

    pub(crate) fn total(self) -> u32 {
        self.by_step().into_iter().map(|(_, count)| u32::from(count)).sum()
    }

    /// The losses with the number of the message that is not sent any more.
    pub(crate) const fn by_step(self) -> [(u8, u16); 6] {
        [(2, self.reveal), (3, self.shares), (4, self.received), (5, self.upload), (6, self.vote), (7, self.answer)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cohorts_are_even_and_leave_nobody_out() {
        let plan = SimulationPlan { cohorts: 3, ..SimulationPlan::new(100, 1) };
        let sizes: Vec<usize> = (0..3).map(|number| plan.members_of(number).len()).collect();
        assert_eq!(sizes, [33, 33, 34]);
        assert_eq!(plan.members_of(2).end, 100);
    }

    #[test]
    fn numbers_that_cannot_be_are_named() {
        let check = |plan: SimulationPlan, what: &str| {
            let error = plan.check().map_err(|error| error.to_string());
            assert!(error.is_err_and(|text| text.contains(what)), "{what}");
        };
        check(SimulationPlan::new(1, 10), "participants");
        check(SimulationPlan { cohorts: 30, ..SimulationPlan::new(50, 10) }, "cohorts");
        check(SimulationPlan::new(5_000, 10), "members of a cohort");
        check(SimulationPlan::new(10, 0), "entries");
        check(SimulationPlan { weights: (5, 2), ..SimulationPlan::new(10, 1) }, "the least weight");
        let losses = Losses { vote: 6, upload: 4, ..Losses::default() };
        check(SimulationPlan { losses, ..SimulationPlan::new(10, 1) }, "lost members");
    }
}
