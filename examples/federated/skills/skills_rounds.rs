//! Teaches a model two new skills by federated rounds, one expert a cohort, and compares it with central training.
//!
//! ```text
//! cargo run --release -p neuro-training --example skills_rounds -- train OUT
//! cargo run --release -p neuro-training --example skills_rounds -- assemble MODEL
//! ```
//!
//! The base knows eight skills. It gets one new expert a layer for each new skill (Branch-Train-MiX, FlexOlmo). First
//! all participants, holders of the old skills among them, settle which rows go where. Then eight participants who
//! hold questions of `sort` alone train its expert, and eight others, who hold `reverse`, theirs. All participants then
//! train the two experts together for a while, as Branch-Train-MiX does, and a short round of the routers comes last. Only the new experts and
//! the new rows of the routers are ever trained, so the old experts keep their bits. Central training has the same
//! base, tensors, examples and steps; a step of it sees at once what all participants see in their step of that number.
#![allow(clippy::print_stdout, reason = "a program that reports as it goes")]

mod cohort;
mod corpus;
mod marking;
mod plan;
mod record;

use std::path::{Path, PathBuf};

use neuro_model::{Checkpoint, ModelConfig};
use neuro_training::{Flat, MoeModel, MoeTrainer, TrainedParts, TrainedTensors, with_more_experts};
use serde_json::json;

use cohort::{Cohort, Server};
use corpus::{Chat, Lexicon, NEW, OLD};
use plan::{EACH, Holder, Phase, expert_choice, expert_of};
use record::Curves;

/// What every part of a run needs.
struct Setting {
    folder: PathBuf,
    /// Where finished cohorts are kept, so that a run that was broken off goes on.
    kept: PathBuf,
    base: MoeModel,
    grown: MoeModel,
    config: Vec<u8>,
    lexicon: Lexicon,
    chat: Chat,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/federated/skills");
    match words.as_slice() {
        [_, "train", out] => train(&Setting::read(&here.join("base"), Path::new(out))?, Path::new(out)),
        [_, "assemble", model] => {
            let setting = Setting::read(&here.join("base"), Path::new(model))?;
            let names = setting.grown.weights().iter().map(|(name, _)| name.to_owned());
            record::assemble(&setting.folder, &here.join("record"), Path::new(model), names)
        }
        _ => anyhow::bail!("expected `train OUT` or `assemble MODEL`"),
    }
}

impl Setting {
    /// The base in `folder`, and the same with an expert more for each new skill.
    fn read(folder: &Path, out: &Path) -> anyhow::Result<Self> {
        let checkpoint = Checkpoint::open(folder)?;
        let base = MoeModel::read(&checkpoint)?;
        let (config, weights) = with_more_experts(checkpoint.config_bytes(), base.weights(), &plan::COPIES)?;
        let grown = MoeModel::new(ModelConfig::from_json(&config)?, weights, None)?;
        let chat = Chat::of(&checkpoint)?;
        let (folder, kept) = (folder.to_owned(), out.join("cohorts"));
        Ok(Self { folder, kept, base, grown, config, lexicon: Lexicon::read()?, chat })
    }

    fn texts(&self) -> (&Lexicon, &Chat) {
        (&self.lexicon, &self.chat)
    }

    /// `model` with `values` in the place of `parts`.
    fn with(&self, model: &MoeModel, parts: &TrainedParts, values: &Flat) -> anyhow::Result<MoeModel> {
        let mut weights = model.weights().clone();
        parts.write(&values.0, &mut weights)?;
        Ok(MoeModel::new(model.config().clone(), weights, None)?)
    }

    /// As it is stored.
    fn rounded(&self, model: &MoeModel) -> anyhow::Result<MoeModel> {
        let mut weights = model.weights().clone();
        weights.round_to_bf16();
        Ok(MoeModel::new(model.config().clone(), weights, None)?)
    }
}

fn train(setting: &Setting, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(&setting.kept)?;
    let mut curves = Curves::open(out)?;
    let federated = setting.rounded(&run(setting, Run::Federated, &mut curves)?)?;
    record::write_added(out, &setting.config, federated.weights(), setting.base.weights())?;
    let central = setting.rounded(&run(setting, Run::Central, &mut curves)?)?;
    let full = here("../examples/models/skills/checkpoint");
    let full = MoeModel::read(&Checkpoint::open(&full)?)?;
    let marks = |name, model| record::all_marks(name, model, setting.texts(), EACH);
    let result = json!({
        "marks": {
            "base": marks("base", &setting.base)?,
            "federated": marks("federated", &federated)?,
            "central": marks("central", &central)?,
            "full": marks("full", &full)?,
        },
        "plan": plan::described(),
        "sha256": {
            "base/model.safetensors": record::hash(&setting.folder.join("model.safetensors"))?,
            "added.safetensors": record::hash(&out.join(record::ADDED))?,
            "config.json": record::hash(&out.join("config.json"))?,
        },
    });
    Ok(std::fs::write(out.join("result.json"), serde_json::to_vec_pretty(&result)?)?)
}

