//! Carries out the runs, and puts a model together from a record.
//!
//! ```text
//! cargo run --release -p neuro-federated-skills -- train OUT [federated|central|private]...
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
    match words.as_slice() {
        [_, "train", out] => train(home, Path::new(out), &["federated", "central", "private"], true),
        [_, "train", out, runs @ ..] => train(home, Path::new(out), runs, false),
        [_, "assemble", model] => record::assemble(home, record::ADDED, Path::new(model)),
        [_, "assemble", model, "private"] => record::assemble(home, record::ADDED_PRIVATE, Path::new(model)),
        [_, "version", model] => version::write(home, Path::new(model)),
        _ => anyhow::bail!("expected `train OUT [RUN]...`, `assemble MODEL [private]` or `version MODEL`"),
    }
}

/// Carries out `names`; `whole`: and marks everything and writes the result.
fn train(home: &Path, out: &Path, names: &[&str], whole: bool) -> anyhow::Result<()> {
    let setting = Setting::read(home, out)?;
    let mut curves = Curves::open(out)?;
    let mut models = Vec::new();
    for name in names {
        let run = match *name {
            "federated" => Run::Federated(FEDERATED),
            "central" => Run::Central(FEDERATED),
            "private" => Run::Federated(PRIVATE),
            other => anyhow::bail!("expected federated, central or private, got {other}"),
        };
        if *name == "private" {
            println!("before: {:?}", budget::spent(&PRIVATE, &setting.entries(&PRIVATE)?)?);
        }
        let model = setting.run(&run, &mut curves)?;
        match *name {
            "federated" => record::write_added(out, record::ADDED, &setting, &model)?,
            "private" => record::write_added(out, record::ADDED_PRIVATE, &setting, &model)?,
            _ => {}
        }
        models.push((*name, model));
    }
    if whole { finish(&setting, out, &models) } else { Ok(()) }
}

fn finish(setting: &Setting, out: &Path, models: &[(&str, MoeModel)]) -> anyhow::Result<()> {
    let full = setting.home.join("../../models/skills/checkpoint");
    let full = MoeModel::read(&Checkpoint::open(&full)?)?;
    let all = [("base", &setting.base)].into_iter().chain(models.iter().map(|(name, model)| (*name, model)));
    let mut marks = serde_json::Map::new();
    for (name, model) in all.chain([("full", &full)]) {
        marks.insert(name.to_owned(), marking::all_marks(name, model, &setting.texts, plan::EACH)?);
    }
    let result = json!({
        "marks": marks,
        "plan": { "federated": FEDERATED.described(), "private": PRIVATE.described() },
        "privacy": privacy(setting)?,
        "masked_rounds": setting.masked_rounds(&FEDERATED)?,
        "sha256": {
            "base/model.safetensors": record::hash(&setting.home.join("base/model.safetensors"))?,
            "record/added.safetensors": record::hash(&out.join(record::ADDED))?,
            "record/added-private.safetensors": record::hash(&out.join(record::ADDED_PRIVATE))?,
            "record/config.json": record::hash(&out.join(record::CONFIG))?,
            "record/model.safetensors.index.json": record::hash(&out.join(record::INDEX))?,
        },
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
