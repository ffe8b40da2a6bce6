//! Rounds of several cohorts: experts, the router, and a restart in the middle.

use std::fs;
use std::path::Path;

use crate::federation::Federation;

const TENSORS: &[(&str, &[usize])] = &[("expert.0", &[2]), ("expert.1", &[2]), ("router", &[2, 2])];

/// Two experts, the second of `batch`, and the router after them.
fn plan(batch: u16, second_least: u16) -> String {
    format!(
        "[rounds]\ncount = 1\n[update]\nrange = 8\nvalue_bits = 16\n[cohort]\nleast = 8\ndropout = 0.25\n\
         [[experts]]\nname = \"sort\"\ntensors = [\"expert.0\", \"router[0]\"]\nbatches = [0]\nleast = 8\n\
         [[experts]]\nname = \"reverse\"\ntensors = [\"expert.1\", \"router[1]\"]\nbatches = [{batch}]\nleast = {second_least}\n\
         [router]\ntensors = [\"router\"]\n"
    )
}

/// A trainer that adds 1 to the first expert, 4 to the router, and 2 to the second expert, once `gate` is there.
fn trainer(federation: &Federation, gate: Option<&Path>) -> String {
    use crate::federation::safetensors;
    let write = |name: &str, tensors: &[(&str, &[usize], &[f32])]| {
        let path = federation.path(name);
        fs::write(&path, safetensors(tensors)).unwrap();
        path.display().to_string()
    };
    let first = write("first", &[("expert.0", &[2], &[1.0; 2]), ("router[0..1]", &[1, 2], &[1.0; 2])]);
    let second = write("second", &[("expert.1", &[2], &[2.0; 2]), ("router[1..2]", &[1, 2], &[2.0; 2])]);
    let router = write("router", &[("router", &[2, 2], &[4.0; 4])]);
    let wait = |gate: &Path| format!("while [ ! -e {} ]; do sleep 0.05; done; ", gate.display());
    let wait = gate.map(wait).unwrap_or_default();
    format!(
        "if grep -q expert.0 task.json; then cp {first} update.safetensors; elif grep -q expert.1 task.json; then \
         {wait}cp {second} update.safetensors; else cp {router} update.safetensors; fi; echo '{{\"weight\": 1}}'"
    )
}

fn near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-2), "{got:?} against {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn experts_train_in_cohorts_of_their_own_and_the_router_comes_last() {
    let mut federation = Federation::start(&plan(0, 8), TENSORS, Some(8), 1).await;
    let script = trainer(&federation, None);
    let _participants = federation.join_all(8, |_| script.clone()).await;
    let experts = federation.ended().await;
    assert!(experts.done, "{}", experts.outcome);
    let names: Vec<&str> = experts.cohorts.iter().map(|cohort| cohort.name.as_str()).collect();
    assert_eq!((names, experts.survivors), (vec!["sort", "reverse"], 16));
    // expert.0, expert.1, then the router's rows that the experts learned.
    near(&federation.weights(&experts.model), &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    let router = federation.ended().await;
    assert_eq!(router.cohorts[0].name, "router");
    near(&federation.weights(&router.model), &[1.0, 1.0, 2.0, 2.0, 5.0, 5.0, 6.0, 6.0]);
    assert!(federation.task_ended().await.contains("as many rounds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_with_too_few_contributors_is_not_opened() {
    let mut federation = Federation::start(&plan(0, 9), TENSORS, Some(8), 1).await;
    let script = trainer(&federation, None);
    let _participants = federation.join_all(8, |_| script.clone()).await;
    let round = federation.ended().await;
    assert!(round.done, "{}", round.outcome);
    assert_eq!(round.cohorts.len(), 1);
    assert!(round.outcome.contains("reverse: expected at least 9 contributors, got 8"), "{}", round.outcome);
    near(&federation.weights(&round.model), &[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_cohorts_that_had_ended_and_resumes_the_others() {
    let listed: Vec<u16> = (0..16).map(|number| number % 2).collect();
    let mut federation = Federation::start_listed(&plan(1, 8), TENSORS, Some(16), &listed).await;
    let gate = federation.path("gate");
    let script = trainer(&federation, Some(&gate));
    let mut participants = federation.join_all(16, |_| script.clone()).await;
    let first = participants[0].ended().await;
    assert!(first.0, "{}", first.1);
    let sum = federation.file("rounds/1/0/sum");
    let before = fs::read(&sum).unwrap();
    federation.leave().await;
    federation.serve().await;
    assert_eq!(fs::read(&sum).unwrap(), before, "the sum is not made again");
    fs::write(&gate, "").unwrap();
    let round = federation.ended().await;
    assert!(round.done && round.cohorts.iter().all(|cohort| cohort.done), "{}", round.outcome);
    near(&federation.weights(&round.model), &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    let past = federation.past(1);
    assert_eq!(past["releases"].as_array().unwrap().len(), 1, "a member of one batch took part in one cohort: {past}");
}
