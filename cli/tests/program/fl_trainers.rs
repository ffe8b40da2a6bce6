//! Trainers of `neuro fl join`: what becomes of them, and what becomes of what they write.

use std::fs;
use std::path::Path;

use neuro_model::tensor_file::TensorTable;
use serde_json::{Value, json};

use crate::federation::{Federation, plain_sum, trainer};
use crate::models;
use crate::process::Process;
use crate::stage::{Stage, eventually, names_in};

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
    let cohort = "least = 15\ndropout = 0.34\n[cohort.deadlines]\nupload_ms = 8000";
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
    let cohort = "least = 9\ndropout = 0.25\n[cohort.deadlines]\nupload_ms = 6000";
    let federation = Federation::start(&stage, cohort, &["--start-at", "9"]);
    let mut participants: Vec<Process> = (0..8).map(|number| federation.join(number, &trainer(number))).collect();
    let stale = format!("cp \"$1\" update.safetensors; echo '{{\"weight\": 1, \"model\": \"{}\"}}'", "ab".repeat(32));
    participants.push(federation.join(8, &stale));
    let reason = participants[8].event("gave_up")["reason"].to_string();
    assert!(reason.contains("expected an update of model"), "{reason}");
    assert_eq!(federation.ended()["sum"], plain_sum(&(0..8).collect::<Vec<_>>()));
}

#[test]
fn two_rounds_of_the_built_in_trainer_lower_the_loss() {
    let stage = Stage::new();
    let model = models::fixture("mixtral-7-float32");
    let plan = format!(
        "task = \"routers\"\n[model]\nweights = \"{}/model.safetensors\"\ntensors = [\"*.gate.weight\"]\n[rounds]\ncount = 2\n\
         [training]\nepochs = 2\nbatch = 2\nrate = 0.2\n[cohort]\nleast = 8\ndropout = 0.25\n",
        model.display()
    );
    let federation = Federation::with_plan(&stage, &plan, &["--start-at", "8"]);
    let [first] = names_in(&federation.aggregated().join("models")).try_into().unwrap();
    let data = examples(&stage);
    let arguments = ["--model", &model.display().to_string(), "--examples", &data.display().to_string()];
    let participants: Vec<Process> = (0..8).map(|number| federation.participant(number, &arguments)).collect();
    let rounds: Vec<Value> = (0..2).map(|_| federation.ended()).collect();
    assert!(rounds.iter().all(|round| round["done"] == true && round["weight"] == 32), "{rounds:?}");
    let trained = participants[0].event("trained");
    assert_eq!(trained["weight"], 4);
    let models = [
        first.trim_end_matches(".safetensors"),
        rounds[0]["model"].as_str().unwrap(),
        rounds[1]["model"].as_str().unwrap(),
    ];
    let losses = models.map(|hash| loss_of(&stage, &federation, &model, &data, hash));
    assert!(losses[2] < losses[1] && losses[1] < losses[0], "{losses:?}");
    // What came of it is a checkpoint like any other.
    let (base, applied) = (model.display().to_string(), stage.path("applied").display().to_string());
    let apply = federation.command(&["model", "apply", "--model", &base, "--out", &applied]);
    assert_eq!((apply["round"].as_u64(), apply["values"].as_u64()), (Some(2), Some(2 * 8 * 64)));
    let inspected = stage.run(&["model", "inspect", &applied]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.stderr);
    let curves = federation.command(&["curves"]);
    assert_eq!(curves["round/weight"], json!([[1, 32.0], [2, 32.0]]));
}

#[test]
fn a_model_or_examples_that_cannot_be_trained_are_named_before_any_round() {
    let stage = Stage::new();
    let (model, data) = (models::fixture("mixtral-7-float32").display().to_string(), examples(&stage));
    let (empty, missing) = (stage.path("empty"), stage.path("missing"));
    fs::write(&empty, "\n").unwrap();
    let quantised = models::fixture("gguf/qwen3_moe-7-q8_0.gguf").display().to_string();
    for (model, examples, expected) in [
        (&model, &empty, "expected at least one example"),
        (&model, &missing, "missing"),
        (&missing.display().to_string(), &data, "missing"),
        (&quantised, &data, "f32, f16 or bf16"),
    ] {
        let examples = examples.display().to_string();
        let refused = stage.run(&["fl", "join", "a-task", "--model", model, "--examples", &examples]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(expected), "{expected}: {}", refused.stderr);
    }
    let neither = stage.run(&["fl", "join", "a-task"]);
    assert_eq!(neither.code, Some(2));
    assert!(neither.stderr.contains("--trainer"), "{}", neither.stderr);
}

/// Four texts to learn by heart.
fn examples(stage: &Stage) -> std::path::PathBuf {
    let path = stage.path("examples.jsonl");
    let text = "{\"prompt\": \"2+2=\", \"answer\": \"4\"}\n{\"text\": \"to be or not to be\"}\n{\"ids\": [5, 9, 2, 9]}\n{\"ids\": \
                [7, 7, 7, 7]}\n";
    fs::write(&path, text).unwrap();
    path
}

/// What the trainer measures in an evaluation of the weights with this hash.
fn loss_of(stage: &Stage, federation: &Federation<'_>, model: &Path, data: &Path, hash: &str) -> f64 {
    let folder = stage.path(hash);
    fs::create_dir(&folder).unwrap();
    let weights = fs::read(federation.aggregated().join(format!("models/{hash}.safetensors"))).unwrap();
    let table = TensorTable::from_bytes(&weights).unwrap();
    let tensors: Vec<Value> = table.iter().map(|(name, entry)| json!({"name": name, "shape": entry.shape})).collect();
    let task = json!({
        "contract": 1, "task": "routers", "round": 1, "model": hash, "action": "evaluate", "tensors": tensors,
        "rule": {"kind": "plain"}, "seed": 1, "deadline_s": 600, "weight_cap": 1, "training": {}, "metrics": ["loss"],
    });
    fs::write(folder.join("task.json"), task.to_string()).unwrap();
    fs::write(folder.join("global.safetensors"), weights).unwrap();
    let mut command = stage.command(&["fl", "train", "--model"]);
    command.arg(model).arg("--examples").arg(data).current_dir(folder);
    let done = crate::stage::finish(command, "");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let line: Value = serde_json::from_str(&done.stdout).unwrap();
    line["metrics"]["loss"].as_f64().unwrap()
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
