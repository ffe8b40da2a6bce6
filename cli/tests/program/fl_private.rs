//! `neuro fl` in private mode: eight processes, two rounds, and an account on each disk.

use std::fs;

use serde_json::Value;

use crate::federation::Federation;
use crate::fl_cohorts::safetensors;
use crate::process::Process;
use crate::stage::Stage;

const PLAN: &str = "task = \"digits\"\n[model]\nweights = \"global.safetensors\"\n[rounds]\ncount = 2\n[cohort]\nleast = 8\ndropout = 0.25\n[privacy]\nmode = \"distributed\"\nclip = 1.0\n\
                    scale = 1000\nnoise_multiplier = 0.5\ndelta = 1e-5\n";

/// Four values whose norm is 2: they are clipped to half.
const UPDATE: [f32; 4] = [1.0, -1.0, 1.0, -1.0];

#[test]
fn private_rounds_tell_what_they_cost_and_compose() {
    let stage = Stage::new();
    let model = safetensors(&[("w", &[4], &[0.0; 4])]);
    fs::write(stage.path("global.safetensors"), model).unwrap();
    let federation = Federation::with_plan(&stage, PLAN, &["--start-at", "8"]);
    let update = stage.path("update").display().to_string();
    fs::write(stage.path("update"), safetensors(&[("w", &[4], &UPDATE)])).unwrap();
    let trainer = format!("cp {update} update.safetensors && echo '{{\"weight\": 1}}'");
    let join = |number| federation.participant(number, &["--trainer", "sh", "--", "-c", &trainer]);
    let participants: Vec<Process> = (0..8).map(join).collect();
    let first_offer = participants[0].event("offered");
    assert!(first_offer["epsilon"].as_f64().unwrap() > 0.0, "{first_offer}");
    let (first, second) = (federation.ended(), federation.ended());
    for round in [&first, &second] {
        assert_eq!((round["done"].as_bool(), round["survivors"].as_u64()), (Some(true), Some(8)), "{round}");
    }
    let weights = stage.path("aggregator").join("fl");
    let folder = fs::read_dir(weights).unwrap().map(|entry| entry.unwrap().path());
    let folder = folder.into_iter().find(|path| path.join("models").is_dir()).unwrap();
    let file = fs::read(folder.join(format!("models/{}.safetensors", first["model"].as_str().unwrap()))).unwrap();
    let values = file[file.len() - 16..].as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    for (value, expected) in values.zip(UPDATE) {
        assert!((value - expected / 2.0).abs() < 0.4, "{value} against the clipped mean {}", expected / 2.0);
    }
    let second_offer = participants[0].event("offered");
    assert!(
        second_offer["epsilon_after"].as_f64() > first_offer["epsilon_after"].as_f64(),
        "the second round composes"
    );
    let show = federation.command(&["show"]);
    assert_eq!(show["spent"]["releases"], 2, "{show}");
    assert!(show["spent"]["epsilon"].as_f64().unwrap() > show["cohorts"][0]["epsilon"].as_f64().unwrap());
    // The end of the first round came before the second was offered.
    participants[0].event("ended");
    let past = past(&federation, 0);
    assert_eq!(past["releases"].as_array().unwrap().len(), 2, "{past}");
}

/// What a participant remembers.
fn past(federation: &Federation<'_>, number: usize) -> Value {
    let tasks = fs::read_dir(federation.folder(number).join("fl")).unwrap();
    let text = tasks.filter_map(|task| fs::read(task.unwrap().path().join("past.json")).ok()).next().unwrap();
    serde_json::from_slice(&text).unwrap()
}
