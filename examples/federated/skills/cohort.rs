//! A cohort in one process: participants that train apart, and a sum that is all the server sees.
//!
//! Updates are rounded to integers and added exactly, as they are under masks; the masks themselves are left out here,
//! since they cancel. This is the arithmetic of the plain mode, not its protocol.

use std::time::Duration;

use neuro_training::{Flat, LocalRule, MoeTrainer, TrainPlan, Trainer};

/// Steps of the grid per unit: updates are some ten-thousandths.
const GRID: f64 = 16_777_216.0;

/// The largest entry of an update that is not cut off. With this grid an entry has 25 bits, and a sum of 32 has 30.
const LARGEST: f64 = 1.0;

/// Long enough for any round here.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Some participants who train the same tensors.
pub struct Cohort {
    /// Who takes part. All have the same choice of tensors.
    members: Vec<MoeTrainer>,
    /// What is trained: `[entries]`.
    pub global: Flat,
    server: Server,
}

/// What becomes of the mean of the updates.
pub enum Server {
    /// It is added (FedAvg, McMahan et al. 2017).
    Add,
    /// FedAdam (Reddi et al. 2021, algorithm 2).
    Adam {
        /// First moments: `[entries]`.
        first: Vec<f32>,
        /// Second moments: `[entries]`.
        second: Vec<f32>,
    },
}

/// FedAdam's decays.
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.98;

/// Keeps FedAdam's quotient finite, far below the updates.
const TAU: f32 = 1e-6;

impl Server {
    /// FedAdam that has seen nothing.
    pub fn adam(entries: usize) -> Self {
        Self::Adam { first: vec![0.0; entries], second: vec![TAU * TAU; entries] }
    }

    /// Moves `global` by `mean`, at most about `rate` an entry with FedAdam.
    fn apply(&mut self, global: &mut [f32], mean: impl Iterator<Item = f32>, rate: f32) {
        match self {
            Self::Add => global.iter_mut().zip(mean).for_each(|(value, step)| *value += step),
            Self::Adam { first, second } => {
                for (((value, step), first), second) in global.iter_mut().zip(mean).zip(first).zip(second) {
                    *first = BETA1 * *first + (1.0 - BETA1) * step;
                    *second = BETA2 * *second + (1.0 - BETA2) * step * step;
                    *value += rate * *first / (second.sqrt() + TAU);
                }
            }
        }
    }
}

impl Cohort {
    /// A cohort with at least `least` members, or none: an update of too few would say too much of each.
    pub fn open(
        name: &str,
        members: Vec<MoeTrainer>,
        global: Flat,
        server: Server,
        least: usize,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(members.len() >= least, "cohort {name}: expected {least} members, got {}", members.len());
        Ok(Self { members, global, server })
    }

    /// One round with weight 1 each. Returns the mean loss.
    pub fn round(&mut self, plan: &TrainPlan, server_rate: f32) -> anyhow::Result<f32> {
        let mut sum = QuantisedSum::new(self.global.0.len());
        let mut loss = 0.0;
        for member in &mut self.members {
            member.set_plan(plan.clone());
            let trained = member.train(&self.global, &LocalRule::Plain, DEADLINE)?;
            loss += trained.loss;
            sum.add(&trained.update);
        }
        let count = self.members.len();
        self.server.apply(&mut self.global.0, sum.mean(count), server_rate);
        Ok(loss / count as f32)
    }
}

/// Sums of updates as integers: the same whatever the order.
pub struct QuantisedSum(Vec<i64>);

impl QuantisedSum {
    /// Nothing yet: `[entries]`.
    pub fn new(entries: usize) -> Self {
        Self(vec![0; entries])
    }

    /// Adds one update, rounded to the grid.
    pub fn add(&mut self, update: &Flat) {
        let rounded = update.0.iter().map(|value| (f64::from(*value).clamp(-LARGEST, LARGEST) * GRID).round() as i64);
        self.0.iter_mut().zip(rounded).for_each(|(sum, value)| *sum += value);
    }

    /// The mean over `count` updates.
    pub fn mean(&self, count: usize) -> impl Iterator<Item = f32> {
        self.0.iter().map(move |sum| (*sum as f64 / GRID / count as f64) as f32)
    }
}
