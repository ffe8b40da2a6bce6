//! Rounds: everybody trains, a tenth is lost after masking, both sums are compared, the strategy takes its step.

use crate::data::Digits;
use crate::draw;
use crate::participant::{Participant, Trained};
use crate::perceptron;
use crate::split::split;
use crate::strategies::Run;
use crate::sums::{self, CohortSeeds};
use neuro_fl_aggregator::staleness::staleness_weight;
use neuro_fl_aggregator::{
    DecodeError, EncodeError, EncodingPlan, Flat, Strategy, StrategyError, StrategySettings, decode_sum, encode_update,
};
use neuro_primitives::Hash;
use neuro_privacy::{Accountant, EventError, NoiseRng, QueryError, RdpAccountant};
use neuro_secagg::packing::{Modulus, PayloadError};
use neuro_secagg::parameters::Demand;
use neuro_secagg::quantise::QuantiseError;
use neuro_secagg::sum::Accumulator;
use serde::Serialize;

/// Participants, all of them in every round.
pub const PARTICIPANTS: u16 = 50;
/// Of the Dirichlet split.
pub const ALPHA: f64 = 0.1;
/// γ and δ, in 1/10,000. As many as δ allows are lost in every round.
const TOLERATED_BPS: u16 = 1000;

/// A run that does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// The masked sum is not the plain one.
    #[error("round {round}: expected the masked sum to be the plain one, got another at entry {entry}")]
    Unequal {
        /// The round, from 1.
        round: u32,
        /// The first entry that differs.
        entry: usize,
    },
    /// An update that cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A sum that cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A step that cannot be taken.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// A payload of another length.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Settings of the grid.
    #[error(transparent)]
    Quantise(#[from] QuantiseError),
    /// A release that cannot be counted.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A δ that is none.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// What is known after a round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// From 1; 0 is the model before any.
    pub round: u32,
    /// Mean cross-entropy on the held-out digits.
    pub loss: f64,
    /// Share of them that is right.
    pub accuracy: f64,
    /// ε spent so far, with noise alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
}

/// One run from its first round to its last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// The run's name.
    pub name: String,
    /// Bytes that one participant uploads in a round.
    pub payload_bytes: usize,
    /// After each round.
    pub points: Vec<Point>,
    /// BLAKE3 of the last model's numbers.
    pub model: String,
}

/// The digits and who holds them.
#[derive(Debug, Clone)]
pub struct Benchmark {
    seed: u64,
    digits: Digits,
    participants: Vec<Participant>,
}

impl Benchmark {
    /// Everything drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let digits = Digits::load(seed);
        let held = split(&digits.training, usize::from(PARTICIPANTS), ALPHA, seed);
        Self { seed, digits, participants: held.into_iter().map(Participant::new).collect() }
    }

    /// Carries out `run` over `rounds` rounds.
    ///
    /// # Errors
    /// Above all [`BenchmarkError::Unequal`]: the benchmark proves that it does not happen.
    pub fn run(&self, run: &Run, rounds: u32) -> Result<Curve, BenchmarkError> {
        let mut task = Task::new(self, run)?;
        let mut points = vec![task.measure(0)?];
        for round in 1..=rounds {
            task.round(round)?;
            points.push(task.measure(round)?);
        }
        let bytes: Vec<u8> = task.model().0.iter().flat_map(|value| value.to_le_bytes()).collect();
        let payload_bytes = task.payload_bytes;
        Ok(Curve { name: run.name.to_owned(), payload_bytes, points, model: Hash::of(&bytes).to_string() })
    }
}

/// A run under way.
struct Task<'a> {
    benchmark: &'a Benchmark,
    run: &'a Run,
    strategy: Box<dyn Strategy>,
    participants: Vec<Participant>,
    /// The newest last; as many as the strategy admits.
    versions: Vec<Flat>,
    spent: RdpAccountant,
    payload_bytes: usize,
}

impl<'a> Task<'a> {
    fn new(benchmark: &'a Benchmark, run: &'a Run) -> Result<Self, BenchmarkError> {
        let strategy = run.strategy.begin(perceptron::ENTRIES, u32::from(PARTICIPANTS))?;
        let versions = vec![perceptron::initial(benchmark.seed)];
        let participants = benchmark.participants.clone();
        Ok(Self { benchmark, run, strategy, participants, versions, spent: RdpAccountant::new(), payload_bytes: 0 })
    }

    fn model(&self) -> &Flat {
        &self.versions[self.versions.len() - 1]
    }

