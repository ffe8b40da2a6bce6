//! Links of private inference: who gets through, what is refused, and that nothing waits for ever.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use neuro_network::frames::FrameWriter;
use neuro_network::smpc::{
    ConnectError, Ending, Frame, FrameFault, FrameKind, Incoming, Link, LinkError, PartyLinks, SessionId, connect,
    serve,
};
use neuro_network::tls::TlsError;
use neuro_primitives::{NodeId, NodeKey};
use neuro_smpc::channel::{Channel, ChannelError, Message};
use neuro_smpc::party::PartyId;
use tokio::io::duplex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const SESSION: SessionId = SessionId([1; 16]);
const PATIENCE: Duration = Duration::from_secs(60);

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

/// A listener with key 1.
async fn listen() -> (String, mpsc::Receiver<Incoming>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, incoming) = mpsc::channel(1);
    tokio::spawn(async move { serve(listener, &key(1), sender, CancellationToken::new()).await });
    (address, incoming)
}

#[tokio::test]
async fn two_nodes_talk_and_count_alike() {
    let (address, mut incoming) = listen().await;
    let mut ours = connect(&key(2), key(1).node_id(), &address, SESSION).await.unwrap();
    ours.send(0, 0, b"hello".to_vec(), PATIENCE).await.unwrap();
    let Incoming { peer, mut link, first } = incoming.recv().await.unwrap();
    assert_eq!((peer, first.body.as_slice(), first.session), (key(2).node_id(), &b"hello"[..], SESSION));
    // Larger than any buffer below: it must flow while the other side also sends.
    let large = vec![3; 8 << 20];
    link.send(1, 0, large.clone(), PATIENCE).await.unwrap();
    ours.send(1, 0, large.clone(), PATIENCE).await.unwrap();
    assert!(ours.receive(PATIENCE).await.unwrap().body == large && link.receive(PATIENCE).await.unwrap().body == large);
    assert_eq!(ours.sent().hash(), link.received().hash());
    assert_eq!(ours.received().hash(), link.sent().hash());
    link.abort(Ending::Loss, "enough\u{1b}[2J").await;
    let LinkError::Aborted { reason, ending } = ours.receive(PATIENCE).await.err().unwrap() else { panic!() };
    assert_eq!((reason.as_str(), ending), ("enough[2J", Ending::Loss), "no control characters");
}

#[tokio::test]
async fn a_message_that_no_link_carries_is_refused_where_it_is_sent() {
    let (ours, _theirs) = duplex(1 << 16);
    let mut link = Link::over(ours, NodeId([9; 32]), SESSION);
    let refused = link.send(0, 0, vec![0; 256 << 20], PATIENCE).await.err().unwrap();
    assert!(matches!(refused, LinkError::TooLong { bytes } if bytes > 256 << 20), "{refused}");
}

#[tokio::test]
async fn another_key_is_refused() {
    let (address, _incoming) = listen().await;
    let refused = connect(&key(2), key(3).node_id(), &address, SESSION).await.err().unwrap();
    assert!(matches!(refused, ConnectError::Tls(TlsError::WrongNode { .. })), "{refused}");
}

/// What a link says when its peer sends these frames.
async fn received(frames: &[(SessionId, u64)]) -> Vec<Result<u64, LinkError>> {
    let (ours, theirs) = duplex(1 << 16);
    let mut link = Link::over(ours, NodeId([9; 32]), SESSION);
    let mut writer = FrameWriter::new(theirs, 1 << 16);
    for (session, sequence) in frames {
        let frame =
            Frame { session: *session, sequence: *sequence, kind: FrameKind::Message, step: 1, part: 0, body: vec![] };
        writer.write(&frame.encode()).await.unwrap();
    }
    let mut said = Vec::new();
    for _ in frames {
        said.push(link.receive(PATIENCE).await.map(|frame| frame.sequence));
    }
    said
}

#[tokio::test]
async fn replayed_reordered_and_foreign_frames_are_refused() {
    let replayed = received(&[(SESSION, 0), (SESSION, 0)]).await;
    assert!(matches!(replayed[1], Err(LinkError::Fault(FrameFault::OutOfOrder { expected: 1, got: 0 }))));
    let reordered = received(&[(SESSION, 1), (SESSION, 0)]).await;
    assert!(matches!(reordered[0], Err(LinkError::Fault(FrameFault::OutOfOrder { expected: 0, got: 1 }))));
    let foreign = received(&[(SessionId([2; 16]), 0)]).await;
    assert!(matches!(foreign[0], Err(LinkError::Fault(FrameFault::Foreign { .. }))));
}

/// What party 0 hears within `deadline` when party 1 does `act` with its end.
fn heard(deadline: Duration, act: impl FnOnce(Link) -> Option<Link> + Send + 'static) -> ChannelError {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ours, theirs) = duplex(1 << 16);
    let _in_runtime = runtime.enter();
    let ours = Link::over(ours, NodeId([1; 32]), SESSION);
    let kept = act(Link::over(theirs, NodeId([2; 32]), SESSION));
    let (party, peer) = (PartyId::ALL[0], PartyId::ALL[1]);
    let mut links = PartyLinks::new(party, [None, Some(ours), None], runtime.handle().clone(), deadline);
    links.send(peer, Message { step: 1, part: 0, name: "question", body: vec![1] }).unwrap();
    let error = links.receive(peer).err().unwrap();
    drop(kept);
    error
}

#[test]
fn a_peer_that_is_silent_gone_or_done_ends_the_wait() {
    let peer = PartyId::ALL[1];
    let silent = heard(Duration::from_millis(50), Some);
    assert_eq!(silent, ChannelError::Late { peer, name: "question", deadline_ms: 50 });
    let gone = |link| {
        drop(link);
        None
    };
    assert_eq!(heard(PATIENCE, gone), ChannelError::Lost { peer });
    let aborting = |link: Link| {
        tokio::spawn(link.abort(Ending::Fault, "no"));
        None
    };
    assert_eq!(heard(PATIENCE, aborting), ChannelError::Aborted { peer });
}

#[test]
fn what_a_late_peer_says_of_the_end_is_heard_after_the_deadline() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _in_runtime = runtime.enter();
    let [(to_second, mut second), (to_third, _third)] = [1, 2].map(|peer| {
        let (ours, theirs) = duplex(1 << 16);
        (Link::over(ours, NodeId([peer; 32]), SESSION), Link::over(theirs, NodeId([0; 32]), SESSION))
    });
    let [party, waited_for, silent] = PartyId::ALL;
    let brief = Duration::from_millis(50);
    let mut links = PartyLinks::new(party, [None, Some(to_second), Some(to_third)], runtime.handle().clone(), brief);
    assert!(matches!(links.receive(waited_for), Err(ChannelError::Late { peer, .. }) if peer == waited_for));
    links.say_end(Ending::Loss, "party 1: no message");
    // It had waited itself, and what it had to send was under way.
    runtime.block_on(second.send(1, 0, vec![1], PATIENCE)).unwrap();
    runtime.spawn(second.abort(Ending::Loss, "party 2: no message"));
    let word = links.last_word(waited_for, PATIENCE);
    assert_eq!(word, Some((Ending::Loss, "party 2: no message".to_owned())));
    assert_eq!(links.last_word(silent, brief), None);
}
