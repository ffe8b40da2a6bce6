//! One ticket holder that comes, is silent and goes, again and again: what it costs the calls of others.

use std::time::Duration;

use neuro_orchestrator::Checks;
use neuro_simulation::swarm::flapping::{CallTimes, Experiment, Flapper};

/// The longest that a call may take: the deadline that the fleet's pace gives, some thirty milliseconds, and then the answer
/// of another worker, which may be overtaken in its turn. A task has two seconds where nobody's pace is known.
const LONGEST: Duration = Duration::from_millis(150);

const ALL: [Checks; 3] = [Checks::Trusting, Checks::SAMPLED, Checks::Verified];

fn run(flapper: Option<Flapper>, checks: Checks, seed: u64) -> CallTimes {
    let times = Experiment { flapper, checks, seed }.run();
    println!("{flapper:?} {checks:?} seed {seed}: {times:?}");
    times
}

#[test]
fn who_is_silent_and_comes_back_stalls_no_call_for_long_and_soon_none() {
    for (stays, answers) in [(50, 0), (99, 0), (1_990, 0), (2_100, 0), (30_000, 0), (300, 3)] {
        let flapper = Flapper { stays: Duration::from_millis(stays), renames: false, answers };
        for checks in ALL {
            let (with, without) = (run(Some(flapper), checks, 1), run(None, checks, 1));
            assert!(with.worst <= LONGEST && with.failed == 0, "{flapper:?} {checks:?}: {with:?}");
            assert!(with.p99 <= without.p99 * 5 / 4, "{flapper:?} {checks:?}: {with:?} beside {without:?}");
        }
    }
}

#[test]
fn who_comes_back_under_another_name_stalls_no_call_for_long() {
    for stays in [99, 1_990] {
        let flapper = Flapper { stays: Duration::from_millis(stays), renames: true, answers: 0 };
        for checks in ALL {
            let with = run(Some(flapper), checks, 2);
            assert!(with.worst <= LONGEST && with.failed == 0, "{flapper:?} {checks:?}: {with:?}");
        }
    }
}
