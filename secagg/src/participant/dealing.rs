//! What a participant deals to its neighbours (sections 7.1 to 7.4). Made from the round secret alone, so it comes out
//! the same every time.

use zeroize::Zeroizing;

use super::{Outcome, Participant, send};
use crate::assembly::{Seated, feldman_hash};
use crate::feldman::Commitments;
use crate::fields::Signed;
use crate::identity::Member;
use crate::kdf::AttemptSecret;
use crate::messages::{Message, Nonces, ShareStatement, Shares};
use crate::seal::{SharePair, seal};
use crate::shamir::split;
use crate::share_tree::{ShareTree, TreeError};

impl Participant {
    /// Section 5, *Nonces*: they open the commitments, the seed is stored, and shares leave.
    pub(super) fn nonces(&mut self, nonces: &Nonces) -> Outcome {
        let Some(assembly) = self.assembly.clone().filter(|assembly| assembly.hash == nonces.cohort) else {
            return Ok(Vec::new());
        };
        if self.record.seed.is_some() {
            return if self.record.held.is_none() { self.shares_again() } else { Ok(Vec::new()) };
        }
        let seed = nonces.seed(&assembly.cohort, &assembly.hash)?;
        self.record.seed = Some(seed);
        self.seated = Some(self.seat(assembly, seed));
        Ok(self.stored(self.shares_again()?))
    }

    /// The shares for the stored seed.
    pub(super) fn shares_again(&self) -> Outcome {
        let Some(seated) = &self.seated else { return Ok(Vec::new()) };
        let own = self.own(seated)?;
        // A member of a cohort has at least one neighbour.
        let Ok(shares) = self.deal(seated, own) else { return Ok(Vec::new()) };
        Ok(vec![send(&Message::Shares(Box::new(shares)))])
    }

    /// Section 7.2 and 7.3: leaves and root, the signed statement, and a box per neighbour.
    fn deal(&self, seated: &Seated, own: Member) -> Result<Shares, TreeError> {
        let secrets = self.secrets();
        let dealing = seated.dealing(own);
        let holders = seated.graph.neighbours(own);
        let pairs = share_pairs(&secrets, seated.shape.t, holders);
        let node = |holder: &Member| seated.node(*holder);
        let leaves = pairs.iter().zip(holders).map(|(pair, holder)| pair.leaves(&dealing, node(holder)));
        let tree = ShareTree::new(leaves.collect())?;
        let (root, seal_key) = (tree.root(), secrets.seal_key());
        let sealed = |(pair, holder): (&SharePair, &Member)| {
            seal(&seal_key, &seated.row(*holder).seal_key, &dealing, node(holder), &root, pair)
        };
        let feldman = if seated.shape.feldman { commitments(&secrets, seated.shape.t) } else { Vec::new() };
        let statement = ShareStatement {
            cohort: seated.hash,
            seed: seated.seed,
            dealer: self.node(),
            root,
            self_mask_commitment: dealing.self_mask_commitment(&secrets.self_mask()),
            feldman: feldman_hash(&feldman),
        };
        Ok(Shares {
            statement: Signed::sign(statement, &self.key),
            leaves: tree.leaves().to_vec(),
            boxes: pairs.iter().zip(holders).map(sealed).collect(),
            feldman,
        })
    }
}

/// Section 7.1: both secrets, split among the `holders`.
fn share_pairs(secrets: &AttemptSecret, t: u16, holders: &[Member]) -> Vec<SharePair> {
    let mask_key = Zeroizing::new(split(secrets.mask_key().secret(), &secrets.mask_coefficients(t), holders));
    let self_mask = Zeroizing::new(split(&secrets.self_mask(), &secrets.self_coefficients(t), holders));
    let pair = |(&mask_key, &self_mask)| SharePair { mask_key, self_mask };
    mask_key.iter().zip(self_mask.iter()).map(pair).collect()
}

/// Section 7.4: commitments to both polynomials, as they are sent. `[2t − 1]`
fn commitments(secrets: &AttemptSecret, t: u16) -> Vec<[u8; 32]> {
    let (first, second) = (secrets.mask_coefficients(t), secrets.self_coefficients(t));
    Commitments::new(&first, &secrets.self_mask(), &second).encode()
}
