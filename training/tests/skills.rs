//! What the federated run over skills relies on: floors, sums of integers, and questions held out.

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

use cohort::{Cohort, Server};
use corpus::Lexicon;
use neuro_training::Flat;

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
