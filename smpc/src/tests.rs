//! Gadgets under test: values shared out, run by three threads, joined, with what they left on their tapes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod adversary;
mod exhaustive;
mod few;
mod gadgets;
mod many;
mod models;
mod secrecy;
mod secret_weights;

use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::memory::{Link, NetworkModel, Traffic, network, run_over};
use crate::party::PartyId;
use crate::prss::Prss;
use crate::share::{BitShares, NEXT, OWN, Shares};
use crate::tape::{Tape, Tapes};

/// A party under test.
pub type Party<'a> = Computation<&'a mut Link>;

/// Three parties' results, joined.
pub struct Trial<T> {
    /// P_0 to P_2.
    pub results: [T; 3],
    /// What each sent.
    pub traffic: [Traffic; 3],
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Seeds of component 0, 1 and 2.
fn prss(party: PartyId) -> Prss {
    let seed = |component: PartyId| [component.index() as u8 + 1; 32];
    Prss::new(&seed(party), &seed(party.next()))
}

/// Shares of `values` that any three parties agree on.
pub fn share(party: PartyId, values: &[u64]) -> Shares {
    let mut random = Random(values.len() as u64);
    let parts: Vec<[u64; 3]> = values
        .iter()
        .map(|value| {
            let (first, second) = (random.word(), random.word());
            [first, second, value.wrapping_sub(first).wrapping_sub(second)]
        })
        .collect();
    let component = |at: usize| parts.iter().map(|parts| parts[at]).collect();
    Shares::new(component(party.index()), component(party.next().index()))
}

/// Runs `program` at all three.
pub fn run<T: Send>(security: Security, program: impl Fn(&mut Party) -> Result<T, SmpcError> + Sync) -> Trial<T> {
    let ran = run_over(network(NetworkModel::INSTANT), |party, link| {
        let mut computation = Computation::new(party, link, prss(party), security);
        // All relations are looked at below.
        computation.tape_words = usize::MAX;
        let result = program(&mut computation).unwrap();
        let tapes = std::mem::take(&mut computation.tapes);
        (result, tapes)
    });
    let traffic = [0, 1, 2].map(|at: usize| ran[at].1);
    let [first, second, third] = ran.map(|(ran, _)| ran);
    let tapes = [first.1, second.1, third.1];
    check(&tapes, |tapes| &tapes.ring, false);
    check(&tapes, |tapes| &tapes.bits, true);
    Trial { results: [first.0, second.0, third.0], traffic }
}

/// Runs `program` at all three with its proof, and opens what it gives.
pub fn prove(program: impl Fn(&mut Party) -> Result<Shares, SmpcError> + Sync) -> [Result<Vec<u64>, SmpcError>; 3] {
    reveal(Security::Malicious, program)
}

/// Runs `program` at all three, with its proof unless all are honest, and opens what it gives.
pub fn reveal(
    security: Security,
    program: impl Fn(&mut Party) -> Result<Shares, SmpcError> + Sync,
) -> [Result<Vec<u64>, SmpcError>; 3] {
    run_over(network(NetworkModel::INSTANT), |party, link| {
        let mut computation = Computation::new(party, link, prss(party), security);
        let result = program(&mut computation)?;
        computation.verify()?.open(&result)
    })
    .map(|(result, _)| result)
}

/// What the three together hold.
pub fn join(shares: &[Shares; 3]) -> Vec<u64> {
    for at in 0..3 {
        assert!(shares[at].parts[NEXT] == shares[(at + 1) % 3].parts[OWN], "component {} is held by two", (at + 1) % 3);
    }
    (0..shares[0].len())
        .map(|at| shares.iter().fold(0_u64, |sum, share| sum.wrapping_add(share.parts[OWN][at])))
        .collect()
}

/// What the three together hold, `n` values of `width` bits.
pub fn join_bits(shares: &[BitShares; 3], n: usize) -> Vec<u64> {
    for at in 0..3 {
        assert!(shares[at].parts[NEXT] == shares[(at + 1) % 3].parts[OWN], "component {} is held by two", (at + 1) % 3);
    }
    let words = shares[0].words;
    let bit = |at: usize, plane: usize| {
        shares.iter().fold(0, |sum, share| sum ^ share.parts[OWN][plane * words + at / 64]) >> (at % 64) & 1
    };
    (0..n).map(|at| (0..shares[0].width()).map(|plane| bit(at, plane) << plane).sum()).collect()
}

/// Every relation on the tapes holds, and the three tell the same of it.
fn check(tapes: &[Tapes; 3], tape: fn(&Tapes) -> &Tape, bits: bool) {
    for prover in 0..3 {
        let proving = &tape(&tapes[prover]).proving;
        let left = &tape(&tapes[(prover + 2) % 3]).left;
        let right = &tape(&tapes[(prover + 1) % 3]).right;
        assert!(
            proving.left == left.known && proving.right == right.known,
            "party {prover}: the verifiers know its terms"
        );
        assert!(
            proving.runs == left.runs && proving.runs == right.runs,
            "party {prover}: relations end where they end"
        );
        let (mut from, mut relation) = (0, 0);
        for run in proving.runs.as_slice() {
            for one in 0..run.relations {
                let terms = (0..run.length()).map(|slot| from + run.place(one, slot));
                let terms = terms.map(|at| (proving.left[at], proving.right[at]));
                let (target, sum) = if bits {
                    (left.target[relation] ^ right.target[relation], terms.fold(0, |sum, (x, y)| sum ^ x & y))
                } else {
                    let sum = terms.fold(0, |sum: u64, (x, y)| sum.wrapping_add(x.wrapping_mul(y)));
                    (left.target[relation].wrapping_add(right.target[relation]), sum)
                };
                assert_eq!(target, sum, "party {prover}, relation {relation}");
                relation += 1;
            }
            from += run.relations * run.length();
        }
    }
}
