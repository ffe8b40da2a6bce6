//! Whole tasks with sums made by hand: what is called, what moves, how it ends.

use super::*;
use crate::layout::Layout;
use crate::round_plan::RoundPlan;
use neuro_privacy::NoiseRng;
use neuro_secagg::sum::Accumulator;

const PLAIN: &str = "task = \"t\"\n[model]\nweights = \"w\"\n[rounds]\ncount = 2\n[update]\nrange = 7.999755859375\n";

fn setup(text: &str) -> TaskSetup {
    TaskSetup { task: Hash::of(b"task"), plan: RoundPlan::parse(text).unwrap(), population: 1000 }
}

fn server(text: &str) -> TaskServer {
    let setup = setup(text);
    let models = setup.roles().into_iter().map(|_| (Layout::of_shapes([("w", vec![3])]).unwrap(), Flat(vec![1.0; 3])));
    let tracks = setup.tracks(models.collect()).unwrap();
    TaskServer::new(setup, tracks)
}

fn start(batches: u16, present: u32) -> TaskInput {
    let open = (0..batches).map(|batch| BatchInfo { batch, members: present, present, capability: 0 }).collect();
    TaskInput::Begin(RoundStart {
        roster: (1, Hash::of(b"roster")),
        open,
        bases: vec![Base::Weights(Hash::of(b"base"))],
        whole: Base::Weights(Hash::of(b"base")),
        random: [3; 32],
        unix: UnixMillis(1_000),
    })
}

fn configs(effects: &[TaskEffect]) -> Vec<RoundConfig> {
    let config = |effect: &TaskEffect| match effect {
        TaskEffect::OpenCohort(config) => Some((**config).clone()),
        _ => None,
    };
    effects.iter().filter_map(config).collect()
}

/// The sum of `n` participants of a cohort, each with `update` and weight 1.
fn sum_of(config: &RoundConfig, n: u16, update: &[f32]) -> TaskInput {
    config.check().unwrap();
    let plan = EncodingPlan::of(config).unwrap();
    let honest = n - n / 5;
    let modulus = plan.modulus(n, honest, 1).unwrap();
    let mut sum = Accumulator::new(plan.vector_entries(), modulus);
    let mut rng = NoiseRng::from_seed(&[9; 32]);
    for _ in 0..n {
        let flat = Flat(update.to_vec());
        let encoded = crate::encode_update(&flat, None, 1, &plan, honest, modulus, &mut rng).unwrap();
        sum.add(&encoded.vector.clone().to_packed()).unwrap();
    }
    let members = (0..n).map(|member| NodeId([member as u8; 32])).collect();
    TaskInput::CohortDone(CohortSum {
        round: config.round,
        cohort: config.cohort,
        sum: sum.finish(),
        survivors: n.into(),
        n,
        members,
        honest_at_least: honest,
    })
}

/// The first cohort of a round fails.
fn failed(round: u64, reason: &str, charged: Vec<NodeId>) -> TaskInput {
    TaskInput::CohortFailed { round, cohort: 0, reason: reason.to_owned(), n: 10, charged, honest_at_least: 8 }
}

fn run(server: &mut TaskServer, begin: TaskInput, n: u16, update: &[f32]) -> Vec<TaskEffect> {
    let opened = server.step(Moment(0), begin);
    let sums: Vec<TaskInput> = configs(&opened).iter().map(|config| sum_of(config, n, update)).collect();
    sums.into_iter().flat_map(|sum| server.step(Moment(5_000_000), sum)).collect()
}

fn ended(effects: &[TaskEffect]) -> Option<&TaskEnd> {
    effects.iter().find_map(|effect| match effect {
        TaskEffect::End(end) => Some(end),
        _ => None,
    })
}

