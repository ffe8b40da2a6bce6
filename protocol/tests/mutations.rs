//! A seeded mutator over the vectors: no decoder panics, makes more room than its input warrants, or accepts bytes
//! that are not the one form of what it returns.
//!
//! One test, alone in its process, because it counts what the allocator hands out.

use std::alloc::System;
use std::fs;
use std::io;
use std::time::Instant;

use neuro_protocol::{Evidence, Frame, Manifest, SignedManifest, SignedTicket};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "../../tests/shared/mutator.rs"]
mod mutator;
#[path = "../../tests/shared/vectors.rs"]
mod vectors;

use mutator::{INPUTS, Random, TIME, flip, mutated};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEED: u64 = 0x6e65_7572_6f21;

/// A decoded value takes more room than its bytes (a tensor's entry 112 bytes for 51), and lists grow by doubling.
const ROOM_PER_BYTE: usize = 16;
const ROOM: usize = 4 << 10;

/// Hands `input` to every decoder. What is accepted must be the one form of what came out.
fn decode_all(input: &[u8], text: &str) -> [bool; 5] {
    let plain: String = text.split_ascii_whitespace().collect::<String>().to_ascii_lowercase();
    let frame = Frame::decode(input).inspect(|frame| assert_eq!(frame.encode(), input)).is_ok();
    let manifest =
        Manifest::from_canonical(input).inspect(|manifest| assert_eq!(manifest.to_canonical(), input)).is_ok();
    let signed = SignedManifest::decode(input).is_ok();
    let ticket = SignedTicket::from_text(text).inspect(|ticket| assert_eq!(ticket.to_text(), plain)).is_ok();
    let evidence = Evidence::decode(input).inspect(|evidence| assert_eq!(evidence.encode(), input)).is_ok();
    [frame, manifest, signed, ticket, evidence]
}

/// What the decoders alone allocate for `input`.
fn room_for(input: &[u8], text: &str) -> usize {
    let region = Region::new(ALLOCATOR);
    drop((Frame::decode(input), Manifest::from_canonical(input), SignedManifest::decode(input)));
    drop((SignedTicket::from_text(text), Evidence::decode(input)));
    region.change().bytes_allocated
}

fn corpus() -> io::Result<Vec<Vec<u8>>> {
    let files: io::Result<Vec<_>> = fs::read_dir(vectors::folder())?.collect();
    let mut paths: Vec<_> = files?.into_iter().map(|file| file.path()).collect();
    paths.sort();
    paths.iter().map(|path| vectors::read(path)).collect()
}

/// A mutated vector, as bytes and as the text of a ticket, which is changed itself now and then.
fn input(corpus: &[Vec<u8>], random: &mut Random) -> (Vec<u8>, String) {
    let bytes = mutated(corpus, usize::MAX, random);
    let mut text = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase().into_bytes();
    if random.below(8) == 0 {
        let at = random.below(text.len() + 1);
        flip(&mut text, at, random);
    }
    (bytes, format!("neuro-ticket-{}", String::from_utf8_lossy(&text)))
}

#[test]
fn decoders_withstand_mutated_vectors() {
    let (corpus, start, mut random) = (corpus().unwrap(), Instant::now(), Random(SEED));
    let mut accepted = [0_usize; 5];
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
