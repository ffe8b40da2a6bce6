//! The experts that a node holds, and what they add to the rows of a call.
//!
//! A call brings the rows of one layer with their routes. The pool gathers each expert's rows in the order they came,
//! runs the expert on them together, multiplies each output by its gate, rounded once to f32, and adds the products by
//! the contribution rule (`neuro_primitives::contribution`).
//!
//! An expert sees the same rows in the same order whichever pool holds it, and the sums are integers; so the sums of
//! several pools that hold different experts add up to the sums of one pool that holds them all, bit for bit.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use neuro_primitives::{Activations, ContributionError, ExpertId, FixedSum, Routes, RowSum, Rows};
use rayon::prelude::*;

use crate::engine::{Engine, EngineError, Expert, ExpertWeights, check_width};
use crate::threads::threads;

/// Rows of one call. Each row of a call needs its sums and its experts' outputs in memory: with 8 experts and 4096
/// values these are 80 MiB for 512 rows. The protocol's limit for a micro-task is the same.
pub const MAX_ROWS: usize = 512;

/// Experts by id, shared by reference: calls and changes may come from any thread. A change does not wait for calls
/// that run, and a call that runs keeps the experts it started with.
pub struct ExpertPool {
    engine: Arc<dyn Engine>,
    d_model: usize,
    /// Held to look up, insert or remove; never while an expert computes or is converted.
    experts: RwLock<Experts>,
}

type Experts = BTreeMap<ExpertId, Arc<dyn Expert>>;

/// Why a pool did not answer a call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PoolError {
    /// A row is routed to an expert that this pool does not hold.
    #[error("expert {0} is not held here")]
    NotHeld(ExpertId),
    /// More rows than one call may have.
    #[error("expected at most {limit} rows in one call, got {got}")]
    TooManyRows {
        /// The most rows of a call.
        limit: usize,
        /// The rows that came.
        got: usize,
    },
    /// The routes are not those of the rows.
    #[error("expected routes for {expected} rows, got routes for {got}")]
    RouteCount {
        /// Rows of hidden states.
        expected: usize,
        /// Rows of routes.
        got: usize,
    },
    /// An expert's contribution to a row, or the row's sum with it, is NaN or lies outside ±2^23.
    #[error("expert {expert}, row {row}: {source}")]
    OutOfRange {
        /// The expert whose contribution it is.
        expert: ExpertId,
        /// The row of the call, from 0.
        row: usize,
        /// What is wrong with it.
        source: ContributionError,
    },
    /// An expert could not compute.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl PoolError {
    /// Whether the same call may succeed later or elsewhere: only when an expert is missing here.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::NotHeld(_))
    }
}

