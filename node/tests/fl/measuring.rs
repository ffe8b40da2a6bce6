//! Evaluations: trainers measure, means come out, and a task that gains nothing ends.

use crate::federation::Federation;

const PLAN: &str = "[rounds]\ncount = 9\n[cohort]\nleast = 8\ndropout = 0.25\n[evaluation]\nevery = 1\nmetrics = [\"accuracy\", \
                    \"loss\"]\n[early_stop]\nmetric = \"loss\"\npatience = 1\n[training]\nepochs = 3\n";

/// Trains by nothing at all, and measures by its number.
fn trainer(federation: &Federation, number: usize) -> String {
    let train = federation.trainer(number, &[("w", &[2], &[0.0, 0.0])], 1);
    let line = format!("{{\"weight\": {}, \"loss\": 2.5, \"metrics\": {{\"accuracy\": 0.{number}}}}}", number + 1);
    format!(
        "grep -q '\"epochs\": 3' task.json || exit 7; if grep -q '\"evaluate\"' task.json; then grep -q accuracy task.json \
         && echo '{line}'; else {train}; fi"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn means_come_out_and_a_task_that_gains_nothing_ends() {
    let mut federation = Federation::start(PLAN, &[("w", &[2])], Some(8), 1).await;
    let _participants = federation.join_all(8, |number| trainer(&federation, number)).await;
    let trained = federation.ended().await;
    assert!(trained.done && trained.record.unwrap().metrics.is_empty());
    let measured = federation.ended().await;
    assert_eq!(measured.cohorts[0].name, "evaluation");
    assert_eq!(measured.model, trained.model, "an evaluation moves nothing");
    let metrics = measured.record.unwrap().metrics;
    // Σ w·0.number / Σ w with w = number + 1.
    let expected: f64 = (0..8).map(|n| f64::from(n + 1) * f64::from(n) / 10.0).sum::<f64>() / 36.0;
    assert!((metrics["accuracy"] - expected).abs() < 1e-3, "{metrics:?}");
    assert_eq!(metrics["loss"], 2.5);
    federation.ended().await;
    let last = federation.ended().await;
    assert_eq!(last.number, 4);
    let reason = federation.task_ended().await;
    assert!(reason.contains("gains no more"), "{reason}");
    federation.leave().await;
    federation.serve().await;
    assert_eq!(federation.task_ended().await, reason, "a restarted aggregator knows it too");
}
