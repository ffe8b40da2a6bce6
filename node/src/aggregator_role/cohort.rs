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
use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use neuro_fl_aggregator::ledger::cost;
use neuro_fl_aggregator::update::{EncodingMode, NoiseBy, add_central_noise};
use neuro_fl_aggregator::{EncodingPlan, modulus_rule};
use neuro_primitives::{Hash, Moment, NodeId, NodeKey};
use neuro_privacy::NoiseRng;
use neuro_protocol::federated::{AggregatorMessage, aggregator_message::Body};
use neuro_secagg::aggregator::{Aggregator, CohortNumbers, Effect, Evidence, Input, Phase, ReplayError, SetupError};
use neuro_secagg::config::SignedConfig;
use neuro_secagg::masks::MaskJob;
use neuro_secagg::messages::EndReason;
use neuro_secagg::packing::Modulus;
use neuro_secagg::roster::Registry;

pub use folder::{Asked, CohortFolder};
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

/// How a cohort ended. The sum itself lies in the cohort's folder.
#[derive(Debug, Clone)]
pub struct CohortEnd {
    /// Why.
    pub reason: EndReason,
    /// The sum's hash, if it came out.
    pub sum: Option<Hash>,
    /// Who was asked for shares; nobody when the cohort ended before that.
    pub asked: Option<Asked>,
    /// n; 0 before there was a cohort.
    pub n: u16,
    /// Who was caught breaking the protocol.
    pub blamed: BTreeSet<NodeId>,
}

