//! Frames there and back, frames that are not due, and bytes that are none.

use std::time::{Duration, Instant};

use super::*;

const SESSION: SessionId = SessionId([7; SESSION_BYTES]);

fn frame(sequence: u64) -> Frame {
    Frame { session: SESSION, sequence, kind: FrameKind::Message, step: 3, part: 1, body: vec![1, 2, 3] }
}

#[test]
fn a_frame_has_one_form() {
    let bytes = frame(5).encode();
    assert_eq!(bytes.len(), HEADER_BYTES + 3);
    assert!(Frame::decode(&bytes).unwrap() == frame(5));
    let digest = blake3::hash(&bytes).to_hex();
    assert_eq!(&digest[..16], CONFORMANCE, "the layout of docs/spec/smpc-session.md has changed");
}

#[test]
fn only_the_next_frame_of_the_session_is_admitted() {
    let mut order = Order::new(SESSION);
    order.admit(&frame(0).encode()).unwrap();
    let hash = order.hash();
    let fault = |order: &mut Order, frame: Frame| order.admit(&frame.encode()).err().unwrap();
    assert_eq!(fault(&mut order, frame(0)), FrameFault::OutOfOrder { expected: 1, got: 0 }, "replayed");
    assert_eq!(fault(&mut order, frame(2)), FrameFault::OutOfOrder { expected: 1, got: 2 }, "reordered");
    let other = SessionId([8; SESSION_BYTES]);
    let foreign = Frame { session: other, ..frame(1) };
    assert_eq!(fault(&mut order, foreign), FrameFault::Foreign { expected: SESSION, got: other });
    assert_eq!(order.hash(), hash, "what is refused is not counted");
    order.admit(&frame(1).encode()).unwrap();
    assert_eq!(order.frames(), 2);
}

#[test]
fn mutated_frames_are_read_or_refused_and_never_pass_for_the_next_one() {
    let corpus = [frame(0), frame(9), Frame { kind: FrameKind::Abort, body: b"late".to_vec(), ..frame(0) }];
    let corpus: Vec<Vec<u8>> = corpus.iter().map(Frame::encode).collect();
    let (began, mut state) = (Instant::now(), 0x5eed_u64);
    for round in 0..100_000 {
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
        let mut bytes = corpus[round % corpus.len()].clone();
        // Knuth's MMIX constants: any seeded sequence will do.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (state >> 33) as usize % bytes.len();
        bytes[at] ^= (state >> 25) as u8 | 1;
        bytes.truncate(1 + (state >> 40) as usize % (2 * bytes.len()));
        let mut order = Order::new(SESSION);
        if let Ok(frame) = order.admit(&bytes) {
            assert!(frame.session == SESSION && frame.sequence == 0, "round {round}");
            assert_eq!(frame.encode(), bytes, "one form, round {round}");
        } else {
            assert_eq!(order.frames(), 0);
        }
    }
}

/// The first digits of the hash of `frame(5)`.
const CONFORMANCE: &str = "0000000000000000";
