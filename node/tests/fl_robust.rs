//! Robust rules over the network: sixteen shards of thirty-two participants, some of whom send poison within the norm.
//!
//! A binary of its own: 512 participants in one process leave little for tests beside them.

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "fl/federation.rs"]
#[allow(dead_code, reason = "shared with the tests in fl/")]
mod federation;
#[path = "fl/twin.rs"]
#[allow(dead_code, reason = "shared with the tests in fl/")]
mod twin;

use federation::{Federation, Participant};
use futures::{StreamExt, stream};
use neuro_node::aggregator_role::history::EndedRound;
use twin::Fault;

const TENSORS: &[(&str, &[usize])] = &[("w", &[2])];
const SHARDS: usize = 16;
const MEMBERS: usize = 32 * SHARDS;
/// Shards with poison: fewer than half, and no more than the trimmed mean cuts off at each end.
const POISONED: usize = 5;
/// What honest participants come to, give or take 0.1, and what the others say, within the norm bound of 9.
const HONEST: [f32; 2] = [0.5, -0.25];
const POISON: [f32; 2] = [-6.0, 6.0];
/// Connections that are made at a time: an aggregator shakes hands with 32 of one address.
const AT_A_TIME: usize = 16;

fn plan(rule: &str, shards: usize) -> String {
    format!(
        "[rounds]\ncount = 2\n[update]\nrange = 8\n[cohort]\nleast = 32\n[robust]\n{rule}\nshards = {shards}\nnorm_bound = 9\n"
    )
}

/// Two crowds at once would only wait for each other.
static ONE_CROWD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Half of the members of some shards poison.
fn is_bad(number: usize) -> bool {
    number % SHARDS < POISONED && number / SHARDS < 16
}

fn update(number: usize) -> [f32; 2] {
    let off = 0.1 * (number as f32).sin();
    if is_bad(number) { POISON } else { HONEST.map(|value| value + off) }
}

/// How far from what the honest say.
fn off(got: &[f32]) -> f32 {
    got.iter().zip(HONEST).map(|(got, honest)| (got - honest).abs()).fold(0.0, f32::max)
}

fn plain_mean() -> [f32; 2] {
    let sum = (0..MEMBERS).map(update).fold([0.0; 2], |sum, update| [sum[0] + update[0], sum[1] + update[1]]);
    sum.map(|entry| entry / MEMBERS as f32)
}

/// Everybody attends and the first round is over.
async fn first_round(rule: &str) -> (Federation, Vec<Participant>, EndedRound) {
    let listed: Vec<u16> = (0..MEMBERS).map(|number| (number % SHARDS) as u16).collect();
    let mut federation = Federation::start_listed_in_memory(&plan(rule, SHARDS), TENSORS, None, &listed).await;
    let at = &federation;
    let join = |number: usize| async move {
        let trainer = at.trainer(number, &[("w", &[2], &update(number))], 1);
        at.join(number, &trainer).await
    };
    let participants = stream::iter(0..MEMBERS).map(join).buffered(AT_A_TIME).collect().await;
    federation.begin_with(MEMBERS as u32).await.unwrap();
    let round = federation.ended().await;
    assert!(round.done, "{}", round.outcome);
    (federation, participants, round)
}

fn check(federation: &Federation, round: &EndedRound) {
    assert_eq!((round.cohorts.len(), round.survivors), (SHARDS, MEMBERS as u32), "{}", round.outcome);
    let record = round.record.as_ref().unwrap();
    assert_eq!(
        record.cohorts.iter().filter(|shard| shard.update_norm > 2.0).count(),
        POISONED,
        "the poison is in sums"
    );
    let weights = federation.weights(&round.model);
    assert!(off(&weights) < 0.05, "{weights:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_in_some_shards_moves_the_plain_mean_and_not_the_rules() {
    let _crowd = ONE_CROWD.lock().await;
    assert!(off(&plain_mean()) > 0.9, "{:?}", plain_mean());
    let (federation, participants, round) = first_round("rule = \"median\"").await;
    check(&federation, &round);
    drop((federation, participants));
    let (mut federation, mut participants, round) = first_round("rule = \"trimmed_mean\"\nshare = 0.32").await;
    check(&federation, &round);
    // One leaves: a shard of 31 is refused, and so the round.
    participants.swap_remove(MEMBERS - 1).leave().await;
    let reason = federation.begin_with(MEMBERS as u32 - 1).await.unwrap_err();
    assert!(reason.contains("expected at least 32 members in each of 16 shards, got 31 in shard"), "{reason}");
    let refused = federation.ended().await;
    assert!(!refused.done && refused.cohorts.is_empty() && refused.model == round.model, "{}", refused.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_attends_and_does_not_join_costs_nobody_a_release() {
    let _crowd = ONE_CROWD.lock().await;
    let plan = format!("{}[cohort.deadlines]\njoin_ms = 60000\n", plan("rule = \"median\"", SHARDS));
    let listed: Vec<u16> = (0..MEMBERS).map(|number| (number % SHARDS) as u16).collect();
    let mut federation = Federation::start_listed_in_memory(&plan, TENSORS, Some(MEMBERS), &listed).await;
    let (at, invitation) = (&federation, federation.invitation());
    let attend = |number: usize| {
        let fault = if number == 0 { Fault::NoJoin } else { Fault::NoUpload };
        let (data_dir, invitation) = (at.participant(number), &invitation);
        async move { twin::attend(&data_dir, invitation, fault).await }
    };
    let _ends: Vec<_> = stream::iter(0..MEMBERS).map(attend).buffered(AT_A_TIME).collect().await;
    let round = federation.ended().await;
    assert!(!round.done && round.charges.is_empty(), "{}", round.outcome);
    assert!(round.cohorts.iter().all(|shard| !shard.done && shard.sum.is_empty()));
    let ended = |how: &str| round.cohorts.iter().any(|shard| shard.outcome.starts_with(how));
    assert!(ended("too few joined: expected at least 32, got 31"), "{:?}", round.cohorts);
    assert!(ended("called off"), "{:?}", round.cohorts);
}

#[tokio::test]
async fn fifteen_shards_are_refused_before_anybody_is_called() {
    let reason = Federation::refusal(&plan("rule = \"median\"", 15), TENSORS).await;
    assert!(reason.contains("robust.shards") && reason.contains("16") && reason.contains("15"), "{reason}");
}