/// What a cohort works with.
pub struct CohortParts {
    /// The signed configuration.
    pub config: SignedConfig,
    /// What its vectors hold.
    pub encoding: EncodingPlan,
    /// Who may take part.
    pub registry: Arc<dyn Registry + Send + Sync>,
    /// The aggregator's key.
    pub key: NodeKey,
    /// Who was caught breaking the protocol in earlier rounds.
    pub blamed: Vec<NodeId>,
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
    asked: Option<Asked>,
    numbers: Option<CohortNumbers>,
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
        let (mut journal, entries) = JournalFile::open(&parts.folder.journal())?;
        let (config, registry, key) = (parts.config.clone(), Arc::clone(&parts.registry), parts.key.clone());
        let core = Aggregator::with_modulus(config, registry, key, modulus_rule)?.without(parts.blamed.iter().copied());
        let core = core.replayed(entries.iter().cloned())?;
        let followed = usize::try_from(core.journal_entries()).unwrap_or(usize::MAX);
        journal.keep(entries.get(..followed).unwrap_or(&entries))?;
        let entries = parts.config.config().vector_entries as usize;
        let (summing, unmasked) = (Summing::new(entries), Summing::finished(entries, &parts.folder.sum()));
        let (blamed, asked, numbers) = (BTreeSet::new(), parts.folder.asked(), None);
        Ok(Self { core, parts, journal, uploads, summing, unmasked, blamed, asked, numbers, wake: None, state })
    }

    /// Runs until nobody can post any more. `ended` hears of the end when there is one; afterwards whoever comes back late
    /// is told it. Without an end the cohort goes on in another process.
    ///
    /// # Errors
    /// When something cannot be made durable; nothing that depends on it was done.
    pub fn run(mut self, posts: &Receiver<Posted>, ended: impl FnOnce(CohortEnd)) -> Result<(), CohortError> {
        let mut end = self.step(Input::Start)?;
        while end.is_none() {
            let Some(posted) = next(posts, &mut self.wake) else { return Ok(()) };
            end = self.step(posted.input)?;
            posted.done.map(|done| done.send(()));
        }
        if let Some(end) = end {
            ended(end);
        }
        while let Ok(posted) = posts.recv() {
            // Whatever it says, it does not know of the end.
            if let Input::Connected(node) | Input::Message { from: node, .. } = posted.input {
                self.step(Input::Connected(node))?;
            }
            posted.done.map(|done| done.send(()));
        }
        Ok(())
    }

    /// One input, and all that follows from it, masks taken off among it.
    fn step(&mut self, input: Input) -> Result<Option<CohortEnd>, CohortError> {
        let mut inputs = vec![input];
        let mut end = None;
        while let Some(input) = inputs.pop() {
            let effects = self.core.step(clock::now(), input);
            self.note_progress()?;
            for effect in effects {
                if !matches!(effect, Effect::Journal(_)) {
                    self.journal.flush()?;
                }
                match self.carry_out(effect)? {
                    Next::Nothing => {}
                    Next::Input(input) => inputs.push(input),
                    Next::Instead(input) => {
                        inputs.push(input);
                        break;
                    }
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
            Effect::OpenUpload { of, payload, bytes } => {
                self.uploads.await_payload(of, payload, bytes, self.summing.modulus()?);
            }
            Effect::Add(node) => return self.add(node),
            Effect::Subtract(node) => self.summing.subtract(node, &self.uploads.path(node))?,
            Effect::Unmask { jobs } => return self.unmask(&jobs).map(Next::Input),
            Effect::Blame(evidence) => self.blame(&evidence)?,
            Effect::Refuse { from, why } if why.is_expected() => {
                tracing::debug!(from = %from.short(), reason = %why, "a message came too late");
            }
            Effect::Refuse { from, why } => {
                tracing::warn!(from = %from.short(), reason = %why, "a message changed nothing");
            }
            Effect::WakeAt(moment) => self.wake = Some(moment),
            Effect::End(reason) => return Ok(Next::End(reason)),
        }
        Ok(Next::Nothing)
    }

    /// A payload that cannot be added costs its member the round and nobody else: what was to follow is not done, and said
    /// again without it.
    fn add(&mut self, node: NodeId) -> Result<Next, CohortError> {
        let path = self.uploads.path(node);
        match self.summing.add(node, &path) {
            Err(error @ SumError::Payload { .. }) => {
                tracing::warn!(%error, "left out");
                let payload = Hash::of(&fs::read(&path)?);
                Ok(Next::Instead(Input::UploadUnfit { from: node, payload }))
            }
            added => Ok(added.map(|()| Next::Nothing)?),
        }
    }

    /// The sum without masks; one that an earlier process made durable is not made again, nor is its noise.
    fn unmask(&mut self, jobs: &[MaskJob]) -> Result<Input, CohortError> {
        let encoding = self.parts.encoding;
        let unmasked = match self.unmasked.take() {
            Some(unmasked) => unmasked,
            None => {
                let add_noise = |values: &mut [i64]| central_noise(values, &encoding);
                self.summing.unmask(jobs, self.parts.threads, add_noise, &self.parts.folder.sum())?
            }
        };
        // Σw: the entry behind the values.
        let weight = unmasked.values.get(encoding.value_entries()).and_then(|&weight| u64::try_from(weight).ok());
        let (sum, weight, epsilon) = (unmasked.hash, weight.unwrap_or(0), self.epsilon());
        self.unmasked = Some(unmasked);
        Ok(Input::Unmasked { sum, weight, epsilon })
    }

    /// What the sum costs by itself; infinite without noise, where nothing is promised.
    fn epsilon(&self) -> f64 {
        let Some(asked) = &self.asked else { return f64::INFINITY };
        let config = self.parts.config.config();
        let rostered = self.parts.registry.rostered(&config.batches);
        let honest_at_least = config.demand(asked.n, rostered).honest_at_least();
        let spent = cost(&self.parts.encoding, asked.n, honest_at_least.max(1)).ok().flatten();
        spent.map_or(f64::INFINITY, |spent| spent.epsilon)
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

    /// The sum's modulus is the cohort's. Before anybody is asked for shares, it is on disk who is: what comes of it counts
    /// as released, even if nothing comes of it.
    fn note_progress(&mut self) -> Result<(), CohortError> {
        let view = self.core.view();
        let Some(numbers) = view.numbers else { return Ok(()) };
        self.summing.set_modulus(Modulus::new(numbers.modulus_bits)?);
        self.numbers = Some(numbers);
        if self.asked.is_none() && matches!(view.phase, Phase::Answer | Phase::Unmask) {
            let asked = Asked { n: numbers.n, survivors: view.in_sum };
            self.parts.folder.keep_asked(&asked)?;
            self.asked = Some(asked);
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
        let sum = self.unmasked.take().filter(|_| matches!(reason, EndReason::Done { .. })).map(|sum| sum.hash);
        let n = self.numbers.map(|numbers| numbers.n).or(self.asked.as_ref().map(|asked| asked.n)).unwrap_or(0);
        CohortEnd { reason, sum, asked: self.asked.clone(), n, blamed: self.blamed.clone() }
    }
}

/// What comes next: the clock once it is due, however many posts wait, else a post, else the clock. Nothing when nobody
/// can post any more. Were posts first, those who post without pause could put off a deadline for ever.
fn next(posts: &Receiver<Posted>, wake: &mut Option<Moment>) -> Option<Posted> {
    let tick = Posted { input: Input::Tick, done: None };
    let patience = wake.map_or(IDLE, |wake| wake.since(clock::now())).min(IDLE);
    if patience.is_zero() {
        // The core names the next moment, if there is one.
        *wake = None;
        return Some(tick);
    }
    match posts.recv_timeout(patience) {
        Ok(posted) => Some(posted),
        Err(RecvTimeoutError::Timeout) => Some(tick),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// The aggregator's own noise, where the plan asks for it.
fn central_noise(values: &mut [i64], encoding: &EncodingPlan) -> Result<(), SumError> {
    let EncodingMode::Private(settings) = encoding.mode else { return Ok(()) };
    if settings.noise != NoiseBy::Aggregator {
        return Ok(());
    }
    let mut random = NoiseRng::from_system().map_err(|error| SumError::Noise(error.to_string()))?;
    add_central_noise(values, encoding, &mut random).map_err(|error| SumError::Noise(error.to_string()))
}

/// What an effect leads to.
enum Next {
    Nothing,
    Input(Input),
    /// This input, and nothing of what was to be done after the effect.
    Instead(Input),
    End(EndReason),
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_deadline_is_not_put_off_by_posts_that_wait() {
        let (sender, posts) = channel();
        let connected = |byte| Input::Connected(NodeId([byte; 32]));
        for byte in [1, 2] {
            sender.send(Posted { input: connected(byte), done: None }).unwrap();
        }
        // Long past, as a phase's deadline is after many posts.
        let mut wake = Some(Moment::default());
        let mut input = || next(&posts, &mut wake).map(|posted| posted.input);
        assert_eq!(input(), Some(Input::Tick));
        assert_eq!(input(), Some(connected(1)), "the clock is due once");
        assert_eq!(input(), Some(connected(2)));
        drop(sender);
        assert_eq!(input(), None);
    }
}
