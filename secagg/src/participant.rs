//! A participant's side of a round (sections 5 to 9, 13 and 16): inputs go in, effects come out.
//!
//! ```text
//! joined ─cohort▶ revealed ─nonces▶ dealt ─inbox▶ received ─sharers▶ masking ─payload▶ uploaded ─survivors▶ voted ─certificate▶ answered
//! ```
//!
//! Where it stands is its [`Record`], which is stored before the message that follows from it leaves. So a participant
//! that starts again from its record sends the same bytes, and one without a record sends nothing.
//!
//! It believes the roster, and of the aggregator only what signatures and its own arithmetic show. An announcement that
//! belongs to something else (another round, an earlier phase) does nothing. One that breaks a floor, a rule or a check
//! ends the part: secrets are wiped, and nothing that could open the vector is ever sent.

mod answer;
mod dealing;
mod effect;
mod input;
mod join;
mod mask;
mod record;
mod refused;
mod reveal;
mod shared;
mod shares;
mod vote;

use std::sync::Arc;

use neuro_primitives::{Hash, NodeId, NodeKey};

pub use effect::{PartEffect, PartEnd, Release};
pub use input::PartInput;
pub use record::{Record, RecordError};
pub use refused::{OutOfRound, Refused};
pub use shared::Shared;

pub use crate::modulus_rule::ModulusRule;

use crate::assembly::{Assembly, Seated};
use crate::config::RoundConfig;
use crate::error::DocumentError;
use crate::identity::Member;
use crate::kdf::AttemptSecret;
use crate::messages::{Announcement, COHORT_KIND, Cohort, End, EndReason, Message};
use crate::packing::ModulusError;
use crate::roster::Registry;
use mask::Masking;

/// One participant in one cohort of one round.
pub struct Participant {
    record: Record,
    registry: Arc<dyn Registry + Send + Sync>,
    key: NodeKey,
    config_hash: Hash,
    /// What the stored cohort comes to; the record alone decides.
    assembly: Option<Arc<Assembly>>,
    /// What the stored seed comes to.
    seated: Option<Arc<Seated>>,
    /// Sharers that were announced and whose payload is not stored yet.
    masking: Option<Masking>,
    verifies_on_receipt: bool,
    modulus_rule: ModulusRule,
    shared: Option<Arc<Shared>>,
    ended: bool,
}

/// What an announcement leads to: effects, or the end of the part.
type Outcome = Result<Vec<PartEffect>, PartEnd>;

impl Participant {
    /// Takes one input and says what to do, in order. Nothing after the end.
    pub fn step(&mut self, input: PartInput) -> Vec<PartEffect> {
        if self.ended {
            return Vec::new();
        }
        let outcome = match input {
            PartInput::Message(bytes) => self.announced(&bytes),
            PartInput::Payload { hash, bytes } => self.payload(hash, bytes),
            PartInput::Reconnected => Ok(self.again()),
            PartInput::Stop => Err(PartEnd::Stopped),
        };
        outcome.unwrap_or_else(|end| self.end(end))
    }

    /// Checks each share against its dealer's commitments when it arrives, where the configuration asks dealers for them
    /// (section 7.4): t multiplications a dealer.
    pub const fn verify_on_receipt(&mut self, verify: bool) {
        self.verifies_on_receipt = verify;
    }

    /// Takes cohorts with the modulus that `rule` gives, and no others (section 10). Without a rule it is that of plain mode,
    /// and a cohort of private mode is refused. To be said again after [`Self::resume`].
    pub const fn check_modulus_by(&mut self, rule: ModulusRule) {
        self.modulus_rule = rule;
    }

    /// Goes by what other participants of this process have worked out from the same public bytes.
    pub fn share(&mut self, shared: Arc<Shared>) {
        self.shared = Some(shared);
    }

    /// The configuration of the round.
    #[must_use]
    pub const fn config(&self) -> &RoundConfig {
        &self.record.config
    }

