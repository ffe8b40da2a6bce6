//! Trainers that work, crash, hang and babble.

use std::fs;

use super::*;

fn script(text: &str) -> TrainerCommand {
    TrainerCommand { program: "sh".into(), arguments: vec!["-c".into(), text.into()] }
}

/// Far more than any of these scripts takes, but for those that hang.
const PATIENCE: TrainerLimits = TrainerLimits { time: Duration::from_secs(60), memory_bytes: None };

async fn outcome(text: &str, limits: TrainerLimits) -> (tempfile::TempDir, Result<String, TrainerError>) {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(&script(text), folder.path(), limits, &CancellationToken::new()).await;
    (folder, outcome)
}

#[tokio::test]
async fn the_last_line_is_the_answer_and_the_folder_the_place() {
    let text = r#"echo loading; echo hello > made; echo '{"weight": 128, "loss": 0.5, "metrics": {"f1": 1}}'; echo"#;
    let (folder, line) = outcome(text, PATIENCE).await;
    assert_eq!(line.unwrap(), r#"{"weight": 128, "loss": 0.5, "metrics": {"f1": 1}}"#);
    assert_eq!(fs::read_to_string(folder.path().join("made")).unwrap(), "hello\n");
}

#[tokio::test]
async fn a_crash_is_reported_with_its_last_words() {
    let (_folder, outcome) = outcome("echo no such data >&2; exit 7", PATIENCE).await;
    let error = outcome.unwrap_err();
    assert!(matches!(&error, TrainerError::Failed { said, .. } if said == "no such data"), "{error}");
}

#[tokio::test]
async fn what_hangs_is_killed_with_all_its_children() {
    let limits = TrainerLimits { time: Duration::from_secs(3), memory_bytes: None };
    // The child of the trainer holds a lock on the file as long as it lives.
    let (folder, outcome) = outcome("sleep 1000 & echo $! > child; sleep 1000", limits).await;
    assert!(matches!(outcome, Err(TrainerError::Late { .. })));
    let child = fs::read_to_string(folder.path().join("child")).unwrap();
    assert!(!child.trim().is_empty(), "the child was started");
    let state = || fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    // Killed: gone, or a zombie that its new parent has not buried yet.
    while !(state().is_empty() || state().contains(") Z ")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn standard_input_is_empty_and_not_what_the_watcher_reads() {
    let (_folder, line) = outcome("cat; echo end", PATIENCE).await;
    assert_eq!(line.unwrap(), "end");
}

#[tokio::test]
async fn endless_output_ends_the_run() {
    let (_folder, outcome) = outcome("exec yes", PATIENCE).await;
    assert!(matches!(outcome, Err(TrainerError::Babbled { .. })));
}

#[tokio::test]
async fn too_much_on_one_pipe_ends_the_run_though_the_other_stays_open() {
    // A kill is all that ends it: a closed pipe does not.
    let text = "trap '' PIPE; yes; exec sleep 1000";
    for text in [text.to_owned(), text.replace("yes", "yes >&2")] {
        let (_folder, outcome) = outcome(&text, PATIENCE).await;
        assert!(matches!(outcome, Err(TrainerError::Babbled { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn silence_is_an_empty_line() {
    let (_folder, outcome) = outcome("true", PATIENCE).await;
    assert_eq!(outcome.unwrap(), "");
}

#[tokio::test]
async fn memory_has_a_bound() {
    let limits = TrainerLimits { memory_bytes: Some(1 << 20), ..PATIENCE };
    let (_folder, outcome) = outcome(r#"echo '{"weight": 1}'"#, limits).await;
    assert!(outcome.is_err(), "no shell runs in a mebibyte");
}

#[tokio::test]
async fn a_missing_program_and_a_stop_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let missing = TrainerCommand { program: "./no-such-trainer".into(), arguments: vec![] };
    let error = run(&missing, folder.path(), PATIENCE, &stop).await.unwrap_err();
    assert!(error.to_string().contains("no-such-trainer"), "{error}");
    stop.cancel();
    let stopped = run(&script("sleep 1000"), folder.path(), PATIENCE, &stop).await;
    assert!(matches!(stopped, Err(TrainerError::Stopped)));
}

#[test]
fn our_own_variables_are_not_the_trainers() {
    assert!(is_ours("NEURO_DATA_DIR".as_ref()) && is_ours("NEURO_API_KEY_FILE".as_ref()));
    assert!(!is_ours("PATH".as_ref()) && !is_ours("CUDA_VISIBLE_DEVICES".as_ref()));
}
