//! The one answer (section 9.2).

use zeroize::Zeroizing;

use super::record::Held;
use super::{Outcome, PartEffect, PartEnd, Participant, Refused};
use crate::assembly::Seated;
use crate::identity::Bitmap;
use crate::messages::{Answer, Certificate, Message, Share};

impl Participant {
    /// Answers for the set that it voted for, if q members of the set did too. The answer is stored before it is sent.
    pub(super) fn certificate(&mut self, certificate: &Certificate) -> Outcome {
        let voted = self.survivors_hash().filter(|hash| *hash == certificate.survivors);
        let (Some(seated), Some(_)) = (self.seated.clone(), voted) else { return Ok(Vec::new()) };
        if self.record.answer.is_some() {
            return self.answer_again();
        }
        let (Some(held), Some(upload), Some(survivors)) = (&self.record.held, &self.record.upload, &self.record.vote)
        else {
            return Ok(Vec::new());
        };
        self.check_votes(&seated, certificate, survivors)?;
        let own = self.own(&seated)?;
        let asked = seated.graph.neighbours_in(own, &upload.sharers);
        let shares = asked.map(|dealer| share(held, dealer, survivors)).collect();
        let answer = Answer::sign(certificate.survivors, shares, &self.key);
        self.record.answer = Some(Zeroizing::new(Message::Answer(answer).encode()));
        Ok(self.stored(self.answer_again()?))
    }

    /// The stored answer.
    pub(super) fn answer_again(&self) -> Outcome {
        let answered = self.seated.is_some() && self.survivors_hash().is_some();
        let answer = self.record.answer.as_ref().filter(|_| answered);
        Ok(answer.map(|answer| PartEffect::Send(answer.to_vec())).into_iter().collect())
    }

    /// Exactly q votes by different members of `S`; that they ascend was checked when they were read.
    fn check_votes(&self, seated: &Seated, certificate: &Certificate, survivors: &Bitmap) -> Result<(), PartEnd> {
        let (q, got) = (u64::from(seated.shape.q), certificate.votes.len() as u64);
        if q != got {
            return Err(Refused::Count { what: "votes", least: q, most: q, got }.into());
        }
        for (voter, vote) in certificate.votes() {
            if !survivors.get(voter) {
                return Err(Refused::Stranger { node: seated.node(voter) }.into());
            }
            vote.verify_by(&self.shared, seated.node(voter))?;
        }
        Ok(())
    }
}

/// The share of one dealer's one secret: of the self-mask if it survived, of the mask key if it is dead. Never of both.
fn share(held: &Held, dealer: crate::identity::Member, survivors: &Bitmap) -> Option<Share> {
    let pair = held.share(dealer)?;
    Some(if survivors.get(dealer) { pair.self_mask.to_bytes() } else { pair.mask_key.to_bytes() })
}