    fn measure(&self, round: u32) -> Result<Point, BenchmarkError> {
        let (loss, accuracy) = perceptron::evaluate(&self.model().0, &self.benchmark.digits.test);
        let spent = self.run.noise.filter(|_| round > 0).map(|noise| self.spent.epsilon(noise.delta)).transpose()?;
        Ok(Point { round, loss, accuracy, epsilon: spent })
    }

    fn round(&mut self, round: u32) -> Result<(), BenchmarkError> {
        let plan = self.run.encoding(&draw::secret("round id", self.benchmark.seed, u64::from(round)))?;
        let modulus = plan.modulus(PARTICIPANTS, honest_at_least(), 1)?;
        let trained: Vec<Trained> = (0..self.participants.len()).map(|who| self.train(who, round)).collect();
        let vectors = self.encode(&trained, &plan, modulus, round)?;
        let survives = self.survivors(round);
        let sum = both_sums(&vectors, &survives, modulus, self.benchmark.seed, round)?;
        self.payload_bytes = modulus.payload_bytes(plan.vector_entries());
        for ((participant, trained), _) in self.participants.iter_mut().zip(&trained).zip(&survives).filter(|x| *x.1) {
            participant.counted(trained);
        }
        let survivors = survives.iter().filter(|alive| **alive).count() as u32;
        let decoded = decode_sum(&sum, survivors, &plan)?;
        let mut model = self.model().clone();
        self.strategy.apply(&mut model, &decoded)?;
        self.keep(model);
        if let Some(event) = plan.release(PARTICIPANTS, honest_at_least())? {
            self.spent.compose(&event, 1)?;
        }
        Ok(())
    }

    fn rng(&self, purpose: &str, who: usize, round: u32) -> NoiseRng {
        draw::stream(purpose, self.benchmark.seed, u64::from(round) << 16 | who as u64)
    }

    /// Participant `who`'s update, weighed by its age where it starts from an older version.
    fn train(&self, who: usize, round: u32) -> Trained {
        let mut rng = self.rng("training", who, round);
        let age = self.rng("version", who, round).below(self.versions.len() as u128) as usize;
        let from = &self.versions[self.versions.len() - 1 - age];
        let mut trained = self.participants[who].train(from, &self.strategy.local_rule(), self.run.local, &mut rng);
        let worth = staleness_weight(age as u32) as f32;
        trained.update.0.iter_mut().for_each(|value| *value *= worth);
        trained
    }

    fn encode(
        &self,
        trained: &[Trained],
        plan: &EncodingPlan,
        modulus: Modulus,
        round: u32,
    ) -> Result<Vec<Accumulator>, BenchmarkError> {
        let one = |(who, trained): (usize, &Trained)| {
            let weight = self.participants[who].weight().min(self.run.weight_cap());
            let mut rng = self.rng("noise", who, round);
            let (update, control) = (&trained.update, trained.control_change.as_ref());
            let encoded = encode_update(update, control, weight, plan, honest_at_least(), modulus, &mut rng)?;
            Ok(encoded.vector)
        };
        trained.iter().enumerate().map(one).collect()
    }

    /// Who is still there after the uploads.
    fn survivors(&self, round: u32) -> Vec<bool> {
        let mut survives = vec![true; self.participants.len()];
        survives[..usize::from(demand().dropout())].fill(false);
        draw::shuffle(&mut survives, &mut self.rng("lost", 0, round));
        survives
    }

    fn keep(&mut self, model: Flat) {
        let kept = match self.run.strategy {
            StrategySettings::FedBuff { most_staleness, .. } => most_staleness as usize + 1,
            _ => 1,
        };
        self.versions.push(model);
        self.versions.drain(..self.versions.len().saturating_sub(kept));
    }
}

const fn demand() -> Demand {
    Demand {
        n: PARTICIPANTS,
        rostered: PARTICIPANTS as u32,
        corrupt_bps: TOLERATED_BPS,
        dropout_bps: TOLERATED_BPS,
        security_bits: 40,
        correctness_bits: 20,
    }
}

fn honest_at_least() -> u16 {
    demand().honest_at_least()
}

/// The sum under masks, once it is found to be the plain one.
fn both_sums(
    vectors: &[Accumulator],
    survives: &[bool],
    modulus: Modulus,
    seed: u64,
    round: u32,
) -> Result<Vec<i64>, BenchmarkError> {
    let plain = sums::plain(vectors, survives, modulus);
    let masked = sums::masked(vectors, survives, modulus, &CohortSeeds::new(vectors.len(), seed, u64::from(round)))?;
    match plain.iter().zip(&masked).position(|(plain, masked)| plain != masked) {
        None => Ok(masked),
        Some(entry) => Err(BenchmarkError::Unequal { round, entry }),
    }
}
