//! Fresh seeds of a session, and what the two holders of a component prove to each other with them.
//!
//! Component j is known to P_j and P_{j-1}; its seed is made by these two over their own link:
//!
//! ```text
//! P_j                                   P_{j-1}
//!   H(agreement, j, P_j, r) ───────────▶ ◀─────── H(agreement, j, P_{j-1}, s)      committed
//!   r ─────────────────────────────────▶ ◀─────────────────────────────── s       revealed
//!               seed_j = KDF(agreement, j, r, s)
//!   MAC(seed_j, P_j) ──────────────────▶ ◀───────────── MAC(seed_j, P_{j-1})       confirmed
//! ```
//!
//! Neither of the two can choose the seed, P_{j+1} learns nothing about it, and it belongs to one agreement: the session's
//! id is part of that.

use neuro_primitives::Hash;
use neuro_smpc::channel::{Channel, ChannelError, Message};
use neuro_smpc::party::PartyId;
use neuro_smpc::prss::{Prss, SEED_BYTES};
use neuro_smpc::share::{NEXT, OWN, Shares};
use zeroize::Zeroizing;

use super::fixed_point::{NoRandomness, random_bytes};

/// Steps of the session stand above all steps of a program.
const SETUP: u64 = 1 << 63;
const COMMIT: u64 = SETUP + 1;
const REVEAL: u64 = SETUP + 2;
const CONFIRM: u64 = SETUP + 3;
const INPUTS: u64 = SETUP + (1 << 32);

/// Why there are no common seeds, or inputs that nobody can use.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A peer that is gone or late.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// See [`NoRandomness`].
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Another message than the one that is due.
    #[error("party {peer}: expected {name}, got something else")]
    Unexpected {
        /// Who sent it.
        peer: PartyId,
        /// What was due.
        name: &'static str,
    },
    /// What was revealed is not what was committed to.
    #[error("party {peer} revealed another seed than it committed to")]
    Commitment {
        /// Who.
        peer: PartyId,
    },
    /// The two have different seeds.
    #[error("party {peer} has another seed")]
    Confirmation {
        /// Who.
        peer: PartyId,
    },
    /// The two holders of a component do not tell the same of what the client gave them. Hashes are not signed, so who of the
    /// three lied is not known.
    #[error(
        "inputs of component {component} differ between parties {component} and {other}: the client, party {component} or \
         party {other} is at fault"
    )]
    Inconsistent {
        /// Which component; also its first holder.
        component: PartyId,
        /// Its second holder.
        other: PartyId,
    },
}

/// Seeds of components i and i+1 of party i. Wiped on drop.
pub(super) struct Seeds {
    party: PartyId,
    parts: [Zeroizing<[u8; SEED_BYTES]>; 2],
}

impl Seeds {
    /// Makes them with both peers, bound to `agreement`.
    pub(super) fn exchange<C: Channel>(party: PartyId, links: &mut C, agreement: Hash) -> Result<Self, SeedError> {
        let peers = [party.previous(), party.next()];
        let components = [party, party.next()];
        let contributions = [Zeroizing::new(random_bytes()?), Zeroizing::new(random_bytes()?)];
        let commitment = |at: usize, sender, contribution: &[u8; SEED_BYTES]| {
            derive("neuro smpc 1 commitment", agreement, components[at], &[&[index(sender)], contribution])
        };
        for at in [OWN, NEXT] {
            send(links, peers[at], COMMIT, "a commitment", &commitment(at, party, &contributions[at]))?;
        }
        let promised = receive_both(links, peers, COMMIT, "a commitment")?;
        for at in [OWN, NEXT] {
            send(links, peers[at], REVEAL, "a contribution", &contributions[at])?;
        }
        let revealed = receive_both(links, peers, REVEAL, "a contribution")?.map(Zeroizing::new);
        let mut parts = [Zeroizing::new([0; SEED_BYTES]), Zeroizing::new([0; SEED_BYTES])];
        for at in [OWN, NEXT] {
            if !same(&promised[at], &commitment(at, peers[at], &revealed[at])) {
                return Err(SeedError::Commitment { peer: peers[at] });
            }
            // P_j's contribution to component j stands first: the own one for component i, the peer's for i+1.
            let ordered =
                if at == OWN { [&contributions[at], &revealed[at]] } else { [&revealed[at], &contributions[at]] };
            *parts[at] = derive("neuro smpc 1 seed", agreement, components[at], &ordered.map(|part| &part[..]));
        }
        let seeds = Self { party, parts };
        seeds.confirm(links, peers)?;
        Ok(seeds)
    }

