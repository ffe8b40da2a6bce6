//! Local steps: what moves, what keeps its bits, what stops them.

use std::collections::BTreeSet;

use neuro_primitives::ExpertId;

use super::*;
use crate::low_rank::LowRank;
use crate::tests::{same_bits, texts, tiny};
use crate::{Example, Wish};

const LONG: Duration = Duration::from_secs(3600);

fn plan(optimiser: Optimiser, steps: u32) -> TrainPlan {
    TrainPlan { optimiser, steps, rate_scale: 1.0, longest_gradient: None, objective: Objective::default() }
}

fn sgd(steps: u32) -> TrainPlan {
    plan(Optimiser::Sgd { rate: 0.1 }, steps)
}

fn expert() -> TrainedTensors {
    TrainedTensors::Experts { experts: vec![ExpertId { layer: 0, expert: 1 }], router_rows: true }
}

fn source() -> Box<dyn ExampleSource> {
    Box::new(|_| texts())
}

fn trainer(choice: &TrainedTensors, plan: TrainPlan) -> (MoeTrainer, Flat) {
    let trainer = MoeTrainer::new(tiny(), choice, source(), plan).unwrap();
    let global = Flat(trainer.parts().read(tiny().weights()).unwrap());
    (trainer, global)
}

fn added(global: &Flat, update: &Flat) -> Vec<f32> {
    global.0.iter().zip(&update.0).map(|(global, update)| global + update).collect()
}

#[test]
fn every_choice_learns() {
    let adam = Optimiser::Adam { rate: 0.01, beta1: 0.9, beta2: 0.98 };
    for choice in [TrainedTensors::All, TrainedTensors::Routers, expert()] {
        let (mut trainer, global) = trainer(&choice, plan(adam, 12));
        let trained = trainer.train(&global, &LocalRule::Plain, LONG).unwrap();
        let mut weights = tiny().weights().clone();
        trainer.parts().write(&added(&global, &trained.update), &mut weights).unwrap();
        let after = MoeModel::new(tiny().config().clone(), weights, None).unwrap().evaluate(&texts()).unwrap().loss;
        let before = tiny().evaluate(&texts()).unwrap().loss;
        assert!(after < before - 0.002, "{choice:?}: {before} to {after}");
        assert_eq!((trained.steps, trained.examples), (12, 36));
    }
}

#[test]
fn a_router_row_learns_where_its_rows_belong() {
    let objective = Objective { routing: 1.0, ..Objective::default() };
    let plan = TrainPlan { objective, ..sgd(12) };
    let wishes = || vec![Wish { experts: vec![1], from: 0, weight: 1.0 }];
    let texts = move || texts().into_iter().map(|text| Example { wishes: wishes(), ..text }).collect::<Vec<_>>();
    let (mut trainer, global) = trainer(&TrainedTensors::RouterRows(vec![1]), plan);
    trainer.examples = Box::new(move |_| texts());
    let trained = trainer.train(&global, &LocalRule::Plain, LONG).unwrap();
    let batch = Batch::new(&texts(), 11).unwrap();
    let misrouted = |vector: &[f32]| {
        let bound = trainer.bound(vector).unwrap();
        let loss = |objective: &Objective| trainer.model.loss(&bound, &batch, objective).unwrap();
        loss(&objective) - loss(&Objective::default())
    };
    let (before, after) = (misrouted(&global.0), misrouted(&added(&global, &trained.update)));
    assert!(after < before - 0.1, "{before} to {after}");
}

#[test]
fn low_rank_adapters_learn_and_their_projections_keep_their_bits() {
    let adapters = LowRank { projections: vec!["lm_head.weight".into()], rank: 2, alpha: 4.0 };
    let mut weights = tiny().weights().clone();
    adapters.attach(&mut weights, 1).unwrap();
    let model = MoeModel::new(tiny().config().clone(), weights.clone(), Some(&adapters)).unwrap();
    let choice = TrainedTensors::LowRank(adapters.clone());
    let mut trainer = MoeTrainer::new(model.clone(), &choice, source(), sgd(12)).unwrap();
    let global = Flat(trainer.parts().read(&weights).unwrap());
    let trained = trainer.train(&global, &LocalRule::Plain, LONG).unwrap();
    trainer.parts().write(&added(&global, &trained.update), &mut weights).unwrap();
    for (name, matrix) in tiny().weights().iter() {
        assert!(same_bits(&weights.get(name).unwrap().values, &matrix.values), "{name}");
    }
    let after = MoeModel::new(tiny().config().clone(), weights, Some(&adapters)).unwrap();
    assert!(after.evaluate(&texts()).unwrap().loss < model.evaluate(&texts()).unwrap().loss - 0.01);
}

