//! With whom a participant masks, and its upload (sections 7.3 and 8).

use neuro_primitives::Hash;

use super::record::Uploaded;
use super::{OutOfRound, Outcome, PartEffect, Participant, Refused, Release, send};
use crate::assembly::{Seated, pair_job};
use crate::fields::Signed;
use crate::identity::{Bitmap, Member};
use crate::masks::{MaskJob, Sign};
use crate::messages::{Message, OutCause, Sharers, UploadStatement, sharers_hash};

/// Sharers that the participant masks with, until its payload is stored. A participant that starts again meanwhile asks
/// for them again: nothing masked with them has left.
pub(super) struct Masking {
    sharers: Bitmap,
    /// `V`.
    hash: Hash,
}

impl Participant {
    /// Section 7.3, *Sharers*: the masks for this `U`. One `V` per round.
    pub(super) fn sharers(&mut self, announced: Sharers) -> Outcome {
        let Some(seated) = self.seated.clone().filter(|seated| seated.hash == announced.cohort) else {
            return Ok(Vec::new());
        };
        if self.record.held.is_none() {
            return Ok(Vec::new());
        }
        let got = announced.hash(&seated.seed);
        if let Some(expected) = self.sharers_hash() {
            if expected != got {
                return Err(Refused::TwoOfOne { what: "set of sharers", expected, got }.into());
            }
            return if self.record.vote.is_none() { self.upload_again() } else { Ok(Vec::new()) };
        }
        let own = self.own(&seated)?;
        self.check_sharers(&seated, own, &announced.sharers)?;
        let jobs = self.mask_jobs(&seated, own, &announced.sharers, &got);
        self.masking = Some(Masking { sharers: announced.sharers, hash: got });
        let (modulus, honest_at_least) = (seated.modulus, seated.honest_at_least());
        Ok(vec![PartEffect::Mask { jobs, modulus, honest_at_least }])
    }

    /// `V` of the sharers that the participant masks or has masked with.
    pub(super) fn sharers_hash(&self) -> Option<Hash> {
        let seated = self.seated.as_ref()?;
        let uploaded =
            self.record.upload.as_ref().map(|upload| sharers_hash(&seated.hash, &seated.seed, &upload.sharers));
        uploaded.or(self.masking.as_ref().map(|masking| masking.hash))
    }

    /// In `U`, with t neighbours and n − d members in it, and a statement seen from each of these neighbours: one that
    /// went with another cohort may have had its mask key opened there, and a mask with it would hide nothing.
    fn check_sharers(&self, seated: &Seated, own: Member, sharers: &Bitmap) -> Result<(), super::PartEnd> {
        if !sharers.get(own) {
            return Err(super::PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Late)));
        }
        let (least, most) = (u64::from(seated.shape.t), u64::from(seated.shape.k));
        let got = seated.graph.neighbours_in(own, sharers).count() as u64;
        if got < least {
            return Err(Refused::Count { what: "neighbours that share", least, most, got }.into());
        }
        let (least, most) = (u64::from(seated.least_sharers()), u64::from(seated.n()));
        let got = sharers.count() as u64;
        if got < least {
            return Err(Refused::Count { what: "sharers", least, most, got }.into());
        }
        let stated = |of: &Member| self.record.held.as_ref().is_some_and(|held| held.stated.get(*of));
        match seated.graph.neighbours_in(own, sharers).find(|of| !stated(of)) {
            Some(silent) => Err(Refused::NoStatement { dealer: seated.node(silent) }.into()),
            None => Ok(()),
        }
    }

    /// Section 8: y_i = x_i + G(p_i) + Σ_{j>i} G(p_ij) − Σ_{j<i} G(p_ij), j over N(i) ∩ U.
    fn mask_jobs(&self, seated: &Seated, own: Member, sharers: &Bitmap, hash: &Hash) -> Vec<MaskJob> {
        let context = seated.mask_context(&self.record.config, hash);
        let secrets = self.secrets();
        let mask_key = secrets.mask_key();
        let mut jobs = vec![MaskJob { seed: context.own(&secrets.self_mask(), self.node()), sign: Sign::Plus }];
        jobs.extend(seated.graph.neighbours_in(own, sharers).map(|neighbour| {
            let row = seated.row(neighbour);
            pair_job(context.pair(&mask_key.agree(&row.mask_key), self.node(), row.node), own, neighbour)
        }));
        jobs
    }

    /// Section 8, *Statement*: the payload is stored, then what was stored is signed, once.
    pub(super) fn payload(&mut self, payload: Hash, bytes: u64) -> Outcome {
        let (Some(seated), Some(masking)) = (&self.seated, self.masking.take()) else { return Ok(Vec::new()) };
        let expected = self.record.config.payload_bytes(seated.modulus.bits());
        if bytes != expected {
            return Err(
                Refused::Count { what: "bytes of the payload", least: expected, most: expected, got: bytes }.into()
            );
        }
        self.record.upload = Some(Uploaded { sharers: masking.sharers, payload, bytes });
        Ok(self.stored(self.upload_again()?))
    }

    /// The statement and the payload that are stored. The release is charged before they leave, once however often that is
    /// said: with them, enough others can open the sum without this participant (section 12).
    pub(super) fn upload_again(&self) -> Outcome {
        let (Some(seated), Some(upload)) = (&self.seated, &self.record.upload) else { return Ok(Vec::new()) };
        let statement = UploadStatement {
            cohort: seated.hash,
            sharers: sharers_hash(&seated.hash, &seated.seed, &upload.sharers),
            member: self.node(),
            bytes: upload.bytes,
            payload: upload.payload,
        };
        let statement = Message::Upload(Signed::sign(statement, &self.key));
        let config = &self.record.config;
        let release = Release {
            task: config.task,
            round: config.round,
            cohort: config.cohort,
            config: self.config_hash,
            honest_at_least: seated.honest_at_least(),
        };
        Ok(vec![PartEffect::Charge(release), send(&statement), PartEffect::Upload { payload: upload.payload }])
    }
}
