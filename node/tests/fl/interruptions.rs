//! Processes that end and uploads that break off at the worst moment: the round has everybody in its sum all the same. And
//! rounds that come to nothing: what was learned for them is not lost, and never counts twice.

use std::fs;

use neuro_node::participant_role::{JoinOptions, ParticipantEvent};
use neuro_protocol::federated::RoundPhase;

use crate::federation::{Federation, Participant};
use crate::relay;

const TENSORS: &[(&str, &[usize])] = &[("w", &[2])];

/// Who is missing at the deadline of the uploads is not in the sum.
const PLAN: &str = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n[cohort.deadlines]\nupload_ms = 60000\n";

/// Rounds that are begun by hand, with a strategy after it.
const MANY: &str = "[rounds]\ncount = 3\n[update]\nrange = 8\n[cohort]\nleast = 8\ndropout = 0.25\n[cohort.deadlines]\n\
                    vote_ms = 10000\nanswer_ms = 10000\n[strategy]\n";

/// A trainer that writes down that it runs, and waits for the gate if there is one.
fn trainer(federation: &Federation, number: usize, gate: Option<&str>) -> String {
    let wait = |gate| format!("while [ ! -e {} ]; do sleep 0.05; done; ", federation.path(gate).display());
    let train = federation.trainer(number, &[("w", &[2], &[1.0, -2.0])], 1);
    let runs = federation.path(&format!("runs-{number}"));
    format!("echo run >> {}; {}{train}", runs.display(), gate.map(wait).unwrap_or_default())
}

/// How often a participant's trainer ran.
fn runs(federation: &Federation, number: usize) -> usize {
    fs::read_to_string(federation.path(&format!("runs-{number}"))).unwrap().lines().count()
}

