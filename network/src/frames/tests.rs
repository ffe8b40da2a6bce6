//! Frames, good and bad, over in-memory streams; the clock is paused where time matters.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::*;

const LIMIT: usize = 1 << 20;

/// A stream that hands out `bytes` in pieces of `step`, then ends.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let end = self.bytes.len().min(self.at + self.step.min(buf.remaining()));
        buf.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

/// A stream that counts how often it was written to.
#[derive(Default)]
struct Counted {
    writes: usize,
    bytes: Vec<u8>,
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes += 1;
        self.bytes.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_le_bytes(), payload].concat()
}

fn reader(bytes: Vec<u8>, step: usize) -> FrameReader<Pieces> {
    FrameReader::new(Pieces { bytes, at: 0, step }, LIMIT)
}

#[tokio::test]
async fn frames_come_out_as_they_went_in_however_the_bytes_were_cut() {
    let payloads = [vec![1], vec![2; 4096], (0..200_000_u32).map(|n| n as u8).collect()];
    let bytes: Vec<u8> = payloads.iter().flat_map(|payload| framed(payload)).collect();
    for step in [1, 3, 4096, 1 << 20] {
        let mut frames = reader(bytes.clone(), step);
        for payload in &payloads {
            assert_eq!(frames.read().await.unwrap().as_ref(), Some(payload), "in steps of {step}");
        }
        assert_eq!(frames.read().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_frame_is_one_write() {
    let mut stream = Counted::default();
    FrameWriter::new(&mut stream, LIMIT).write(&[7; 5000]).await.unwrap();
    assert_eq!(stream.writes, 1);
    assert_eq!(stream.bytes, framed(&[7; 5000]));
}

#[tokio::test]
async fn every_malformed_stream_is_told_apart() {
    let over = u32::try_from(LIMIT + 1).unwrap().to_le_bytes().to_vec();
    let cases = [
        (over, "expected a frame of at most 1048576 bytes, got 1048577", true),
        (vec![0xff; 4], "expected a frame of at most 1048576 bytes, got 4294967295", true),
        (vec![0; 4], "expected a frame with content, got an empty one", true),
        (vec![5, 0], "the stream ended inside a frame: expected 4 bytes, got 2", false),
        (vec![5, 0, 0, 0], "the stream ended inside a frame: expected 9 bytes, got 4", false),
        (vec![5, 0, 0, 0, 1, 2], "the stream ended inside a frame: expected 9 bytes, got 6", false),
    ];
    let peer = NodeId([9; 32]);
    for (bytes, message, blamed) in cases {
        let mut frames = reader(bytes, 3);
        let error = frames.read().await.unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.blames(peer), blamed.then_some(peer), "{message}");
        assert_eq!(error.is_retryable(), !blamed, "{message}");
        assert!(matches!(frames.read().await, Err(FrameError::GivenUp)), "after {message}");
    }
}

#[tokio::test]
async fn an_announced_length_alone_costs_no_memory() {
    let mut frames = FrameReader::new(
        Pieces { bytes: [&u32::MAX.to_le_bytes()[..], &[1; 100]].concat(), at: 0, step: 8 },
        u32::MAX as usize,
    );
    assert!(matches!(frames.read().await, Err(FrameError::Truncated { got: 104, .. })));
    assert!(frames.payload.capacity() <= FIRST_ALLOCATION_BYTES + 100);
}

/// Short, so that what must run out runs out soon; nothing below depends on how fast the machine is.
const BRIEF: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_frame_that_stalls_runs_out_of_time_but_a_quiet_stream_does_not() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut frames = FrameReader::new(ours, LIMIT).with_time_limit(BRIEF);
    let quiet = tokio::time::timeout(BRIEF * 3, frames.read()).await;
    assert!(quiet.is_err(), "nothing came, and nothing was wrong with that");
    theirs.write_all(&framed(&[1; 40])[..5]).await.unwrap();
    let error = frames.read().await.unwrap_err();
    assert!(matches!(error, FrameError::Slow { limit: BRIEF }), "{error}");
}

#[tokio::test]
async fn trickling_bytes_do_not_extend_the_time() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut frames = FrameReader::new(ours, LIMIT).with_time_limit(BRIEF);
    theirs.write_all(&framed(&[1; 1 << 19])[..4]).await.unwrap();
    let trickle = async {
        // One byte whenever the reader has taken the last one: it is never left waiting.
        while theirs.write_all(&[1]).await.is_ok() {
            tokio::time::timeout(BRIEF / 10, std::future::pending::<()>()).await.unwrap_err();
        }
    };
    let outcome = tokio::select! {
        outcome = frames.read() => outcome,
        () = trickle => panic!("the reader is still there"),
    };
    assert!(matches!(outcome, Err(FrameError::Slow { .. })));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_fails_the_write_and_the_stream() {
    let (ours, _theirs) = tokio::io::duplex(64);
    let mut frames = FrameWriter::new(ours, LIMIT).with_time_limit(BRIEF);
    assert!(matches!(frames.write(&[0; 1000]).await, Err(FrameError::Slow { .. })));
    assert!(matches!(frames.write(&[0; 10]).await, Err(FrameError::GivenUp)));
}

#[tokio::test]
async fn a_read_that_was_dropped_goes_on_where_it_was() {
    let (ours, mut theirs) = tokio::io::duplex(LIMIT);
    let mut frames = FrameReader::new(ours, LIMIT);
    let bytes = framed(&(0..100).collect::<Vec<u8>>());
    for byte in &bytes[..bytes.len() - 1] {
        theirs.write_all(&[*byte]).await.unwrap();
        tokio::select! {
            biased;
            early = frames.read() => panic!("a frame came early: {early:?}"),
            () = std::future::ready(()) => {}
        }
    }
    theirs.write_all(&[99]).await.unwrap();
    assert_eq!(frames.read().await.unwrap().unwrap(), (0..100).collect::<Vec<u8>>());
}

#[tokio::test]
async fn what_must_not_be_sent_is_refused_and_leaves_the_stream_usable() {
    let mut stream = Counted::default();
    let mut frames = FrameWriter::new(&mut stream, 8);
    assert!(matches!(frames.write(&[0; 9]).await, Err(FrameError::TooLong { length: 9, limit: 8 })));
    assert!(matches!(frames.write(&[]).await, Err(FrameError::Empty)));
    frames.write(&[1; 8]).await.unwrap();
    assert_eq!(stream.bytes, framed(&[1; 8]));
}

/// SplitMix64: a seeded stream of numbers, so that a failure can be repeated.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn mutated(seeded: &mut Seeded) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..1 + seeded.below(3)).flat_map(|_| framed(&vec![7; 1 + seeded.below(40)])).collect();
    for _ in 0..seeded.below(4) {
        let at = seeded.below(bytes.len());
        match seeded.below(3) {
            0 => bytes[at] = seeded.next() as u8,
            1 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, seeded.next() as u8),
        }
    }
    bytes
}

