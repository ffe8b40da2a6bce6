//! Participants that break the protocol: they cost themselves their part, and nobody else a thing.

use neuro_secagg::messages::{EndReason, OutCause};
use neuro_secagg::participant::{OutOfRound, PartEnd};

use crate::federation::Federation;
use crate::twin::{self, Fault};

const TENSORS: &[(&str, &[usize])] = &[("w", &[2])];

fn plan(rounds: u32) -> String {
    format!("[rounds]\ncount = {rounds}\n[cohort]\nleast = 8\ndropout = 0.25\n")
}

fn trainer(federation: &Federation, number: usize) -> String {
    federation.trainer(number, &[("w", &[2], &[0.5, 0.25])], 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_no_vector_is_a_dropout() {
    let mut federation = Federation::start_listed(&plan(1), TENSORS, Some(9), &[0; 9]).await;
    let _participants = federation.join_all(8, |number| trainer(&federation, number)).await;
    let mut told = twin::attend(&federation.participant(8), &federation.invitation(), Fault::TrailingBit).await;
    let round = federation.ended().await;
    assert!(round.done, "{}", round.outcome);
    assert_eq!((round.members, round.survivors), (9, 8));
    assert_eq!(told.recv().await, Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Payload))));
    // It lives: nothing of this keeps it from starting again.
    federation.leave().await;
    federation.serve().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_dealer_ends_one_round_and_is_left_out_of_those_after_it() {
    let mut federation = Federation::start_listed(&plan(2), TENSORS, None, &[0; 9]).await;
    let culprit = federation.participant(8);
    let node = culprit.node_key().unwrap().node_id();
    let mut told = twin::attend(&culprit, &federation.invitation(), Fault::BadDealer).await;
    let participants = federation.join_all(8, |number| trainer(&federation, number)).await;
    federation.begin_with(9).await.unwrap();
    let round = federation.ended().await;
    assert!(!round.done && round.blamed == [node.to_string()], "{}", round.outcome);
    assert_eq!(told.recv().await, Some(PartEnd::Round(EndReason::BadDealer { dealer: node })));
    let blamed = PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Blamed));
    federation.begin_with(9).await.unwrap();
    let second = federation.ended().await;
    assert!(second.done && second.members == 8, "{}", second.outcome);
    assert_eq!(told.recv().await, Some(blamed.clone()), "it was there, and was told why it may not join");
    // The same in another process.
    for participant in participants {
        participant.leave().await;
    }
    federation.leave().await;
    federation.serve().await;
    let mut told = twin::attend(&culprit, &federation.invitation(), Fault::BadDealer).await;
    let _participants = federation.join_all(8, |number| trainer(&federation, number)).await;
    federation.begin_with(9).await.unwrap();
    let third = federation.ended().await;
    assert!(third.done && third.members == 8, "{}", third.outcome);
    assert_eq!(told.recv().await, Some(blamed));
    let left_out = federation.status().await.task.unwrap().left_out;
    assert_eq!(left_out.iter().map(|out| (out.node.clone(), out.round)).collect::<Vec<_>>(), [(node.to_string(), 1)]);
}
