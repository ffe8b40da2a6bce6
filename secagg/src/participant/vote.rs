//! The one vote (section 9.1).

use neuro_primitives::Hash;

use super::record::Uploaded;
use super::{Outcome, PartEnd, Participant, Refused, send};
use crate::assembly::Seated;
use crate::identity::Member;
use crate::messages::{Message, Survivors, Vote, survivors_hash};
use crate::survivor_rule::check_survivors;

impl Participant {
    /// The rule of the set, all recomputed from the seed; the vote is stored before it is sent.
    pub(super) fn survivors(&mut self, announced: Survivors) -> Outcome {
        let Some(seated) = self.seated.clone().filter(|seated| seated.hash == announced.cohort) else {
            return Ok(Vec::new());
        };
        // Rule 1: it uploaded.
        let Some(upload) = &self.record.upload else { return Ok(Vec::new()) };
        // Rule 5: one set.
        if let Some(expected) = self.survivors_hash() {
            let got = announced.hash();
            if expected != got {
                return Err(Refused::TwoOfOne { what: "set of survivors", expected, got }.into());
            }
            return if self.record.answer.is_none() { self.vote_again() } else { Ok(Vec::new()) };
        }
        let own = self.own(&seated)?;
        self.check_set(&seated, own, upload, &announced)?;
        self.record.vote = Some(announced.survivors);
        Ok(self.stored(self.vote_again()?))
    }

    /// Rules 1 to 4.
    fn check_set(&self, seated: &Seated, own: Member, upload: &Uploaded, set: &Survivors) -> Result<(), PartEnd> {
        let sharers = self.sharers_hash().unwrap_or(Hash([0; 32]));
        if set.sharers != sharers {
            let refused = Refused::TwoOfOne { what: "set of sharers", expected: sharers, got: set.sharers };
            return Err(refused.into());
        }
        check_survivors(&seated.graph, &seated.parameters, &upload.sharers, &set.survivors, own)?;
        let neighbours: Vec<Member> = seated.graph.neighbours_in(own, &set.survivors).collect();
        let (expected, got) = (neighbours.len() as u64, set.uploads.len() as u64);
        if expected != got {
            return Err(Refused::Count { what: "upload statements", least: expected, most: expected, got }.into());
        }
        for (&neighbour, shown) in neighbours.iter().zip(&set.uploads) {
            shown.upload(seated.hash, sharers, seated.node(neighbour), upload.bytes).verify_by(&self.shared)?;
        }
        Ok(())
    }

    /// `Z` of the set that the participant voted for.
    pub(super) fn survivors_hash(&self) -> Option<Hash> {
        let (seated, survivors) = (self.seated.as_ref()?, self.record.vote.as_ref()?);
        Some(survivors_hash(&seated.hash, &self.sharers_hash()?, survivors))
    }

    /// The stored vote.
    pub(super) fn vote_again(&self) -> Outcome {
        let vote = self.survivors_hash().map(|hash| send(&Message::Vote(Vote::sign(hash, &self.key))));
        Ok(vote.into_iter().collect())
    }
}
