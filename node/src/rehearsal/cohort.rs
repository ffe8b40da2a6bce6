//! One cohort of a rehearsal: its members train, and their vectors are added as they would be under masks.

use std::fs;
use std::io;
use std::path::PathBuf;

use futures::{StreamExt, stream};
use neuro_fl_aggregator::server::CohortSum;
use neuro_fl_aggregator::trainer_contract::{CONTROL_FILE, GLOBAL_FILE};
use neuro_fl_aggregator::update::{EncodingMode, NoiseBy, add_central_noise};
use neuro_fl_aggregator::{EncodingPlan, SignedSettings, TaskInput, encode_update, modulus_rule};
use neuro_primitives::Hash;
use neuro_privacy::NoiseRng;
use neuro_secagg::config::RoundConfig;
use neuro_secagg::floors::{Floors, Past};
use neuro_secagg::messages::{EndReason, Shortfall};
use neuro_secagg::packing::Modulus;
use neuro_secagg::parameters;
use neuro_secagg::roster::Registry;
use neuro_secagg::sum::Accumulator;

use super::{Rehearsal, RehearsalError, RehearsalEvent, number};
use crate::aggregator_role::reason;
use crate::os::private_file;
use crate::participant_role::trainer_state::TrainerState;
use crate::participant_role::training::{Attempt, Trained, time_limit};

/// A member whose trainer has done its work.
struct Work {
    participant: usize,
    attempt: Attempt,
    trained: Trained,
}