    /// Where the participant stands, as it was last stored.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// An announcement that its aggregator did not sign, or that belongs to another shape of cohort, does nothing.
    fn announced(&mut self, bytes: &[u8]) -> Outcome {
        let Ok(unsigned) = Announcement::authentic(bytes, self.registry.aggregator()) else { return Ok(Vec::new()) };
        if unsigned.first() == Some(&COHORT_KIND) {
            return self.read_cohort(unsigned).map_or_else(|_| Ok(Vec::new()), |cohort| self.cohort(cohort));
        }
        let shape = self.assembly.as_ref().map(|assembly| assembly.shape);
        let Ok(announcement) = Announcement::read(unsigned, shape.as_ref()) else { return Ok(Vec::new()) };
        match announcement {
            Announcement::Cohort(cohort) => self.cohort(Arc::new(cohort)),
            Announcement::Restart(restart) => self.restart(&restart),
            Announcement::Nonces(nonces) => self.nonces(&nonces),
            Announcement::Inbox(inbox) => self.inbox(&inbox),
            Announcement::Sharers(sharers) => self.sharers(sharers),
            Announcement::Survivors(survivors) => self.survivors(survivors),
            Announcement::Certificate(certificate) => self.certificate(&certificate),
            Announcement::End(end) => self.ends(end),
        }
    }

    /// Section 16, if it is this round that ends.
    fn ends(&self, end: End) -> Outcome {
        match end.reason {
            _ if end.config != self.config_hash => Ok(Vec::new()),
            EndReason::OutOfRound(cause) => Err(PartEnd::OutOfRound(OutOfRound::LeftOut(cause))),
            reason => Err(PartEnd::Round(reason)),
        }
    }

    /// Nothing further is sent, and what could open the vector is wiped.
    fn end(&mut self, end: PartEnd) -> Vec<PartEffect> {
        self.ended = true;
        self.record.wipe();
        self.masking = None;
        vec![PartEffect::Wipe, PartEffect::End(end)]
    }

    /// Stores where the participant stands now; `then` follows.
    fn stored(&self, then: impl IntoIterator<Item = PartEffect>) -> Vec<PartEffect> {
        let mut effects = vec![PartEffect::Store(Box::new(self.record.clone()))];
        effects.extend(then);
        effects
    }

    /// This participant's randomness in its attempt (section 5).
    fn secrets(&self) -> AttemptSecret {
        self.record.secret.attempt(&self.config_hash, self.record.attempt)
    }

    fn node(&self) -> NodeId {
        self.key.node_id()
    }

    /// This participant's number in `assembly`, a cohort that it accepted.
    fn own(&self, assembly: &Assembly) -> Result<Member, PartEnd> {
        assembly.cohort.member(self.node()).ok_or(PartEnd::OutOfRound(OutOfRound::NotInCohort))
    }

    fn read_cohort(&self, unsigned: &[u8]) -> Result<Arc<Cohort>, DocumentError> {
        match &self.shared {
            Some(shared) => shared.cohort(unsigned),
            None => shared::read_cohort(unsigned).map(Arc::new),
        }
    }

    fn assemble(&self, cohort: Arc<Cohort>) -> Result<Arc<Assembly>, ModulusError> {
        let rostered = self.registry.rostered(&self.record.config.batches);
        Assembly::new(cohort, &self.record.config, rostered).map(Arc::new)
    }

    /// The cohort with the graph that `seed` draws.
    fn seat(&self, assembly: Arc<Assembly>, seed: Hash) -> Arc<Seated> {
        Arc::new(match &self.shared {
            Some(shared) => {
                let graph = shared.graph(assembly.n(), assembly.shape.k, seed);
                Seated { assembly, seed, graph }
            }
            None => Seated::new(assembly, seed),
        })
    }
}

/// The effect of sending a message.
fn send(message: &Message) -> PartEffect {
    PartEffect::Send(message.encode())
}
