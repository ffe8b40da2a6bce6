//! What a party refuses of a client's terms: each on its own, by its name.

use neuro_primitives::{Hash, Signature};

use super::*;
use crate::smpc_role::agreement::tests::sample;
use crate::smpc_role::agreement::{Lengths, Routes};
use crate::smpc_role::model::ModelFacts;
use crate::smpc_role::parties::{Draft, PartyEntry};

fn parties() -> Parties {
    let entry = |index: u8| PartyEntry {
        index,
        node: NodeId([index + 1; 32]),
        address: format!("address {index}"),
        operator: format!("operator {index}"),
        network: format!("network {index}"),
        region: format!("region {index}"),
    };
    Parties::try_from(Draft { entries: (0..3).map(entry).collect() }).unwrap()
}

fn client() -> NodeKey {
    NodeKey::from_secret(&[7; 32])
}

/// Terms that the party of [`refusals`] has as well.
fn terms() -> Agreement {
    Agreement {
        client: client().node_id(),
        ranges: NO_RANGES,
        parties: parties().nodes(),
        registry: parties().hash(),
        ..sample()
    }
}

/// What a party says to `terms`.
async fn refusals(terms: &Agreement) -> Vec<String> {
    let model = ModelFacts { hash: sample().model, d_model: 8, vocab_size: 9, context: 512 };
    let folder = tempfile::tempdir().unwrap();
    let context = PartyContext {
        key: NodeKey::from_secret(&[1; 32]),
        party: PartyId::ALL[0],
        parties: parties(),
        programs: Box::new(Idle(model)),
        ranges: None,
        runtime: Handle::current(),
        deadline: DEADLINE,
        setup_patience: SETUP_PATIENCE,
        rendezvous: Rendezvous::default(),
        stop: CancellationToken::new(),
        archive: Archive::at(folder.path().to_owned()),
    };
    context.differences(terms)
}

#[tokio::test]
async fn terms_of_another_kind_are_refused_by_their_name() {
    assert_eq!(refusals(&terms()).await, [""; 0]);
    let rows = |rows| Lengths { rows, ..terms().lengths };
    let narrow = Profile { fraction_bits: 12, ..Profile::DEFAULT };
    for (name, other) in [
        ("version: ", Agreement { version: PROTOCOL_VERSION + 1, ..terms() }),
        ("version: ", Agreement { version: PROTOCOL_VERSION - 1, ..terms() }),
        ("model: ", Agreement { model: Hash([99; 32]), ..terms() }),
        ("program: ", Agreement { program: Hash([99; 32]), ..terms() }),
        ("fixed-point profile: ", Agreement { profile: narrow, ..terms() }),
        ("range profile: ", Agreement { ranges: Hash([99; 32]), ..terms() }),
        ("parties: ", Agreement { parties: [NodeId([1; 32]), NodeId([2; 32]), NodeId([9; 32])], ..terms() }),
        ("parties file: ", Agreement { registry: Hash([99; 32]), ..terms() }),
        ("lengths: 17 rows are not padded", Agreement { lengths: rows(17), ..terms() }),
        ("lengths: 1024 rows", Agreement { lengths: rows(1024), ..terms() }),
    ] {
        let refused = refusals(&other).await;
        assert!(matches!(&refused[..], [one] if one.starts_with(name)), "{name}{refused:?}");
    }
}

#[tokio::test]
async fn routes_are_revealed_to_nobody_without_the_client_s_own_signature_of_this_session() {
    let session = terms().session;
    let consents = |routes| Agreement { routes, ..terms() };
    assert_eq!(refusals(&consents(Routes::revealed(&client(), session))).await, [""; 0]);
    let foreign = NodeKey::from_secret(&[8; 32]);
    for routes in [
        Routes::Revealed(Signature([0; 64])),
        Routes::revealed(&foreign, session),
        Routes::revealed(&client(), SessionId([99; 16])),
    ] {
        let refused = refusals(&consents(routes)).await;
        assert_eq!(refused, ["routes: the client has not signed that it discloses its text"], "{routes:?}");
    }
}
