//! The experts that a node holds, and what they add to the rows of a call.
//!
//! A call brings the rows of one layer with their routes. The pool gathers each expert's rows in the order they came,
//! runs the expert on them together, multiplies each output by its gate, rounded once to f32, and adds the products by
//! the contribution rule (`neuro_primitives::contribution`).
//!
//! An expert sees the same rows in the same order whichever pool holds it, and the sums are integers; so the sums of
//! several pools that hold different experts add up to the sums of one pool that holds them all, bit for bit.
//!
//! Experts that were inserted stay in memory. Experts that were registered with a source come into memory when a call
//! needs them and leave it when others need the room; see `residency` for the rules. A call whose experts do not fit
//! in memory together runs them one group after another. A pool that was told to compute in place leaves experts that are
//! not in memory where they lie, and loads none for a call. None of this changes a bit of any sum.

mod residency;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use neuro_primitives::contribution::digest;
use neuro_primitives::{
    ActivationFormat, Activations, ContributionError, ExpertId, FixedSum, Hash, Routes, RowSum, Rows,
};

use crate::engine::{Engine, EngineError, Expert, ExpertWeights, check_width};
use crate::source::{ExpertSource, SourceError, StoredExpert};
use crate::threads::{collect, threads};

use residency::{Residency, Taken, TakenState};

pub use residency::{HALF_LIFE_CALLS, ResidencyCounters};

/// Rows of one call. Each row of a call needs its sums and its experts' outputs in memory: with 8 experts and 4096
/// values these are 80 MiB for 512 rows. The protocol's limit for a micro-task is the same.
pub const MAX_ROWS: usize = 512;

/// Experts by id, shared by reference: calls and changes may come from any thread. A change does not wait for calls
/// that run. A call that runs keeps the experts it uses; memory of one that is removed meanwhile is no longer counted.
///
/// A call may wait for another to give memory back, so do not call from a task of the compute threads.
pub struct ExpertPool {
    engine: Arc<dyn Engine>,
    d_model: usize,
    /// Held for bookkeeping; never while an expert computes, is read or is converted.
    residency: Mutex<Residency>,
    /// An expert was loaded or given back.
    changed: Condvar,
    /// Whether calls compute with absent experts where they lie.
    in_place: AtomicBool,
}

/// What a call adds up to, and what each expert added to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    /// One sum per row, `One` for a row with one route and `Many` for any other. `[rows]` of `[d_model]`.
    pub sums: Vec<RowSum>,
    /// The digest of every contribution, in the order of the routes: row after row, experts ascending. `[routes]`
    pub digests: Vec<Hash>,
}

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
    /// An expert could not be brought into memory.
    #[error("expert {expert} cannot be loaded: {source}")]
    Load {
        /// The expert.
        expert: ExpertId,
        /// Why.
        source: SourceError,
    },
    /// An expert could not compute.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl PoolError {
    /// Whether the same call may succeed later or elsewhere: when an expert is missing here, or its source may have it
    /// again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NotHeld(_) => true,
            Self::Load { source, .. } => source.is_retryable(),
            _ => false,
        }
    }
}

