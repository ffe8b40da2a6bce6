//! The committed record of the federated run, and two small rounds of the same kind.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; parts of the program"
)]

#[path = "../../examples/federated/skills/cohort.rs"]
mod cohort;
#[path = "../../examples/federated/skills/corpus.rs"]
mod corpus;
#[path = "../../examples/federated/skills/marking.rs"]
mod marking;
#[path = "../../examples/federated/skills/plan.rs"]
mod plan;
#[path = "../../examples/federated/skills/record.rs"]
mod record;

use std::path::{Path, PathBuf};

use cohort::{Cohort, Server};
use corpus::{Chat, Lexicon, NEW, OLD, SKILLS};
use neuro_model::{Checkpoint, ModelConfig};
use neuro_training::{Flat, MoeModel, MoeTrainer, TrainedParts, with_more_experts};
use plan::{Holder, Phase, expert_choice, expert_of};
use serde_json::Value;

/// Held-out questions a skill that CI asks.
const ASKED: usize = 40;

fn skills() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/federated/skills")
}

fn result() -> Value {
    serde_json::from_slice(&std::fs::read(skills().join("record/result.json")).unwrap()).unwrap()
}

/// The model of the record, in a folder as `neuro` takes it.
fn assembled(folder: &Path) -> Checkpoint {
    let base = Checkpoint::open(&skills().join("base")).unwrap();
    let weights = neuro_training::Weights::read(&base).unwrap();
    let (_, grown) = with_more_experts(base.config_bytes(), &weights, &plan::COPIES).unwrap();
    let names = grown.iter().map(|(name, _)| name.to_owned());
    record::assemble(&skills().join("base"), &skills().join("record"), folder, names).unwrap();
    Checkpoint::open(folder).unwrap()
}

#[test]
fn the_recorded_model_does_what_the_record_says() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = assembled(folder.path());
    let model = MoeModel::read(&checkpoint).unwrap();
    let (lexicon, chat) = (Lexicon::read().unwrap(), Chat::of(&checkpoint).unwrap());
    let recorded = &result()["marks"]["federated"];
    for skill in SKILLS {
        let got = marking::mark(&model, (&lexicon, &chat), skill, ASKED, true).unwrap();
        let share = recorded["right"][skill].as_f64().unwrap() / recorded["of"].as_f64().unwrap();
        // 40 of the 400 questions: three standard deviations of a share near one are less than a tenth.
        let difference = got.right as f64 / got.of as f64 - share;
        assert!(difference.abs() <= 0.1, "{skill}: {} of {}, recorded {share}", got.right, got.of);
    }
}

#[test]
fn the_record_keeps_its_promises() {
    let result = result();
    let right = |run: &str, skill: &str| result["marks"][run]["right"][skill].as_i64().unwrap();
    assert_eq!(result["marks"]["federated"]["of"], 400);
    for skill in NEW {
        assert_eq!(right("base", skill), 0, "{skill}");
        assert!(right("federated", skill) >= right("central", skill) - 20, "{skill}: within 5 points of central");
    }
    for skill in OLD {
        assert!(right("federated", skill) >= right("base", skill) - 8, "{skill}: at most 2 points lost");
    }
}

#[test]
fn hashes_of_the_record_are_those_of_its_files() {
    let result = result();
    for (name, folder) in [("base/model.safetensors", ""), ("added.safetensors", "record"), ("config.json", "record")] {
        let hash = record::hash(&skills().join(folder).join(name)).unwrap();
        assert_eq!(result["sha256"][name], hash, "{name}");
    }
}

#[test]
fn old_tensors_of_the_recorded_model_have_the_bits_of_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let taught = neuro_training::Weights::read(&assembled(folder.path())).unwrap();
    let base = neuro_training::Weights::read(&Checkpoint::open(&skills().join("base")).unwrap()).unwrap();
    for (name, old) in base.iter() {
        let new = &taught.get(name).unwrap().values;
        assert!(new.len() >= old.values.len(), "{name}");
        assert!(old.values.iter().zip(new).all(|(old, new)| old.to_bits() == new.to_bits()), "{name}");
    }
}

#[test]
fn two_small_rounds_make_a_skill_likelier() {
    let checkpoint = Checkpoint::open(&skills().join("base")).unwrap();
    let base = MoeModel::read(&checkpoint).unwrap();
    let (config, weights) = with_more_experts(checkpoint.config_bytes(), base.weights(), &plan::COPIES).unwrap();
    let mut weights = weights;
    let model = MoeModel::new(ModelConfig::from_json(&config).unwrap(), weights.clone(), None).unwrap();
    // The copy's rows of the routers decide who meets it here; the real run settles them first.
    let choice = expert_choice(expert_of("sort"), model.config().layers);
    let parts = TrainedParts::of(model.config(), model.weights(), &choice).unwrap();
    let member = |holder| {
        let examples = plan::examples(vec![holder], Phase::EXPERT).unwrap();
        MoeTrainer::new(model.clone(), &choice, examples, Phase::EXPERT.local()).unwrap()
    };
    let members: Vec<MoeTrainer> = Holder::of("sort", 2).into_iter().map(member).collect();
    let global = Flat(parts.read(model.weights()).unwrap());
    let server = Server::adam(global.0.len());
    let mut cohort = Cohort::open("sort", members, global, server, 2).unwrap();
    for _ in 0..2 {
        cohort.round(&Phase::EXPERT.local(), Phase::EXPERT.rate).unwrap();
    }
    parts.write(&cohort.global.0, &mut weights).unwrap();
    let after = MoeModel::new(model.config().clone(), weights, None).unwrap();
    let (lexicon, chat) = (Lexicon::read().unwrap(), Chat::of(&checkpoint).unwrap());
    let loss = |model: &MoeModel| marking::mark(model, (&lexicon, &chat), "sort", 20, false).unwrap().loss;
    let (before, after) = (loss(&model), loss(&after));
    assert!(after < before - 0.3, "{before} to {after}");
}

#[test]
fn a_cohort_below_its_floor_is_not_opened() {
    let error = Cohort::open("sort", Vec::new(), Flat(vec![0.0]), Server::Add, plan::LEAST).err().expect("too few");
    assert_eq!(error.to_string(), "cohort sort: expected 8 members, got 0");
}

#[test]
fn sums_of_integers_do_not_depend_on_the_order() {
    let updates = [[0.1_f32, -0.3], [1e-5, 7e-4], [-0.123, 0.9]].map(|values| Flat(values.to_vec()));
    let mean = |order: [usize; 3]| {
        let mut sum = cohort::QuantisedSum::new(2);
        order.into_iter().for_each(|at| sum.add(&updates[at]));
        sum.mean(3).map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(mean([0, 1, 2]), mean([2, 0, 1]));
    assert_eq!(mean([0, 1, 2]), mean([1, 2, 0]));
}

#[test]
fn no_held_out_question_is_trained_on() {
    let lexicon = Lexicon::read().unwrap();
    let held_out: Vec<String> =
        marking::questions(&lexicon, "sort", 400).into_iter().map(|item| item.question).collect();
    let mut dice = corpus::Dice::new(7, 1);
    for _ in 0..20_000 {
        let item = lexicon.draw(&mut dice, "sort", false);
        assert!(!held_out.contains(&item.question), "{}", item.question);
    }
}
