//! Rounds with keys, shares, masks, votes and answers: the protocol of secure aggregation over updates of this run.
//!
//! [`Simulation`] carries the cores of `neuro-secagg` through a whole round and ends with an error at the first entry in
//! which the unmasked sum is not the plain sum of the quantised updates. [`masked_round`] shows besides that this plain
//! sum is, to the bit, the one that [`Vectors`] gives.

use neuro_fl_aggregator::Flat;
use neuro_secagg::masks::Lanes;
use neuro_secagg::quantise::quantise;
use neuro_simulation::{CohortReport, Simulation, SimulationPlan, Updates};

use crate::cohort::Cohort;
use crate::vectors::{self, Vectors};

/// Of the simulated keys.
const SEED: u64 = 7;

/// Updates that are there: `[participants][entries]`.
struct Given(Vec<Flat>);

impl Updates for Given {
    fn weight(&self, _: u32) -> u32 {
        1
    }

    fn fill(&self, participant: u32, first: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.0[participant as usize].0[first..first + out.len()]);
    }
}

/// Carries out round `round` of `cohort` under masks, beside the plain one. The cohort stays as it is.
///
/// # Errors
/// A masked sum that is not the plain one, at its first entry; a round that ends without a sum.
pub fn masked_round(cohort: &Cohort, round: u32) -> anyhow::Result<CohortReport> {
    let updates = cohort.updates(round)?;
    let vectors = cohort.vectors(round, updates.len())?;
    same_integers(&vectors, &updates)?;
    let plan = SimulationPlan {
        value_bits: vectors::VALUE_BITS,
        scale: vectors::scale(),
        weights: (1, 1),
        ..SimulationPlan::new(u32::try_from(updates.len())?, u32::try_from(cohort.global.0.len())?)
    };
    let members = updates.len();
    let mut report = Simulation::run_with(&plan, SEED, &Given(updates), &mut |_| {})?;
    let cohort = report.cohorts.pop().ok_or_else(|| anyhow::anyhow!("expected one cohort, got none"))?;
    let whole = cohort.end == "Done" && cohort.survivors == members && cohort.weight == Some(members as u64);
    anyhow::ensure!(whole, "expected a sum of {members}, got {} of {:?}", cohort.end, cohort.weight);
    Ok(cohort)
}

/// Whether the sum of the payloads is what the simulation compares with: the quantised updates, added.
fn same_integers(vectors: &Vectors, updates: &[Flat]) -> anyhow::Result<()> {
    let entries = updates.first().map_or(0, |update| update.0.len());
    let (mut sum, mut plain, mut words) = (vectors.nothing(), vec![0_i64; entries], vec![0_u64; entries]);
    for (member, update) in updates.iter().enumerate() {
        sum.add(&vectors.payload(member, update)?.0)?;
        quantise(&update.0, 1, vectors::grid()?, Lanes::Wide(&mut words))?;
        plain.iter_mut().zip(&words).for_each(|(sum, word)| *sum += word.cast_signed());
    }
    plain.push(updates.len() as i64);
    let sum = sum.finish();
    match sum.iter().zip(&plain).position(|(sum, plain)| sum != plain) {
        None => Ok(()),
        Some(entry) => anyhow::bail!("entry {entry}: expected {}, got {}", plain[entry], sum[entry]),
    }
}