impl ExpertPool {
    /// A pool without experts and without a limit, for a model of width `d_model`, that computes with `engine`.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, d_model: usize) -> Self {
        Self { engine, d_model, residency: Mutex::default(), changed: Condvar::new(), in_place: AtomicBool::new(false) }
    }

    /// The same pool with a limit to the memory of its experts, in bytes; `None` keeps every expert that was loaded.
    #[must_use]
    pub fn with_limit(self, limit_bytes: Option<u64>) -> Self {
        self.residency().set_limit(limit_bytes);
        self
    }

    /// Says what calls do with experts that are not in memory: compute with them where they lie, or load them. In place
    /// there is no wait before the first answer, but each call is slower; it is for the time until [`ExpertPool::warm`]
    /// is through.
    pub fn compute_in_place(&self, in_place: bool) {
        self.in_place.store(in_place, Ordering::Relaxed);
    }

    /// Takes `weights` as expert `id`, in place of those it may have had. It stays in memory until it is removed, even
    /// beyond the limit.
    ///
    /// # Errors
    /// When the matrices do not fit each other or the model's width.
    pub fn insert(&self, id: ExpertId, weights: &ExpertWeights<'_>) -> Result<(), EngineError> {
        let expert = self.convert(weights)?;
        self.residency().insert(id, expert, weights.input_format());
        self.changed.notify_all();
        Ok(())
    }

    /// Takes what `source` has as expert `id`, in place of what it may have had. Reads nothing: the first call that
    /// needs it, or [`ExpertPool::warm`], does.
    pub fn register(&self, id: ExpertId, stored: StoredExpert, source: Arc<dyn ExpertSource>) {
        self.residency().register(id, stored, source);
        self.changed.notify_all();
    }

    /// Forgets expert `id`; whether it was held. Calls that run with it end as they would have.
    pub fn remove(&self, id: ExpertId) -> bool {
        let removed = self.residency().remove(id);
        self.changed.notify_all();
        removed
    }

    /// Whether expert `id` is held, in memory or by its source.
    #[must_use]
    pub fn holds(&self, id: ExpertId) -> bool {
        self.residency().holds(id)
    }

    /// The experts held, in memory or by their source, ascending.
    #[must_use]
    pub fn held(&self) -> Vec<ExpertId> {
        self.residency().held()
    }

    /// The experts in memory, ascending.
    #[must_use]
    pub fn resident(&self) -> Vec<ExpertId> {
        self.residency().resident()
    }

    /// The memory that the experts' weights take, in bytes, with the room kept for those that are being loaded.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.residency().resident_bytes()
    }

    /// The memory that the experts' weights may take, in bytes.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        self.residency().limit_bytes()
    }

    /// How often experts were there, were loaded and were dropped.
    #[must_use]
    pub fn counters(&self) -> ResidencyCounters {
        self.residency().counters()
    }

    /// The form in which to hand hidden states to `layer`: one that every expert held of it takes. `None` where none
    /// is held.
    #[must_use]
    pub fn input_format(&self, layer: u16) -> Option<ActivationFormat> {
        self.residency().input_format(layer)
    }

    /// Loads `experts` in their order, several at a time, as far as the limit allows: one that does not fit is loaded,
    /// which shows whether it can be used, and gives way to those before it. `progress` hears how many of `experts`
    /// are done, and may break off. Counts as no use.
    ///
    /// # Errors
    /// The first expert that is not held or cannot be loaded.
    pub fn warm(
        &self,
        experts: &[ExpertId],
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<(), PoolError> {
        let mut done = 0;
        for group in experts.chunks(threads()) {
            self.with_experts(group, |_, _| Ok(()))?;
            done += group.len();
            if progress(done).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether each of `experts` can be used, without bringing it into memory. `progress` hears how many are done.
    ///
    /// # Errors
    /// The first expert that is not held, or whose weights cannot be read or used.
    pub fn check_stored(&self, experts: &[ExpertId], progress: &mut dyn FnMut(usize)) -> Result<(), PoolError> {
        for (done, &id) in experts.iter().enumerate() {
            let found = self.residency().find(&[id]).map_err(PoolError::NotHeld)?;
            let group = Group { pool: self, taken: found.taken };
            for (_, source) in &found.stored {
                let look = source.look(id, &mut |weights| {
                    check_width(weights.d_model(), self.d_model)?;
                    self.engine.check(weights)
                });
                look.map_err(|source| PoolError::Load { expert: id, source })?;
            }
            drop(group);
            progress(done + 1);
        }
        Ok(())
    }

    /// What the experts of `layer` add to `hidden` (`[rows, d_model]`) by `routes`: one sum per row, `One` for a
    /// row with one route and `Many` for any other.
    ///
    /// # Errors
    /// When an expert is not held or cannot be loaded, the shapes do not fit, there are more than [`MAX_ROWS`] rows, or
    /// a contribution cannot be represented; of several such contributions, that of the first row and its lowest expert
    /// is named.
    pub fn run(&self, layer: u16, hidden: &Activations, routes: &Routes) -> Result<Vec<RowSum>, PoolError> {
        let outputs = self.outputs(layer, hidden, routes)?;
        let sum = |row: usize| self.sum(layer, row, routes, &outputs, |_| ());
        in_stretches(routes.count(), sum).into_iter().collect()
    }

    /// As [`ExpertPool::run`], with a digest of every contribution: what a worker answers.
    ///
    /// # Errors
    /// As [`ExpertPool::run`].
    pub fn run_digested(&self, layer: u16, hidden: &Activations, routes: &Routes) -> Result<Computed, PoolError> {
        let outputs = self.outputs(layer, hidden, routes)?;
        let digested = |row: usize| -> Result<(RowSum, Vec<Hash>), PoolError> {
            let mut digests = Vec::with_capacity(routes.row(row).len());
            let sum = self.sum(layer, row, routes, &outputs, |contribution| digests.push(digest(contribution)))?;
            Ok((sum, digests))
        };
        let rows = in_stretches(routes.count(), digested);
        let mut computed =
            Computed { sums: Vec::with_capacity(rows.len()), digests: Vec::with_capacity(routes.entries().len()) };
        for row in rows {
            let (sum, digests) = row?;
            computed.sums.push(sum);
            computed.digests.extend(digests);
        }
        Ok(computed)
    }

    /// What each expert adds to each row, one contribution (`[d_model]`, f32) a route, in the order of the routes.
    /// Takes 4 × `d_model` bytes a route: ask for the routes of interest only.
    ///
    /// # Errors
    /// As [`ExpertPool::run`].
    pub fn contributions(&self, layer: u16, hidden: &Activations, routes: &Routes) -> Result<Vec<Vec<f32>>, PoolError> {
        let outputs = self.outputs(layer, hidden, routes)?;
        let mut contributions = Vec::with_capacity(routes.entries().len());
        for row in 0..routes.count() {
            self.sum(layer, row, routes, &outputs, |contribution| contributions.push(contribution.to_vec()))?;
        }
        Ok(contributions)
    }

    /// Every expert's outputs for its rows, before gates.
    fn outputs(&self, layer: u16, hidden: &Activations, routes: &Routes) -> Result<Outputs, PoolError> {
        self.check_call(hidden, routes)?;
        let Assignments { experts, rows, places } = Assignments::new(layer, routes);
        self.residency().count_call(&experts);
        let forward = |index: usize, expert: &dyn Expert| expert.forward(&hidden.gather(&rows[index]));
        let of_experts = if self.in_place.load(Ordering::Relaxed) {
            self.with_experts_in_place(&experts, forward)?
        } else {
            self.with_experts(&experts, forward)?
        };
        Ok(Outputs { of_experts, places })
    }

    fn check_call(&self, hidden: &Activations, routes: &Routes) -> Result<(), PoolError> {
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

    /// What `work` makes of each of `experts`, in their order. Experts that are in memory and those that fit beside
    /// them are taken together; the others after those were given back.
    fn with_experts<T: Send>(
        &self,
        experts: &[ExpertId],
        work: impl Fn(usize, &dyn Expert) -> Result<T, EngineError> + Send + Sync,
    ) -> Result<Vec<T>, PoolError> {
        let mut results: Vec<Option<T>> = experts.iter().map(|_| None).collect();
        let mut wanted: Vec<(usize, ExpertId)> = experts.iter().copied().enumerate().collect();
        while !wanted.is_empty() {
            let group = self.take(&wanted)?;
            // One after the other: each uses all compute threads.
            let one = |taken: &Taken| Ok(work(taken.place, self.ready(taken)?.as_ref())?);
            let worked = group.taken.iter().map(one).collect();
            for (taken, result) in group.taken.iter().zip(in_order(&group.taken, worked)?) {
                results[taken.place] = Some(result);
            }
            wanted.retain(|&(place, _)| results[place].is_none());
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// What `work` makes of each of `experts`, in their order, with those that are not in memory where they lie.
    fn with_experts_in_place<T>(
        &self,
        experts: &[ExpertId],
        work: impl Fn(usize, &dyn Expert) -> Result<T, EngineError>,
    ) -> Result<Vec<T>, PoolError> {
        let found = self.residency().find(experts).map_err(PoolError::NotHeld)?;
        let group = Group { pool: self, taken: found.taken };
        let one = |(place, &id): (usize, &ExpertId)| {
            if let Some((_, source)) = found.stored.iter().find(|(stored, _)| *stored == place) {
                return self.look(id, source.as_ref(), |expert| work(place, expert));
            }
            let ready = group.taken.iter().filter(|taken| taken.place == place);
            let expert = ready.map(|taken| self.ready(taken)).next().unwrap_or(Err(PoolError::NotHeld(id)))?;
            Ok(work(place, expert.as_ref())?)
        };
        experts.iter().enumerate().map(one).collect()
    }

    /// What `work` makes of expert `id` where its source has it.
    fn look<T>(
        &self,
        id: ExpertId,
        source: &dyn ExpertSource,
        work: impl Fn(&dyn Expert) -> Result<T, EngineError>,
    ) -> Result<T, PoolError> {
        let mut result = None;
        let looked = source.look(id, &mut |weights| {
            check_width(weights.d_model(), self.d_model)?;
            result = Some(work(self.engine.expert_in_place(weights)?.as_ref()));
            Ok(())
        });
        let failed = |source| PoolError::Load { expert: id, source };
        looked.map_err(failed)?;
        Ok(result.ok_or_else(|| failed(SourceError::Nothing))??)
    }

    /// Takes at least one of `wanted`, when need be after other calls gave theirs back. Nothing is held while waiting.
    fn take(&self, wanted: &[(usize, ExpertId)]) -> Result<Group<'_>, PoolError> {
        let mut residency = self.residency();
        loop {
            let taken = residency.take(wanted).map_err(PoolError::NotHeld)?;
            if !taken.is_empty() {
                return Ok(Group { pool: self, taken });
            }
            residency = self.changed.wait(residency).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The expert, loaded first where it has to be.
    fn ready(&self, taken: &Taken) -> Result<Arc<dyn Expert>, PoolError> {
        let source = match &taken.state {
            TakenState::Ready(expert) => return Ok(Arc::clone(expert)),
            TakenState::ToLoad(source) => source,
        };
        let expert = self.load(taken.id, source.as_ref());
        let expert = expert.map_err(|source| PoolError::Load { expert: taken.id, source })?;
        self.residency().loaded(taken, &expert);
        self.changed.notify_all();
        Ok(expert)
    }

    fn load(&self, id: ExpertId, source: &dyn ExpertSource) -> Result<Arc<dyn Expert>, SourceError> {
        let mut expert = None;
        source.load(id, &mut |weights| {
            expert = Some(self.convert(weights)?);
            Ok(())
        })?;
        expert.ok_or(SourceError::Nothing)
    }

    fn convert(&self, weights: &ExpertWeights<'_>) -> Result<Arc<dyn Expert>, EngineError> {
        weights.check()?;
        check_width(weights.d_model(), self.d_model)?;
        Ok(Arc::from(self.engine.expert(weights)?))
    }

    /// The sum of row `row`; `each` is shown its contributions, in the order of its routes.
    fn sum(
        &self,
        layer: u16,
        row: usize,
        routes: &Routes,
        outputs: &Outputs,
        mut each: impl FnMut(&[f32]),
    ) -> Result<RowSum, PoolError> {
        let mut sum = FixedSum::zeros(1, self.d_model);
        let mut contribution = Vec::new();
        let routes = routes.row(row);
        for (route, &(expert, place)) in routes.iter().zip(&outputs.places[row]) {
            contribution.clear();
            contribution.extend(outputs.of_experts[expert].row(place).iter().map(|value| route.gate * value));
            let expert = ExpertId { layer, expert: route.expert };
            sum.add_contribution(0, &contribution).map_err(|source| PoolError::OutOfRange { expert, row, source })?;
            each(&contribution);
        }
        Ok(if routes.len() == 1 { RowSum::One(contribution) } else { RowSum::Many(sum.row(0).to_vec()) })
    }

    /// No change to the bookkeeping can panic half way, so a poisoned lock guards a whole one.
    fn residency(&self) -> MutexGuard<'_, Residency> {
        self.residency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Experts that a call uses, given back when it is dropped: also when a load fails or a computation panics.
struct Group<'a> {
    pool: &'a ExpertPool,
    taken: Vec<Taken>,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        let mut residency = self.pool.residency();
        for taken in self.taken.drain(..) {
            residency.release(taken);
        }
        drop(residency);
        self.pool.changed.notify_all();
    }
}

/// The results, or the error of the lowest expert of the group.
fn in_order<T>(taken: &[Taken], results: Vec<Result<T, PoolError>>) -> Result<Vec<T>, PoolError> {
    let lowest = |results: &[Result<T, PoolError>]| {
        (0..results.len()).filter(|&index| results[index].is_err()).min_by_key(|&index| taken[index].id)
    };
    match lowest(&results) {
        None => results.into_iter().collect(),
        Some(index) => results.into_iter().skip(index).take(1).collect(),
    }
}

/// `compute` for every row below `count`, results in order: in one stretch for each compute thread where there are rows
/// enough. Each row is computed alone, so this changes no bit.
fn in_stretches<T: Send>(count: usize, compute: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = threads();
    if count < PARALLEL_ROWS || threads == 1 {
        return (0..count).map(compute).collect();
    }
    let stretch = count.div_ceil(threads);
    let compute = |item: usize| (item * stretch..count.min((item + 1) * stretch)).map(&compute).collect::<Vec<_>>();
    collect(count.div_ceil(stretch), compute).into_iter().flatten().collect()
}

/// Rows from which on their sums are worth a second thread: a row of 4096 values takes a few microseconds.
const PARALLEL_ROWS: usize = 16;

/// What the experts of a call gave.
struct Outputs {
    /// For each expert of the call, ascending, its outputs for its rows. `[rows of the expert, d_model]`, f32.
    of_experts: Vec<Rows>,
    /// As in [`Assignments`].
    places: Vec<Vec<(usize, usize)>>,
}

/// The rows of a call by expert.
struct Assignments {
    /// Ascending.
    experts: Vec<ExpertId>,
    /// For each expert its rows of the call, ascending.
    rows: Vec<Vec<usize>>,
    /// For each row and each of its routes: which of `experts`, and which of that expert's rows.
    places: Vec<Vec<(usize, usize)>>,
}

impl Assignments {
    fn new(layer: u16, routes: &Routes) -> Self {
        let numbers = routes.experts();
        let mut rows = vec![Vec::new(); numbers.len()];
        let mut places = vec![Vec::new(); routes.count()];
        for (row, routes) in routes.iter().enumerate() {
            for route in routes {
                // Every route's expert is among the routes' experts.
                let index = numbers.partition_point(|&number| number < route.expert);
                places[row].push((index, rows[index].len()));
                rows[index].push(row);
            }
        }
        Self { experts: numbers.into_iter().map(|expert| ExpertId { layer, expert }).collect(), rows, places }
    }
}

#[cfg(test)]
mod tests;
