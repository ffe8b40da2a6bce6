//! What a participant asks of whoever trains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::TrainError;
use crate::rule::{Flat, LocalRule};

/// Trains on examples that stay where they are.
pub trait Trainer {
    /// Trains from `global` (`[entries]`) as `rule` asks, and returns what changed.
    ///
    /// # Errors
    /// Whatever keeps an update from being made, `deadline` among it: the participant then drops out of the round
    /// before it masks anything, and `global` is untouched.
    fn train(&mut self, global: &Flat, rule: &LocalRule, deadline: Duration) -> Result<Trained, TrainError>;
}

/// What a participant has after its local steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Local model less global model: `[entries]`.
    pub update: Flat,
    /// SCAFFOLD's change of the own control variate: `[entries]`.
    pub control: Option<Flat>,
    /// Examples that were learnt from, which is what an update may be weighted by.
    pub examples: u32,
    /// Mean loss over the steps, in nats per token.
    pub loss: f32,
    /// Steps that were made.
    pub steps: u32,
}

/// A wish to stop that others can see. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks whoever has a clone to stop after the step at hand.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
