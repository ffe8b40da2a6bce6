//! What a participant's neighbours dealt to it (section 7.3, *Inbox* and *Received*).

use super::record::Held;
use super::{Outcome, Participant, Refused, send};
use crate::assembly::{Seated, feldman_hash};
use crate::feldman::Commitments;
use crate::identity::{Bitmap, Member};
use crate::messages::{Dealing, Inbox, Message, Received};
use crate::seal::{self, SharePair};
use crate::share_tree::check_path;

impl Participant {
    /// Opens the boxes, stores the shares, and says which dealers were bad. The first inbox counts.
    pub(super) fn inbox(&mut self, inbox: &Inbox) -> Outcome {
        let Some(seated) = self.seated.clone().filter(|seated| seated.hash == inbox.cohort) else {
            return Ok(Vec::new());
        };
        if self.record.held.is_some() {
            return if self.record.upload.is_none() { self.received_again() } else { Ok(Vec::new()) };
        }
        let own = self.own(&seated)?;
        let nobody = Bitmap::new(seated.n());
        let mut held = Held { stated: nobody.clone(), bad: nobody, shares: Vec::new() };
        for dealing in &inbox.dealings {
            let dealer = dealing.dealer;
            let place = seated.place(dealer, own).ok_or(Refused::NoNeighbour { dealer })?;
            let statement = dealing.statement(seated.hash, seated.seed, seated.node(dealer));
            let signed = statement.verify_by(&self.shared).is_ok();
            held.stated.set(dealer, signed);
            match self.open(&seated, own, place, dealing).filter(|_| signed) {
                Some(pair) => held.shares.push((dealer, pair)),
                None => held.bad.insert(dealer),
            }
        }
        self.record.held = Some(held);
        Ok(self.stored(self.received_again()?))
    }

    /// The complaints about the stored inbox.
    pub(super) fn received_again(&self) -> Outcome {
        let (Some(seated), Some(held)) = (&self.seated, &self.record.held) else { return Ok(Vec::new()) };
        Ok(vec![send(&Message::Received(Received { cohort: seated.hash, bad: held.bad.clone() }))])
    }

    /// The two shares in a box, if it is for this holder, both are scalars, and leaves and path give the root.
    fn open(&self, seated: &Seated, own: Member, place: usize, dealing: &Dealing) -> Option<SharePair> {
        let row = seated.row(dealing.dealer);
        let common = seated.dealing(dealing.dealer);
        let seal_key = self.secrets().seal_key();
        let pair = seal::open(&seal_key, &row.seal_key, &common, self.node(), &dealing.root, &dealing.sealed).ok()?;
        let leaves = pair.leaves(&common, self.node());
        check_path(&leaves, place, seated.graph.degree(), &dealing.path, &dealing.root).ok()?;
        if seated.shape.feldman && self.verifies_on_receipt {
            let matches = feldman_hash(&dealing.feldman) == dealing.feldman_hash;
            let commitments = Commitments::decode(seated.shape.t, &dealing.feldman).ok().filter(|_| matches)?;
            commitments.check(&row.mask_key, own, &pair).ok()?;
        }
        Some(pair)
    }
}
