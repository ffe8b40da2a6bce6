//! Transcripts: whole, forged, and such as do not fit together.

use super::*;
use crate::smpc_role::agreement::tests::sample;

fn keys() -> [NodeKey; 3] {
    [1, 2, 3].map(|seed| NodeKey::from_secret(&[seed; 32]))
}

/// What went between `one` and `other`, as `one` sees it.
fn link(one: u8, other: u8) -> LinkTraffic {
    LinkTraffic {
        sent_bytes: 10,
        received_bytes: 10,
        sent_hash: [16 * one + other; 32],
        received_hash: [16 * other + one; 32],
    }
}

fn statement(party: u8) -> Statement {
    let agreement = Agreement { parties: keys().map(|key| key.node_id()), ..sample() };
    Statement {
        agreement,
        party: PartyId::new(party).unwrap(),
        tokens: 2,
        rounds: 30,
        bytes: 4_000,
        links: [0, 1, 2].map(|other| link(party, other)),
        failure: None,
        began_ms: 1_700_000_000_000,
        took_ms: 900,
    }
}

fn transcript() -> Transcript {
    let [first, second, third] = [0, 1, 2].map(|at: u8| statement(at).sign(&keys()[usize::from(at)]));
    Transcript { statements: vec![first, second, third], receipt: None }
}

#[test]
fn a_transcript_has_one_form_and_holds() {
    let client = NodeKey::from_secret(&[9; 32]);
    let mut whole = transcript();
    let receipt = Receipt {
        session: SessionId([1; 16]),
        agreement: sample().hash(),
        client: client.node_id(),
        tokens: 2,
        statements: whole.statements_hash(),
    };
    whole.receipt = Some(receipt.sign(&client));
    let bytes = whole.encode();
    assert_eq!(Transcript::decode(&bytes).unwrap(), whole);
    assert_eq!(whole.verified().unwrap().len(), 3);
    assert_eq!(Receipt::verified(whole.receipt.as_ref().unwrap()).unwrap(), receipt);
    let pinned = Statement { agreement: sample(), ..statement(1) }.encode();
    assert_eq!(&Hash::of(&pinned).to_string()[..16], CONFORMANCE, "docs/spec/smpc-session.md");
    for length in (0..bytes.len()).step_by(7) {
        assert_ne!(Transcript::decode(&bytes[..length]).ok().as_ref(), Some(&whole));
    }
}

#[test]
fn one_changed_byte_is_found() {
    for at in (0..statement(0).encode().len()).step_by(11) {
        let mut forged = transcript();
        forged.statements[1].document[at] ^= 1;
        assert!(forged.verified().is_err(), "byte {at}");
    }
}

#[test]
fn accounts_that_do_not_fit_together_are_found() {
    let mut lying = statement(2);
    lying.links[0].sent_hash[0] ^= 1;
    let mut forged = transcript();
    forged.statements[2] = lying.sign(&keys()[2]);
    assert!(matches!(forged.verified(), Err(TranscriptError::LinksDiffer { .. })));
    let mut twice = transcript();
    twice.statements[2] = twice.statements[1].clone();
    assert_eq!(twice.verified().unwrap_err(), TranscriptError::NotOneSession);
}

#[test]
fn a_link_of_which_two_have_signed_different_things_is_named() {
    let statements = [0, 1, 2].map(statement);
    assert!(contradicted(&statements).is_empty());
    let mut lying = statements.clone();
    lying[2].links[0].sent_hash[0] ^= 1;
    assert_eq!(contradicted(&lying), [[PartyId::ALL[0], PartyId::ALL[2]]]);
    lying[2].links[0].sent_bytes += 1;
    assert!(contradicted(&lying).is_empty(), "something was still under way");
}

/// The first digits of the hash of a statement of party 1.
const CONFORMANCE: &str = "28872cdc834d0399";
