//! Links that are slow, stuck or silent.

use std::future::pending;
use std::time::Instant;

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

const SESSION: SessionId = SessionId([1; 16]);
const PEER: NodeId = NodeId([9; 32]);

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Short, so that what must run out runs out soon; nothing here fails because a machine is slow.
const BRIEF: Duration = Duration::from_millis(50);

/// The bytes of a first frame with `body` bytes.
fn framed(body: usize) -> Vec<u8> {
    let frame = Order::new(SESSION).next_frame(FrameKind::Message, 1, 0, vec![7; body]);
    [&u32::try_from(frame.len()).unwrap().to_le_bytes()[..], &frame].concat()
}

/// Waits for `time`.
async fn pass(time: Duration) {
    assert!(timeout(time, pending::<()>()).await.is_err());
}

/// Sends a byte every so often, and then nothing more.
async fn drip(mut stream: DuplexStream, bytes: Vec<u8>, every: Duration) {
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        pass(every).await;
    }
    pending().await
}

/// What comes of a wait of `deadline` for the frame in `bytes`, one byte every so often, and how long it took. A frame may
/// take `time`.
async fn waited(
    bytes: Vec<u8>,
    every: Duration,
    deadline: Duration,
    time: Duration,
) -> (Result<Frame, LinkError>, Duration) {
    let (ours, theirs) = duplex(1 << 10);
    let mut link = Link::within(ours, PEER, SESSION, time);
    let began = Instant::now();
    tokio::spawn(drip(theirs, bytes, every));
    (link.receive(deadline).await, began.elapsed())
}

#[tokio::test]
async fn a_slow_frame_is_waited_for_as_long_as_bytes_come() {
    let deadline = 20 * BRIEF;
    let (frame, took) = waited(framed(30), BRIEF / 2, deadline, PATIENCE).await;
    assert!(frame.is_ok_and(|frame| frame.body.len() == 30) && took > deadline, "{took:?}");
}

#[tokio::test]
async fn who_stops_in_the_middle_of_a_frame_is_late() {
    let half = framed(30)[..40].to_vec();
    let (late, _) = waited(half, Duration::ZERO, BRIEF, PATIENCE).await;
    assert!(matches!(late, Err(LinkError::Late { deadline: BRIEF })));
}

#[tokio::test]
async fn who_trickles_for_longer_than_a_frame_may_take_is_late_and_not_lost() {
    let (late, _) = waited(framed(1000), BRIEF / 10, PATIENCE, BRIEF).await;
    assert!(matches!(late, Err(LinkError::Late { deadline: BRIEF })));
}

#[tokio::test]
async fn who_takes_nothing_is_late_and_not_lost() {
    let (ours, _theirs) = duplex(1 << 10);
    let mut link = Link::within(ours, PEER, SESSION, BRIEF);
    let stuck = loop {
        match link.send(1, 0, vec![7; 1 << 12], PATIENCE).await {
            Ok(()) => pass(BRIEF / 2).await,
            Err(error) => break error,
        }
    };
    assert!(matches!(stuck, LinkError::Late { deadline: BRIEF }), "{stuck}");
}

#[tokio::test]
async fn news_wait_for_nobody_and_take_no_room_of_others() {
    let (ours, theirs) = duplex(1 << 10);
    let mut link = Link::over(ours, PEER, SESSION);
    let mut sent = 0;
    for _ in 0..4 * limits::MAX_QUEUED_FRAMES {
        sent += u32::from(link.try_send(1, sent, vec![7; 1 << 12]).unwrap());
        tokio::task::yield_now().await;
    }
    assert_eq!(sent, 2, "one is being written, and one waits");
    for part in sent..sent + 8 {
        link.send(1, part, vec![7; 1 << 12], BRIEF).await.expect("there is room for what must arrive");
    }
    let mut reader = Link::over(theirs, PEER, SESSION);
    for part in 0..sent + 8 {
        assert_eq!(reader.receive(PATIENCE).await.unwrap().part, part, "none is missing");
    }
    drop(reader);
    assert!(matches!(gone(&mut link).await, LinkError::Lost));
}

/// What sending news says once the other end has gone.
async fn gone(link: &mut Link) -> LinkError {
    loop {
        match link.try_send(1, 0, Vec::new()) {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => return error,
        }
    }
}
