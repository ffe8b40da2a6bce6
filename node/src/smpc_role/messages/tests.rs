//! Messages there and back, and mutated ones.

use std::time::{Duration, Instant};

use super::*;
use crate::smpc_role::agreement::tests::sample;
use crate::smpc_role::seeds::Seeds;

#[path = "../../../../tests/shared/not_debug.rs"]
mod not_debug;

not_debug::assert_not_debug!(ClientMessage, PartyMessage, Seeds, TurnShares);

fn shares() -> TurnShares {
    TurnShares { turn: 3, shares: Shares::new(vec![1, 2], vec![3, u64::MAX]) }
}

fn signed() -> Signed {
    Signed { document: vec![1, 2, 3], signature: Signature([9; 64]) }
}

fn corpus() -> Vec<Vec<u8>> {
    let cost = Cost { rounds: 5, bytes: 6 };
    let client = [
        ClientMessage::Propose(Box::new(sample())),
        ClientMessage::Inputs(shares()),
        ClientMessage::Finish,
        ClientMessage::Receipt(signed()),
    ];
    let party = [
        PartyMessage::Ready(Hash([1; 32])),
        PartyMessage::Working(Working { expected: 7, cost }),
        PartyMessage::Logits(shares(), cost),
        PartyMessage::Statement(signed()),
    ];
    let client = client.iter().map(ClientMessage::encode);
    client.chain(party.iter().map(PartyMessage::encode)).chain([join(&sample())]).collect()
}

/// The bytes again, where they are a message of any kind.
fn again(bytes: &[u8]) -> Option<Vec<u8>> {
    let client = ClientMessage::decode(bytes).map(|message| message.encode()).ok();
    let party = || PartyMessage::decode(bytes).map(|message| message.encode()).ok();
    client.or_else(party).or_else(|| read_join(bytes).map(|agreement| join(&agreement)).ok())
}

#[test]
fn every_message_has_one_form() {
    for bytes in corpus() {
        assert_eq!(again(&bytes).unwrap(), bytes);
        assert!(again(&[&bytes[..], &[0]].concat()).is_none(), "nothing may follow");
    }
}

#[test]
fn mutated_messages_are_read_or_refused() {
    let (corpus, began, mut state) = (corpus(), Instant::now(), 0x5eed_u64);
    for round in 0..100_000 {
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
        let mut bytes = corpus[round % corpus.len()].clone();
        // Knuth's MMIX constants: any seeded sequence will do.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (state >> 33) as usize % bytes.len();
        bytes[at] ^= (state >> 25) as u8 | 1;
        bytes.truncate(1 + (state >> 40) as usize % (2 * bytes.len()));
        if let Some(again) = again(&bytes) {
            assert_eq!(again, bytes, "one form, round {round}");
        }
    }
}
