//! The committed record: what it says is so, and its model does it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use neuro_federated_skills::corpus::{NEW, SKILLS, Texts};
use neuro_federated_skills::plan::{DELTA, FEDERATED, PRIVATE};
use neuro_federated_skills::record::{self, ADDED, ADDED_PRIVATE};
use neuro_federated_skills::run::Setting;
use neuro_federated_skills::{budget, marking, version};
use neuro_model::Checkpoint;
use neuro_protocol::manifest::Manifest;
use neuro_training::{MoeModel, Weights};
use serde_json::Value;

/// Held-out questions a skill that CI asks.
const ASKED: usize = 40;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn result() -> Value {
    serde_json::from_slice(&std::fs::read(home().join("record/result.json")).unwrap()).unwrap()
}

/// The model of the record, in a folder as `neuro` takes it.
fn assembled(added: &str, folder: &Path) -> Checkpoint {
    record::assemble(&home(), added, folder).unwrap();
    Checkpoint::open(folder).unwrap()
}

fn check_marks(run: &str, added: &str) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = assembled(added, folder.path());
    let model = MoeModel::read(&checkpoint).unwrap();
    let (texts, result) = (Texts::of(&checkpoint).unwrap(), result());
    let recorded = &result["marks"][run];
    for skill in SKILLS {
        let got = marking::mark(&model, &texts, skill, ASKED, true).unwrap();
        let share = recorded["right"][skill].as_f64().unwrap() / recorded["of"].as_f64().unwrap();
        // The first 40 of the 400 questions. A share of 40 lies within 3.3 standard deviations of that of 400, and a
        // share near one much nearer than the 0.25 that is the most for one of a half.
        let allowed = (3.3 * (share * (1.0 - share) / ASKED as f64).sqrt()).max(0.05);
        let difference = (got.right as f64 / got.of as f64 - share).abs();
        assert!(difference <= allowed, "{run}: {skill}: {} of {}, recorded {share}", got.right, got.of);
    }
}

#[test]
fn the_recorded_model_does_what_the_record_says() {
    check_marks("federated", ADDED);
}

#[test]
fn the_model_with_noise_does_what_the_record_says() {
    check_marks("private", ADDED_PRIVATE);
}

#[test]
fn what_the_record_misses_of_its_aims_is_said() {
    let result = result();
    let marks = result["marks"].as_object().unwrap();
    assert_eq!(marks["federated"]["of"], 400);
    assert_eq!(result["missed"], serde_json::json!(record::missed(marks)));
    let readme = std::fs::read_to_string(home().join("README.md")).unwrap();
    for missed in record::missed(marks) {
        let skill = missed.split(':').next().unwrap();
        assert!(readme.contains(&format!("**missed: `{skill}`**")), "{missed} is not in the table");
    }
    for skill in NEW {
        let right = |run: &str| marks[run]["right"][skill].as_i64().unwrap();
        assert!(right("base") == 0 && right("federated") > 200, "{skill}: it is learnt");
    }
}

#[test]
fn the_record_was_made_by_this_plan_and_paid_what_it_says() {
    let (result, out) = (result(), tempfile::tempdir().unwrap());
    assert_eq!(result["plan"]["federated"], FEDERATED.described());
    assert_eq!(result["plan"]["private"], PRIVATE.described());
    let setting = Setting::read(&home(), out.path()).unwrap();
    let spent = budget::spent(&PRIVATE, &setting.entries(&PRIVATE).unwrap()).unwrap().unwrap();
    let recorded = &result["privacy"];
    assert!((recorded["epsilon"].as_f64().unwrap() / spent.epsilon - 1.0).abs() < 1e-9, "{spent:?}");
    assert_eq!(recorded["delta"].as_f64(), Some(DELTA));
    assert_eq!(recorded["most_releases_of_a_participant"], spent.releases);
}

#[test]
fn every_phase_had_a_masked_round() {
    let result = result();
    let rounds = result["masked_rounds"].as_array().unwrap();
    let phases: Vec<&str> = rounds.iter().map(|round| round["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, FEDERATED.cohorts().iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for round in rounds {
        assert_eq!(round["members"], round["survivors"], "{round}");
        assert_eq!(round["masked_sum_is_plain_sum"], true, "{round}");
    }
}

#[test]
fn hashes_of_the_record_are_those_of_its_files() {
    let result = result();
    let hashes = result["sha256"].as_object().unwrap();
    assert_eq!(hashes.len(), 5);
    for (name, hash) in hashes {
        assert_eq!(*hash, record::hash(&home().join(name)).unwrap(), "{name}");
    }
}

#[test]
fn old_tensors_of_the_recorded_model_have_the_bits_of_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let base = Weights::read(&Checkpoint::open(&home().join("base")).unwrap()).unwrap();
    let taught = Weights::read(&assembled(ADDED, folder.path())).unwrap();
    for (name, old) in base.iter() {
        let new = &taught.get(name).unwrap().values;
        assert!(new.len() >= old.values.len(), "{name}");
        assert!(old.values.iter().zip(new).all(|(old, new)| old.to_bits() == new.to_bits()), "{name}");
    }
}

#[test]
fn the_manifest_of_the_record_names_the_assembled_model_and_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, facts) = version::described(&home(), folder.path()).unwrap();
    let bytes = std::fs::read(home().join("record").join(version::MANIFEST)).unwrap();
    assert_eq!(Manifest::from_canonical(&bytes).unwrap(), manifest);
    let recorded: Value = serde_json::from_slice(&std::fs::read(home().join("record/version.json")).unwrap()).unwrap();
    assert_eq!(recorded, facts);
    let count = |key: &str| facts[key].as_array().unwrap().len();
    assert_eq!((count("changed"), count("added"), count("removed")), (4, 24, 0), "routers; two experts a layer");
}