async fn uploaded(participant: &mut Participant) {
    participant.until(|event| matches!(event, ParticipantEvent::Uploaded { .. }).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_the_record_does_not_know_is_made_again() {
    let mut federation = Federation::start(PLAN, TENSORS, Some(8), 1).await;
    let mut participants = federation.join_all(8, |number| trainer(&federation, number, Some("gate"))).await;
    federation.until_phase(RoundPhase::Upload).await;
    // Killed when the payload was on disk, and the record with its hash was not.
    participants.remove(0).leave().await;
    fs::write(federation.file_of(0, "rounds/1/0/payload"), b"made, and not recorded").unwrap();
    let _again = federation.join(0, &trainer(&federation, 0, Some("gate"))).await;
    fs::write(federation.path("gate"), "").unwrap();
    let round = federation.ended().await;
    assert_eq!((round.done, round.survivors), (true, 8), "{}", round.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_ends_while_the_aggregator_is_away_is_on_disk() {
    let mut federation = Federation::start(PLAN, TENSORS, Some(8), 1).await;
    let mut participants = federation.join_all(8, |number| trainer(&federation, number, Some("gate"))).await;
    federation.until_phase(RoundPhase::Upload).await;
    federation.leave().await;
    fs::write(federation.path("gate"), "").unwrap();
    participants[0].until(|event| matches!(event, ParticipantEvent::Masked { .. }).then_some(())).await;
    participants.remove(0).leave().await;
    federation.serve().await;
    let _again = federation.join(0, "false").await;
    let round = federation.ended().await;
    assert_eq!((round.done, round.survivors), (true, 8), "{}", round.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_aggregator_cannot_use_is_sent_again() {
    let mut federation = Federation::start(PLAN, TENSORS, Some(8), 1).await;
    let _participants = federation.join_all(8, |number| trainer(&federation, number, Some("gate"))).await;
    federation.until_phase(RoundPhase::Upload).await;
    // As if its disk had kept a payload's length and lost what stood in it.
    let node = federation.participant(0).node_key().unwrap().node_id();
    fs::write(federation.file(&format!("rounds/1/0/payloads/{node}")), [0; 3]).unwrap();
    fs::write(federation.path("gate"), "").unwrap();
    let round = federation.ended().await;
    assert_eq!((round.done, round.survivors), (true, 8), "{}", round.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_cannot_be_had_at_first_are_asked_for_again_over_the_same_line() {
    let mut federation = Federation::start(PLAN, TENSORS, Some(8), 1).await;
    let key = federation.participant(0).node_key().unwrap();
    let address = relay::open(federation.address(), federation.key(), &key).await;
    let options = federation.join_options(0, &trainer(&federation, 0, None), "");
    let by_relay = JoinOptions { task: federation.invitation_to(&address), ..options };
    let mut participants = vec![federation.join_by(by_relay).await];
    for number in 1..8 {
        participants.push(federation.join(number, &trainer(&federation, number, None)).await);
    }
    let round = federation.ended().await;
    assert_eq!((round.done, round.survivors), (true, 8), "{}", round.outcome);
    assert_eq!(runs(&federation, 0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffered_update_outlives_a_failed_round_and_is_in_one_sum() {
    let plan = format!("{MANY}name = \"fed_buff\"\nmost_staleness = 3\n");
    let mut federation = Federation::start(&plan, TENSORS, None, 1).await;
    let gate = |number| (number == 7).then_some("gate");
    let mut participants = federation.join_all(8, |number| trainer(&federation, number, gate(number))).await;
    federation.begin_with(8).await.unwrap();
    uploaded(&mut participants[0]).await;
    federation.stop_round().await;
    assert!(!federation.ended().await.done);
    fs::write(federation.path("gate"), "").unwrap();
    federation.begin_with(8).await.unwrap();
    let second = federation.ended().await;
    assert_eq!((second.done, second.survivors), (true, 8), "{}", second.outcome);
    let weights = federation.weights(&second.model);
    assert!((weights[0] - 1.0).abs() < 1e-2 && (weights[1] + 2.0).abs() < 1e-2, "{weights:?}");
    assert_eq!(runs(&federation, 0), 1, "what was learned for the failed round is in the second");
    federation.begin_with(8).await.unwrap();
    assert!(federation.ended().await.done);
    assert_eq!(runs(&federation, 0), 2, "and not in the third");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_in_a_sum_that_its_participant_did_not_see_goes_into_no_other() {
    let plan = format!("{MANY}name = \"fed_buff\"\nmost_staleness = 3\n");
    let mut federation = Federation::start(&plan, TENSORS, None, 1).await;
    let gate = |number| (number == 8).then_some("gate");
    let mut participants = federation.join_all(9, |number| trainer(&federation, number, gate(number))).await;
    federation.begin_with(9).await.unwrap();
    uploaded(&mut participants[0]).await;
    participants.remove(0).leave().await;
    fs::write(federation.path("gate"), "").unwrap();
    let first = federation.ended().await;
    assert_eq!((first.done, first.survivors), (true, 9), "{}", first.outcome);
    // It comes back when the next round runs already.
    federation.begin_with(8).await.unwrap();
    let _again = federation.join(0, &trainer(&federation, 0, None)).await;
    let second = federation.ended().await;
    assert_eq!((second.done, second.survivors), (true, 9), "{}", second.outcome);
    assert_eq!(runs(&federation, 0), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_came_to_nothing_leaves_personal_models_as_they_were() {
    let plan = format!("{MANY}name = \"ditto\"\nlambda = 0.5\n");
    let mut federation = Federation::start(&plan, TENSORS, None, 1).await;
    let keeps = |number: usize| {
        let gate = (number == 7).then_some("gate");
        format!("echo mine >> state/model; {}", trainer(&federation, number, gate))
    };
    let mut participants = federation.join_all(8, keeps).await;
    federation.begin_with(8).await.unwrap();
    uploaded(&mut participants[0]).await;
    federation.stop_round().await;
    assert!(!federation.ended().await.done);
    participants[0].ended().await;
    assert!(!federation.file_of(0, "state").exists(), "an upload alone counts for nothing");
    fs::write(federation.path("gate"), "").unwrap();
    federation.begin_with(8).await.unwrap();
    assert!(federation.ended().await.done);
    assert!(participants[0].ended().await.0);
    let states = fs::read_dir(federation.file_of(0, "state")).unwrap();
    let kept: Vec<_> = states.map(|entry| fs::read_to_string(entry.unwrap().path().join("model")).unwrap()).collect();
    assert_eq!(kept, ["mine\n"]);
}