#[test]
fn frozen_tensors_keep_their_bits_and_chosen_ones_do_not() {
    let (mut trainer, global) = trainer(&expert(), sgd(3));
    let trained = trainer.train(&global, &LocalRule::Plain, LONG).unwrap();
    let mut weights = tiny().weights().clone();
    trainer.parts().write(&added(&global, &trained.update), &mut weights).unwrap();
    let own: BTreeSet<&str> = trainer.parts().stretches().iter().map(|stretch| stretch.name.as_str()).collect();
    for (name, before) in tiny().weights().iter() {
        let after = &weights.get(name).unwrap().values;
        if !own.contains(name) {
            assert!(same_bits(after, &before.values), "{name} moved");
        } else if name.ends_with("gate.weight") {
            assert!(same_bits(&after[..8], &before.values[..8]) && same_bits(&after[16..], &before.values[16..]));
            assert!(!same_bits(&after[8..16], &before.values[8..16]), "{name} did not move");
        } else {
            assert!(!same_bits(after, &before.values), "{name} did not move");
        }
    }
}

#[test]
fn the_same_examples_give_the_same_bits() {
    let run = || {
        let (mut trainer, global) = trainer(&TrainedTensors::All, sgd(3));
        trainer.train(&global, &LocalRule::Plain, LONG).unwrap().update
    };
    assert!(same_bits(&run().0, &run().0));
}

#[test]
fn one_sgd_step_is_the_rate_times_the_slope() {
    let (mut trainer, global) = trainer(&expert(), sgd(1));
    let batch = Batch::new(&texts(), 11).unwrap();
    let (loss, slope) = trainer.slope(&global.0, &batch).unwrap();
    let trained = trainer.train(&global, &LocalRule::Plain, LONG).unwrap();
    assert!((trained.loss - loss).abs() < 1e-6);
    for (update, slope) in trained.update.0.iter().zip(&slope) {
        assert!((update + 0.1 * slope).abs() < 1e-6, "{update} {slope}");
    }
}

#[test]
fn long_gradients_are_shortened() {
    let (mut trainer, global) = trainer(&TrainedTensors::All, sgd(1));
    trainer.set_plan(TrainPlan { longest_gradient: Some(0.01), ..sgd(1) });
    let update = trainer.train(&global, &LocalRule::Plain, LONG).unwrap().update;
    let length = update.0.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!((length - 0.001).abs() < 1e-5, "{length}");
}

#[test]
fn the_proximal_term_adds_its_slope_from_the_second_step_on() {
    let run = |rule: &LocalRule, steps| {
        let (mut trainer, global) = trainer(&expert(), sgd(steps));
        trainer.train(&global, rule, LONG).unwrap().update.0
    };
    let proximal = LocalRule::Proximal { mu: 2.0 };
    let (one, plain, held) = (run(&LocalRule::Plain, 1), run(&LocalRule::Plain, 2), run(&proximal, 2));
    assert!(same_bits(&run(&proximal, 1), &one), "at the global model the term has no slope");
    // y₂ = y₁ − η (g + μ (y₁ − x))
    for ((one, plain), held) in one.iter().zip(&plain).zip(&held) {
        assert!((held - (plain - 0.1 * 2.0 * one)).abs() < 1e-6, "{held} {plain} {one}");
    }
}

#[test]
fn scaffold_is_option_two_of_the_paper() {
    let (mut trainer, global) = trainer(&expert(), sgd(1));
    let batch = Batch::new(&texts(), 11).unwrap();
    let (_, slope) = trainer.slope(&global.0, &batch).unwrap();
    let zero = Flat(vec![0.0; global.0.len()]);
    let rule = LocalRule::Scaffold { control: zero };
    let first = trainer.train(&global, &rule, LONG).unwrap();
    // With K = 1 and c = cᵢ = 0: cᵢ⁺ = (x − y)/η = g.
    for (change, slope) in first.control.unwrap().0.iter().zip(&slope) {
        assert!((change - slope).abs() < 1e-4, "{change} {slope}");
    }
    // Now cᵢ = g. A server that has c = g too makes plain steps; one with c = 0 makes none.
    let agreed = trainer.train(&global, &LocalRule::Scaffold { control: Flat(slope.clone()) }, LONG).unwrap();
    for (update, slope) in agreed.update.0.iter().zip(&slope) {
        assert!((update + 0.1 * slope).abs() < 1e-5, "{update} {slope}");
    }
    let change = agreed.control.unwrap().0;
    assert!(change.iter().all(|value| value.abs() < 1e-4), "cᵢ⁺ = cᵢ − c + g = g");
    let still = trainer.train(&global, &rule, LONG).unwrap();
    assert!(still.update.0.iter().all(|value| value.abs() < 1e-5));
}