fn record(effects: &[TaskEffect]) -> &RoundRecord {
    let found = effects.iter().find_map(|effect| match effect {
        TaskEffect::Record(record) => Some(record),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_task_ends_after_its_rounds() {
    let mut server = server(PLAIN);
    let first = run(&mut server, start(3, 10), 8, &[1.0, 0.0, -1.0]);
    assert_eq!(server.tracks()[0].model.0, [2.0, 1.0, 0.0]);
    assert!(matches!(first.last(), Some(TaskEffect::Next(RoundKind::Train))));
    assert_eq!((record(&first).took_ms, record(&first).cohorts[0].survivors), (5_000, 8));
    assert!((record(&first).cohorts[0].update_norm - 2.0_f64.sqrt()).abs() < 1e-3);
    let second = run(&mut server, start(3, 10), 8, &[1.0, 0.0, -1.0]);
    assert_eq!(ended(&second), Some(&TaskEnd::Done));
    assert_eq!(server.step(Moment(0), start(3, 10)), [TaskEffect::Ignored("the task has ended")]);
}

#[test]
fn a_sum_is_used_once_and_only_if_it_is_awaited() {
    let mut server = server(PLAIN);
    let opened = configs(&server.step(Moment(0), start(3, 10)));
    let sum = sum_of(&opened[0], 8, &[1.0; 3]);
    assert!(matches!(server.step(Moment(0), start(3, 10))[..], [TaskEffect::Ignored(_)]), "a round is under way");
    let foreign = sum_of(&RoundConfig { round: 9, ..opened[0].clone() }, 8, &[1.0; 3]);
    assert!(matches!(server.step(Moment(0), foreign)[..], [TaskEffect::Ignored(_)]));
    assert!(server.step(Moment(0), sum.clone()).len() > 1);
    assert!(matches!(server.step(Moment(0), sum)[..], [TaskEffect::Ignored(_)]));
    assert_eq!(server.tracks()[0].model.0, [2.0; 3]);
}

#[test]
fn a_sum_that_does_not_decode_leaves_the_model() {
    let mut server = server(PLAIN);
    let opened = configs(&server.step(Moment(0), start(3, 10)));
    let TaskInput::CohortDone(mut sum) = sum_of(&opened[0], 8, &[1.0; 3]) else { panic!("another input") };
    sum.sum[3] = 0;
    let effects = server.step(Moment(0), TaskInput::CohortDone(sum));
    assert_eq!(server.tracks()[0].model.0, [1.0; 3]);
    assert!(!record(&effects).succeeded);
    assert!(record(&effects).cohorts[0].failure.as_ref().unwrap().contains("weight"));
}

#[test]
fn a_task_that_keeps_failing_ends() {
    let mut server = server(PLAIN);
    let mut last = Vec::new();
    for round in 1..=3 {
        server.step(Moment(0), start(3, 10));
        last = server.step(Moment(0), failed(round, "TooFewJoined", vec![]));
    }
    assert_eq!(ended(&last), Some(&TaskEnd::Failing { rounds: 3 }));
}

#[test]
fn a_restored_server_goes_on_as_the_first_would_have() {
    let text = PLAIN.replace("[update]", "[strategy]\nname = \"fed_adam\"\n[update]").replace("count = 2", "count = 3");
    let mut server = server(&text);
    run(&mut server, start(3, 10), 8, &[1.0, 0.5, -1.0]);
    let track = &server.tracks()[0];
    let (state, model) = (track.strategy.state(), track.model.clone());
    let kept = Checkpoint::decode(&server.checkpoint().encode()).unwrap();
    let setup = setup(&text);
    let tracks = setup.tracks(vec![(track.layout.clone(), model)]).unwrap();
    let mut other = TaskServer::restore(setup, tracks, &[state], server.ledger().clone(), kept).unwrap();
    assert_eq!(run(&mut server, start(3, 10), 8, &[0.1; 3]), run(&mut other, start(3, 10), 8, &[0.1; 3]));
    assert_eq!(server.tracks()[0].model, other.tracks()[0].model);
}

const PRIVATE: &str = "[privacy]\nmode = \"distributed\"\nclip = 1\nscale = 100\nnoise_multiplier = 2\ndelta = 1e-5\n";

#[test]
fn a_round_beyond_the_budget_is_not_opened() {
    let text = PLAIN.replace("count = 2", "count = 100");
    let mut server = server(&format!("{text}{PRIVATE}most_epsilon = 8\n"));
    for round in 0..100 {
        let opened = server.step(Moment(0), start(3, 10));
        if let Some(TaskEnd::BudgetSpent { epsilon, limit }) = ended(&opened) {
            assert!(round > 0 && *epsilon > *limit && configs(&opened).is_empty());
            assert!(server.ledger().spent().unwrap().unwrap().epsilon <= 8.0);
            return;
        }
        let sum = sum_of(&configs(&opened)[0], 10, &[0.0; 3]);
        let effects = server.step(Moment(0), sum);
        assert!(effects.iter().any(|effect| matches!(effect, TaskEffect::Charge(line) if line.spent.is_some())));
    }
    panic!("100 rounds within the budget");
}

#[test]
fn a_failed_unmasking_is_charged() {
    let mut server = server(&format!("{PLAIN}{PRIVATE}"));
    server.step(Moment(0), start(3, 10));
    let charged = vec![NodeId([1; 32])];
    let input = failed(1, "TooFewAnswered", charged);
    server.step(Moment(0), input);
    assert!(server.ledger().spent().unwrap().unwrap().epsilon > 0.0);
}

#[test]
fn the_clip_follows_the_norms() {
    let text = format!("{PLAIN}{PRIVATE}[privacy.adaptive]\nbit_noise = 1\n");
    let mut server = server(&text);
    run(&mut server, start(3, 20), 50, &[5.0; 3]);
    assert!(server.checkpoint().clip > 1.0, "all norms were beyond it");
}

#[test]
fn bad_shards_do_not_move_the_model_far() {
    let text = format!("{PLAIN}[robust]\nrule = \"median\"\nshards = 16\nnorm_bound = 5\n");
    let mut server = server(&text);
    let opened = configs(&server.step(Moment(0), start(16, 32)));
    assert_eq!(opened.len(), 16);
    assert!(opened.iter().all(|config| config.least_members == 32 && config.cohorts == 16));
    for config in &opened {
        let update = if config.cohort < 7 { [9.0; 3] } else { [0.5, 0.0, -0.5] };
        server.step(Moment(0), sum_of(config, 32, &update));
    }
    for (value, expected) in server.tracks()[0].model.0.iter().zip([1.5, 1.0, 0.5]) {
        assert!((value - expected).abs() < 0.01);
    }
}

#[test]
fn shards_below_16_of_32_open_nothing() {
    let text = format!("{PLAIN}[robust]\nrule = \"median\"\nshards = 16\nnorm_bound = 5\n");
    let mut server = server(&text);
    let effects = server.step(Moment(0), start(16, 31));
    assert!(configs(&effects).is_empty());
    assert!(record(&effects).cohorts[0].failure.as_ref().unwrap().contains("at least 32"));
    // One of 16 fails: the 15 that are left are too few.
    let opened = configs(&server.step(Moment(0), start(16, 32)));
    for config in &opened[1..] {
        server.step(Moment(0), sum_of(config, 32, &[0.5; 3]));
    }
    let effects = server.step(Moment(0), failed(2, "TooFewUploaded", vec![]));
    assert!(!record(&effects).succeeded);
    assert_eq!(server.tracks()[0].model.0, [1.0; 3]);
}

#[test]
fn evaluations_come_when_due_and_stop_a_task_that_gains_nothing() {
    let text = PLAIN.replace("count = 2", "count = 50");
    let text =
        format!("{text}[evaluation]\nevery = 2\nmetrics = [\"loss\", \"accuracy\"]\n[early_stop]\npatience = 1\n");
    let mut server = server(&text);
    run(&mut server, start(3, 10), 8, &[0.0; 3]);
    let second = run(&mut server, start(3, 10), 8, &[0.0; 3]);
    assert!(matches!(second.last(), Some(TaskEffect::Next(RoundKind::Evaluate))));
    let evaluated = run(&mut server, start(3, 10), 8, &[0.75, 2.5]);
    assert_eq!(record(&evaluated).metrics["loss"], 2.5);
    assert_eq!(record(&evaluated).metrics["accuracy"], 0.75);
    assert_eq!(server.tracks()[0].model.0, [1.0; 3], "an evaluation moves nothing");
    run(&mut server, start(3, 10), 8, &[0.0; 3]);
    run(&mut server, start(3, 10), 8, &[0.0; 3]);
    let worse = run(&mut server, start(3, 10), 8, &[0.7, 3.0]);
    assert_eq!(ended(&worse), Some(&TaskEnd::EarlyStop { best: 2.5 }));
    let kept = Checkpoint::decode(&server.checkpoint().encode()).unwrap();
    let other = TaskServer::restore(setup(&text), Vec::new(), &[], server.ledger().clone(), kept).unwrap();
    assert_eq!(other.over(), Some(TaskEnd::EarlyStop { best: 2.5 }), "a restored server knows that it has ended");
}

#[test]
fn what_trainers_are_told_is_in_the_configuration_and_the_same_for_all() {
    let text = format!("{PLAIN}[strategy]\nname = \"scaffold\"\n[training]\nrate = 0.1\n");
    let mut server = server(&text);
    let config = configs(&server.step(Moment(0), start(3, 10))).remove(0);
    let settings = crate::SignedSettings::decode(&config.strategy.settings).unwrap();
    assert_eq!(settings.training["rate"], 0.1);
    let file = server.tracks()[0].control_file().unwrap().unwrap();
    assert_eq!(settings.control, Some(Hash::of(&file)));
    assert!(!settings.is_evaluation());
}

#[test]
fn a_round_that_is_called_off_costs_its_number_alone() {
    let mut server = server(PLAIN);
    server.step(Moment(0), start(3, 10));
    let effects = server.step(Moment(0), TaskInput::Withdraw);
    assert!(matches!(&effects[..], [TaskEffect::Keep(at), TaskEffect::Next(_)] if (at.round, at.failures) == (1, 0)));
    assert_eq!(configs(&server.step(Moment(0), start(3, 10)))[0].round, 2);
    assert!(matches!(server.step(Moment(0), failed(1, "late", vec![]))[..], [TaskEffect::Ignored(_)]));
}

#[test]
fn a_large_noise_that_failed_is_charged_and_not_an_error() {
    let text = format!("{PLAIN}{PRIVATE}").replace("scale = 100", "scale = 1000");
    let mut server = server(&text);
    server.step(Moment(0), start(3, 10));
    let effects = server.step(Moment(0), failed(1, "TooFewAnswered", vec![NodeId([1; 32])]));
    assert!(effects.iter().any(|effect| matches!(effect, TaskEffect::Charge(_))));
    assert_eq!(ended(&effects), None);
}
