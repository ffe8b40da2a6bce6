//! What the proof costs: time of prover and both verifiers on one thread, rounds, bytes.
//!
//! `cargo run --release -p neuro-smpc --example proof [PART OF A NAME]`

#[path = "../tests/proof/deal.rs"]
#[allow(dead_code)]
mod deal;
#[path = "../tests/proof/network.rs"]
#[allow(dead_code)]
mod network;

use std::time::Duration;

use deal::{Statement, Words, deal};
use network::{TestCoins, wires};
use neuro_smpc::party::PartyId;
use neuro_smpc::proof::{Cost, verify};
use neuro_smpc::tape::Tapes;

fn main() {
    println!("{:<34} {:>7} {:>9} {:>9} {:>9}", "statement", "rounds", "bytes", "time/ms", "ns/term");
    let ring = |n: usize| Statement { ring: vec![2; n / 2], ..Statement::default() };
    let bits = |gates: usize| Statement { bits: vec![2; gates / 64], ..Statement::default() };
    let product = Statement { matrices: vec![[32, 768, 768]], ..Statement::default() };
    for (name, statement, terms) in [
        ("2^18 ring terms", ring(1 << 18), 1 << 18),
        ("2^20 ring terms", ring(1 << 20), 1 << 20),
        ("2^22 AND gates, 2^23 terms of a bit", bits(1 << 22), 1 << 23),
        ("product 32 x 768 x 768", product, 2 * 32 * 768 * 768),
    ] {
        if std::env::args().nth(1).is_some_and(|part| !name.contains(&part)) {
            continue;
        }
        let tapes = deal(&statement, &mut Words::new(1));
        let (busy, cost) = measure(&tapes);
        let (ms, ns) = (busy.as_secs_f64() * 1e3, busy.as_secs_f64() * 1e9 / f64::from(terms));
        println!("{name:<34} {:>7} {:>9} {ms:>9.2} {ns:>9.3}", cost.rounds, cost.bytes);
    }
}

/// Processor time of party 0, which proves once and verifies twice, and what it sent.
fn measure(tapes: &[Tapes; 3]) -> (Duration, Cost) {
    let mut wires = wires([None, None, None]).into_iter();
    let results = std::thread::scope(|scope| {
        let threads = PartyId::ALL.map(|party| {
            let wire = wires.next();
            let tapes = &tapes[party.index()];
            scope.spawn(move || {
                let before = processor_time();
                let cost = verify(party, tapes, &mut wire?, &mut TestCoins { party, seed: 3 }, 0).ok()?;
                Some((processor_time() - before, cost))
            })
        });
        threads.map(|thread| thread.join().ok().flatten())
    });
    results[0].unwrap_or_default()
}

/// Time that this thread has run, of what Linux tells; elsewhere 0.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}
