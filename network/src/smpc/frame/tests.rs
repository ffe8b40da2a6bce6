//! Frames there and back, frames that are not due, and bytes that are none.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::*;

#[path = "../../../../tests/shared/mutator.rs"]
mod mutator;
#[path = "../../../../tests/shared/not_debug.rs"]
mod not_debug;

use mutator::{INPUTS, Random, TIME, mutated};

not_debug::assert_not_debug!(Frame);

const SEED: u64 = 0x6672_616d_6573;

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

/// Committed frames: one message of every step of the gadgets and their proof, as parties sent it, of those with at most a
/// KiB; numbered as on one link, with an abort at its end. Each file is a frame without its length.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smpc_frames");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// An order that has admitted the first `count` frames of the corpus.
fn after(corpus: &[Vec<u8>], count: usize) -> Order {
    let mut order = Order::new(Frame::decode(&corpus[0]).unwrap().session);
    corpus[..count].iter().for_each(|bytes| assert!(order.admit(bytes).is_ok()));
    order
}

#[test]
fn committed_frames_are_read_as_they_were_written() {
    let corpus = corpus();
    assert!(corpus.len() > 20, "{} frames", corpus.len());
    let order = after(&corpus, corpus.len());
    assert_eq!(order.frames(), corpus.len() as u64);
    assert!(corpus.iter().all(|bytes| Frame::decode(bytes).unwrap().encode() == *bytes));
    assert_eq!(Frame::decode(corpus.last().unwrap()).unwrap().kind, FrameKind::Abort(Ending::Fault));
}

/// At every place of a link: frames left out, doubled, swapped, played again and of another session.
#[test]
fn no_frame_is_admitted_in_the_place_of_another() {
    let corpus = corpus();
    for due in 0..corpus.len() {
        let mut order = after(&corpus, due);
        let (hash, bytes) = (order.hash(), order.bytes());
        for (other, frame) in corpus.iter().enumerate().filter(|(other, _)| *other != due) {
            // Earlier ones were doubled or played again; later ones came because this one was lost or swapped.
            let fault = FrameFault::OutOfOrder { expected: due as u64, got: other as u64 };
            assert_eq!(order.admit(frame).err(), Some(fault), "frame {other} in the place of {due}");
        }
        let (expected, got) = (order.session(), SessionId([8; SESSION_BYTES]));
        let foreign = Frame { session: got, ..Frame::decode(&corpus[due]).unwrap() };
        assert_eq!(order.admit(&foreign.encode()).err(), Some(FrameFault::Foreign { expected, got }));
        assert_eq!((order.frames(), order.bytes(), order.hash()), (due as u64, bytes, hash), "nothing is counted");
        assert!(order.admit(&corpus[due]).is_ok(), "the one that is due still is");
    }
}

/// No mutated frame is read but by its one form, and none passes for one of another session or place. What a frame of the
/// right place says is for TLS to protect, and for the parties to check.
#[test]
fn mutated_frames_are_read_or_refused_and_never_pass_for_another_one() {
    let (corpus, start, mut random) = (corpus(), Instant::now(), Random(SEED));
    let orders: Vec<Order> = (0..corpus.len()).map(|due| after(&corpus, due)).collect();
    let mut admitted = 0;
    for number in 0..INPUTS {
        if start.elapsed() > TIME / 2 {
            break;
        }
        let bytes = mutated(&corpus, HEADER_BYTES + 8, &mut random);
        let due = random.below(corpus.len());
        let mut order = orders[due].clone();
        match order.admit(&bytes) {
            Ok(frame) => {
                let case = format!("seed {SEED:#x}, input {number}");
                assert!(frame.session == order.session() && frame.sequence == due as u64, "{case}");
                assert_eq!(frame.encode(), bytes, "one form, {case}");
                admitted += 1;
            }
            Err(_) => assert_eq!(order.hash(), orders[due].hash(), "seed {SEED:#x}, input {number}: it is counted"),
        }
    }
    assert!(admitted > 100, "the mutations should leave some frames good, got {admitted}");
}

/// The first digits of the hash of `frame(5)`.
const CONFORMANCE: &str = "cf4aeb941dfa0bea";