/// Whether every participant trains alone, or one trainer has all their examples.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    Federated,
    Central,
}

/// The routers, both skills apart, both together, and the routers again.
fn run(setting: &Setting, run: Run, curves: &mut Curves) -> anyhow::Result<MoeModel> {
    let everyone = || {
        let new = NEW.iter().flat_map(|skill| Holder::of(skill, plan::HOLDERS_OF_NEW));
        new.chain(OLD.iter().flat_map(|skill| Holder::of(skill, plan::HOLDERS_OF_OLD))).collect()
    };
    let rows = TrainedTensors::RouterRows(NEW.map(expert_of).to_vec());
    let opened = cohort(setting, run, &setting.grown, ("opening", &rows), everyone(), Phase::OPENING, curves)?;
    let mut model = opened.clone();
    for skill in NEW {
        let holders = Holder::of(skill, plan::HOLDERS_OF_NEW);
        let choice = expert_choice(expert_of(skill), setting.grown.config().layers);
        // Every cohort begins from the same model: they could as well train at the same time.
        let taught = cohort(setting, run, &opened, (skill, &choice), holders, Phase::EXPERT, curves)?;
        let taught = setting.rounded(&taught)?;
        let parts = TrainedParts::of(taught.config(), taught.weights(), &choice)?;
        model = setting.with(&model, &parts, &Flat(parts.read(taught.weights())?))?;
    }
    let choice = plan::mixing_choice(setting.grown.config().layers);
    let mixed = cohort(setting, run, &model, ("mixing", &choice), everyone(), Phase::MIXING, curves)?;
    cohort(setting, run, &mixed, ("router", &rows), everyone(), Phase::ROUTER, curves)
}

/// All rounds of one cohort, from `model`, or what they gave when they were run before.
fn cohort(
    setting: &Setting,
    run: Run,
    model: &MoeModel,
    (name, choice): (&str, &TrainedTensors),
    holders: Vec<Holder>,
    phase: Phase,
    curves: &mut Curves,
) -> anyhow::Result<MoeModel> {
    let parts = TrainedParts::of(model.config(), model.weights(), choice)?;
    let label = if run == Run::Federated { "federated" } else { "central" };
    let kept = setting.kept.join(format!("{label}-{name}.f32"));
    if let Some(values) = record::read_kept(&kept, parts.entries())? {
        return setting.with(model, &parts, &values);
    }
    let global = Flat(parts.read(model.weights())?);
    let groups: Vec<Vec<Holder>> = match run {
        Run::Federated => holders.into_iter().map(|holder| vec![holder]).collect(),
        Run::Central => vec![holders],
    };
    let least = if run == Run::Federated { plan::LEAST } else { 1 };
    let members = groups.into_iter().map(|group| {
        let examples = plan::examples(group, phase)?;
        Ok(MoeTrainer::new(model.clone(), choice, examples, phase.local())?)
    });
    let server = if run == Run::Federated { Server::adam(global.0.len()) } else { Server::Add };
    let mut cohort = Cohort::open(name, members.collect::<anyhow::Result<_>>()?, global, server, least)?;
    let mut loss = f32::NAN;
    for round in 0..phase.rounds {
        if round % phase.look_every == 0 {
            let now = setting.with(model, &parts, &cohort.global)?;
            look(setting, &now, (label, name), (round * phase.steps, loss), curves)?;
        }
        let plan = if run == Run::Federated { phase.local() } else { phase.central(round) };
        loss = cohort.round(&plan, phase.server_rate(round))?;
    }
    let taught = setting.with(model, &parts, &cohort.global)?;
    look(setting, &taught, (label, name), (phase.rounds * phase.steps, loss), curves)?;
    record::keep(&kept, &cohort.global)?;
    Ok(taught)
}

/// A point of the cohort's curves: its own skill's, or those of some skills where it has the routers.
fn look(
    setting: &Setting,
    model: &MoeModel,
    (run, cohort): (&str, &str),
    (step, loss): (u32, f32),
    curves: &mut Curves,
) -> anyhow::Result<()> {
    let own = [cohort];
    let one_skill = NEW.contains(&cohort);
    for skill in if one_skill { &own[..] } else { &plan::LOOK_AT[..] } {
        let marks = marking::mark(model, setting.texts(), skill, plan::LOOK, false)?;
        let name = if one_skill { cohort.to_owned() } else { format!("{cohort}:{skill}") };
        curves.add(run, &name, step, loss, marks)?;
    }
    Ok(())
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
