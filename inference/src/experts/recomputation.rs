//! What experts give, computed again from the checkpoint: how a node that hosts no expert settles whose answer is right.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use neuro_expert_runtime::{Computed, Engine, ExpertPool};
use neuro_model::{Checkpoint, names};
use neuro_primitives::contribution::digest;
use neuro_primitives::{Activations, ExpertId, Hash, Routes};

use super::verified::{Damaged, VerifiedSource, WeightHashes};
use super::{ExpertsError, LocalExperts, stored};
use crate::error::LoadError;

/// Every expert of a checkpoint, a few of them in memory: they are read when they are asked for, and give way to the
/// next. Gives the bytes that an honest worker gives. Calls may come from any thread.
pub struct Recomputation {
    pool: Arc<ExpertPool>,
    damaged: Damaged,
}

/// What one expert adds to one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The row of the call, from 0.
    pub row: usize,
    /// The expert within the layer.
    pub expert: u16,
    /// Gate × output, rounded once. `[d_model]`, f32.
    pub values: Vec<f32>,
}

impl Contribution {
    /// The digest that an honest worker's answer has for it.
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest(&self.values)
    }
}

impl Recomputation {
    /// The experts of `checkpoint`, computed by `engine`, which must be of the workers' engine class. Reads tables, and
    /// no weights.
    ///
    /// # Errors
    /// When a tensor is missing.
    pub fn open(checkpoint: &Arc<Checkpoint>, engine: Arc<dyn Engine>) -> Result<Self, LoadError> {
        let LocalExperts { pool, .. } = LocalExperts::open(checkpoint, engine, Some(limit_bytes(checkpoint)?))?;
        Ok(Self { pool, damaged: Damaged::default() })
    }

    /// As [`Recomputation::open`]; an expert is computed with bytes that have the hashes in `hashes`, or not at all. Reading one
    /// takes a few times as long.
    ///
    /// # Errors
    /// When a tensor is missing.
    pub fn verified(
        checkpoint: &Arc<Checkpoint>,
        engine: Arc<dyn Engine>,
        hashes: WeightHashes,
    ) -> Result<Self, LoadError> {
        let damaged = Damaged::default();
        let source = VerifiedSource { checkpoint: Arc::clone(checkpoint), hashes, damaged: Arc::clone(&damaged) };
        let limit_bytes = limit_bytes(checkpoint)?;
        let LocalExperts { pool, .. } = LocalExperts::of(checkpoint, Arc::new(source), engine, Some(limit_bytes))?;
        Ok(Self { pool, damaged })
    }

    /// Experts whose bytes were found to have other hashes. None is, where none is compared.
    #[must_use]
    pub fn damaged(&self) -> BTreeSet<ExpertId> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sums and digests of a task: `hidden` (`[rows, d_model]`, at most 512 rows, as they were sent), `routes` one
    /// row of routes a row.
    ///
    /// # Errors
    /// When an expert cannot be read, the shapes do not fit, or a contribution cannot be represented.
    pub fn answer(&self, layer: u16, hidden: &Activations, routes: &Routes) -> Result<Computed, ExpertsError> {
        Ok(self.pool.run_digested(layer, hidden, routes)?)
    }

    /// What each expert adds to each row, in the order of the routes: row after row, experts ascending. Takes
    /// 4 × `d_model` bytes a route; a caller that disputes a few of them asks for these rows and routes alone, which
    /// changes no bit of them.
    ///
    /// # Errors
    /// As [`Recomputation::answer`].
    pub fn contributions(
        &self,
        layer: u16,
        hidden: &Activations,
        routes: &Routes,
    ) -> Result<Vec<Contribution>, ExpertsError> {
        let mut values = self.pool.contributions(layer, hidden, routes)?.into_iter();
        let places = routes.iter().enumerate().flat_map(|(row, routes)| routes.iter().map(move |route| (row, route)));
        Ok(places
            .filter_map(|(row, route)| Some(Contribution { row, expert: route.expert, values: values.next()? }))
            .collect())
    }
}

/// Memory for the largest experts of the checkpoint.
fn limit_bytes(checkpoint: &Checkpoint) -> Result<u64, LoadError> {
    let mut largest_bytes = 0;
    for id in names::experts(checkpoint.config()) {
        largest_bytes = largest_bytes.max(stored(checkpoint, id)?.stored_bytes);
    }
    Ok(largest_bytes.saturating_mul(EXPERTS_IN_MEMORY))
}

/// Experts that stay in memory: those of one task on one worker, for the disputes that come together. A disputed task
/// with more runs them one group after another.
const EXPERTS_IN_MEMORY: u64 = 4;
