//! Two and more swarms on loopback: streams, events, limits, and peers that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::time::Duration;

use neuro_network::peer_to_peer::limits::MAX_INBOUND_STREAMS_PER_CONNECTION;
use neuro_network::{Incoming, NetworkError, PeerEvent, PeerToPeer, StreamKind};
use neuro_primitives::{NodeId, NodeKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Far more than anything here takes; only a hang reaches it.
async fn soon<T>(action: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), action).await.expect("it should not take this long")
}

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

async fn start(seed: u8, listen: &[&str]) -> (PeerToPeer, Incoming) {
    let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
    soon(PeerToPeer::start(&key(seed), &listen)).await.unwrap()
}

/// Sends every stream's bytes back, for ever.
async fn echo(mut incoming: Incoming) {
    while let Some((_, _, stream)) = incoming.streams.recv().await {
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(stream);
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                if write.write_all(&buffer[..count]).await.is_err() || write.flush().await.is_err() {
                    break;
                }
            }
        });
    }
}

async fn echoes(caller: &PeerToPeer, peer: NodeId, length: usize) {
    let stream = soon(caller.open(peer, StreamKind::Experts)).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
    let expected = sent.clone();
    let sending = async {
        write.write_all(&sent).await.unwrap();
        write.flush().await.unwrap();
    };
    let mut received = vec![0; length];
    let (_, outcome) = soon(async { tokio::join!(sending, read.read_exact(&mut received)) }).await;
    outcome.unwrap();
    assert!(received == expected, "{length} bytes came back changed");
}

async fn echo_over(listen: &str, transport: &str) {
    let (caller, mut caller_incoming) = start(1, &[]).await;
    let (worker, incoming) = start(2, &[listen]).await;
    let peer = worker.node_id();
    soon(caller.dial(peer, &worker.addresses())).await.unwrap();
    assert_eq!(soon(caller_incoming.events.recv()).await, Some(PeerEvent::Connected(peer)));
    tokio::spawn(echo(incoming));
    echoes(&caller, peer, 4 << 10).await;
    echoes(&caller, peer, 1 << 20).await;
    let path = caller.path(peer).unwrap();
    assert!(path.direct);
    assert_eq!(path.transport, transport);
    soon(worker.shutdown()).await;
    assert_eq!(soon(caller_incoming.events.recv()).await, Some(PeerEvent::Disconnected(peer)));
    assert_eq!(caller.path(peer), None);
}

#[tokio::test]
async fn streams_echo_over_tcp() {
    echo_over(TCP, "tcp").await;
}

#[tokio::test]
async fn streams_echo_over_quic() {
    echo_over(QUIC, "quic").await;
}

