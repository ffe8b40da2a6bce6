//! The pure core that places experts on workers, schedules micro-tasks and survives lost workers.

pub mod effect;
pub mod input;
pub mod settings;
pub mod views;

pub use effect::{CallError, Effect};
pub use input::{ExpertLoad, Fault, Input};
pub use settings::{ExpertSpec, Settings};
pub use views::{Counters, Coverage, InFlight, WorkerState, WorkerView};

use neuro_primitives::{ExpertId, Moment, NodeId};

/// The core. One owner calls [`Orchestrator::step`] with everything that happens, in order.
#[derive(Debug)]
pub struct Orchestrator {
    settings: Settings,
}

impl Orchestrator {
    /// A core without workers.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Takes one event at `now` and returns what to do, in order. `now` never goes back.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        let _ = (input, now, &self.settings);
        Vec::new()
    }

    /// Every live worker, ascending by id.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerView> {
        Vec::new()
    }

    /// Ready holders of each expert of the layer, by expert number.
    #[must_use]
    pub fn holders(&self, _layer: u16) -> Vec<u32> {
        Vec::new()
    }

    /// The ready holders of one expert, ascending.
    #[must_use]
    pub fn holders_of(&self, _expert: ExpertId) -> &[NodeId] {
        &[]
    }

    /// Rows that went to each expert of the layer since the start, by expert number.
    #[must_use]
    pub fn expert_use(&self, _layer: u16) -> Vec<u64> {
        Vec::new()
    }

    /// Running totals.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// What is going on now.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        InFlight::default()
    }

    /// How much of the model is ready.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage::default()
    }
}