#[tokio::test]
async fn mutated_streams_never_yield_more_than_came() {
    let limit = 64;
    for seed in 0..20_000 {
        let mut seeded = Seeded(seed);
        let bytes = mutated(&mut seeded);
        let total = bytes.len();
        let mut frames = FrameReader::new(Pieces { bytes, at: 0, step: 1 + seeded.below(9) }, limit);
        let mut used = 0;
        while let Ok(Some(payload)) = frames.read().await {
            used += HEADER_BYTES + payload.len();
            assert!(!payload.is_empty() && payload.len() <= limit, "seed {seed}");
        }
        assert!(used <= total, "seed {seed}: {used} of {total} bytes");
        assert!(frames.payload.capacity() <= limit, "seed {seed}");
    }
}

#[tokio::test]
async fn a_long_frame_has_the_time_that_its_length_allows() {
    let (ours, theirs) = tokio::io::duplex(64);
    // A second for each byte.
    let mut reader = FrameReader::new(ours, LIMIT).with_time_limit(BRIEF).with_pace(1);
    let mut writer = FrameWriter::new(theirs, LIMIT).with_time_limit(BRIEF).with_pace(1);
    let read = async {
        let stuck = tokio::time::timeout(BRIEF * 3, std::future::pending::<()>()).await;
        assert!(stuck.is_err(), "the frame has not all left before");
        reader.read().await
    };
    let (written, read) = tokio::join!(writer.write(&[7; 1000]), read);
    written.unwrap();
    assert_eq!(read.unwrap().unwrap(), [7; 1000]);
}
