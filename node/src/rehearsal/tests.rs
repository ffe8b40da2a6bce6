//! Rounds of a plan from a seed: the same weights again, what robust rules and dropouts do, and what is said of floors.

use std::fs;
use std::path::Path;

use super::*;

/// A model of one tensor `w` of two zeros, and this plan for it.
fn stage(plan: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    fs::write(folder.path().join("global.safetensors"), file).unwrap();
    let plan = format!("task = \"test\"\n[model]\nweights = \"global.safetensors\"\n{plan}");
    fs::write(folder.path().join("round.toml"), plan).unwrap();
    folder
}

/// A trainer in shell whose update is the model's file with `bytes`, as printf writes them, in the place of the last ones;
/// `\DRAWN` is the last two digits of the seed that it is given.
fn trainer(bytes: &str, line: &str) -> TrainerCommand {
    let (count, bytes) = (bytes.matches('\\').count(), bytes.replace(r"\DRAWN", r"\\$drawn"));
    command(&format!(
        "drawn=$(sed -n 's/.*\"seed\": [0-9]*\\([0-9][0-9]\\).*/1\\1/p' task.json); drawn=$(printf '%o' $((drawn - 100)))
         head -c $(($(wc -c < global.safetensors) - {count})) global.safetensors > update.safetensors
         printf \"{bytes}\" >> update.safetensors; echo '{line}'"
    ))
}

fn command(script: &str) -> TrainerCommand {
    TrainerCommand { program: "sh".into(), arguments: ["-c", script].map(Into::into).to_vec() }
}

/// A trainer that adds 1 and -1.
fn honest() -> TrainerCommand {
    trainer(r"\0\0\200\077\0\0\200\277", r#"{"weight": 2, "loss": 0.5}"#)
}

/// Runs `plan` with these trainers. What came of it, and what was said.
async fn run(folder: &Path, trainers: Vec<TrainerCommand>, seed: u64) -> (Rehearsed, Vec<RehearsalEvent>) {
    let options = RehearsalOptions {
        plan: folder.join("round.toml"),
        trainers,
        trainer_memory_bytes: None,
        batches: None,
        seed,
        folder: folder.join(format!("work-{}", fs::read_dir(folder).unwrap().count())),
        at_a_time: 4,
    };
    let mut events = Vec::new();
    let rehearsed = rehearse(&options, &mut |event| events.push(event), &CancellationToken::new()).await.unwrap();
    (rehearsed, events)
}

fn values(rehearsed: &Rehearsed) -> Vec<f32> {
    let values = rehearsed.weights[rehearsed.weights.len() - 8..].as_chunks().0;
    values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_weights_to_the_bit() {
    let noise = "[privacy]\nmode = \"distributed\"\nclip = 2.0\nscale = 100\nnoise_multiplier = 0.5\ndelta = 1e-5\n";
    let folder = stage(&format!("[rounds]\ncount = 3\n[cohort]\nleast = 8\ndropout = 0.25\n{noise}"));
    let drawn = trainer(r"\0\0\DRAWN\077\0\0\0\0", r#"{"weight": 1, "loss": 0.25}"#);
    let all = || vec![drawn.clone(); 8];
    let (first, events) = run(folder.path(), all(), 7).await;
    let (second, _) = run(folder.path(), all(), 7).await;
    let (other, _) = run(folder.path(), all(), 8).await;
    assert!(first.done && first.rounds.len() == 3, "{}: {events:?}", first.end);
    assert_eq!(first, second);
    assert_ne!(values(&first), values(&other));
    assert!(first.rounds[2].spent.is_some_and(|spent| spent.releases == 3), "noise is charged as in a real task");
    assert_eq!(first.rounds[0].metrics[TRAINERS_LOSS], 0.25);
}

#[tokio::test(flavor = "multi_thread")]
async fn trainers_that_fail_are_dropouts_and_too_many_end_the_task() {
    let folder = stage("[rounds]\ncount = 1\n[update]\nrange = 7.999755859375\n[cohort]\nleast = 8\ndropout = 0.25\n");
    let with_bad = |bad: usize| {
        let one = |number| if number < bad { command("echo no data >&2; exit 1") } else { honest() };
        (0..8).map(one).collect::<Vec<_>>()
    };
    let (two_lost, events) = run(folder.path(), with_bad(2), 1).await;
    assert!(two_lost.done, "{}: {events:?}", two_lost.end);
    assert_eq!((values(&two_lost), two_lost.rounds[0].cohorts[0].survivors), (vec![1.0, -1.0], 6));
    let dropped =
        |event: &&RehearsalEvent| matches!(event, RehearsalEvent::Dropped { reason, .. } if reason.contains("no data"));
    assert_eq!(events.iter().filter(dropped).count(), 2);
    let (three_lost, _) = run(folder.path(), with_bad(3), 1).await;
    assert!(!three_lost.done && three_lost.end.contains("3 rounds in a row failed"), "{}", three_lost.end);
    let failure = three_lost.rounds[0].cohorts[0].failure.as_deref();
    assert_eq!(failure, Some("too few uploaded: expected at least 6, got 5"));
    assert_eq!(values(&three_lost), [0.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_too_few_and_one_below_the_floors_say_so() {
    let folder = stage("[rounds]\ncount = 1\n[cohort]\nleast = 4\ncorrupt = 0.0\ndropout = 0.0\n");
    let trainers = |count| vec![honest(); count];
    let (_, events) = run(folder.path(), trainers(4), 1).await;
    let below = events.iter().filter_map(|event| match event {
        RehearsalEvent::BelowFloors { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    let below: Vec<&str> = below.collect();
    assert!(matches!(below[..], [reason] if reason.contains('8')), "{below:?}");
    let (few, _) = run(folder.path(), trainers(3), 1).await;
    assert_eq!(few.rounds[0].cohorts[0].failure.as_deref(), Some("too few joined: expected at least 4, got 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expert_and_the_router_have_their_cohorts() {
    let folder = stage(
        "[rounds]\ncount = 1\n[update]\nrange = 7.999755859375\n[cohort]\nleast = 3\n[[experts]]\nname = \"one\"\ntensors = [\"w[0]\"]\nbatches = [0]\nleast = 3\n\
         [[experts]]\nname = \"two\"\ntensors = [\"w[1]\"]\nbatches = [1]\nleast = 3\n",
    );
    let one = trainer(r"\0\0\200\077", r#"{"weight": 1}"#);
    let (rehearsed, events) = run(folder.path(), vec![one; 6], 1).await;
    assert!(rehearsed.done, "{}: {events:?}", rehearsed.end);
    let names: Vec<&str> = rehearsed.rounds[0].cohorts.iter().map(|cohort| cohort.name.as_str()).collect();
    assert_eq!((names, values(&rehearsed)), (vec!["one", "two"], vec![1.0, 1.0]));
}
