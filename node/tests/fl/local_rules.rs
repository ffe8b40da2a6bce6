//! What strategies ask of trainers: control variates that go out and come back, and state that stays here.

use std::fs;

use crate::federation::{Federation, safetensors, values};

const COHORT: &str = "[rounds]\ncount = 2\n[update]\nrange = 8\nvalue_bits = 16\n[cohort]\nleast = 8\ndropout = 0.25\n";

#[tokio::test(flavor = "multi_thread")]
async fn scaffolds_control_variates_go_out_and_state_stays() {
    let plan = format!("{COHORT}[strategy]\nname = \"scaffold\"\n");
    let mut federation = Federation::start(&plan, &[("w", &[2])], Some(8), 1).await;
    let (update, control) = (federation.path("update"), federation.path("change"));
    fs::write(&update, safetensors(&[("w", &[2], &[1.0, -1.0])])).unwrap();
    fs::write(&control, safetensors(&[("w", &[2], &[0.5, 0.25])])).unwrap();
    // It keeps what it was handed in each round, and counts its rounds in its state.
    let trainer = |number: usize| {
        format!(
            "cp {} update.safetensors; cp {} control_update.safetensors; echo one >> state/rounds; cp control.safetensors \
             {}/control-{number}-$(wc -l < state/rounds | tr -d ' '); echo '{{\"weight\": 1}}'",
            update.display(),
            control.display(),
            federation.path("").display()
        )
    };
    let _participants = federation.join_all(8, trainer).await;
    for _ in 0..2 {
        let round = federation.ended().await;
        assert!(round.done, "{}", round.outcome);
    }
    let handed = |round: usize| values(&fs::read(federation.path(&format!("control-2-{round}"))).unwrap());
    assert_eq!(handed(1), [0.0, 0.0]);
    for (value, expected) in handed(2).iter().zip([0.5, 0.25]) {
        assert!((value - expected).abs() < 1e-2, "c moved by the mean of all changes: {value} against {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_models_stay_and_rules_reach_the_trainer() {
    let plan = format!("{COHORT}[strategy]\nname = \"ditto\"\nlambda = 0.5\n[training]\nrate = 0.125\n");
    let mut federation = Federation::start(&plan, &[("w", &[2])], Some(8), 1).await;
    let script = |number: usize| {
        let train = federation.trainer(number, &[("w", &[2], &[1.0, -1.0])], 1);
        format!("grep -q '\"personal\"' task.json && grep -q 0.125 task.json && echo mine >> state/model && {train}")
    };
    let mut participants = federation.join_all(8, script).await;
    for _ in 0..2 {
        assert!(federation.ended().await.done);
        participants[0].ended().await;
    }
    let states = fs::read_dir(federation.file_of(0, "state")).unwrap();
    let kept: Vec<_> = states.map(|entry| fs::read_to_string(entry.unwrap().path().join("model")).unwrap()).collect();
    assert_eq!(kept, ["mine\nmine\n"], "one layout, two rounds");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trains_longer_than_a_round_is_in_the_next_buffer() {
    let plan =
        format!("{COHORT}[cohort.deadlines]\nupload_ms = 20000\n[strategy]\nname = \"fed_buff\"\nmost_staleness = 3\n");
    let mut federation = Federation::start(&plan, &[("w", &[2])], Some(9), 1).await;
    let gate = federation.path("gate");
    let nothing = federation.trainer(0, &[("w", &[2], &[1.0, 0.0])], 1);
    let slow = federation.trainer(8, &[("w", &[2], &[0.0, 6.0])], 1);
    let waits = format!("while [ ! -e {} ]; do sleep 0.05; done; {slow}", gate.display());
    let _fast = federation.join_all(8, |_| nothing.clone()).await;
    let _slow = federation.join(8, &waits).await;
    let first = federation.ended().await;
    assert!(first.done, "{}", first.outcome);
    assert_eq!(first.survivors, 8);
    fs::write(&gate, "").unwrap();
    let second = federation.ended().await;
    assert_eq!((second.done, second.survivors), (true, 9), "{}", second.outcome);
    let weights = federation.weights(&second.model);
    // One step old: 6/√2 over nine.
    let expected = 6.0 / 2.0_f32.sqrt() / 9.0;
    assert!((weights[1] - expected).abs() < 1e-2, "{weights:?} against {expected}");
}
