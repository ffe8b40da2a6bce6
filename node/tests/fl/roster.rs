//! Members that enrol while a round gathers its own.

use neuro_node::aggregator_role::AggregatorEvent;
use neuro_node::participant_role::ParticipantEvent;

use crate::federation::Federation;

const PLAN: &str = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 20000\n";

fn trainer(federation: &Federation, number: usize) -> String {
    federation.trainer(number, &[("w", &[2], &[0.5, 0.25])], 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_enrols_while_a_round_waits_for_members_takes_part() {
    // Nine are listed, two of whom never come: a round of seven waits for an eighth, who is not on its roster.
    let mut federation = Federation::start_listed(PLAN, &[("w", &[2])], Some(7), &[0; 9]).await;
    let _seven = federation.join_all(7, |number| trainer(&federation, number)).await;
    federation.until(|event| matches!(event, AggregatorEvent::Began { round: 1, .. }).then_some(())).await;
    let _eighth = federation.join(20, &trainer(&federation, 20)).await;
    let first = federation.ended().await;
    assert!(first.outcome.contains("called again"), "{}", first.outcome);
    assert_eq!(first.checkpoint.unwrap().failures, 0, "it counts for nothing");
    let second = federation.ended().await;
    assert_eq!((second.done, second.survivors), (true, 8), "{}", second.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_called_by_what_the_least_able_of_their_members_declares() {
    let plan = "[rounds]\ncount = 1\n[cohort]\nleast = 3\nmost = 8\ncorrupt = 0.0\ndropout = 0.25\n[selection]\npolicy = \
                \"capability\"\nbatches = 2\nleast = 16\n";
    let listed = [0, 0, 0, 0, 1, 1, 1, 1];
    let mut federation = Federation::start_listed(plan, &[("w", &[2])], Some(8), &listed).await;
    let mut participants = Vec::new();
    for number in 0..listed.len() {
        // One of batch 0 can do little, so all of it sit out.
        let capability = if number == 2 { 8 } else { 16 };
        let floors = "least_members = 3\nleast_corrupt = 0.0\n";
        participants.push(federation.join_able(number, &trainer(&federation, number), floors, capability).await);
    }
    let round = federation.ended().await;
    assert_eq!((round.done, round.members, round.survivors), (true, 4, 4), "{}", round.outcome);
    for participant in &mut participants[4..] {
        participant.until(|event| matches!(event, ParticipantEvent::Joined { .. }).then_some(())).await;
    }
    assert!((0..4).all(|number| !federation.file_of(number, "past.json").exists()), "batch 0 was not called");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_round_begins_by_itself_before_enough_are_listed() {
    let mut federation = Federation::start(PLAN, &[("w", &[2])], Some(2), 1).await;
    let _eight = federation.join_all(8, |number| trainer(&federation, number)).await;
    let round = federation.ended().await;
    assert_eq!((round.number, round.done, round.survivors), (1, true, 8), "{}", round.outcome);
}
