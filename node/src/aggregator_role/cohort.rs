//! One cohort of one round: carries the core's effects into the world.
//!
//! ```text
//! streams, uploads, clock ── Input ──▶ secagg::Aggregator ── Effect ──▶ journal, streams, uploads, sum
//! ```
//!
//! It runs on a thread of its own, so that a flush or a sum holds up nobody else. Effects are carried out in their
//! order; the journal is flushed before the first effect after an entry, and before a message is acknowledged. A
//! restarted process replays the journal into the same core and asks it to go on.

mod folder;
mod handle;

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use neuro_primitives::{Moment, NodeId, NodeKey};
use neuro_protocol::federated::{AggregatorMessage, aggregator_message::Body};
use neuro_secagg::aggregator::{Aggregator, Effect, Evidence, Input, ReplayError, SetupError, replay};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::masks::MaskJob;
use neuro_secagg::messages::EndReason;
use neuro_secagg::packing::Modulus;
use neuro_secagg::roster::Registry;

pub use folder::{CohortFolder, KeptConfig};
pub use handle::{CohortHandle, CohortState, Posted};

use super::journal::JournalFile;
use super::streams::Streams;
use super::summing::{SumError, Summing, Unmasked};
use super::uploads::Uploads;
use crate::clock;

/// Longest time without a look at the clock, should the core ask for no wake-up.
const IDLE: Duration = Duration::from_secs(1);

