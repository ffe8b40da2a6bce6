//! Connections that never finish a handshake: they cost places for a while and keep nobody out.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use crate::network::{Network, Worker, holds_all, of};

/// More than the places for handshakes of one address, of all addresses, and of libp2p.
const IDLERS: usize = 200;

/// A connection from another loopback address than the workers', as a stranger's is.
async fn idle(to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(to).await.ok()
}

/// Where the orchestrator's libp2p side listens.
fn p2p_address(network: &Network) -> SocketAddr {
    let address = &network.addresses.p2p[0];
    let port = address.split('/').nth(4).unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_keep_no_worker_out() {
    let network = Network::start().await;
    let control = network.addresses.control.parse().unwrap();
    let mut idlers = Vec::new();
    for _ in 0..IDLERS {
        idlers.push(idle(control).await);
        idlers.push(idle(p2p_address(&network)).await);
    }
    let mut worker = Worker::start(Worker::config("honest", &network.addresses.ticket));
    assert_eq!(worker.joined().await, "tls");
    network.until("all experts", |status| of(status, "honest").is_some_and(holds_all)).await;
    assert_eq!(network.ask().await, "47");
}
