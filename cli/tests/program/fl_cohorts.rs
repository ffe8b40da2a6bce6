//! `neuro fl` with experts: a cohort for each, an expert that is not opened, the router last.

use std::fs;

use serde_json::{Map, Value, json};

use crate::federation::Federation;
use crate::process::Process;
use crate::stage::Stage;

const PLAN: &str = "task = \"digits\"\n[model]\nweights = \"global.safetensors\"\n[rounds]\ncount = 1\n[update]\nrange = 8\n[cohort]\nleast = 8\ndropout = 0.25\n\
    [[experts]]\nname = \"sort\"\ntensors = [\"expert.0\", \"router[0]\"]\nbatches = [0]\nleast = 8\n\
    [[experts]]\nname = \"reverse\"\ntensors = [\"expert.1\", \"router[1]\"]\nbatches = [0]\nleast = 8\n\
    [[experts]]\nname = \"lonely\"\ntensors = [\"expert.2\", \"router[2]\"]\nbatches = [7]\nleast = 8\n\
    [router]\ntensors = [\"router\"]\n";

#[test]
fn each_expert_is_a_cohort_and_one_without_contributors_stays_closed() {
    let stage = Stage::new();
    let zeros = [0.0; 6];
    let model = safetensors(&[
        ("expert.0", &[2], &zeros[..2]),
        ("expert.1", &[2], &zeros[..2]),
        ("expert.2", &[2], &zeros[..2]),
        ("router", &[3, 2], &zeros),
    ]);
    fs::write(stage.path("global.safetensors"), model).unwrap();
    let federation = Federation::with_plan(&stage, PLAN, &["--start-at", "8"]);
    let write = |name: &str, tensors: &[(&str, &[usize], &[f32])]| {
        fs::write(stage.path(name), safetensors(tensors)).unwrap();
        stage.path(name).display().to_string()
    };
    let sort = write("sort", &[("expert.0", &[2], &[1.0; 2]), ("router[0..1]", &[1, 2], &[1.0; 2])]);
    let reverse = write("reverse", &[("expert.1", &[2], &[2.0; 2]), ("router[1..2]", &[1, 2], &[2.0; 2])]);
    let router = write("router", &[("router", &[3, 2], &[4.0; 6])]);
    let trainer = format!(
        "if grep -q expert.0 task.json; then cp {sort} update.safetensors; elif grep -q expert.1 task.json; then cp {reverse} \
         update.safetensors; else cp {router} update.safetensors; fi; echo '{{\"weight\": 1}}'"
    );
    let join = |number| federation.participant(number, &["--trainer", "sh", "--", "-c", &trainer]);
    let _participants: Vec<Process> = (0..8).map(join).collect();
    let experts = federation.ended();
    assert_eq!(experts["done"], true, "{experts}");
    assert!(
        experts["outcome"].as_str().unwrap().contains("lonely: expected at least 8 contributors, got 0"),
        "{experts}"
    );
    let shown = federation.command(&["show", "1"]);
    let names: Vec<&str> = shown["cohorts"].as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["sort", "reverse"], "{shown}");
    let router = federation.ended();
    assert_eq!(
        (router["done"].as_bool(), router["cohorts"][0]["name"].as_str()),
        (Some(true), Some("router")),
        "{router}"
    );
    let last = federation.aggregator.event("task_ended");
    assert!(last["reason"].as_str().unwrap().contains("as many rounds"), "{last}");
}

/// A safetensors file of these tensors, f32.
pub fn safetensors(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
