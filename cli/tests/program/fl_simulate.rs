//! `neuro fl simulate --config`: a plan is tried before anybody is invited.

use std::fs;

use serde_json::Value;

use crate::federation::{self, ENTRIES};
use crate::fl_built_in::examples;
use crate::models;
use crate::stage::{Finished, Stage};

/// Runs the plan in the stage with these options besides. What it printed.
fn simulate(stage: &Stage, options: &[&str]) -> Finished {
    let plan = stage.path("round.toml").display().to_string();
    stage.run(&[&["fl", "simulate", "--config", &plan, "--participants", "8", "--json"], options].concat())
}

#[test]
fn the_built_in_trainer_learns_and_the_same_seed_gives_the_same_result_to_the_bit() {
    let stage = Stage::new();
    let model = models::fixture("mixtral-7-float32").display().to_string();
    let plan = format!(
        "task = \"routers\"\n[model]\nweights = \"{model}/model.safetensors\"\ntensors = [\"*.gate.weight\"]\n[rounds]\ncount = 2\n\
         [training]\nepochs = 2\nbatch = 2\nrate = 0.2\n[cohort]\nleast = 8\ndropout = 0.25\n"
    );
    fs::write(stage.path("round.toml"), plan).unwrap();
    // The file of each participant: what all of them have, in an order of its own.
    let common = fs::read_to_string(examples(&stage)).unwrap();
    let lines: Vec<&str> = common.lines().collect();
    for number in 0..8 {
        let turned = [&lines[number % 4..], &lines[..number % 4]].concat().join("\n");
        fs::write(stage.path(&format!("of-{number}.jsonl")), turned).unwrap();
    }
    let files = stage.path("of-{}.jsonl").display().to_string();
    let run = |seed: &str| {
        let done = simulate(&stage, &["--seed", seed, "--model", &model, "--examples", &files]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        done.stdout
    };
    let (first, again, other) = (run("3"), run("3"), run("4"));
    assert_eq!(first, again);
    let (first, other): (Value, Value) = (serde_json::from_str(&first).unwrap(), serde_json::from_str(&other).unwrap());
    assert_ne!(first["model"], other["model"], "another seed is another order of the examples");
    let losses = first["curves"]["trainers/loss"].as_array().unwrap();
    assert_eq!(losses.len(), 2);
    assert!(losses[1][1].as_f64() < losses[0][1].as_f64(), "{losses:?}");
    assert_eq!(first["curves"]["round/weight"], serde_json::json!([[1, 32.0], [2, 32.0]]));
}

#[test]
fn a_trainer_of_ones_own_is_told_its_number_and_curves_are_drawn() {
    let stage = Stage::new();
    federation::write_plan(&stage, 2, "least = 8\ndropout = 0.25\n[evaluation]\nevery = 1");
    let script = format!(
        "size=$(wc -c < global.safetensors); echo \"{{\\\"weight\\\": 1, \\\"loss\\\": 0.$1}}\" > ../line
         head -c $((size - {0})) global.safetensors > update.safetensors; head -c {0} /dev/zero >> update.safetensors
         cat ../line",
        4 * ENTRIES
    );
    let plan = stage.path("round.toml").display().to_string();
    let out = stage.path("final.safetensors").display().to_string();
    let fixed = ["fl", "simulate", "--config", &plan, "--participants", "8", "--out", &out];
    let done = stage.run(&[&fixed[..], &["--trainer", "sh", "--", "-c", &script, "sh", "{}"]].concat());
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    // The mean of 0.0 to 0.7, from the trainers and from the evaluation.
    assert!(done.stdout.contains("round 1: 8 of 8 in the sum, trainers/loss 0.3500"), "{}", done.stdout);
    assert!(done.stdout.contains("round 2, measured: 8 of 8 in the sum, loss 0.35"), "{}", done.stdout);
    assert!(done.stdout.contains("as many rounds as the plan asks for have a result"), "{}", done.stdout);
    assert!(fs::read(out).unwrap().len() > 4 * ENTRIES);
}

#[test]
fn what_cannot_be_a_task_is_said_before_anybody_is_invited() {
    let stage = Stage::new();
    federation::write_plan(&stage, 1, "least = 9\ndropout = 0.25");
    let few = simulate(&stage, &["--trainer", "true"]);
    assert_eq!(few.code, Some(1), "{}", few.stderr);
    assert!(few.stderr.contains("3 rounds in a row failed"), "{}", few.stderr);
    let said: Value = serde_json::from_str(&few.stdout).unwrap();
    assert_eq!(said["rounds"][0]["cohorts"][0]["failure"], "too few joined: expected at least 9, got 8");
    let none = simulate(&stage, &[]);
    assert_eq!(none.code, Some(2), "{}", none.stderr);
    assert!(none.stderr.contains("expected --trainer, or --model and --examples"), "{}", none.stderr);
    fs::write(stage.path("round.toml"), "task = \"digits\"\nround = 1\n").unwrap();
    let wrong = simulate(&stage, &["--trainer", "true"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("round.toml"), "{}", wrong.stderr);
}
