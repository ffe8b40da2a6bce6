//! Who is let in: bearers of a good ticket, with a build that speaks the same.

use std::time::Duration;

use neuro_network::control::{ControlClient, ControlError, ControlErrorKind};
use neuro_node::orchestrator_role::members::new_ticket;
use neuro_node::worker_role::WorkerError;
use neuro_primitives::{Hash, NodeKey};
use neuro_protocol::control::{FetchRequest, Hardware, JoinRequest, SetTeamRequest};

use crate::network::{Network, Worker, within};
use crate::twin_worker::join_request;

async fn refused(client: &ControlClient, request: JoinRequest) -> ControlError {
    within("joining", client.join(request)).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_whatever_they_ask() {
    let network = Network::start().await;
    let client = network.client(&NodeKey::generate().unwrap()).await;
    let fetch = FetchRequest { hash: vec![7; 32], offset: 0 };
    let outcomes = [
        ("fetch", client.fetch(fetch).await.err().unwrap()),
        ("attend", client.attend(futures::stream::pending()).await.err().unwrap()),
        ("status", client.status().await.unwrap_err()),
        ("stop", client.stop().await.unwrap_err()),
    ];
    for (call, error) in outcomes {
        assert_eq!(error.kind, ControlErrorKind::NotAllowed, "{call}: {error}");
    }
    assert!(network.status().await.workers.is_empty(), "and the node runs on");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_ticket_of_this_orchestrator_admits() {
    let network = Network::start().await;
    let client = network.client(&NodeKey::generate().unwrap()).await;
    let hour = Duration::from_secs(3600);
    let others = new_ticket(&NodeKey::generate().unwrap(), &[], &[], hour).unwrap().to_text();
    let expired = new_ticket(&network.key, &[], &[], Duration::ZERO).unwrap().to_text();
    let good = &network.addresses.ticket;
    let flipped = if good.ends_with('a') { "b" } else { "a" };
    let forged = format!("{}{flipped}", &good[..good.len() - 1]);
    for (what, ticket) in [("none", ""), ("another's", &others), ("expired", &expired), ("forged", &forged)] {
        let error = refused(&client, join_request(what, ticket)).await;
        assert_eq!(error.kind, ControlErrorKind::NotAllowed, "{what}: {error}");
    }
    client.join(join_request("invited", good)).await.unwrap();
    let hash = Hash::of(b"no tensor").0.to_vec();
    let absent = client.fetch(FetchRequest { hash, offset: 0 }).await.err().unwrap();
    assert_eq!(absent.kind, ControlErrorKind::NotFound);
    let short = client.fetch(FetchRequest { hash: vec![1, 2], offset: 0 }).await.err().unwrap();
    assert_eq!(short.kind, ControlErrorKind::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_and_never_attends_leaves_nothing_behind() {
    let network = Network::start().await;
    let ticket = network.addresses.ticket.clone();
    for name in ["one", "two", "three"] {
        let client = network.client(&NodeKey::generate().unwrap()).await;
        client.join(join_request(name, &ticket)).await.unwrap();
        let team = SetTeamRequest { team: Some("blue".to_owned()) };
        assert_eq!(client.set_team(team).await.unwrap_err().kind, ControlErrorKind::NotFound, "it is not recorded");
    }
    let _attends = network.worker("four").await;
    let members = std::fs::read_to_string(network.folder.path().join("members")).unwrap();
    assert_eq!(members.lines().count(), 1, "{members}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_refused_with_both_sides_named() {
    let network = Network::start().await;
    let client = network.client(&NodeKey::generate().unwrap()).await;
    let request = join_request("old", &network.addresses.ticket);
    let versions = refused(&client, JoinRequest { wire_min: 7, wire_max: 9, ..request.clone() }).await;
    assert_eq!(versions.kind, ControlErrorKind::BadRequest);
    assert!(versions.message.contains("between 3 and 3") && versions.message.contains("7 to 9"), "{versions}");
    let engine = refused(&client, JoinRequest { engine_spec: 3, ..request.clone() }).await;
    assert_eq!(engine.kind, ControlErrorKind::BadRequest);
    assert!(engine.message.contains("rules 2") && engine.message.contains("by 3"), "{engine}");
    let huge = refused(&client, JoinRequest { wire_min: u32::MAX, wire_max: u32::MAX, ..request }).await;
    assert_eq!(huge.kind, ControlErrorKind::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_be_is_refused_and_said_to_be_so() {
    let network = Network::start().await;
    let client = network.client(&NodeKey::generate().unwrap()).await;
    let request = join_request("giant", &network.addresses.ticket);
    let hardware = |cores, ram_bytes| Some(Hardware { cores, ram_bytes, ..Hardware::default() });
    for (cores, ram_bytes) in [(8, 1 << 20), (u32::MAX, 1 << 40), (8, u64::MAX)] {
        let impossible = JoinRequest { hardware: hardware(cores, ram_bytes), ..request.clone() };
        let error = refused(&client, impossible).await;
        assert_eq!(error.kind, ControlErrorKind::BadRequest);
        assert!(error.message.starts_with("no machine is like that: "), "{error}");
    }
    assert!(network.status().await.workers.is_empty());
    client.join(JoinRequest { hardware: hardware(8, 8 << 30), ..request }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_bad_ticket_gives_up_and_says_what_to_do() {
    let network = Network::start().await;
    // Signed by another key: whoever answers at the address is not who signed.
    let control = [network.addresses.control.clone()];
    let other = new_ticket(&NodeKey::generate().unwrap(), &control, &[], Duration::ZERO).unwrap().to_text();
    let mut worker = Worker::start(Worker::config("lost", &other));
    let failure = worker.failure().await;
    assert!(failure.hint().is_some(), "{failure}");
    let mut worker = Worker::start(Worker::config("typist", "neuro-ticket-abc"));
    let failure = worker.failure().await;
    assert!(matches!(&failure, WorkerError::Ticket(_)) && failure.is_refusal(), "{failure}");
    assert!(failure.hint().unwrap().contains("copy the whole ticket"));
}