/// The cohort cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum CohortError {
    /// A file.
    #[error("the round's files cannot be used: {0}")]
    Io(#[from] io::Error),
    /// The configuration and the roster do not fit.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The journal does not belong to the configuration, or was changed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The sum.
    #[error(transparent)]
    Sum(#[from] SumError),
    /// The core says what it should not.
    #[error("the cohort's modulus is none: {0}")]
    Modulus(#[from] neuro_secagg::packing::ModulusError),
}

/// How a cohort ended.
#[derive(Debug)]
pub struct CohortEnd {
    /// Why.
    pub reason: EndReason,
    /// The sum, if it came out.
    pub sum: Option<Unmasked>,
    /// Whose vectors are in it, or would have been, ascending.
    pub survivors: Vec<NodeId>,
    /// Who was caught breaking the protocol.
    pub blamed: BTreeSet<NodeId>,
}

/// What a cohort works with.
pub struct CohortParts {
    /// The signed configuration.
    pub config: SignedConfig,
    /// Who may take part.
    pub registry: Arc<dyn Registry + Send + Sync>,
    /// The aggregator's key.
    pub key: NodeKey,
    /// The conversations.
    pub streams: Arc<Streams>,
    /// Its folder.
    pub folder: CohortFolder,
    /// Threads that take masks off.
    pub threads: usize,
}

/// A cohort that runs.
pub struct Cohort {
    core: Aggregator,
    parts: CohortParts,
    journal: JournalFile,
    uploads: Arc<Uploads>,
    summing: Summing,
    unmasked: Option<Unmasked>,
    blamed: BTreeSet<NodeId>,
    /// Whose payloads the sum should hold, as last heard: after the end nobody's.
    survivors: Vec<NodeId>,
    wake: Option<Moment>,
    state: Arc<Mutex<CohortState>>,
}

impl Cohort {
    /// A cohort with what its folder holds: nothing, or the journal of a process that ended.
    ///
    /// # Errors
    /// When the files cannot be used, or the journal is not this configuration's.
    pub fn open(
        parts: CohortParts,
        uploads: Arc<Uploads>,
        state: Arc<Mutex<CohortState>>,
    ) -> Result<Self, CohortError> {
        let (journal, entries) = JournalFile::open(&parts.folder.journal())?;
        let (config, registry, key) = (parts.config.clone(), Arc::clone(&parts.registry), parts.key.clone());
        let core = if entries.is_empty() {
            Aggregator::new(config, registry, key)?
        } else {
            replay(config, registry, key, entries.into_iter())?
        };
        let entries = parts.config.config().vector_entries as usize;
        let (summing, unmasked) = (Summing::new(entries), Summing::finished(entries, &parts.folder.sum()));
        let (blamed, survivors) = (BTreeSet::new(), parts.folder.survivors());
        Ok(Self { core, parts, journal, uploads, summing, unmasked, blamed, survivors, wake: None, state })
    }

    /// Runs until the round ends, or until nobody can post any more: then it goes on in another process.
    ///
    /// # Errors
    /// When something cannot be made durable; nothing that depends on it was done.
    pub fn run(mut self, posts: &Receiver<Posted>) -> Result<Option<CohortEnd>, CohortError> {
        let mut end = self.step(Input::Start)?;
        while end.is_none() {
            let patience = self.wake.map_or(IDLE, |wake| wake.since(clock::now())).min(IDLE);
            end = match posts.recv_timeout(patience) {
                Ok(posted) => {
                    let end = self.step(posted.input)?;
                    posted.done.map(|done| done.send(()));
                    end
                }
                Err(RecvTimeoutError::Timeout) => self.step(Input::Tick)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            };
        }
        Ok(end)
    }

    /// One input, and all that follows from it, masks taken off among it.
    fn step(&mut self, input: Input) -> Result<Option<CohortEnd>, CohortError> {
        let mut inputs = vec![input];
        let mut end = None;
        while let Some(input) = inputs.pop() {
            let effects = self.core.step(clock::now(), input);
            self.take_numbers()?;
            for effect in effects {
                if !matches!(effect, Effect::Journal(_)) {
                    self.journal.flush()?;
                }
                match self.carry_out(effect)? {
                    Next::Nothing => {}
                    Next::Input(input) => inputs.push(input),
                    Next::End(reason) => end = Some(reason),
                }
            }
            self.journal.flush()?;
        }
        self.publish();
        Ok(end.map(|reason| self.conclude(reason)))
    }

    fn carry_out(&mut self, effect: Effect) -> Result<Next, CohortError> {
        match effect {
            Effect::Journal(entry) => self.journal.append(&entry)?,
            Effect::Configure { to, config } => {
                to.into_iter().for_each(|node| self.send(node, Body::Config(config.to_vec())));
            }
            Effect::Announce { to, bytes } => {
                to.into_iter().for_each(|node| self.send(node, Body::Announcement(bytes.to_vec())));
            }
            Effect::AnnounceEach { to } => {
                for node in to {
                    let bytes = self.core.announcement_for(node);
                    bytes.into_iter().for_each(|bytes| self.send(node, Body::Announcement(bytes)));
                }
            }
            Effect::Tell { to, bytes } => self.send(to, Body::Announcement(bytes)),
            Effect::OpenUpload { of, payload, bytes } => self.uploads.await_payload(of, payload, bytes),
            Effect::Add(node) => self.summing.add(node, &self.uploads.path(node))?,
            Effect::Subtract(node) => self.summing.subtract(node, &self.uploads.path(node))?,
            Effect::Unmask { jobs } => return self.unmask(&jobs).map(Next::Input),
            Effect::Blame(evidence) => self.blame(&evidence)?,
            Effect::Refuse { from, why } => {
                tracing::warn!(from = %from.short(), reason = %why, "a message changed nothing");
            }
            Effect::WakeAt(moment) => self.wake = Some(moment),
            Effect::End(reason) => return Ok(Next::End(reason)),
        }
        Ok(Next::Nothing)
    }

    /// The sum without masks; one that an earlier process made durable is not made again.
    fn unmask(&mut self, jobs: &[MaskJob]) -> Result<Input, CohortError> {
        let unmasked = match self.unmasked.take() {
            Some(unmasked) => unmasked,
            None => {
                self.parts.folder.keep_survivors(&self.survivors)?;
                self.summing.unmask(jobs, self.parts.threads, &self.parts.folder.sum())?
            }
        };
        let (sum, weight) = (unmasked.hash, weight_of(&unmasked, self.parts.config.config().entries));
        self.unmasked = Some(unmasked);
        // Without noise nothing is promised.
        Ok(Input::Unmasked { sum, weight, epsilon: f64::INFINITY })
    }

    fn blame(&mut self, evidence: &Evidence) -> Result<(), CohortError> {
        let node = evidence.blames();
        tracing::warn!(node = %node, "a member broke the protocol; the evidence is kept");
        self.blamed.insert(node);
        Ok(self.parts.folder.keep_evidence(node, &format!("{evidence:?}"))?)
    }

    fn send(&self, node: NodeId, body: Body) {
        let config = self.parts.config.config();
        let message = AggregatorMessage { round: config.round, cohort: config.cohort.into(), body: Some(body) };
        self.parts.streams.send(node, message);
    }

    /// The sum's modulus is the cohort's; whose vectors are in the sum is asked for as long as it is known.
    fn take_numbers(&mut self) -> Result<(), CohortError> {
        let view = self.core.view();
        if let Some(numbers) = view.numbers {
            self.summing.set_modulus(Modulus::new(numbers.modulus_bits)?);
        }
        if !view.in_sum.is_empty() {
            self.survivors = view.in_sum;
        }
        Ok(())
    }

    /// What people see.
    fn publish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.view = Some(self.core.view());
        state.blamed.clone_from(&self.blamed);
    }

    fn conclude(&mut self, reason: EndReason) -> CohortEnd {
        let sum = self.unmasked.take().filter(|_| matches!(reason, EndReason::Done { .. }));
        let (survivors, blamed) = (std::mem::take(&mut self.survivors), std::mem::take(&mut self.blamed));
        CohortEnd { reason, sum, survivors, blamed }
    }
}

/// What an effect leads to.
enum Next {
    Nothing,
    Input(Input),
    End(EndReason),
}

/// Σw: the entry behind the model's values and, with some strategies, the control's. The caller's plan reads the rest.
fn weight_of(unmasked: &Unmasked, model_entries: u32) -> u64 {
    let entries = model_entries as usize;
    let place = if unmasked.values.len() > 2 * entries { 2 * entries } else { entries };
    unmasked.values.get(place).and_then(|&weight| u64::try_from(weight).ok()).unwrap_or(0)
}
