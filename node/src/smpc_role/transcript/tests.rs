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
    let agreement = Agreement { client: client().node_id(), parties: keys().map(|key| key.node_id()), ..sample() };
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

fn client() -> NodeKey {
    NodeKey::from_secret(&[9; 32])
}

/// What the client signs for [`transcript`].
fn receipt() -> Receipt {
    let agreement = statement(0).agreement;
    Receipt {
        session: agreement.session,
        agreement: agreement.hash(),
        client: client().node_id(),
        tokens: 2,
        statements: [0, 1, 2].map(|at| transcript().statements[at].hash()),
    }
}

#[test]
fn a_transcript_has_one_form_and_holds() {
    let whole = Transcript { receipt: Some(receipt().sign(&client())), ..transcript() };
    let bytes = whole.encode();
    assert_eq!(Transcript::decode(&bytes).unwrap(), whole);
    let accounts = whole.verified().unwrap();
    assert_eq!((accounts.statements.len(), accounts.receipt), (3, Some(receipt())));
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

/// Receipts that are for something else than [`transcript`], with what is wrong in each.
fn made_up() -> [(Signed, &'static str); 6] {
    let somebody = NodeKey::from_secret(&[10; 32]);
    let mine = |receipt: Receipt| receipt.sign(&client());
    [
        (mine(Receipt { session: SessionId([2; 16]), ..receipt() }), "session"),
        (mine(Receipt { agreement: Hash([2; 32]), ..receipt() }), "agreement"),
        (Receipt { client: somebody.node_id(), ..receipt() }.sign(&somebody), "client"),
        (mine(Receipt { tokens: 3, ..receipt() }), "number of tokens"),
        (mine(Receipt { statements: [Hash([2; 32]); 3], ..receipt() }), "statement"),
        (mine(Receipt { statements: [1, 2, 0].map(|at| receipt().statements[at]), ..receipt() }), "statement"),
    ]
}

#[test]
fn a_receipt_for_something_else_is_found() {
    for (made_up, what) in made_up() {
        let whole = Transcript { receipt: Some(made_up.clone()), ..transcript() };
        assert_eq!(whole.verified().unwrap_err(), TranscriptError::Receipt { what });
        let [one, two, three] = parts(Some(&made_up));
        assert_eq!(Transcript::joined(&[one, two, three]).unwrap().accounts(), whole.verified());
    }
}

/// What each party keeps: its own statement, and the receipt.
fn parts(receipt: Option<&Signed>) -> [Transcript; 3] {
    [0, 1, 2].map(|at| Transcript { statements: vec![transcript().statements[at].clone()], receipt: receipt.cloned() })
}

#[test]
fn a_party_s_own_file_shows_a_receipt_for_something_else() {
    for (made_up, what) in made_up() {
        for part in parts(Some(&made_up)) {
            assert_eq!(part.verified().unwrap_err(), TranscriptError::Receipt { what });
        }
    }
}

#[test]
fn several_files_are_one_transcript() {
    let receipt = receipt().sign(&client());
    let whole = Transcript { receipt: Some(receipt.clone()), ..transcript() };
    let [one, two, three] = parts(Some(&receipt));
    let files = [three, whole.clone(), one.clone(), two.clone()];
    assert_eq!(Transcript::joined(&files).unwrap(), whole);
    let [(other, _), ..] = made_up();
    let other = Transcript { receipt: Some(other), ..two };
    assert_eq!(Transcript::joined(&[one.clone(), other]).unwrap_err(), TranscriptError::TwoReceipts);
    let mut elsewhere = statement(1);
    elsewhere.agreement.session = SessionId([2; 16]);
    let elsewhere = Transcript { statements: vec![elsewhere.sign(&keys()[1])], receipt: None };
    assert_eq!(Transcript::joined(&[one, elsewhere]).unwrap().accounts(), Err(TranscriptError::NotOneSession));
}

/// The first digits of the hash of a statement of party 1.
const CONFORMANCE: &str = "d34ac6676802fdd6";
