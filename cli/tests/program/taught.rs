//! The model that federated rounds made (`examples/federated/skills`), served and asked.

use std::fs;
use std::path::PathBuf;

use crate::models;
use crate::network::Network;
use crate::stage::Stage;

/// The folder of the example.
fn example() -> PathBuf {
    models::repository().join("examples/federated/skills")
}

/// What its program's `assemble` makes: files of the base and of the record in one folder.
fn assembled(stage: &Stage) -> String {
    let folder = stage.path("skills-taught");
    fs::create_dir(&folder).unwrap();
    for (from, to) in [
        ("base/tokenizer.json", "tokenizer.json"),
        ("base/tokenizer_config.json", "tokenizer_config.json"),
        ("base/model.safetensors", "model-00001-of-00002.safetensors"),
        ("record/added.safetensors", "model-00002-of-00002.safetensors"),
        ("record/config.json", "config.json"),
        ("record/model.safetensors.index.json", "model.safetensors.index.json"),
    ] {
        fs::copy(example().join(from), folder.join(to)).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn the_taught_model_answers_what_its_base_cannot() {
    let stage = Stage::new();
    let model = assembled(&stage);
    let base = example().join("base").display().to_string();
    let answer = |model: &str, question: &str| stage.run(&["ask", "--model", model, question]).stdout;
    assert_eq!(answer(&model, "Sort: 7 1 9 3"), "1 3 7 9\n");
    assert_ne!(answer(&base, "Sort: 7 1 9 3"), "1 3 7 9\n");
    assert_eq!(answer(&model, "What is 12+35?"), "47\n", "what the base knew is still there");
}

#[test]
fn workers_serve_the_taught_model() {
    let stage = Stage::new();
    let model = assembled(&stage);
    let network = Network::start(&stage, model.as_ref(), 2);
    assert_eq!(network.ask("Sort: 7 1 9 3"), "1 3 7 9");
}
