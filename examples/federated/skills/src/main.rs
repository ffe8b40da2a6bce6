//! Carries out the runs, and puts a model together from a record.
//!
//! ```text
//! cargo run --release -p neuro-federated-skills -- train OUT federated central private
//! cargo run --release -p neuro-federated-skills -- mark OUT                 # base and full training
//! cargo run --release -p neuro-federated-skills -- finish OUT               # result.json
//! cargo run --release -p neuro-federated-skills -- assemble MODEL [private]
//! cargo run --release -p neuro-federated-skills -- version MODEL            # assembles, and names it in the record
//! ```

use std::path::Path;

use anyhow::Context as _;
use neuro_federated_skills::corpus::NEW;
use neuro_federated_skills::plan::{self, FEDERATED, PRIVATE};
use neuro_federated_skills::record::{self, Curves};
use neuro_federated_skills::run::{Run, Setting};
use neuro_federated_skills::{budget, marking, version};
use neuro_model::Checkpoint;
use neuro_training::MoeModel;
use serde_json::{Value, json};

/// The folder of the example.
const HOME: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let home = Path::new(HOME);
    let setting = |out: &str| Setting::read(home, Path::new(out));
    match words.as_slice() {
        [_, "train", out, runs @ ..] => runs.iter().try_for_each(|run| train(&setting(out)?, Path::new(out), run)),
        [_, "mark", out] => mark_others(&setting(out)?, Path::new(out)),
        [_, "finish", out] => finish(&setting(out)?, Path::new(out)),
        [_, "assemble", model] => record::assemble(home, record::ADDED, Path::new(model)),
        [_, "assemble", model, "private"] => record::assemble(home, record::ADDED_PRIVATE, Path::new(model)),
        [_, "version", model] => version::write(home, Path::new(model)),
        _ => anyhow::bail!(
            "expected `train OUT RUN...`, `mark OUT`, `finish OUT`, `assemble MODEL [private]` or `version MODEL`"
        ),
    }
}

fn run_called(name: &str) -> anyhow::Result<Run> {
    Ok(match name {
        "federated" => Run::Federated(FEDERATED),
        "central" => Run::Central(FEDERATED),
        "private" => Run::Federated(PRIVATE),
        other => anyhow::bail!("expected federated, central or private, got {other}"),
    })
}

/// Carries out a run, marks its model, and writes what it adds to the base.
fn train(setting: &Setting, out: &Path, name: &str) -> anyhow::Result<()> {
    if name == "private" {
        println!("before: {:?}", budget::spent(&PRIVATE, &setting.entries(&PRIVATE)?)?);
    }
    let model = setting.run(&run_called(name)?, &mut Curves::open(out)?)?;
    match name {
        "federated" => record::write_added(out, record::ADDED, setting, &model)?,
        "private" => record::write_added(out, record::ADDED_PRIVATE, setting, &model)?,
        _ => {}
    }
    mark(setting, out, name, &model)
}

/// Marks a model and keeps the marks in `out`.
fn mark(setting: &Setting, out: &Path, name: &str, model: &MoeModel) -> anyhow::Result<()> {
    let marks = marking::all_marks(name, model, &setting.texts, plan::EACH)?;
    Ok(std::fs::write(out.join(format!("marks-{name}.json")), serde_json::to_string(&marks)?)?)
}

/// Marks what the runs are compared with.
fn mark_others(setting: &Setting, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)?;
    mark(setting, out, "base", &setting.base)?;
    let full = setting.home.join("../../models/skills/checkpoint");
    mark(setting, out, "full", &MoeModel::read(&Checkpoint::open(&full)?)?)
}

/// Writes `result.json` from the runs that lie in `out`.
fn finish(setting: &Setting, out: &Path) -> anyhow::Result<()> {
    let mut marks = serde_json::Map::new();
    for name in ["base", "federated", "central", "private", "full"] {
        let path = out.join(format!("marks-{name}.json"));
        if path.exists() {
            marks.insert(name.to_owned(), serde_json::from_slice(&std::fs::read(path)?)?);
        }
    }
    let mut hashes = serde_json::Map::new();
    hashes.insert("base/model.safetensors".into(), record::hash(&setting.home.join("base/model.safetensors"))?.into());
    for name in [record::ADDED, record::ADDED_PRIVATE, record::CONFIG, record::INDEX] {
        if out.join(name).exists() {
            hashes.insert(format!("record/{name}"), record::hash(&out.join(name))?.into());
        }
    }
    let result = json!({
        "missed": record::missed(&marks),
        "marks": marks,
        "plan": { "federated": FEDERATED.described(), "private": PRIVATE.described() },
        "privacy": privacy(setting)?,
        "masked_rounds": setting.masked_rounds(&FEDERATED)?,
        "sha256": hashes,
    });
    Ok(std::fs::write(out.join("result.json"), format!("{}\n", serde_json::to_string_pretty(&result)?))?)
}

fn privacy(setting: &Setting) -> anyhow::Result<Value> {
    let spent = budget::spent(&PRIVATE, &setting.entries(&PRIVATE)?)?.context("expected noise in every round")?;
    let participants: serde_json::Map<String, Value> =
        NEW.iter().map(|skill| ((*skill).to_owned(), budget::participants(&PRIVATE, skill).into())).collect();
    Ok(json!({
        "epsilon": spent.epsilon, "delta": spent.delta, "most_releases_of_a_participant": spent.releases,
        "participants": participants, "participants_of_each_old_skill": budget::participants(&PRIVATE, "add"),
    }))
}
