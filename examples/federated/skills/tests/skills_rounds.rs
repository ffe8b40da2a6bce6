//! What the federated run over skills relies on: floors, sums of integers, masks that cancel, questions held out, and
//! two small rounds that teach something.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use neuro_federated_skills::budget;
use neuro_federated_skills::cohort::Cohort;
use neuro_federated_skills::corpus::{Dice, Lexicon, Texts};
use neuro_federated_skills::marking;
use neuro_federated_skills::masked::masked_round;
use neuro_federated_skills::plan::{self, Called, FEDERATED, PRIVATE, Phase, Plan};
use neuro_federated_skills::run::{Setting, with};
use neuro_federated_skills::vectors::Vectors;
use neuro_training::{Flat, MoeModel, TrainedParts, TrainedTensors};

/// The rows of the routers, in few and long steps.
const OPENING: Phase = Phase { questions: 1, rate: 0.2, of_new: 4, of_old: [1; 8], ..FEDERATED.opening };

/// One expert, likewise.
const EXPERT: Phase = Phase { steps: 1, questions: 1, rate: 1e-2, ..FEDERATED.expert };

fn setting() -> (Setting, tempfile::TempDir) {
    let out = tempfile::tempdir().unwrap();
    (Setting::read(Path::new(env!("CARGO_MANIFEST_DIR")), out.path()).unwrap(), out)
}

fn open(setting: &Setting, name: &'static str, model: &MoeModel, phase: Phase, called: Called) -> Cohort {
    Cohort::open(name, model.clone(), &setting.choice(name), (phase, called), setting.texts.clone()).unwrap()
}

/// `model` after `rounds` rounds.
fn after(
    setting: &Setting,
    name: &'static str,
    model: &MoeModel,
    (phase, called): (Phase, Called),
    rounds: u32,
) -> MoeModel {
    let mut cohort = open(setting, name, model, Phase { rounds, ..phase }, called);
    for round in 0..rounds {
        cohort.round(round).unwrap();
    }
    let parts = TrainedParts::of(model.config(), model.weights(), &setting.choice(name)).unwrap();
    with(model, &parts, &cohort.global).unwrap()
}

fn loss(setting: &Setting, model: &MoeModel, skill: &str) -> f32 {
    marking::mark(model, &setting.texts, skill, 20, false).unwrap().loss
}

/// Rows of questions of `skill` that go to `expert`, of 1,000, in all layers together.
fn share(setting: &Setting, model: &MoeModel, skill: &str, expert: usize) -> u32 {
    let Texts { lexicon, chat } = &*setting.texts;
    let items = marking::questions(lexicon, skill, 20);
    let examples: Vec<_> = items.iter().map(|item| chat.example(item, Vec::new()).unwrap()).collect();
    let routed = model.evaluate(&examples).unwrap().routed;
    let rows: u32 = routed.iter().flatten().sum::<u32>() / 2;
    1000 * routed.iter().map(|layer| layer[expert]).sum::<u32>() / rows
}

#[test]
fn two_small_rounds_make_a_skill_likelier_once_the_routers_know_of_its_expert() {
    let (setting, _out) = setting();
    let opened = after(&setting, "opening", &setting.grown, (OPENING, Called::Everyone), 5);
    let met = |model| share(&setting, model, "sort", 8);
    let (before, now) = (met(&setting.grown), met(&opened));
    assert!(now > 5 * before && now > 300, "{before} to {now} of 1,000 rows meet the expert");
    let taught = after(&setting, "sort", &opened, (EXPERT, Called::Holders("sort")), 2);
    let (before, now) = (loss(&setting, &opened, "sort"), loss(&setting, &taught, "sort"));
    assert!(now < before - 1.0, "{before} to {now} nats a token");
}

#[test]
fn the_masked_sum_of_a_round_is_the_plain_one_to_the_bit() {
    let (setting, _out) = setting();
    let cohort = open(&setting, "opening", &setting.grown, OPENING, Called::Everyone);
    // `masked_round` fails at the first entry that differs, so what is left to see is that there was a sum.
    let report = masked_round(&cohort, 0).unwrap();
    assert_eq!((report.end.as_str(), report.survivors, report.weight), ("Done", 16, Some(16)));
    assert_eq!(report.modulus_bits, 24, "20 bits and the sum of 16");
}

