//! A fleet that is slow as a whole for a while, with the deadlines of the product.

use std::time::Duration;

use neuro_orchestrator::Settings;
use neuro_simulation::swarm::slowdown;

#[test]
fn deadlines_make_a_slow_fleet_no_slower() {
    let shortest = Settings::new(Vec::new()).shortest_deadline;
    for slower in [1.5, 2.0, 2.3] {
        for seed in 1..=3 {
            let with = slowdown::run(slower, shortest, seed);
            let without = slowdown::run(slower, Duration::from_secs(1), seed);
            println!("{slower} times as slow: {with:?}, and with long deadlines {without:?}");
            assert!(with.failed == 0 && with.extra * 20 < with.needed, "tasks are asked twice: {with:?}");
            assert!(with.p99 < without.p99 * 3 / 2, "{with:?} against {without:?}");
            assert!(with.worst_after < Duration::from_millis(30), "it is not well again: {with:?}");
        }
    }
}
