//! Joining an attempt (section 5), and starting again from the record (section 13).

use std::sync::Arc;

use neuro_primitives::{NodeKey, Untrusted};

use super::{OutOfRound, Outcome, PartEffect, PartEnd, Participant, Record, Refused, Shared, send};
use crate::config::SignedConfig;
use crate::floors::{Floors, Past};
use crate::kdf::RoundSecret;
use crate::messages::{Have, Join, JoinStatement, Message, Restart, nonce_commitment};
use crate::modulus_rule::plain_modulus;
use crate::roster::Registry;

impl Participant {
    /// Joins the round that the configuration describes, if the aggregator signed it and no floor is above it. `secret`
    /// is fresh: it was used for no other round or cohort.
    ///
    /// # Errors
    /// The check or the floor that forbids it. Nothing was sent.
    pub fn join(
        config: Untrusted<SignedConfig>,
        registry: Arc<dyn Registry + Send + Sync>,
        floors: &Floors,
        past: &Past,
        key: NodeKey,
        secret: RoundSecret,
    ) -> Result<(Self, Vec<PartEffect>), Refused> {
        let config = config.verify(|signed| signed.check(&*registry))?;
        floors.admit(&config, &*registry, past)?;
        let called = registry.batch_of(key.node_id()).is_some_and(|batch| config.batches.contains(&batch));
        if !called {
            return Err(Refused::Stranger { node: key.node_id() });
        }
        let participant = Self::of(Record::new(secret, key.node_id(), config, floors.clone()), registry, key);
        let effects = participant.stored([send(&Message::Join(participant.own_join()))]);
        Ok((participant, effects))
    }

    /// Goes on from the record of this round: what was sent last is sent again, bit for bit.
    ///
    /// # Errors
    /// When the record is another node's or another roster's. A record that cannot be read means the same: out.
    pub fn resume(
        record: Record,
        registry: Arc<dyn Registry + Send + Sync>,
        key: NodeKey,
    ) -> Result<(Self, Vec<PartEffect>), OutOfRound> {
        let participant = Self::from_record(record, registry, key, None)?;
        let effects = participant.again();
        Ok((participant, effects))
    }

    /// [`Self::resume`] without sending anything again, for who knows that the last message arrived; with what other
    /// participants of this process have worked out, if there are any.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn from_record(
        record: Record,
        registry: Arc<dyn Registry + Send + Sync>,
        key: NodeKey,
        shared: Option<Arc<Shared>>,
    ) -> Result<Self, OutOfRound> {
        let version = (record.config.roster_version, record.config.roster_hash);
        if record.member != key.node_id() || version != registry.version() {
            return Err(OutOfRound::OtherRecord);
        }
        let mut participant = Self::of(record, registry, key);
        participant.shared = shared;
        participant.derive().map_err(|_| OutOfRound::OtherRecord)?;
        Ok(participant)
    }

    fn of(record: Record, registry: Arc<dyn Registry + Send + Sync>, key: NodeKey) -> Self {
        Self {
            config_hash: record.config.hash(),
            record,
            registry,
            key,
            assembly: None,
            seated: None,
            masking: None,
            verifies_on_receipt: false,
            modulus_rule: plain_modulus,
            shared: None,
            ended: false,
        }
    }

    /// What the stored cohort and seed come to.
    fn derive(&mut self) -> Result<(), crate::packing::ModulusError> {
        if let Some(cohort) = self.record.cohort.clone() {
            let assembly = self.assemble(cohort)?;
            self.seated = self.record.seed.map(|seed| self.seat(assembly.clone(), seed));
            self.assembly = Some(assembly);
        }
        Ok(())
    }

    /// The signed join of this attempt.
    pub(super) fn own_join(&self) -> Join {
        let secrets = self.secrets();
        let (attempt, member) = (self.record.attempt, self.node());
        let statement = JoinStatement {
            config: self.config_hash,
            attempt,
            member,
            mask_key: secrets.mask_key().public(),
            seal_key: secrets.seal_key().public(),
            nonce_commitment: nonce_commitment(&self.config_hash, attempt, &member, &secrets.nonce()),
        };
        Join::sign(statement, &self.key)
    }

    /// Section 5: after a lost reveal everybody else joins again with new keys. Whoever has sent shares does not.
    pub(super) fn restart(&mut self, restart: &Restart) -> Outcome {
        if restart.config != self.config_hash || restart.attempt <= self.record.attempt {
            return Ok(Vec::new());
        }
        if self.record.seed.is_some() {
            return Err(Refused::AttemptAfterShares { attempt: restart.attempt }.into());
        }
        if restart.silent.binary_search(&self.node()).is_ok() {
            return Err(PartEnd::OutOfRound(OutOfRound::LeftOut(crate::messages::OutCause::Late)));
        }
        self.record.attempt = restart.attempt;
        self.record.cohort = None;
        self.assembly = None;
        Ok(self.stored([send(&Message::Join(self.own_join()))]))
    }

    /// The last message again, and which announcement it answered (section 13).
    pub(super) fn again(&self) -> Vec<PartEffect> {
        let mut effects = self.last_sent();
        effects.push(send(&Message::Have(Have {
            config: self.config_hash,
            attempt: self.record.attempt,
            announcement: self.newest(),
        })));
        effects
    }

    /// What this participant sent last, made again from the record.
    pub(super) fn last_sent(&self) -> Vec<PartEffect> {
        let made = match self.newest() {
            0 => Ok(vec![send(&Message::Join(self.own_join()))]),
            1 => self.reveal_again(),
            2 => self.shares_again(),
            3 => self.received_again(),
            4 => self.upload_again(),
            5 => self.vote_again(),
            _ => self.answer_again(),
        };
        made.unwrap_or_default()
    }

    /// The kind of the newest announcement that this participant has; 0 is the configuration or a restart.
    fn newest(&self) -> u8 {
        let record = &self.record;
        if record.answer.is_some() {
            6
        } else if record.vote.is_some() {
            5
        } else if record.upload.is_some() || self.masking.is_some() {
            4
        } else if record.held.is_some() {
            3
        } else if record.seed.is_some() {
            2
        } else {
            record.cohort.is_some().into()
        }
    }
}