#[test]
fn scaffold_with_adam_is_refused() {
    let adam = Optimiser::Adam { rate: 0.01, beta1: 0.9, beta2: 0.98 };
    let (mut trainer, global) = trainer(&expert(), plan(adam, 1));
    let rule = LocalRule::Scaffold { control: Flat(vec![0.0; global.0.len()]) };
    let error = trainer.train(&global, &rule, LONG).expect_err("it must be refused");
    assert!(error.to_string().contains("plain SGD"), "{error}");
}

#[test]
fn a_personal_model_stays_and_the_update_is_the_plain_one() {
    let (mut plain, global) = trainer(&expert(), sgd(2));
    let expected = plain.train(&global, &LocalRule::Plain, LONG).unwrap();
    let (mut ditto, _) = trainer(&expert(), sgd(2));
    let got = ditto.train(&global, &LocalRule::Personal { lambda: 0.5 }, LONG).unwrap();
    assert!(same_bits(&got.update.0, &expected.update.0));
    let first = ditto.personal().unwrap().to_vec();
    assert!(!same_bits(&first, &global.0));
    ditto.train(&global, &LocalRule::Personal { lambda: 0.5 }, LONG).unwrap();
    assert!(!same_bits(ditto.personal().unwrap(), &first), "the personal model goes on from where it was");
}

#[test]
fn no_time_means_no_update() {
    let (mut trainer, global) = trainer(&expert(), sgd(5));
    let error = trainer.train(&global, &LocalRule::Plain, Duration::ZERO).expect_err("it must stop");
    assert!(matches!(error, TrainError::Deadline { steps: 5, done: 0, .. }), "{error}");
    assert!(error.is_retryable());
}

#[test]
fn whoever_has_the_handle_can_stop_it() {
    let (mut trainer, global) = trainer(&expert(), sgd(50));
    let cancel = trainer.cancel();
    let mut seen = 0;
    trainer.examples = Box::new(move |_| {
        seen += 1;
        if seen == 3 {
            cancel.cancel();
        }
        texts()
    });
    let error = trainer.train(&global, &LocalRule::Plain, LONG).expect_err("it must stop");
    assert!(matches!(error, TrainError::Cancelled { done: 3 }), "{error}");
}

#[test]
fn numbers_that_are_none_stop_training() {
    let (mut trainer, mut global) = trainer(&expert(), sgd(2));
    global.0[0] = f32::NAN;
    let error = trainer.train(&global, &LocalRule::Plain, LONG).expect_err("it must stop");
    assert!(matches!(error, TrainError::NotFinite { step: 0, .. }), "{error}");
}

#[test]
fn a_vector_of_another_length_and_strange_examples_are_refused() {
    let (mut trainer, global) = trainer(&expert(), sgd(2));
    let error = trainer.train(&Flat(vec![0.0; 3]), &LocalRule::Plain, LONG).expect_err("it must be refused");
    assert_eq!(error.to_string(), "expected 152 entries, got 3");
    trainer.examples = Box::new(|_| vec![Example { ids: vec![99], learn_from: 1, ..Example::default() }]);
    let error = trainer.train(&global, &LocalRule::Plain, LONG).expect_err("it must be refused");
    assert!(matches!(error, TrainError::Token { got: 99, .. }), "{error}");
}

#[test]
fn rounds_do_not_repeat_each_others_examples() {
    let (mut trainer, global) = trainer(&expert(), sgd(2));
    let (sender, seen) = std::sync::mpsc::channel();
    trainer.examples = Box::new(move |step| {
        sender.send(step).unwrap();
        texts()
    });
    for _ in 0..2 {
        trainer.train(&global, &LocalRule::Plain, LONG).unwrap();
    }
    drop(trainer);
    assert_eq!(seen.iter().collect::<Vec<u64>>(), [0, 1, 2, 3]);
}