impl ExpertPool {
    /// A pool without experts, for a model of width `d_model`, that computes with `engine`.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, d_model: usize) -> Self {
        Self { engine, d_model, experts: RwLock::default() }
    }

    /// Takes `weights` as expert `id`, in place of those it may have had.
    ///
    /// # Errors
    /// When the matrices do not fit each other or the model's width.
    pub fn insert(&self, id: ExpertId, weights: &ExpertWeights<'_>) -> Result<(), EngineError> {
        weights.check()?;
        if weights.d_model() != self.d_model {
            return Err(EngineError::Width { expected: self.d_model, got: weights.d_model() });
        }
        let expert: Arc<dyn Expert> = Arc::from(self.engine.expert(weights)?);
        self.write().insert(id, expert);
        Ok(())
    }

    /// Forgets expert `id`; whether it was held. Calls that run with it end as they would have.
    pub fn remove(&self, id: ExpertId) -> bool {
        self.write().remove(&id).is_some()
    }

    /// Whether expert `id` is held.
    #[must_use]
    pub fn holds(&self, id: ExpertId) -> bool {
        self.read().contains_key(&id)
    }

    /// The experts held, ascending.
    #[must_use]
    pub fn held(&self) -> Vec<ExpertId> {
        self.read().keys().copied().collect()
    }

    /// The memory that the experts' weights take, in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.read().values().map(|expert| expert.resident_bytes()).sum()
    }

    /// What the experts of `layer` add to `hidden` (`[rows, d_model]`) by `routes`: one sum per row, `One` for a
    /// row with one route and `Many` for any other.
    ///
    /// # Errors
    /// When an expert is not held, the shapes do not fit, there are more than [`MAX_ROWS`] rows, or a contribution
    /// cannot be represented; of several such contributions, that of the first row and its lowest expert is named.
    pub fn run(&self, layer: u16, hidden: &Activations, routes: &Routes) -> Result<Vec<RowSum>, PoolError> {
        self.check(hidden, routes)?;
        let assignments = self.assign(layer, routes)?;
        let outputs = side_by_side(assignments.experts.len(), 2, |index| assignments.experts[index].forward(hidden));
        let outputs: Vec<Rows> = outputs.into_iter().collect::<Result<_, _>>()?;
        let sum = |row: usize| self.sum(layer, row, routes, &assignments.places[row], &outputs);
        side_by_side(routes.count(), PARALLEL_ROWS, sum).into_iter().collect()
    }

    fn check(&self, hidden: &Activations, routes: &Routes) -> Result<(), PoolError> {
        let (expected, got) = (hidden.count(), routes.count());
        if expected != got {
            return Err(PoolError::RouteCount { expected, got });
        }
        if got > MAX_ROWS {
            return Err(PoolError::TooManyRows { limit: MAX_ROWS, got });
        }
        if got > 0 {
            check_width(hidden.width(), self.d_model)?;
        }
        Ok(())
    }

    /// Groups the rows by expert.
    fn assign(&self, layer: u16, routes: &Routes) -> Result<Assignments, PoolError> {
        let numbers = routes.experts();
        let mut experts = self.look_up(layer, &numbers)?;
        let mut places = vec![Vec::new(); routes.count()];
        for (row, routes) in routes.iter().enumerate() {
            for route in routes {
                // Every route's expert is among the routes' experts.
                let index = numbers.partition_point(|&number| number < route.expert);
                places[row].push((index, experts[index].rows.len()));
                experts[index].rows.push(row);
            }
        }
        Ok(Assignments { experts, places })
    }

    /// The experts `numbers` of `layer`, without rows yet.
    fn look_up(&self, layer: u16, numbers: &[u16]) -> Result<Vec<Assigned>, PoolError> {
        let held = self.read();
        let find = |&expert| {
            let id = ExpertId { layer, expert };
            let expert = held.get(&id).cloned().ok_or(PoolError::NotHeld(id))?;
            Ok(Assigned { expert, rows: Vec::new() })
        };
        numbers.iter().map(find).collect()
    }

    /// The sum of row `row`, whose routes' outputs lie at `places`.
    fn sum(
        &self,
        layer: u16,
        row: usize,
        routes: &Routes,
        places: &[(usize, usize)],
        outputs: &[Rows],
    ) -> Result<RowSum, PoolError> {
        let mut sum = FixedSum::zeros(1, self.d_model);
        let mut contribution = Vec::new();
        for (route, &(expert, place)) in routes.row(row).iter().zip(places) {
            contribution.clear();
            contribution.extend(outputs[expert].row(place).iter().map(|value| route.gate * value));
            let expert = ExpertId { layer, expert: route.expert };
            sum.add_contribution(0, &contribution).map_err(|source| PoolError::OutOfRange { expert, row, source })?;
        }
        Ok(if places.len() == 1 { RowSum::One(contribution) } else { RowSum::Many(sum.row(0).to_vec()) })
    }

    /// No change to the map can panic half way, so a poisoned lock guards a whole map.
    fn read(&self) -> RwLockReadGuard<'_, Experts> {
        self.experts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Experts> {
        self.experts.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `compute` for every index below `count`, results in order: on several threads if there are at least `worth` items.
/// Each item is computed alone, so this changes no bit. With one thread everything stays on the caller's: handing it
/// over and waiting would cost a micro-task more than its own hop over loopback.
fn side_by_side<T: Send>(count: usize, worth: usize, compute: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    if count < worth || threads() == 1 {
        (0..count).map(compute).collect()
    } else {
        (0..count).into_par_iter().map(compute).collect()
    }
}

/// Rows from which on their sums are worth a second thread: a row of 4096 values takes a few microseconds.
const PARALLEL_ROWS: usize = 16;

/// The rows of a call by expert.
struct Assignments {
    /// Ascending by expert.
    experts: Vec<Assigned>,
    /// For each row and each of its routes: which of `experts`, and which of that expert's rows.
    places: Vec<Vec<(usize, usize)>>,
}

/// An expert with its rows of the call, ascending.
struct Assigned {
    expert: Arc<dyn Expert>,
    rows: Vec<usize>,
}

impl Assigned {
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError> {
        self.expert.forward(&hidden.gather(&self.rows))
    }
}

#[cfg(test)]
mod tests;