    fn confirm<C: Channel>(&self, links: &mut C, peers: [PartyId; 2]) -> Result<(), SeedError> {
        let proof = |at: usize, sender| *blake3::keyed_hash(&self.parts[at], &[b'c', index(sender)]).as_bytes();
        for at in [OWN, NEXT] {
            send(links, peers[at], CONFIRM, "a confirmation", &proof(at, self.party))?;
        }
        let confirmed = receive_both(links, peers, CONFIRM, "a confirmation")?;
        for at in [OWN, NEXT] {
            if !same(&confirmed[at], &proof(at, peers[at])) {
                return Err(SeedError::Confirmation { peer: peers[at] });
            }
        }
        Ok(())
    }

    /// The session's randomness.
    pub(super) fn randomness(&self) -> Prss {
        let parts = [OWN, NEXT].map(|at| Zeroizing::new(*blake3::keyed_hash(&self.parts[at], b"prss").as_bytes()));
        Prss::new(&parts[OWN], &parts[NEXT])
    }

    /// Compares with the other holder of each component what the client sent for it in `turn`.
    pub(super) fn compare_inputs<C: Channel>(
        &self,
        links: &mut C,
        turn: u32,
        inputs: &Shares,
    ) -> Result<(), SeedError> {
        let peers = [self.party.previous(), self.party.next()];
        let components = [self.party, self.party.next()];
        let digests = [OWN, NEXT].map(|at| {
            let mut hasher = blake3::Hasher::new_keyed(&self.parts[at]);
            hasher.update(b"inputs").update(&turn.to_le_bytes());
            for word in &inputs.parts[at] {
                hasher.update(&word.to_le_bytes());
            }
            *hasher.finalize().as_bytes()
        });
        let step = INPUTS + u64::from(turn);
        for at in [OWN, NEXT] {
            send(links, peers[at], step, "a hash of inputs", &digests[at])?;
        }
        let theirs = receive_both(links, peers, step, "a hash of inputs")?;
        for at in [OWN, NEXT] {
            if !same(&digests[at], &theirs[at]) {
                return Err(SeedError::Inconsistent { component: components[at], other: components[at].previous() });
            }
        }
        Ok(())
    }
}

/// 32 bytes from everything that they are bound to.
fn derive(purpose: &str, agreement: Hash, component: PartyId, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(purpose);
    hasher.update(&agreement.0).update(&[index(component)]);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Without telling by its time where they differ.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    blake3::Hash::from_bytes(*left) == blake3::Hash::from_bytes(*right)
}

const fn index(party: PartyId) -> u8 {
    party.index() as u8
}

fn send<C: Channel>(
    links: &mut C,
    to: PartyId,
    step: u64,
    name: &'static str,
    body: &[u8; 32],
) -> Result<(), SeedError> {
    Ok(links.send(to, Message { step, part: 0, name, body: body.to_vec() })?)
}

fn receive_both<C: Channel>(
    links: &mut C,
    peers: [PartyId; 2],
    step: u64,
    name: &'static str,
) -> Result<[[u8; 32]; 2], SeedError> {
    let mut receive = |peer| {
        let message = links.receive(peer)?;
        let body = <[u8; 32]>::try_from(message.body.as_slice()).ok().filter(|_| message.step == step);
        body.ok_or(SeedError::Unexpected { peer, name })
    };
    Ok([receive(peers[OWN])?, receive(peers[NEXT])?])
}

#[cfg(test)]
mod tests;
