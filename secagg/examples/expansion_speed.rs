//! How fast the arithmetic is on one core: masks made and added, vectors packed and summed, secrets shared and rebuilt.
//!
//! `cargo run --release -p neuro-secagg --example expansion_speed`. A case takes half a second; its fastest run counts.

use std::hint::black_box;
use std::time::{Duration, Instant};

use neuro_secagg::group::{KeyPair, Scalar};
use neuro_secagg::identity::Member;
use neuro_secagg::masks::{Generator, Lanes, MaskJob, MaskSeed, Sign, apply};
use neuro_secagg::packing::{Modulus, ModulusError, add_packed, pack};
use neuro_secagg::shamir::{rebuild, split};

/// Entries of a vector.
const ENTRIES: usize = 1_000_000;

/// Masks in one pass.
const JOBS: u8 = 20;

fn main() -> Result<(), ModulusError> {
    masks();
    packing()?;
    shares();
    Ok(())
}

/// Expansions of 1 M entries: the case that a round's cost on the server is counted in.
fn masks() {
    let (mut narrow, mut wide) = (vec![0_u32; ENTRIES], vec![0_u64; ENTRIES]);
    for generator in [Generator::Aes128Ctr, Generator::ChaCha20] {
        let name = format!("{generator:?}");
        let jobs: Vec<_> = (0..JOBS).map(|index| MaskJob { seed: seed(generator, index), sign: Sign::Plus }).collect();
        let each = fastest(|| apply(Lanes::Narrow(&mut narrow), 0, &jobs)) / u32::from(JOBS);
        report(&format!("one of {JOBS} fused expansions of 1 M, {name}, u32"), each, ENTRIES * 4);
        let each = fastest(|| apply(Lanes::Wide(&mut wide), 0, &jobs)) / u32::from(JOBS);
        report(&format!("one of {JOBS} fused expansions of 1 M, {name}, u64"), each, ENTRIES * 8);
        let alone = fastest(|| apply(Lanes::Narrow(&mut narrow), 0, &jobs[..1]));
        report(&format!("an expansion of 1 M alone, {name}, u32"), alone, ENTRIES * 4);
    }
}

/// A seed of its own for each `index`.
fn seed(generator: Generator, index: u8) -> MaskSeed {
    match generator {
        Generator::Aes128Ctr => MaskSeed::Aes128Ctr([index; 16]),
        Generator::ChaCha20 => MaskSeed::ChaCha20([index; 32]),
    }
}

/// Payloads of 1 M entries.
fn packing() -> Result<(), ModulusError> {
    let (mut narrow, mut wide) = (vec![0x1234_5678_u32; ENTRIES], vec![0x1234_5678_9abc_u64; ENTRIES]);
    let (small, large) = (Modulus::new(26)?, Modulus::new(40)?);
    let mut payload = Vec::new();
    let mut pack_again = |lanes: Lanes<'_>, modulus| {
        payload.clear();
        pack(lanes, modulus, &mut payload);
    };
    report("pack 1 M of 26 bits", fastest(|| pack_again(Lanes::Narrow(&mut narrow), small)), ENTRIES * 4);
    report("pack 1 M of 40 bits", fastest(|| pack_again(Lanes::Wide(&mut wide), large)), ENTRIES * 8);
    let packed = vec![0x55; small.payload_bytes(ENTRIES)];
    let add = || assert!(add_packed(Lanes::Narrow(&mut narrow), 0, &packed, small).is_ok());
    report("add 1 M of 26 bits", fastest(add), ENTRIES * 4);
    let packed = vec![0x55; large.payload_bytes(ENTRIES)];
    let add = || assert!(add_packed(Lanes::Wide(&mut wide), 0, &packed, large).is_ok());
    report("add 1 M of 40 bits", fastest(add), ENTRIES * 8);
    Ok(())
}

/// Keys and shares in a complete graph of 100 with threshold 89.
fn shares() {
    let holders: Vec<Member> = (0..99).map(Member).collect();
    let coefficients: Vec<Scalar> = (1..89).map(|index: u64| -Scalar::from(index)).collect();
    let secret = -Scalar::from(1_000_u64);
    let dealt = split(&secret, &coefficients, &holders);
    let shares: Vec<(Member, Scalar)> = holders.iter().copied().zip(dealt).take(89).collect();
    let key = KeyPair::new(secret);
    report("agree on a shared point", fastest(|| consume(key.agree(&key.public()))), 0);
    report("split a secret, 89 of 99", fastest(|| consume(split(&secret, &coefficients, &holders))), 0);
    report("rebuild a secret from 89 shares", fastest(|| consume(rebuild(&shares))), 0);
}

/// Keeps the compiler from leaving out what nobody reads.
fn consume<T>(value: T) {
    black_box(&value);
}

/// The fastest run of `pass` within half a second.
fn fastest(mut pass: impl FnMut()) -> Duration {
    let begun = Instant::now();
    let mut fastest = Duration::MAX;
    while begun.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        pass();
        fastest = fastest.min(start.elapsed());
    }
    fastest
}

/// One line: microseconds, and GB/s of lanes if there are any.
fn report(case: &str, took: Duration, bytes: usize) {
    let micros = took.as_secs_f64() * 1e6;
    if bytes == 0 {
        println!("{case}: {micros:.1} µs");
    } else {
        println!("{case}: {micros:.0} µs, {:.1} GB/s", bytes as f64 / micros / 1e3);
    }
}
