//! Swarms in which everything goes wrong, and what holds nevertheless.

// In tests a panic is the way to fail.
#![allow(clippy::panic)]

use neuro_simulation::swarm::{self, Policy, Tally};

const SEEDS: std::ops::Range<u64> = 0..150;

fn run_all(policy: Policy) -> Tally {
    let tally = swarm::run_all(policy, SEEDS).unwrap_or_else(|broken| panic!("\n{broken}"));
    println!("{policy}: {tally}");
    // A world where nothing goes wrong, or nothing succeeds, would test nothing.
    assert!(tally.done > 20_000 && tally.failed > 0 && tally.failed < tally.done, "{tally}");
    assert!(tally.reissues > 1_000 && tally.backups > 100 && tally.restarts > 20, "{tally}");
    assert_eq!(tally.calls, tally.done + tally.failed + tally.given_up, "{tally}");
    tally
}

#[test]
fn no_seed_breaks_an_invariant_under_verified() {
    let tally = run_all(Policy::Verified);
    assert!(tally.lies > 500 && tally.convicted > 50 && tally.retracted == 0, "{tally}");
}

#[test]
fn no_seed_breaks_an_invariant_under_sampled() {
    let tally = run_all(Policy::Sampled);
    assert!(tally.lies > 500 && tally.convicted > 50 && tally.retracted > 0, "{tally}");
    // The audit rate as a mean: the bound on wrong results alone would hold at a tenth of it.
    let (drawn, expected) = (tally.drawn as f64, tally.expected_milli as f64 / 1_000.0);
    assert!(expected > 500.0 && (drawn / expected - 1.0).abs() < 0.1, "{drawn} drawn, {expected} expected: {tally}");
}

#[test]
fn no_seed_breaks_an_invariant_under_trusting() {
    let tally = run_all(Policy::Trusting);
    assert!(tally.wrong_used > 1_000 && tally.checks == 0 && tally.convicted == 0, "{tally}");
}

#[test]
fn the_same_seed_gives_the_same_story() {
    for seed in 0..10 {
        let [first, second] = [0; 2].map(|_| swarm::replay(Policy::Sampled, seed));
        assert!(first.1.len() > 1_000);
        assert_eq!(first, second, "seed {seed}");
    }
}
