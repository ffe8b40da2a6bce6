//! One part in one cohort: carries the core's effects into the world.
//!
//! Effects are carried out in their order. A record is on disk before what follows it, a line of the audit log before
//! the bytes that it speaks of. Training and uploading run beside; what comes of them arrives as a [`Work`].

mod settling;
mod surroundings;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use neuro_fl_aggregator::{SignedSettings, StrategySettings, modulus_rule};
use neuro_primitives::Hash;
use neuro_protocol::federated::ParticipantMessage;
use neuro_secagg::config::Base;
use neuro_secagg::messages::EndReason;
use neuro_secagg::participant::{PartEffect, PartEnd, PartInput, Participant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::audit::Left;
use super::buffer::buffered;
use super::past::{Foreseen, event_of};
use super::payload::{self, Masks};
use super::record_store::RecordStore;
use super::training::{Attempt, Trained, Training, time_limit};
use super::uploading::{until_taken, upload};
use crate::clock::unix_now;
pub(super) use surroundings::{Line, Note, Outcome, Surroundings, Work, told_end};

/// Before a training that failed for want of the aggregator begins again. Many fit into the time that a round has for
/// it, and what was fetched is not fetched again.
const REST: Duration = Duration::from_secs(2);

/// How far the training is.
enum Progress {
    NotBegun,
    UnderWay,
    Done(Arc<Trained>),
    Failed,
}

/// An upload over one line, which ends with this.
struct Sending {
    line: u64,
    _stop_at_the_end: DropGuard,
}

/// One part.
pub(super) struct Part {
    core: Participant,
    store: RecordStore,
    /// N: members that its batches list.
    rostered: u32,
    progress: Progress,
    masks: Option<Masks>,
    sending: Option<Sending>,
    stop: CancellationToken,
    _stop_at_the_end: DropGuard,
}

impl Part {
    /// A part whose batches list `rostered` members.
    pub(super) fn new(mut core: Participant, store: RecordStore, rostered: u32) -> Self {
        core.check_modulus_by(modulus_rule);
        // Wherever the configuration asks dealers for commitments.
        core.verify_on_receipt(true);
        let stop = CancellationToken::new();
        let _stop_at_the_end = stop.clone().drop_guard();
        let progress = Progress::NotBegun;
        Self { core, store, rostered, progress, masks: None, sending: None, stop, _stop_at_the_end }
    }

    /// What it will have released when it answers.
    pub(super) fn foreseen(&self) -> Foreseen {
        Foreseen::of(self.core.config(), self.rostered)
    }

    /// Starts to train, unless it has begun or the record has what came of it: a payload that only its file speaks of is
    /// made again. In a buffered round that may be to wait for a trainer that runs already.
    pub(super) fn train(&mut self, around: &Surroundings, line: &Line) -> io::Result<()> {
        if !matches!(self.progress, Progress::NotBegun) || self.core.record().payload().is_some() {
            return Ok(());
        }
        let training = self.training(around, line)?;
        self.progress = Progress::UnderWay;
        let (work, stop, buffers) = (around.work.clone(), self.stop.clone(), Arc::clone(&around.buffers));
        tokio::spawn(async move {
            let (round, cohort) = (training.attempt.config.round, training.attempt.config.cohort);
            let folder = training.attempt.folder.clone();
            let outcome = match training.attempt.config.base {
                Base::Weights(_) => training.run(stop.clone()).await,
                Base::Versions(list) => tokio::select! {
                    outcome = buffered(&buffers, list, training) => outcome,
                    () = stop.cancelled() => return,
                },
            };
            if let Err(error) = &outcome
                && error.is_retryable()
            {
                tracing::warn!(%error, "a training begins again");
                stop.run_until_cancelled(tokio::time::sleep(REST)).await;
            }
            if stop.is_cancelled() {
                // The part is over and its files were wiped while the trainer still wrote.
                drop(fs::remove_dir_all(folder));
            }
            drop(work.send(Work { round, cohort, outcome: Outcome::Trained(outcome) }).await);
        });
        Ok(())
    }

    /// What the trainer is to be given. In a buffered round it may take as long as its version is admitted.
    fn training(&self, around: &Surroundings, line: &Line) -> io::Result<Training> {
        let config = self.core.config().clone();
        let draw = Hash::of(&[config.hash().0, around.key.node_id().0].concat()).0;
        let mut seed = [0; 8];
        seed.copy_from_slice(&draw[..8]);
        let settings = SignedSettings::decode(&config.strategy.settings).map(|settings| settings.strategy);
        let rounds = match settings {
            Ok(StrategySettings::FedBuff { most_staleness, .. }) => most_staleness + 1,
            _ => 1,
        };
        let attempt = Attempt {
            command: around.command.clone(),
            memory_bytes: around.memory_bytes,
            folder: self.store.trainer_folder()?,
            task_folder: around.folder.clone(),
            base: config.base.hash(),
            time: time_limit(&config).saturating_mul(rounds),
            config,
            task: around.task.clone(),
            seed: u64::from_le_bytes(seed),
        };
        Ok(Training { client: line.client.clone(), turn: Arc::clone(&around.training), attempt })
    }

    /// One input, and all that follows from it.
    pub(super) async fn step(
        &mut self,
        input: PartInput,
        around: &mut Surroundings,
        line: Option<&Line>,
    ) -> io::Result<Vec<Note>> {
        let effects = self.core.step(input);
        self.carry_out(effects, around, line).await
    }

    /// What came of work beside it.
    pub(super) async fn take(
        &mut self,
        outcome: Outcome,
        around: &mut Surroundings,
        line: Option<&Line>,
    ) -> io::Result<Vec<Note>> {
        match outcome {
            Outcome::Trained(Ok(trained)) => {
                let note = Note::Trained { loss: trained.loss, weight: trained.weight };
                self.progress = Progress::Done(Arc::new(trained));
                self.mask(around);
                Ok(vec![note])
            }
            // It has rested. Without a line the next one begins anew.
            Outcome::Trained(Err(error)) if error.is_retryable() => {
                self.progress = Progress::NotBegun;
                line.map_or(Ok(()), |line| self.train(around, line))?;
                Ok(Vec::new())
            }
            Outcome::Trained(Err(error)) => {
                self.progress = Progress::Failed;
                self.without_update(error.to_string(), around, line).await
            }
            Outcome::Masked(Err(error)) => self.give_up(error.to_string(), around, line).await,
            Outcome::Masked(Ok((hash, bytes))) => {
                let mut notes = vec![Note::Masked { bytes }];
                notes.extend(self.step(PartInput::Payload { hash, bytes }, around, line).await?);
                Ok(notes)
            }
            Outcome::Uploaded(Ok(bytes)) => Ok(vec![Note::Uploaded { bytes }]),
            Outcome::Uploaded(Err(error)) => self.give_up(error.to_string(), around, line).await,
        }
    }

    /// Without an update the part goes on until the update is asked for: a dropout then is one of those that the round
    /// tolerates, while a missing nonce would make everybody begin again.
    async fn without_update(
        &mut self,
        reason: String,
        around: &mut Surroundings,
        line: Option<&Line>,
    ) -> io::Result<Vec<Note>> {
        if self.masks.is_some() {
            return self.give_up(reason, around, line).await;
        }
        Ok(vec![Note::GaveUp { reason }])
    }

    async fn give_up(
        &mut self,
        reason: String,
        around: &mut Surroundings,
        line: Option<&Line>,
    ) -> io::Result<Vec<Note>> {
        let mut notes = vec![Note::GaveUp { reason }];
        notes.extend(Box::pin(self.step(PartInput::Stop, around, line)).await?);
        Ok(notes)
    }

    pub(super) async fn carry_out(
        &mut self,
        effects: Vec<PartEffect>,
        around: &mut Surroundings,
        line: Option<&Line>,
    ) -> io::Result<Vec<Note>> {
        let (mut notes, mut effects) = (Vec::new(), VecDeque::from(effects));
        while let Some(effect) = effects.pop_front() {
            match effect {
                PartEffect::Mask { .. } if matches!(self.progress, Progress::Failed) => {
                    effects.extend(self.core.step(PartInput::Stop));
                }
                PartEffect::Store(record) => self.store.save(&record.encode())?,
                PartEffect::Send(bytes) => {
                    if Left::of(&bytes) == Left::Answer {
                        self.spend_buffered(around)?;
                    }
                    self.send(bytes, around, line).await?;
                }
                PartEffect::Mask { jobs, modulus, honest_at_least } => {
                    self.masks = Some(Masks { jobs, modulus, honest_at_least });
                    if let Some(line) = line {
                        self.train(around, line)?;
                    }
                    self.mask(around);
                }
                PartEffect::Upload { payload } => self.upload(payload, around, line)?,
                PartEffect::Charge(release) => {
                    let event = event_of(self.core.config(), self.rostered, &release);
                    around.past.charge(release.round, release.cohort, unix_now(), event)?;
                }
                PartEffect::Wipe => {
                    if matches!(effects.front(), Some(PartEffect::End(PartEnd::Round(EndReason::Done { .. })))) {
                        self.count(around)?;
                    }
                    self.stop.cancel();
                    self.store.wipe()?;
                }
                PartEffect::End(end) => notes.push(Note::Ended(end)),
            }
        }
        Ok(notes)
    }

    /// Masks what was trained, once both are there.
    fn mask(&mut self, around: &Surroundings) {
        let Progress::Done(trained) = &self.progress else { return };
        let Some(masks) = self.masks.take() else { return };
        let (trained, config, path) = (Arc::clone(trained), self.core.config().clone(), self.store.payload());
        let work = around.work.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = Outcome::Masked(payload::make(&trained, &masks, &config, &path));
            drop(work.blocking_send(Work { round: config.round, cohort: config.cohort, outcome }));
        });
    }

    /// Sends a message that is in the audit log first. Without a line nothing leaves: it is sent again with the next.
    async fn send(&self, bytes: Vec<u8>, around: &Surroundings, line: Option<&Line>) -> io::Result<()> {
        let Some(line) = line else { return Ok(()) };
        let (round, cohort) = (self.core.config().round, self.core.config().cohort);
        around.audit.note(unix_now(), round, cohort, Left::of(&bytes), bytes.len() as u64, Hash::of(&bytes))?;
        drop(line.messages.send(ParticipantMessage { round, cohort: cohort.into(), body: bytes }).await);
        Ok(())
    }

    /// Sends the stored payload until the aggregator has all of it; over one line once, however often it is asked for.
    fn upload(&mut self, payload: Hash, around: &Surroundings, line: Option<&Line>) -> io::Result<()> {
        let Some(line) = line else { return Ok(()) };
        if self.sending.as_ref().is_some_and(|sending| sending.line == line.number) {
            return Ok(());
        }
        let (round, cohort, path) = (self.core.config().round, self.core.config().cohort, self.store.payload());
        // Without its file the upload ends, and the part with it.
        let bytes = fs::metadata(&path).map_or(0, |facts| facts.len());
        around.audit.note(unix_now(), round, cohort, Left::Payload, bytes, payload)?;
        let (client, work, stop) = (line.client.clone(), around.work.clone(), self.stop.child_token());
        self.sending = Some(Sending { line: line.number, _stop_at_the_end: stop.clone().drop_guard() });
        let turn = Arc::clone(&around.uploading);
        tokio::spawn(async move {
            let attempt = || {
                let (client, turn, path) = (client.clone(), Arc::clone(&turn), path.clone());
                async move {
                    let _turn = turn.acquire().await;
                    upload(&client, round, cohort, payload, &path).await
                }
            };
            let outcome = tokio::select! {
                outcome = until_taken(attempt, tokio::time::sleep) => outcome,
                () = stop.cancelled() => return,
            };
            drop(work.send(Work { round, cohort, outcome: Outcome::Uploaded(outcome) }).await);
        });
        Ok(())
    }
}
