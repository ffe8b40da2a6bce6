//! Commitments that shares are checked against when they arrive (docs/spec/secagg.md, section 7.4).

use neuro_node::participant_role::{JoinOptions, ParticipantEvent};

use crate::federation::Federation;
use crate::twin::{self, Fault};

const TENSORS: &[(&str, &[usize])] = &[("w", &[2])];

fn trainer(federation: &Federation, number: usize) -> String {
    federation.trainer(number, &[("w", &[2], &[0.5, 0.25])], 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dealer_of_other_shares_than_it_commits_to_is_left_out() {
    let plan = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\nfeldman = true\n";
    let mut federation = Federation::start(plan, TENSORS, Some(9), 1).await;
    let _told = twin::attend(&federation.participant(8), &federation.invitation(), Fault::OtherCommitments).await;
    let _participants = federation.join_all(8, |number| trainer(&federation, number)).await;
    let round = federation.ended().await;
    assert_eq!((round.done, round.members, round.survivors), (true, 9, 8), "{}", round.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_insists_on_commitments_joins_no_round_without() {
    let plan = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 1000\n";
    let mut federation = Federation::start_listed(plan, TENSORS, Some(1), &[0; 8]).await;
    let options = federation.join_options(0, &trainer(&federation, 0), "");
    let mut careful = federation.join_by(JoinOptions { verify_on_receipt: true, ..options }).await;
    let refused = |event| if let ParticipantEvent::Refused { reason, .. } = event { Some(reason) } else { None };
    let reason = careful.until(refused).await;
    assert!(reason.contains("publish commitments"), "{reason}");
    assert!(!federation.ended().await.done);
    assert!(!federation.file_of(0, "audit.jsonl").exists(), "nothing left");
}
