//! Trainers of `neuro fl join`: what becomes of them, and what becomes of what they write.

use std::fs;

use serde_json::json;

use crate::federation::{Federation, plain_sum, trainer};
use crate::process::Process;
use crate::stage::{Stage, eventually};

#[test]
fn a_trainer_dies_with_its_participant() {
    let stage = Stage::new();
    let federation = Federation::start(&stage, "least = 8\ndropout = 0.25", &[]);
    let pids = stage.path("pids");
    let hanging = format!("sleep 1000 & echo $! $$ > {0}.draft; mv {0}.draft {0}; wait", pids.display());
    let mut participants: Vec<Process> = vec![federation.join(0, &hanging)];
    participants.extend((1..8).map(|number| federation.join(number, &trainer(number))));
    federation.command(&["round", "start"]);
    eventually("the trainer runs", || pids.exists());
    let pids: Vec<u32> = fs::read_to_string(pids).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    let alive = || stage.processes().iter().filter(|pid| pids.contains(pid)).count();
    assert_eq!(alive(), 2, "the trainer and its child");
    participants[0].kill();
    eventually("both are gone", || alive() == 0);
}

#[test]
fn what_a_trainer_gets_wrong_costs_its_own_part_and_says_why() {
    let stage = Stage::new();
    let cohort = "least = 15\ndropout = 0.34\n[cohort.deadlines]\nupload_ms = 20000";
    let federation = Federation::start(&stage, cohort, &["--start-at", "15"]);
    let wrong = [
        (file("F32", &[4, 3], &[1.0; 11], "w"), "bytes"),
        (file("F32", &[3, 4], &[1.0; 12], "w"), "[4, 3]"),
        (file("F16", &[4, 3], &[1.0; 6], "w"), "F16"),
        (file("F32", &[4, 3], &nan_at(7), "w"), "NaN"),
        (file("F32", &[4, 3], &[1e30; 12], "w"), "expected numbers of at most"),
    ];
    let mut participants: Vec<Process> = (0..10).map(|number| federation.join(number, &trainer(number))).collect();
    for (number, (bytes, _)) in (10..).zip(&wrong) {
        fs::write(stage.path(&format!("wrong-{number}")), bytes).unwrap();
        let copies =
            format!("cp {}/wrong-{number} update.safetensors; echo '{{\"weight\": 1}}'", stage.path("").display());
        participants.push(federation.join(number, &copies));
    }
    for (participant, (_, expected)) in participants[10..].iter().zip(&wrong) {
        let reason = participant.event("gave_up")["reason"].to_string();
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    let round = federation.ended();
    assert_eq!(round["done"], true, "{round}");
    assert_eq!(round["sum"], plain_sum(&(0..10).collect::<Vec<_>>()));
}

#[test]
fn an_update_of_another_version_of_the_model_is_not_used() {
    let stage = Stage::new();
    let cohort = "least = 9\ndropout = 0.25\n[cohort.deadlines]\nupload_ms = 20000";
    let federation = Federation::start(&stage, cohort, &["--start-at", "9"]);
    let mut participants: Vec<Process> = (0..8).map(|number| federation.join(number, &trainer(number))).collect();
    let stale = format!("cp \"$1\" update.safetensors; echo '{{\"weight\": 1, \"model\": \"{}\"}}'", "ab".repeat(32));
    participants.push(federation.join(8, &stale));
    let reason = participants[8].event("gave_up")["reason"].to_string();
    assert!(reason.contains("expected an update of model"), "{reason}");
    assert_eq!(federation.ended()["sum"], plain_sum(&(0..8).collect::<Vec<_>>()));
}

/// A safetensors file with one tensor, whose header may say what it likes of the values.
fn file(dtype: &str, shape: &[usize], values: &[f32], name: &str) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let header = json!({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, bytes.len()]}}).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat()
}

fn nan_at(place: usize) -> Vec<f32> {
    (0..12).map(|entry| if entry == place { f32::NAN } else { 1.0 }).collect()
}
