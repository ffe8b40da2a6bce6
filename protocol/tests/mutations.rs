//! A seeded mutator over the vectors: no decoder panics, makes more room than its input warrants, or accepts bytes
//! that are not the one form of what it returns.
//!
//! One test, alone in its process, because it counts what the allocator hands out.

use std::alloc::System;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use neuro_protocol::{Frame, Manifest, SignedManifest, SignedTicket};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "support/hex_file.rs"]
mod hex_file;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEED: u64 = 0x6e65_7572_6f21;

/// Inputs that are tried, unless the time is over first: slow machines try fewer, and the first ones are the same.
const INPUTS: usize = 100_000;
const TIME: Duration = Duration::from_secs(5);

/// A decoded value takes more room than its bytes (a tensor's entry 112 bytes for 51), and lists grow by doubling.
const ROOM_PER_BYTE: usize = 16;
const ROOM: usize = 4 << 10;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A place in `bytes`, its end included.
    fn place(&mut self, bytes: &[u8]) -> usize {
        self.below(bytes.len() + 1)
    }
}

/// Changes `bytes` in one of the ways that find mistakes in decoders.
fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.place(bytes);
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.next() as u8),
        2 => overwrite(bytes, at, &EXTREMES[random.below(EXTREMES.len())].to_le_bytes()[..1 << random.below(4)]),
        3 => {
            bytes.drain(at..(at + random.below(9)).min(bytes.len()));
        }
        4 => {
            let other = &corpus[random.below(corpus.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.place(other)..]);
        }
        5 => {
            let piece = bytes[at..(at + random.below(64)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => flip(bytes, at, random),
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, &new) in bytes[at..].iter_mut().zip(with) {
        *byte = new;
    }
}

fn flip(bytes: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

const EXTREMES: [u64; 10] = [0, 1, 2, 0x7f, 0xff, 0x201, 0x8000, 0x7fc0_0000, u32::MAX as u64, u64::MAX];

/// Hands `input` to every decoder. What is accepted must be the one form of what came out.
fn decode_all(input: &[u8], text: &str) -> [bool; 4] {
    let plain: String = text.split_ascii_whitespace().collect::<String>().to_ascii_lowercase();
    let frame = Frame::decode(input).inspect(|frame| assert_eq!(frame.encode(), input)).is_ok();
    let manifest =
        Manifest::from_canonical(input).inspect(|manifest| assert_eq!(manifest.to_canonical(), input)).is_ok();
    let signed = SignedManifest::decode(input).is_ok();
    let ticket = SignedTicket::from_text(text).inspect(|ticket| assert_eq!(ticket.to_text(), plain)).is_ok();
    [frame, manifest, signed, ticket]
}

/// What the decoders alone allocate for `input`.
fn room_for(input: &[u8], text: &str) -> usize {
    let region = Region::new(ALLOCATOR);
    drop((Frame::decode(input), Manifest::from_canonical(input), SignedManifest::decode(input)));
    drop(SignedTicket::from_text(text));
    region.change().bytes_allocated
}

fn corpus() -> io::Result<Vec<Vec<u8>>> {
    let files: io::Result<Vec<_>> = fs::read_dir(hex_file::folder())?.collect();
    let mut paths: Vec<_> = files?.into_iter().map(|file| file.path()).collect();
    paths.sort();
    paths.iter().map(|path| hex_file::read(path)).collect()
}

/// A mutated vector, as bytes and as the text of a ticket, which is changed itself now and then.
fn input(corpus: &[Vec<u8>], random: &mut Random) -> (Vec<u8>, String) {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(4) {
        mutate(&mut bytes, corpus, random);
    }
    let mut text = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase().into_bytes();
    if random.below(8) == 0 {
        let at = random.place(&text);
        flip(&mut text, at, random);
    }
    (bytes, format!("neuro-ticket-{}", String::from_utf8_lossy(&text)))
}

#[test]
fn decoders_withstand_mutated_vectors() {
    let (corpus, start, mut random) = (corpus().unwrap(), Instant::now(), Random(SEED));
    let mut accepted = [0_usize; 4];
    for number in 0..INPUTS {
        if start.elapsed() > TIME {
            break;
        }
        let (bytes, text) = input(&corpus, &mut random);
        let outcome = std::panic::catch_unwind(|| (room_for(&bytes, &text), decode_all(&bytes, &text)));
        let (room, outcome) = outcome.unwrap_or_else(|_| panic!("seed {SEED:#x}, input {number}: {bytes:02x?} {text}"));
        let warranted = ROOM_PER_BYTE * bytes.len() + ROOM;
        assert!(room <= warranted, "seed {SEED:#x}, input {number}: {room} bytes of room for {}", bytes.len());
        accepted.iter_mut().zip(outcome).for_each(|(count, accepted)| *count += usize::from(accepted));
    }
    assert!(accepted.iter().all(|&count| count > 0), "a decoder accepted nothing: {accepted:?}");
}
