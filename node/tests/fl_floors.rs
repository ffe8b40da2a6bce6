//! Disaggregation over rounds (docs/spec/secagg.md, section 15): whole batches, turnout, a budget kept by the participant.

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "fl/federation.rs"]
#[allow(dead_code, reason = "shared with the tests in fl/")]
mod federation;
#[path = "fl/twin.rs"]
#[allow(dead_code, reason = "shared with the tests in fl/")]
mod twin;

use std::fs;

use federation::Federation;
use neuro_node::participant_role::ParticipantEvent;
use serde_json::Value;
use twin::Fault;

const TENSORS: &[(&str, &[usize])] = &[("w", &[2])];

const NOISE: &str =
    "[privacy]\nmode = \"distributed\"\nclip = 1.0\nscale = 100\nnoise_multiplier = 2.0\ndelta = 1e-5\n";

fn trainer(federation: &Federation, number: usize) -> String {
    federation.trainer(number, &[("w", &[2], &[0.5, 0.25])], 1)
}

/// What left a participant's machine.
fn left(federation: &Federation, number: usize) -> Vec<String> {
    let text = fs::read_to_string(federation.file_of(number, "audit.jsonl")).unwrap_or_default();
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["left"].as_str().unwrap().to_owned();
    text.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn part_of_a_batch_is_refused() {
    // Of a batch of twenty an aggregator lets eight come: the difference to a round of all would be twelve persons.
    let plan = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 10000\nreveal_ms = 1000\n";
    let mut federation = Federation::start_listed(plan, TENSORS, Some(8), &[0; 20]).await;
    let mut participants = federation.join_all(8, |number| trainer(&federation, number)).await;
    for participant in &mut participants {
        let (done, reason) = participant.ended().await;
        assert!(!done && reason.contains("turnout"), "{reason}");
    }
    assert!(!federation.ended().await.done);
    for number in 0..8 {
        assert_eq!(left(&federation, number), ["join"], "keys left, and nothing that shares or masks");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_refuses_to_join() {
    let plan = format!(
        "[rounds]\ncount = 50\n[cohort]\nleast = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 10000\n{NOISE}"
    );
    let mut federation = Federation::start(&plan, TENSORS, Some(9), 1).await;
    // One round costs about 2.2, two 3.2: a second one is beyond the floor of the ninth.
    let mut others = federation.join_all(8, |number| trainer(&federation, number)).await;
    let mut careful =
        federation.join_with(8, &trainer(&federation, 8), "most_epsilon = 3.0\nprivate_mode = true\n").await;
    let refused = |event| match event {
        ParticipantEvent::Refused { round, reason } => Some((round, reason)),
        _ => None,
    };
    assert!(federation.ended().await.done);
    let (round, reason) = careful.until(refused).await;
    assert_eq!(round, 2);
    assert!(reason.contains("ε of at most 3"), "{reason}");
    let second = federation.ended().await;
    assert!(second.done, "the others go on: {}", second.outcome);
    assert_eq!(second.survivors, 8);
    // Its own account is on its own disk: starting again changes nothing.
    careful.leave().await;
    let mut careful =
        federation.join_with(8, &trainer(&federation, 8), "most_epsilon = 3.0\nprivate_mode = true\n").await;
    let (round, reason) = careful.until(refused).await;
    assert!(round >= 2 && reason.contains("ε of at most 3"), "{round}: {reason}");
    assert_eq!(federation.past(8)["releases"].as_array().unwrap().len(), 1);
    others[0].ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_mode_refuses_rounds_without_noise() {
    let plan = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 1000\n";
    let mut federation = Federation::start_listed(plan, TENSORS, Some(1), &[0; 8]).await;
    let mut careful = federation.join_with(0, &trainer(&federation, 0), "private_mode = true\n").await;
    let refused = |event| if let ParticipantEvent::Refused { reason, .. } = event { Some(reason) } else { None };
    let reason = careful.until(refused).await;
    assert!(reason.contains("noise of every participant"), "{reason}");
    assert!(!federation.ended().await.done);
    assert_eq!(left(&federation, 0), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_unmasking_is_charged() {
    // Three of eight vote and then say nothing: too few shares come together, though five have answered.
    let deadlines = "[cohort.deadlines]\nanswer_ms = 1500\n";
    let plan = format!("[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n{deadlines}{NOISE}");
    let mut federation = Federation::start(&plan, TENSORS, Some(8), 1).await;
    for number in 5..8 {
        twin::attend(&federation.participant(number), &federation.invitation(), Fault::NoAnswer).await;
    }
    let mut participants = federation.join_all(5, |number| trainer(&federation, number)).await;
    let round = federation.ended().await;
    assert!(!round.done && round.outcome.contains("too few answered"), "{}", round.outcome);
    assert_eq!(round.charges.len(), 1);
    assert_eq!(round.charges[0].members.len(), 8, "everybody whose vector might have been opened");
    assert!(round.charges[0].spent.unwrap().epsilon > 0.0);
    assert!(!participants[0].ended().await.0);
    let past = federation.past(0);
    assert_eq!(past["releases"].as_array().unwrap().len(), 1);
    assert!(past["releases"][0]["event"].is_object(), "{past}");
}
