//! The core in a made-up world: workers join, load, answer, stall, answer late or wrongly, die and return, while calls
//! flow. A seed decides everything; the clock is virtual. What counts as failure is asserted at every effect in
//! `world.rs`. To repeat a failure, put its seed into `SEEDS`.

// In tests a panic is the way to fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation {
    pub mod world;
}

use simulation::world::World;

const SEEDS: std::ops::Range<u64> = 0..200;

/// Prints the seed when the run that it guards panics.
struct SeedOnFailure(u64);

impl Drop for SeedOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("simulation failed with seed {}", self.0);
        }
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    let (mut done, mut failed, mut reissues) = (0, 0, 0);
    for seed in SEEDS {
        let _guard = SeedOnFailure(seed);
        let mut world = World::new(seed);
        world.run_wild(300);
        world.heal();
        world.check_at_rest();
        let counters = world.core.counters();
        (done, failed, reissues) =
            (done + counters.calls_done, failed + counters.calls_failed, reissues + counters.reissues);
    }
    println!("{done} calls done, {failed} failed, {reissues} tasks re-issued");
    // A world where nothing goes wrong, or nothing succeeds, would test nothing.
    assert!(done > 20_000 && reissues > 2_000 && failed > 0, "{done} done, {failed} failed, {reissues} re-issued");
    assert!(failed < done, "{failed} failed, {done} done");
}

#[test]
fn the_same_seed_gives_the_same_effects() {
    for seed in 0..10 {
        let logs = [0; 2].map(|_| {
            let mut world = World::new(seed);
            world.log = Some(Vec::new());
            world.run_wild(200);
            world.log.unwrap()
        });
        assert!(!logs[0].is_empty());
        assert_eq!(logs[0], logs[1], "seed {seed}");
    }
}
