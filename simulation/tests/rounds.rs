//! Whole rounds: the sum is the plain sum, or the round ends with a reason; and the same seed gives the same bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use neuro_secagg::masks::Generator;
use neuro_simulation::{Commitments, Losses, Restarts, Simulation, SimulationPlan, SimulationReport};
use proptest::prelude::*;

fn run(plan: &SimulationPlan, seed: u64) -> SimulationReport {
    match Simulation::run(plan, seed) {
        Ok(report) => report,
        Err(error) => panic!("seed {seed}: {error}\n{plan:?}"),
    }
}

fn plan(members: u32, losses: Losses) -> SimulationPlan {
    SimulationPlan { losses, dropout_bps: 3_000, ..SimulationPlan::new(members, 300) }
}

#[test]
fn a_round_without_losses_gives_the_plain_sum() {
    let report = run(&plan(20, Losses::default()), 1);
    let [cohort] = &report.cohorts[..] else { panic!("one cohort") };
    assert_eq!((cohort.end.as_str(), cohort.survivors, cohort.n, cohort.k), ("Done", 20, 20, 19));
    assert_eq!(cohort.expansions, 20, "self-masks alone");
    assert!(cohort.max_abs_error.is_some_and(|error| error < 2e-6));
    assert_eq!((cohort.modulus_bits, cohort.bytes.up["payload"]), (24, 301 * 3));
    let phases: Vec<&str> = cohort.phases.iter().map(|phase| phase.phase.as_str()).collect();
    assert_eq!(phases, ["Join", "Reveal", "Shares", "Received", "Upload", "Vote", "Answer", "Unmask"]);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let plan = plan(12, Losses { upload: 1, vote: 1, ..Losses::default() });
    let transcript = |seed| run(&plan, seed).cohorts[0].transcript.clone();
    assert_eq!(transcript(5), transcript(5));
    assert_ne!(transcript(5), transcript(6));
}

#[test]
fn the_dead_leave_their_pair_masks_to_be_removed() {
    let report = run(&plan(20, Losses { upload: 3, ..Losses::default() }), 2);
    let cohort = &report.cohorts[0];
    assert_eq!((cohort.end.as_str(), cohort.survivors), ("Done", 17));
    assert_eq!(cohort.expansions, 17 + 3 * 17);
}

#[test]
fn who_is_lost_after_the_upload_is_in_the_sum() {
    let report = run(&plan(20, Losses { vote: 2, answer: 2, ..Losses::default() }), 3);
    assert_eq!((report.cohorts[0].end.as_str(), report.cohorts[0].survivors), ("Done", 20));
}

#[test]
fn a_lost_reveal_begins_a_second_attempt_without_the_silent() {
    let report = run(&plan(20, Losses { reveal: 2, ..Losses::default() }), 4);
    let cohort = &report.cohorts[0];
    assert_eq!((cohort.end.as_str(), cohort.called, cohort.n, cohort.survivors), ("Done", 20, 18, 18));
    assert_eq!(cohort.phases.iter().filter(|phase| phase.phase == "Join").count(), 2);
}

#[test]
fn one_loss_too_many_ends_the_round_without_a_sum() {
    let report = run(&plan(20, Losses { upload: 7, ..Losses::default() }), 5);
    let cohort = &report.cohorts[0];
    assert!(cohort.end.starts_with("TooFewUploaded"), "{}", cohort.end);
    assert_eq!((cohort.survivors, cohort.weight, cohort.expansions), (0, None, 0));
}

#[test]
fn both_sides_go_on_from_what_they_stored_in_every_phase() {
    let losses = Losses { reveal: 1, received: 1, upload: 2, answer: 1, ..Losses::default() };
    for restarts in [(true, false), (false, true), (true, true)] {
        let restarts = Restarts { participants: restarts.0, aggregator: restarts.1 };
        let report = run(&SimulationPlan { restarts, ..plan(20, losses) }, 6);
        assert_eq!((report.cohorts[0].end.as_str(), report.cohorts[0].survivors), ("Done", 16), "{restarts:?}");
    }
}

#[test]
fn a_sparse_graph_removes_only_the_masks_of_neighbours() {
    let losses = Losses { upload: 13, ..Losses::default() };
    let plan = SimulationPlan { losses, ..SimulationPlan::new(130, 50) };
    let cohort = &run(&plan, 7).cohorts[0];
    assert_eq!((cohort.end.as_str(), cohort.survivors), ("Done", 117));
    assert!(cohort.k < 129 && cohort.expansions < 117 + 13 * 117, "{} {}", cohort.k, cohort.expansions);
}

#[test]
fn cohorts_have_sums_of_their_own() {
    let plan = SimulationPlan { cohorts: 3, ..plan(36, Losses { upload: 1, ..Losses::default() }) };
    let report = run(&plan, 8);
    let survivors: Vec<usize> = report.cohorts.iter().map(|cohort| cohort.survivors).collect();
    assert_eq!(survivors, [11, 11, 11]);
    assert!(report.cohorts[0].transcript != report.cohorts[1].transcript);
}

#[test]
fn wide_moduli_chacha_and_commitments_change_nothing_of_the_sum() {
    let base = SimulationPlan { losses: Losses { upload: 1, ..Losses::default() }, ..plan(12, Losses::default()) };
    let wide = SimulationPlan { value_bits: 30, scale: 1e8, generator: Generator::ChaCha20, ..base.clone() };
    let cohort = run(&wide, 9).cohorts.remove(0);
    assert!(cohort.modulus_bits > 32 && cohort.max_abs_error.is_some_and(|error| error < 1e-8), "{cohort:?}");
    let verified = SimulationPlan { commitments: Commitments::Verified, ..base.clone() };
    let (with, without) = (run(&verified, 9).cohorts.remove(0), run(&base, 9).cohorts.remove(0));
    assert_eq!((with.survivors, with.weight), (without.survivors, without.weight));
    assert!(with.bytes.up["shares"] > without.bytes.up["shares"]);
}

#[test]
fn parked_participants_leave_records_behind() {
    let folder = std::env::temp_dir().join(format!("neuro-simulation-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let report = run(&SimulationPlan { park: Some(folder.clone()), ..plan(10, Losses::default()) }, 10);
    assert_eq!(report.cohorts[0].end, "Done");
    assert!(folder.join("record-0").is_file());
    std::fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn within_the_tolerated_dropout_every_round_ends_with_the_plain_sum(
        seed: u64, members in 10_u32..24, losses in [0_u16..2, 0..2, 0..2, 0..2, 0..2, 0..2], restarts: [bool; 2],
    ) {
        let [reveal, shares, received, upload, vote, answer] = losses;
        let losses = Losses { reveal, shares, received, upload, vote, answer };
        let restarts = Restarts { participants: restarts[0], aggregator: restarts[1] };
        let report = run(&SimulationPlan { restarts, dropout_bps: 3_000, ..plan(members, losses) }, seed);
        let cohort = &report.cohorts[0];
        let dead = u32::from(shares + received + upload + vote + answer);
        let tolerated = 3 * u32::from(cohort.n) / 10;
        let before = usize::from(shares + received + upload);
        if dead <= tolerated {
            prop_assert_eq!((cohort.end.as_str(), cohort.survivors), ("Done", usize::from(cohort.n) - before));
        } else {
            prop_assert!(cohort.end != "Done" || cohort.survivors == usize::from(cohort.n) - before);
        }
    }
}
