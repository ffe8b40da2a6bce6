//! A seeded mutator over the vectors: no decoder panics, makes more room than its input warrants, or accepts bytes that
//! are not the one form of what it returns.
//!
//! One test, alone in its process, because it counts what the allocator hands out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::alloc::System;
use std::convert::Infallible;
use std::time::Instant;

use neuro_primitives::Untrusted;
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::messages::{Announcement, Message, Shape};
use neuro_secagg::roster::SignedRoster;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "../../tests/shared/mutator.rs"]
mod mutator;
#[path = "support/samples.rs"]
mod samples;

use mutator::{INPUTS, Random, TIME, mutated};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEED: u64 = 0x6e65_7572_6f66;

/// A decoded value takes more room than its bytes (a row of a cohort 520 bytes for 192), and lists grow by doubling.
const ROOM_PER_BYTE: usize = 16;
const ROOM: usize = 4 << 10;

/// The unsigned and the signed forms of every sample.
fn corpus() -> Vec<Vec<u8>> {
    let documents = [
        samples::signed_roster().encode(),
        samples::config().encode(),
        samples::signed_config(&samples::private_config()).encode(),
    ];
    let messages = samples::messages().into_iter().map(|(_, _, message)| message.encode());
    let announcements = samples::announcements().into_iter().map(|(_, _, announcement)| announcement.unsigned());
    documents.into_iter().chain(messages).chain(announcements).collect()
}

fn inside<T>(untrusted: Untrusted<T>) -> T {
    untrusted.verify(Ok::<_, Infallible>).unwrap()
}

/// Hands `input` to every decoder. What is accepted must be the one form of what came out.
fn decode_all(input: &[u8], shapes: &[Option<Shape>]) -> [bool; 5] {
    let roster = SignedRoster::decode(input).map(inside);
    let config = RoundConfig::decode(input);
    let signed = SignedConfig::decode(input).map(inside);
    let mut accepted = [
        roster.inspect(|roster| assert_eq!(roster.encode(), input)).is_ok(),
        config.inspect(|config| assert_eq!(config.encode(), input)).is_ok(),
        signed.inspect(|signed| assert_eq!(signed.encode(), input)).is_ok(),
        false,
        false,
    ];
    for shape in shapes {
        let message = Message::decode(input, shape.as_ref());
        accepted[3] |= message.inspect(|message| assert_eq!(message.encode(), input)).is_ok();
        let announcement = Announcement::decode(input, shape.as_ref()).map(inside);
        accepted[4] |= announcement.inspect(|announcement| assert_eq!(announcement.unsigned(), input)).is_ok();
    }
    accepted
}

/// The most that one decoder allocates for `input`.
fn room_for(input: &[u8], shapes: &[Option<Shape>]) -> usize {
    let room = |decode: &dyn Fn()| {
        let region = Region::new(ALLOCATOR);
        decode();
        region.change().bytes_allocated
    };
    let documents = [
        room(&|| drop(SignedRoster::decode(input))),
        room(&|| drop(RoundConfig::decode(input))),
        room(&|| drop(SignedConfig::decode(input))),
    ];
    let messages = shapes.iter().flat_map(|shape| {
        let shape = shape.as_ref();
        [room(&|| drop(Message::decode(input, shape))), room(&|| drop(Announcement::decode(input, shape)))]
    });
    documents.into_iter().chain(messages).max().unwrap_or(0)
}

#[test]
fn decoders_withstand_mutated_samples() {
    let largest = Shape { n: 4096, k: 1600, t: 1000, q: 2500, feldman: true };
    let shapes = [None, Some(samples::shape()), Some(largest)];
    let (corpus, start, mut random) = (corpus(), Instant::now(), Random(SEED));
    let mut accepted = [0_usize; 5];
    for number in 0..INPUTS {
        if start.elapsed() > TIME {
            break;
        }
        let bytes = mutated(&corpus, usize::MAX, &mut random);
        let outcome = std::panic::catch_unwind(|| (room_for(&bytes, &shapes), decode_all(&bytes, &shapes)));
        let (room, outcome) = outcome.unwrap_or_else(|_| panic!("seed {SEED:#x}, input {number}: {bytes:02x?}"));
        let warranted = ROOM_PER_BYTE * bytes.len() + ROOM;
        assert!(room <= warranted, "seed {SEED:#x}, input {number}: {room} bytes of room for {}", bytes.len());
        accepted.iter_mut().zip(outcome).for_each(|(count, accepted)| *count += usize::from(accepted));
    }
    assert!(accepted.iter().all(|&count| count > 0), "a decoder accepted nothing: {accepted:?}");
}