#[tokio::test]
async fn addresses_have_their_actual_ports() {
    let (node, _incoming) = start(1, &[TCP, QUIC]).await;
    let addresses = node.addresses();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    assert!(addresses.iter().all(|address| !address.contains("/0")), "{addresses:?}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    for listen in [TCP, QUIC] {
        let (node, _incoming) = start(1, &[listen]).await;
        let taken = node.addresses();
        let error = soon(PeerToPeer::start(&key(2), &taken)).await.unwrap_err();
        assert!(matches!(&error, NetworkError::PortInUse { address } if *address == taken[0]), "{error}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_named() {
    for text in ["localhost:4300", "/ip4/127.0.0.1/sctp/7", "/ip4/127.0.0.1/tcp/0/ws"] {
        let error = soon(PeerToPeer::start(&key(1), &[text.to_owned()])).await.unwrap_err();
        assert!(matches!(&error, NetworkError::BadAddress { address, .. } if address == text), "{error}");
    }
}

#[tokio::test]
async fn somebody_else_at_the_address_is_refused() {
    let (caller, _a) = start(1, &[]).await;
    let expected = key(3).node_id();
    for listen in [TCP, QUIC] {
        let (other, _b) = start(2, &[listen]).await;
        let error = soon(caller.dial(expected, &other.addresses())).await.unwrap_err();
        let NetworkError::WrongPeer { expected: wanted, got, address } = &error else { panic!("{error}") };
        assert_eq!((*wanted, *got), (expected, Some(other.node_id())));
        assert!(address.starts_with(&other.addresses()[0]), "{address}");
        assert!(!error.is_retryable() && error.blames().is_none());
        assert_eq!(caller.path(expected), None);
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_worth_another_try() {
    let (caller, _a) = start(1, &[]).await;
    let (gone, _b) = start(2, &[TCP]).await;
    let (peer, addresses) = (gone.node_id(), gone.addresses());
    soon(gone.shutdown()).await;
    let error = soon(caller.dial(peer, &addresses)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains(&addresses[0]), "{error}");
    let error = soon(caller.open(peer, StreamKind::Experts)).await.unwrap_err();
    assert!(matches!(error, NetworkError::NotConnected { .. }), "{error}");
    let error = soon(caller.dial(caller.node_id(), &addresses)).await.unwrap_err();
    assert!(matches!(error, NetworkError::Myself { .. }), "{error}");
}

#[tokio::test]
async fn many_dials_make_one_connection() {
    let (caller, mut events) = start(1, &[]).await;
    let (worker, mut incoming) = start(2, &[TCP]).await;
    let (peer, addresses) = (worker.node_id(), worker.addresses());
    let dials = (0..8).map(|_| caller.dial(peer, &addresses));
    for outcome in soon(futures::future::join_all(dials)).await {
        outcome.unwrap();
    }
    assert_eq!(soon(events.events.recv()).await, Some(PeerEvent::Connected(peer)));
    soon(caller.close(peer)).await;
    assert_eq!(soon(events.events.recv()).await, Some(PeerEvent::Disconnected(peer)));
    let seen = [soon(incoming.events.recv()).await, soon(incoming.events.recv()).await];
    let node = caller.node_id();
    assert_eq!(seen, [Some(PeerEvent::Connected(node)), Some(PeerEvent::Disconnected(node))]);
}

#[tokio::test]
async fn a_peer_whose_process_ends_is_noticed() {
    let (watcher, mut incoming) = start(1, &[TCP]).await;
    let (seen, was_seen) = tokio::sync::oneshot::channel::<()>();
    let (peer, addresses) = (watcher.node_id(), watcher.addresses());
    let dying = std::thread::spawn(move || {
        // Its runtime ends with it, as a killed process does: sockets close, and nobody says goodbye.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let node = runtime.block_on(async {
            let (node, incoming) = PeerToPeer::start(&key(2), &[]).await.unwrap();
            node.dial(peer, &addresses).await.unwrap();
            was_seen.await.unwrap();
            (node, incoming)
        });
        runtime.shutdown_background();
        drop(node);
    });
    let peer = key(2).node_id();
    assert_eq!(soon(incoming.events.recv()).await, Some(PeerEvent::Connected(peer)));
    seen.send(()).unwrap();
    assert_eq!(soon(incoming.events.recv()).await, Some(PeerEvent::Disconnected(peer)));
    dying.join().unwrap();
}

#[tokio::test]
async fn the_round_trip_is_measured() {
    let (caller, _a) = start(1, &[]).await;
    let (worker, _b) = start(2, &[TCP]).await;
    soon(caller.dial(worker.node_id(), &worker.addresses())).await.unwrap();
    let measured = async {
        loop {
            if let Some(rtt) = caller.path(worker.node_id()).and_then(|path| path.rtt) {
                break rtt;
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(soon(measured).await > Duration::ZERO);
}

#[tokio::test]
async fn streams_opened_at_once_all_arrive_up_to_the_limit() {
    let (caller, _a) = start(1, &[]).await;
    let (worker, mut incoming) = start(2, &[TCP]).await;
    let peer = worker.node_id();
    soon(caller.dial(peer, &worker.addresses())).await.unwrap();
    let opened = (0..MAX_INBOUND_STREAMS_PER_CONNECTION + 4).map(|number| {
        let caller = caller.clone();
        async move {
            let mut stream = caller.open(peer, StreamKind::Control).await.unwrap();
            stream.write_all(&[number as u8]).await.unwrap();
            stream.flush().await.unwrap();
            stream
        }
    });
    let opened = soon(futures::future::join_all(opened)).await;
    let mut accepted = Vec::new();
    for _ in 0..MAX_INBOUND_STREAMS_PER_CONNECTION {
        let (from, kind, stream) = soon(incoming.streams.recv()).await.unwrap();
        assert_eq!((from, kind), (caller.node_id(), StreamKind::Control));
        accepted.push(stream);
    }
    // Those beyond the limit are reset; the first ones stay. Which ones were first is up to the scheduler.
    let ends = opened.into_iter().map(|mut stream| async move {
        let mut byte = [0];
        !matches!(stream.read(&mut byte).await, Ok(1..))
    });
    let mut ends: futures::stream::FuturesUnordered<_> = ends.collect();
    for _ in 0..4 {
        assert_eq!(soon(futures::StreamExt::next(&mut ends)).await, Some(true));
    }
    accepted.truncate(1);
    assert!(caller.path(peer).is_some(), "the connection survives");
}

#[tokio::test]
async fn garbage_on_the_port_hurts_nobody_else() {
    let (worker, incoming) = start(2, &[TCP]).await;
    let address = worker.addresses()[0].replace("/ip4/", "").replace("/tcp/", ":");
    let mut held = Vec::new();
    for bytes in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], &[0xff; 5000], &[0; 3], b"\x13/multistream/1.0.0\n", b""] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // The other side may hang up in the middle.
        let _ = stream.write_all(bytes).await;
        held.push(stream);
    }
    let (caller, _a) = start(1, &[]).await;
    soon(caller.dial(worker.node_id(), &worker.addresses())).await.unwrap();
    tokio::spawn(echo(incoming));
    echoes(&caller, worker.node_id(), 4 << 10).await;
}

#[tokio::test]
async fn after_the_shutdown_there_is_nothing() {
    let (node, mut incoming) = start(1, &[TCP]).await;
    let clone = node.clone();
    let addresses = node.addresses();
    soon(node.shutdown()).await;
    assert!(soon(incoming.streams.recv()).await.is_none());
    assert!(soon(incoming.events.recv()).await.is_none());
    let error = soon(clone.dial(key(2).node_id(), &addresses)).await.unwrap_err();
    assert!(matches!(error, NetworkError::ShutDown), "{error}");
    // The port is free again.
    soon(PeerToPeer::start(&key(2), &addresses)).await.unwrap();
}

#[tokio::test]
async fn garbage_packets_hurt_nobody_else() {
    let (worker, incoming) = start(2, &[QUIC]).await;
    let address = worker.addresses()[0].replace("/ip4/", "").replace("/udp/", ":").replace("/quic-v1", "");
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for number in 0..200_usize {
        let packet: Vec<u8> = (0..1 + number * 7 % 1400).map(|at| (at * number + 0xc0) as u8).collect();
        stranger.send_to(&packet, &address).await.unwrap();
    }
    let (caller, _a) = start(1, &[]).await;
    soon(caller.dial(worker.node_id(), &worker.addresses())).await.unwrap();
    tokio::spawn(echo(incoming));
    echoes(&caller, worker.node_id(), 4 << 10).await;
}

#[tokio::test]
async fn both_transports_at_once_make_one_peer() {
    let (caller, mut events) = start(1, &[TCP]).await;
    let (worker, mut incoming) = start(2, &[TCP, QUIC]).await;
    let (node, peer) = (caller.node_id(), worker.node_id());
    let (theirs, ours) = (worker.addresses(), caller.addresses());
    // Both dial: there may be two connections, but each side hears of one peer.
    let (there, back) = soon(async { tokio::join!(caller.dial(peer, &theirs), worker.dial(node, &ours)) }).await;
    there.unwrap();
    back.unwrap();
    assert_eq!(soon(events.events.recv()).await, Some(PeerEvent::Connected(peer)));
    assert_eq!(soon(incoming.events.recv()).await, Some(PeerEvent::Connected(node)));
    // The later of the two may be in its handshake still: it is closed like the other once it is up.
    let closing = async {
        loop {
            caller.close(peer).await;
            tokio::task::yield_now().await;
        }
    };
    let gone = async { (soon(events.events.recv()).await, soon(incoming.events.recv()).await) };
    let (here, there) = tokio::select! {
        gone = gone => gone,
        () = closing => unreachable!("it goes on until both sides have heard"),
    };
    assert_eq!((here, there), (Some(PeerEvent::Disconnected(peer)), Some(PeerEvent::Disconnected(node))));
}

#[tokio::test]
async fn a_stream_ends_properly_or_breaks_visibly() {
    let (caller, _a) = start(1, &[]).await;
    let (worker, mut incoming) = start(2, &[TCP]).await;
    let peer = worker.node_id();
    soon(caller.dial(peer, &worker.addresses())).await.unwrap();
    let mut stream = soon(caller.open(peer, StreamKind::Experts)).await.unwrap();
    stream.write_all(b"all").await.unwrap();
    stream.shutdown().await.unwrap();
    let (_, _, mut accepted) = soon(incoming.streams.recv()).await.unwrap();
    let mut heard = Vec::new();
    soon(accepted.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"all");
    soon(caller.shutdown()).await;
    let mut broken = [0; 1];
    assert!(!matches!(soon(accepted.read(&mut broken)).await, Ok(1..)));
    assert!(soon(accepted.write_all(&[0; 1 << 20])).await.is_err(), "nobody is there to read");
}
