//! Which cohort a participant accepts, and its nonce for the first one (section 5).

use std::collections::HashMap;
use std::sync::Arc;

use neuro_primitives::NodeId;

use super::{Outcome, PartEnd, Participant, Refused, send};
use crate::assembly::Assembly;
use crate::group::Point;
use crate::messages::{Cohort, Message, Reveal};
use crate::parameters;

impl Participant {
    /// Section 5, *Cohort*: checks it, stores `R`, and only then reveals. One `R` per attempt.
    pub(super) fn cohort(&mut self, cohort: Arc<Cohort>) -> Outcome {
        if cohort.config != self.config_hash || cohort.attempt != self.record.attempt {
            return Ok(Vec::new());
        }
        if let Some(first) = &self.assembly {
            let (expected, got) = (first.hash, cohort.hash());
            if expected != got {
                return Err(Refused::TwoOfOne { what: "cohort", expected, got }.into());
            }
            return if self.record.seed.is_none() { self.reveal_again() } else { Ok(Vec::new()) };
        }
        let bits = u64::from(cohort.modulus_bits);
        let out_of_bounds = Refused::Count { what: "bits of the modulus", least: 2, most: 64, got: bits };
        let assembly = self.assemble(cohort.clone()).map_err(|_| out_of_bounds)?;
        self.check_cohort(&assembly)?;
        self.record.cohort = Some(cohort);
        self.assembly = Some(assembly);
        Ok(self.stored(self.reveal_again()?))
    }

    /// The nonce for the stored cohort.
    pub(super) fn reveal_again(&self) -> Outcome {
        let Some(assembly) = &self.assembly else { return Ok(Vec::new()) };
        let reveal = Reveal {
            config: self.config_hash,
            attempt: self.record.attempt,
            cohort: assembly.hash,
            nonce: self.secrets().nonce(),
        };
        Ok(vec![send(&Message::Reveal(reveal))])
    }

    /// Section 5, what makes a cohort acceptable; rows ascend strictly since they were read.
    fn check_cohort(&self, assembly: &Assembly) -> Result<(), PartEnd> {
        let own = self.own(assembly)?;
        let config = &self.record.config;
        self.record.floors.admit_cohort(config, &*self.registry, &assembly.cohort)?;
        let rostered = self.registry.rostered(&config.batches);
        self.check_modulus(assembly, rostered)?;
        parameters::check(&config.demand(assembly.n(), rostered), &assembly.parameters)?;
        if assembly.cohort.join(assembly.row(own)) != self.own_join() {
            return Err(Refused::NotMyJoin.into());
        }
        check_points(assembly)?;
        self.check_joins(assembly)
    }

    /// Each row is a join of a rostered member, signed by it for this configuration and attempt.
    fn check_joins(&self, assembly: &Assembly) -> Result<(), PartEnd> {
        let batches = &self.record.config.batches;
        for row in &assembly.cohort.rows {
            let batch = self.registry.batch_of(row.node);
            if !batch.is_some_and(|batch| batches.contains(&batch)) {
                return Err(Refused::Stranger { node: row.node }.into());
            }
            assembly.cohort.join(row).verify_by(&self.shared)?;
        }
        Ok(())
    }

    /// Section 10: exactly what the rule gives. A smaller modulus wraps, a greater one costs bytes.
    fn check_modulus(&self, assembly: &Assembly, rostered: u32) -> Result<(), PartEnd> {
        let n = assembly.n();
        let expected = (self.modulus_rule)(&self.record.config, n, rostered).ok_or(Refused::NoModulus { n })?;
        let (expected, got) = (u64::from(expected), u64::from(assembly.modulus.bits()));
        let other = Refused::Count { what: "bits of the modulus", least: expected, most: expected, got };
        if expected == got { Ok(()) } else { Err(other.into()) }
    }
}

/// No two rows share a point, and no row has one twice.
fn check_points(assembly: &Assembly) -> Result<(), PartEnd> {
    let mut seen: HashMap<Point, NodeId> = HashMap::new();
    for row in &assembly.cohort.rows {
        for point in [row.mask_key, row.seal_key] {
            if let Some(one) = seen.insert(point, row.node) {
                return Err(Refused::SharedPoint { one, other: row.node }.into());
            }
        }
    }
    Ok(())
}