#[test]
fn a_cohort_below_its_floor_is_not_opened() {
    let (setting, _out) = setting();
    let seven = Phase { of_new: 7, ..EXPERT };
    let choice = TrainedTensors::RouterRows(vec![8]);
    let texts = Arc::clone(&setting.texts);
    let error = Cohort::open("sort", setting.grown.clone(), &choice, (seven, Called::Holders("sort")), texts);
    assert_eq!(error.err().expect("too few").to_string(), "cohort sort: expected 8 members, got 7");
}

#[test]
fn sums_of_integers_do_not_depend_on_the_order() {
    let updates = [[0.01_f32, -0.03], [1e-5, 7e-4], [-0.0123, 0.09]].map(|values| Flat(values.to_vec()));
    let vectors = Vectors::new("sort", &EXPERT, 0, 3, 2).unwrap();
    let mean = |order: [usize; 3]| {
        let mut sum = vectors.nothing();
        order.into_iter().for_each(|at| sum.add(&vectors.payload(at, &updates[at]).unwrap().0).unwrap());
        vectors.read(sum).unwrap()
    };
    assert_eq!(mean([0, 1, 2]), mean([2, 0, 1]));
    assert_eq!(mean([0, 1, 2]), mean([1, 2, 0]));
    let exact = [(0.01 + 1e-5 - 0.0123), (-0.03 + 7e-4 + 0.09)];
    let near = |(got, exact): (&f64, f64)| (got - exact).abs() < 1e-6;
    assert!(mean([0, 1, 2]).values.iter().zip(exact).all(near), "{:?}", mean([0, 1, 2]).values);
}

#[test]
fn noise_is_added_before_anything_is_sent_and_is_charged() {
    let phase = Phase { of_new: 64, noise: Some(2.0), ..EXPERT };
    let vectors = Vectors::new("sort", &phase, 0, 64, 512).unwrap();
    let mut sum = vectors.nothing();
    for member in 0..64 {
        sum.add(&vectors.payload(member, &Flat(vec![0.0; 512])).unwrap().0).unwrap();
    }
    let values = vectors.read(sum).unwrap().values;
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    // z·c·√entries, times what the dropped and the corrupt would have added: √(64/51).
    let expected = 2.0 * phase.longest_update() * 512.0_f64.sqrt() * (64.0_f64 / 51.0).sqrt();
    assert!((length / expected - 1.0).abs() < 0.15, "{length}, expected about {expected}");
    assert!(vectors.release().unwrap().is_some());
}

#[test]
fn whoever_is_called_twice_pays_for_two_rounds() {
    let twice = Phase { rounds: 8, batches: 4, of_new: 64, of_old: [16; 8], noise: Some(2.0), ..EXPERT };
    let once = Phase { batches: 8, ..twice };
    let spent = |expert: Phase| {
        let plan = Plan { expert, mixing: None, opening: once, router: once, ..PRIVATE };
        budget::spent(&plan, &[64; 4]).unwrap().expect("noise in every round")
    };
    let (few, many) = (spent(once), spent(twice));
    assert_eq!((few.releases, many.releases), (3, 4));
    assert!(few.epsilon < many.epsilon && few.delta == plan::DELTA, "{few:?} {many:?}");
    assert_eq!(budget::spent(&FEDERATED, &[64; 5]).unwrap(), None, "nothing is promised without noise");
}

#[test]
fn no_held_out_question_is_trained_on() {
    let lexicon = Lexicon::read().unwrap();
    let held_out: Vec<String> =
        marking::questions(&lexicon, "sort", 400).into_iter().map(|item| item.question).collect();
    let mut dice = Dice::new(7, 1);
    for _ in 0..20_000 {
        let item = lexicon.draw(&mut dice, "sort", false);
        assert!(!held_out.contains(&item.question), "{}", item.question);
    }
}
