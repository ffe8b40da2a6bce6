//! How fast masks are made and added: expansions of 1 M entries on one core, each case about a second.
//!
//! `cargo run --release -p neuro-secagg --example expansion_speed`

use std::time::{Duration, Instant};

use neuro_secagg::masks::{Lanes, MaskJob, MaskSeed, Sign, apply};

/// Entries of the vector.
const ENTRIES: usize = 1_000_000;

/// Masks in one pass.
const JOBS: u8 = 100;

fn main() {
    println!("| generator | lanes | µs per expansion of 1 M entries | GB/s |");
    println!("|---|---|---|---|");
    let mut narrow = vec![0_u32; ENTRIES];
    let mut wide = vec![0_u64; ENTRIES];
    for (name, seed) in [("AES-128-CTR", aes as fn(u8) -> MaskSeed), ("ChaCha20", chacha)] {
        let jobs: Vec<_> = (0..JOBS).map(|index| MaskJob { seed: seed(index), sign: Sign::Plus }).collect();
        report(name, "u32", 4, || apply(Lanes::Narrow(&mut narrow), 0, &jobs));
        report(name, "u64", 8, || apply(Lanes::Wide(&mut wide), 0, &jobs));
    }
}

fn aes(index: u8) -> MaskSeed {
    MaskSeed::Aes128Ctr([index; 16])
}

fn chacha(index: u8) -> MaskSeed {
    MaskSeed::ChaCha20([index; 32])
}

/// Times `pass` until a second is over and prints the fastest.
fn report(generator: &str, lanes: &str, word_bytes: usize, mut pass: impl FnMut()) {
    let begun = Instant::now();
    let mut fastest = Duration::MAX;
    while begun.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        pass();
        fastest = fastest.min(start.elapsed());
    }
    let seconds = fastest.as_secs_f64() / f64::from(JOBS);
    let gigabytes = (ENTRIES * word_bytes) as f64 / seconds / 1e9;
    println!("| {generator} | {lanes} | {:.0} | {gigabytes:.1} |", seconds * 1e6);
}
