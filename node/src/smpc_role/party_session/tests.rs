//! What a party takes as a receipt.

use std::time::Duration;

use neuro_network::smpc::SessionId;
use neuro_primitives::{NodeId, NodeKey};
use tokio::runtime::Handle;

use super::*;
use crate::smpc_role::agreement::tests::sample;

const PATIENCE: Duration = Duration::from_secs(60);

fn statement(client: &NodeKey) -> Statement {
    Statement {
        agreement: Agreement { client: client.node_id(), ..sample() },
        party: PartyId::ALL[1],
        tokens: 2,
        rounds: 30,
        bytes: 4_000,
        links: [NOTHING; 3],
        failure: None,
        began_ms: 1_700_000_000_000,
        took_ms: 900,
    }
}

/// What the party keeps of a client who sends it `receipt`.
async fn taken(statement: Statement, receipt: Signed) -> Option<Signed> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (nobody, session) = (NodeId([0; 32]), statement.agreement.session);
    let mut client = Link::over(far, nobody, session);
    let link = ClientLink::new(Link::over(near, nobody, session), Handle::current(), PATIENCE);
    let signed = statement.sign(&NodeKey::from_secret(&[1; 32]));
    let party = tokio::task::spawn_blocking(move || part(link, &signed, &statement));
    client.receive(PATIENCE).await.unwrap();
    client.send(0, 0, ClientMessage::Receipt(receipt).encode(), PATIENCE).await.unwrap();
    party.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_for_something_else_is_not_taken() {
    let (client, somebody) = (NodeKey::from_secret(&[9; 32]), NodeKey::from_secret(&[8; 32]));
    let statement = statement(&client);
    let right = Receipt {
        session: statement.agreement.session,
        agreement: statement.agreement.hash(),
        client: client.node_id(),
        tokens: 2,
        statements: [statement.sign(&NodeKey::from_secret(&[1; 32])).hash(); 3],
    };
    let signed = right.sign(&client);
    assert_eq!(taken(statement.clone(), signed.clone()).await, Some(signed));
    let wrong = [
        Receipt { session: SessionId([2; 16]), ..right.clone() }.sign(&client),
        Receipt { agreement: Hash([2; 32]), ..right.clone() }.sign(&client),
        Receipt { client: somebody.node_id(), ..right.clone() }.sign(&somebody),
        Receipt { tokens: 1, ..right.clone() }.sign(&client),
        Receipt { statements: [Hash([7; 32]); 3], ..right.clone() }.sign(&client),
        right.sign(&somebody),
    ];
    for (at, wrong) in wrong.into_iter().enumerate() {
        assert_eq!(taken(statement.clone(), wrong).await, None, "receipt {at}");
    }
}