impl Rehearsal<'_> {
    /// The cohort from its configuration to what the task's core hears of it.
    pub(super) async fn cohort(&mut self, config: &RoundConfig) -> Result<TaskInput, RehearsalError> {
        self.look_at_floors(config);
        let mut members = self.cast.members_of(&config.batches);
        members.truncate(config.most_members.into());
        // At most 4,096: the configuration was checked.
        let n = members.len() as u16;
        let modulus = match self.modulus(config, n)? {
            Ok(modulus) => modulus,
            Err(end) => return Ok(self.failed(config, n, &end)),
        };
        let work = self.train(config, &members).await?;
        let (sum, survivors) = self.sum(config, n, modulus, work)?;
        let (expected, got) = (self.demand(config, n).least_survivors(), survivors.len() as u16);
        if got < expected {
            return Ok(self.failed(config, n, &EndReason::TooFewUploaded(Shortfall { expected, got })));
        }
        Ok(TaskInput::CohortDone(CohortSum {
            round: config.round,
            cohort: config.cohort,
            sum,
            survivors: u32::from(got),
            n,
            members: survivors.into_iter().map(|participant| self.cast.node(participant)).collect(),
            honest_at_least: self.demand(config, n).honest_at_least(),
        }))
    }

    /// The size of an entry, if so many members make a cohort at all.
    fn modulus(&self, config: &RoundConfig, n: u16) -> Result<Result<Modulus, EndReason>, RehearsalError> {
        let expected = config.least_members;
        if n < expected {
            return Ok(Err(EndReason::TooFewJoined(Shortfall { expected, got: n })));
        }
        let rostered = self.cast.roster().rostered(&config.batches);
        let bits = parameters::find(&self.demand(config, n)).ok().and(modulus_rule(config, n, rostered));
        bits.map_or(Ok(Err(EndReason::NoParameters)), |bits| Ok(Ok(Modulus::new(bits)?)))
    }

    fn demand(&self, config: &RoundConfig, n: u16) -> parameters::Demand {
        config.demand(n, self.cast.roster().rostered(&config.batches))
    }

    fn failed(&self, config: &RoundConfig, n: u16, end: &EndReason) -> TaskInput {
        TaskInput::CohortFailed {
            round: config.round,
            cohort: config.cohort,
            reason: reason::words(end),
            n,
            charged: Vec::new(),
            honest_at_least: self.demand(config, n).honest_at_least(),
        }
    }

    /// What participants who change nothing about their floors would say.
    fn look_at_floors(&mut self, config: &RoundConfig) {
        let past = Past::none(self.cast.now());
        if let Err(refused) = Floors::default().admit(config, self.cast.roster(), &past) {
            let (round, reason) = (config.round, refused.to_string());
            if self.told.insert(reason.clone(), round).is_none() {
                (self.report)(RehearsalEvent::BelowFloors { round, reason });
            }
        }
    }

    /// Runs the members' trainers. Those that fail are left out, and told of.
    async fn train(&mut self, config: &RoundConfig, members: &[usize]) -> Result<Vec<Work>, RehearsalError> {
        let mut attempts = Vec::new();
        for &participant in members {
            attempts.push((participant, self.attempt(config, participant)?));
        }
        let stop = self.stop;
        let run = |(participant, attempt): (usize, Attempt)| async move {
            let outcome = attempt.run(stop).await;
            (participant, attempt, outcome)
        };
        let mut runs = stream::iter(attempts).map(run).buffered(self.options.at_a_time.max(1));
        let mut work = Vec::new();
        while let Some((participant, attempt, outcome)) = runs.next().await {
            if stop.is_cancelled() {
                return Err(RehearsalError::Stopped);
            }
            match outcome {
                Ok(trained) => {
                    (self.report)(RehearsalEvent::Trained { round: config.round, participant });
                    work.push(Work { participant, attempt, trained });
                }
                Err(error) => {
                    fs::remove_dir_all(&attempt.folder)?;
                    let (round, reason) = (config.round, error.to_string());
                    (self.report)(RehearsalEvent::Dropped { round, participant, reason });
                }
            }
        }
        Ok(work)
    }

    /// A folder with the weights, and what its trainer is told.
    fn attempt(&self, config: &RoundConfig, participant: usize) -> io::Result<Attempt> {
        let task_folder = self.options.folder.join("participants").join(participant.to_string());
        let folder: PathBuf = task_folder.join("rounds").join(config.round.to_string()).join(config.cohort.to_string());
        private_file::create_folder(&folder)?;
        let base = config.base.hash();
        fs::copy(self.models.path(base), folder.join(GLOBAL_FILE))?;
        let settings = SignedSettings::decode(&config.strategy.settings).map_err(io::Error::other)?;
        if let Some(control) = settings.control {
            fs::copy(self.models.path(control), folder.join(CONTROL_FILE))?;
        }
        let command = self.options.trainers[participant].clone();
        Ok(Attempt {
            command,
            memory_bytes: self.options.trainer_memory_bytes,
            folder,
            task_folder,
            base,
            time: time_limit(config),
            config: config.clone(),
            task: self.task.clone(),
            seed: number(self.cast.drawn("training", config.round, config.cohort, participant)),
        })
    }

    /// Σ of the members' vectors, with the noise that the plan asks for, and whose they are.
    fn sum(
        &mut self,
        config: &RoundConfig,
        n: u16,
        modulus: Modulus,
        work: Vec<Work>,
    ) -> Result<(Vec<i64>, Vec<usize>), RehearsalError> {
        let (plan, honest) = (EncodingPlan::of(config)?, self.demand(config, n).honest_at_least());
        let (mut sum, mut survivors) = (Accumulator::new(plan.vector_entries(), modulus), Vec::new());
        for Work { participant, attempt, trained } in work {
            let Trained { update, control, weight, loss } = &trained;
            let mut noise = NoiseRng::from_seed(&self.noise(config, participant).0);
            match encode_update(update, control.as_ref(), *weight, &plan, honest, modulus, &mut noise) {
                Ok(mut encoded) => {
                    sum.add(&encoded.vector.to_packed())?;
                    survivors.push(participant);
                    self.count(*loss, *weight);
                    keep_state(&attempt)?;
                }
                Err(error) => {
                    let (round, reason) = (config.round, error.to_string());
                    (self.report)(RehearsalEvent::Dropped { round, participant, reason });
                }
            }
            fs::remove_dir_all(&attempt.folder)?;
        }
        let mut sum = sum.finish();
        if matches!(&plan.mode, EncodingMode::Private(settings) if settings.noise == NoiseBy::Aggregator) {
            let mut noise = NoiseRng::from_seed(&self.noise(config, usize::MAX).0);
            add_central_noise(&mut sum, &plan, &mut noise)?;
        }
        Ok((sum, survivors))
    }

    fn noise(&self, config: &RoundConfig, participant: usize) -> Hash {
        self.cast.drawn("noise", config.round, config.cohort, participant)
    }

    fn count(&mut self, loss: Option<f64>, weight: u32) {
        if let Some(loss) = loss.filter(|loss| loss.is_finite()) {
            self.losses.0 += f64::from(weight) * loss;
            self.losses.1 += f64::from(weight);
        }
    }
}

/// What the trainer left for its next round. An evaluation leaves nothing.
fn keep_state(attempt: &Attempt) -> io::Result<()> {
    let settings = SignedSettings::decode(&attempt.config.strategy.settings).map_err(io::Error::other)?;
    if settings.is_evaluation() {
        return Ok(());
    }
    TrainerState::of(&attempt.task_folder, attempt.config.layout).keep(&attempt.folder)
}
