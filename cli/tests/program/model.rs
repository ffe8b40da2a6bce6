//! `neuro model`: looking into checkpoints and marking them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::models;
use crate::stage::Stage;
use crate::terminal::Terminal;

/// The skills model with every thirteenth question: three of each of the ten skills.
fn shortened(stage: &Stage) -> PathBuf {
    let folder = models::copy(stage, &models::skills(), "model");
    let path = folder.join("test.jsonl");
    let questions = fs::read_to_string(&path).unwrap();
    let mut by_skill = std::collections::BTreeMap::<String, usize>::new();
    let mut kept = String::new();
    for line in questions.lines() {
        let question: Value = serde_json::from_str(line).unwrap();
        let seen = by_skill.entry(question["skill"].as_str().unwrap().to_owned()).or_default();
        *seen += 1;
        if *seen <= 3 {
            kept.extend([line, "\n"]);
        }
    }
    fs::write(path, kept).unwrap();
    folder
}

#[test]
fn a_checkpoint_is_described() {
    let stage = Stage::new();
    let model = models::skills().display().to_string();
    let arguments = ["model", "inspect", &model];
    insta::assert_snapshot!(stage.transcript(&arguments, &stage.run(&arguments)));
    let facts: Value = serde_json::from_str(&stage.run(&["model", "inspect", "--json", &model]).stdout).unwrap();
    assert_eq!(facts["parameters"], 3_478_656);
    let total = facts["trunk_bytes"].as_u64().unwrap() + facts["expert_bytes"].as_u64().unwrap();
    assert_eq!(total, 2 * 3_478_656, "two bytes a parameter");
}

#[test]
fn logits_are_those_of_the_reference() {
    let stage = Stage::new();
    for name in ["mixtral-7-float32", "qwen3_moe-8-bfloat16", "olmoe-9-float16"] {
        let folder = models::fixture(name);
        let reference: Value = serde_json::from_slice(&fs::read(folder.join("reference.json")).unwrap()).unwrap();
        let case = &reference["cases"].as_array().unwrap().last().unwrap();
        let ids: Vec<String> = case["prompt_ids"].as_array().unwrap().iter().map(Value::to_string).collect();
        let expected: Vec<f64> = case["last_logits"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
        let folder = folder.display().to_string();
        let run = stage.run(&["model", "logits", &folder, "--ids", &ids.join(","), "--json"]);
        let got: Value = serde_json::from_str(&run.stdout).unwrap();
        let logits: Vec<f64> = got["logits"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
        let difference = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert_eq!(logits.len(), expected.len());
        assert!(difference <= 2e-4, "{name}: {difference}");
        let likeliest = (0..expected.len()).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
        assert_eq!(got["argmax"], likeliest, "{name}");
    }
}

#[test]
fn questions_are_marked_in_one_process_and_across_workers() {
    let stage = Stage::new();
    let folder = shortened(&stage).display().to_string();
    let here = stage.run(&["model", "eval", &folder]);
    insta::assert_snapshot!(here.stdout);
    assert_eq!((here.code, here.stderr.as_str()), (Some(0), ""));
    let across = stage.run(&["model", "eval", &folder, "--workers", "2", "--json"]);
    let marks: Value = serde_json::from_str(&across.stdout).unwrap();
    assert_eq!((&marks["right"]["all"], &marks["of"]["all"]), (&30.into(), &30.into()), "{marks}");
    stage.wait_empty();
}

#[test]
fn a_terminal_sees_how_far_marking_is() {
    let stage = Stage::new();
    let model = models::skills().display().to_string();
    let Some(terminal) = Terminal::open(&stage) else { return };
    terminal.enter(&stage, &["model", "eval", &model]);
    terminal.wait_until("a bar with a count", |screen| screen.contains("answering") && screen.contains("/400"));
    terminal.press("C-c");
    terminal.wait_for("ended with 130");
}

#[test]
fn a_folder_without_questions_is_named() {
    let stage = Stage::new();
    let folder = models::fixture("mixtral-7-float32").display().to_string();
    let arguments = ["model", "eval", &folder];
    insta::assert_snapshot!(stage.transcript(&arguments, &stage.run(&arguments)));
}

#[test]
fn a_checkpoint_is_quantised_and_split() {
    let stage = Stage::new();
    let source = models::fixture("mixtral-7-float32").display().to_string();
    let arguments =
        ["model", "quantize", &source, "small.gguf", "--type", "q4_k", "--override", "*.ffn_down_exps.weight=iq4_nl"];
    insta::assert_snapshot!(stage.transcript(&arguments, &stage.run(&arguments)));
    let facts: Value = serde_json::from_str(&stage.run(&["model", "inspect", "--json", "small.gguf"]).stdout).unwrap();
    assert_eq!((&facts["architecture"], &facts["experts"]), (&"mixtral".into(), &8.into()));
    let arguments = ["model", "split", "small.gguf", "parts", "--shards", "3"];
    insta::assert_snapshot!(stage.transcript(&arguments, &stage.run(&arguments)));
    let whole = stage.run(&["model", "logits", "small.gguf", "--ids", "3,4,5", "--json"]).stdout;
    let parts = stage.run(&["model", "logits", "parts/small-00001-of-00003.gguf", "--ids", "3,4,5", "--json"]).stdout;
    assert_eq!(whole, parts);
    let arguments = ["model", "quantize", &source, "other.gguf", "--type", "q3"];
    insta::assert_snapshot!(stage.transcript(&arguments, &stage.run(&arguments)));
}
