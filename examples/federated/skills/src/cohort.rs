//! A cohort in one process: participants that train apart, and a sum that is all the server sees.
//!
//! What a round over the network does to updates is done here by the same code: they become integers, with noise where
//! the plan says so, are packed and added, and the sum becomes a step of FedAdam. Masks are left out, since they cancel;
//! [`crate::masked`] carries out whole rounds with them.

use std::sync::Arc;
use std::time::Duration;

use neuro_fl_aggregator::Strategy;
use neuro_fl_aggregator::strategy::{Adaptive, AdaptiveRule, AdaptiveSettings};
use neuro_training::{Flat, LocalRule, MoeModel, MoeTrainer, Trained, TrainedParts, TrainedTensors, Trainer};

use crate::corpus::Texts;
use crate::plan::{self, BETA1, BETA2, Called, Holder, LEAST, Phase};
use crate::vectors::Vectors;

/// Keeps FedAdam's quotient finite, far below the updates.
const TAU: f64 = 1e-6;

/// Long enough for any round here.
pub const DEADLINE: Duration = Duration::from_secs(3600);

/// Some participants who train the same tensors.
pub struct Cohort {
    name: &'static str,
    model: MoeModel,
    choice: TrainedTensors,
    phase: Phase,
    called: Called,
    texts: Arc<Texts>,
    /// What is trained: `[entries]`.
    pub global: Flat,
    strategy: Adaptive,
}

/// What a round showed.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Mean loss of the members. A real server does not see it.
    pub loss: f32,
    /// Bytes that one member uploads.
    pub payload_bytes: usize,
}

impl Cohort {
    /// A cohort whose rounds have at least [`LEAST`] members, or none.
    ///
    /// # Errors
    /// Too few members; a choice that the model does not have.
    pub fn open(
        name: &'static str,
        model: MoeModel,
        choice: &TrainedTensors,
        (phase, called): (Phase, Called),
        texts: Arc<Texts>,
    ) -> anyhow::Result<Self> {
        let members = phase.attending(called, 0).len();
        anyhow::ensure!(members >= LEAST, "cohort {name}: expected {LEAST} members, got {members}");
        let parts = TrainedParts::of(model.config(), model.weights(), choice)?;
        let global = Flat(parts.read(model.weights())?);
        let [beta1, beta2] = [BETA1, BETA2].map(f64::from);
        let settings = AdaptiveSettings { rate: phase.server_rate(0), beta1, beta2, tau: TAU };
        let strategy = Adaptive::new(AdaptiveRule::Adam, settings)?;
        Ok(Self { name, model, choice: choice.clone(), phase, called, texts, global, strategy })
    }

    /// One round of all members with weight 1 each.
    ///
    /// # Errors
    /// Training that diverges, an update that cannot be encoded.
    pub fn round(&mut self, round: u32) -> anyhow::Result<Outcome> {
        let members = self.phase.attending(self.called, round);
        let vectors = self.vectors(round, members.len())?;
        let (mut sum, mut loss, mut payload_bytes) = (vectors.nothing(), 0.0, 0);
        for (at, member) in members.iter().enumerate() {
            let trained = self.train(member, round)?;
            let (payload, _) = vectors.payload(at, &trained.update)?;
            sum.add(&payload)?;
            loss += trained.loss / members.len() as f32;
            payload_bytes = payload.len();
        }
        self.strategy.set_rate(self.phase.server_rate(round))?;
        self.strategy.apply(&mut self.global, &vectors.read(sum)?)?;
        Ok(Outcome { loss, payload_bytes })
    }

    /// The members' updates of a round, to be summed in another way: `[members][entries]`.
    ///
    /// # Errors
    /// Training that diverges.
    pub fn updates(&self, round: u32) -> anyhow::Result<Vec<Flat>> {
        let members = self.phase.attending(self.called, round);
        members.iter().map(|member| Ok(self.train(member, round)?.update)).collect()
    }

    /// How the vectors of a round are made.
    ///
    /// # Errors
    /// A phase that no round can have.
    pub fn vectors(&self, round: u32, members: usize) -> anyhow::Result<Vectors> {
        Vectors::new(self.name, &self.phase, round, members, self.global.0.len())
    }

    /// What one member has after its local steps.
    fn train(&self, member: &Holder, round: u32) -> anyhow::Result<Trained> {
        let own = vec![member.clone()];
        let first = u64::from(round) * u64::from(self.phase.steps);
        let examples = plan::examples(self.texts.clone(), self.phase, first, move |_| own.clone());
        let mut trainer = MoeTrainer::new(self.model.clone(), &self.choice, examples, self.phase.local())?;
        Ok(trainer.train(&self.global, &LocalRule::Plain, DEADLINE)?)
    }
}
