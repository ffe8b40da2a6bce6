//! Every path between an orchestrator and a worker gives the same answer.

use std::net::TcpListener;
use std::time::Duration;

use neuro_node::orchestrator_role::members::new_ticket;

use crate::network::{Network, QUIC, TCP, Worker, holds_all, of};

#[tokio::test(flavor = "multi_thread")]
async fn tasks_travel_over_quic_alone() {
    let network = Network::listening(&[QUIC]).await;
    let (mut config, folder) = Worker::config("quick", &network.addresses.ticket);
    config.p2p = vec![QUIC.to_owned()];
    let mut worker = Worker::start((config, folder));
    assert_eq!(worker.joined().await, "tls");
    let status = network.until("all experts", |status| of(status, "quick").is_some_and(holds_all)).await;
    assert_eq!(of(&status, "quick").unwrap().transport, "quic");
    assert_eq!(network.ask().await, "47");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_without_a_reachable_control_port_is_reached_over_peer_to_peer() {
    let network = Network::listening(&[TCP]).await;
    // A port that was just free: nobody answers there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ticket = new_ticket(&network.key, &[closed], &network.addresses.p2p, Duration::from_secs(60)).unwrap();
    let mut worker = Worker::start(Worker::config("far", &ticket.to_text()));
    assert_eq!(worker.joined().await, "p2p");
    network.until("all experts", |status| of(status, "far").is_some_and(holds_all)).await;
    assert_eq!(network.ask().await, "47");
}
