//! Experts that specialise: who trains what, and that nobody trains alone.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use neuro_fl_aggregator::round_plan::RoundPlan;
use neuro_fl_aggregator::server::{CohortSum, RoundStart, TaskEffect, TaskInput, TaskServer};
use neuro_fl_aggregator::task::TaskSetup;
use neuro_fl_aggregator::{BatchInfo, EncodingPlan, Flat, Layout, TensorChoice};
use neuro_model::tensor_file::TensorTable;
use neuro_primitives::{Hash, Moment, NodeId, UnixMillis};
use neuro_secagg::config::{Base, RoundConfig};

const PLAN: &str = r#"
task = "skills"
[model]
weights = "base.safetensors"
[rounds]
count = 1
[update]
range = 10
[[experts]]
name = "sort"
tensors = ["expert.0", "router[0]"]
batches = [0]
least = 8
[[experts]]
name = "reverse"
tensors = ["expert.1", "router[1]"]
batches = [1]
least = 8
[router]
tensors = ["router"]
"#;

fn server() -> TaskServer {
    let all = Layout::of_shapes([("expert.0", vec![2]), ("expert.1", vec![2]), ("router", vec![2, 2])]).unwrap();
    let file = all.write(&Flat(vec![1.0; 8])).unwrap();
    let table = TensorTable::from_bytes(&file).unwrap();
    let setup = TaskSetup { task: Hash::of(b"t"), plan: RoundPlan::parse(PLAN).unwrap(), population: 20 };
    let router: Vec<&TensorChoice> = setup.plan.router.iter().map(|router| &router.tensors).collect();
    let choices = setup.plan.experts.iter().map(|expert| &expert.tensors).chain(router);
    let models = choices.map(|choice| {
        let layout = Layout::of(&table, choice).unwrap();
        let flat = layout.read_model(&file).unwrap();
        (layout, flat)
    });
    let tracks = setup.tracks(models.collect()).unwrap();
    TaskServer::new(setup, tracks)
}

/// Begins a round with so many members of each batch present, and returns the configurations that go out.
fn begin(server: &mut TaskServer, present: [u32; 2]) -> (Vec<RoundConfig>, Vec<TaskEffect>) {
    let batch = |(batch, present)| BatchInfo { batch, members: 10, present, capability: 0 };
    let open = (0..).zip(present).map(batch).collect();
    let start = RoundStart {
        roster: (1, Hash::of(b"roster")),
        open,
        bases: vec![Base::Weights(Hash::of(b"base")); 3],
        whole: Base::Weights(Hash::of(b"base")),
        random: [1; 32],
        unix: UnixMillis(0),
    };
    let effects = server.step(Moment(0), TaskInput::Begin(start));
    let config = |effect: &TaskEffect| match effect {
        TaskEffect::OpenCohort(config) => Some((**config).clone()),
        _ => None,
    };
    (effects.iter().filter_map(config).collect(), effects)
}

/// Ten participants who all add `step` to every entry.
fn sum(config: &RoundConfig, step: f64) -> TaskInput {
    let plan = EncodingPlan::of(config).unwrap();
    let mut sum = vec![(10.0 * step * config.scale).round() as i64; plan.vector_entries()];
    sum[plan.value_entries()] = 10;
    TaskInput::CohortDone(CohortSum {
        round: config.round,
        cohort: config.cohort,
        sum,
        survivors: 10,
        n: 10,
        members: (0..10).map(|member| NodeId([member; 32])).collect(),
        honest_at_least: 8,
    })
}

#[track_caller]
fn near(server: &TaskServer, track: usize, expected: &[f32]) {
    let got = &server.tracks()[track].model.0;
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-3), "got {got:?}");
}

#[test]
fn an_expert_of_one_is_not_trained() {
    for present in [0, 1, 7] {
        let mut server = server();
        let (configs, _) = begin(&mut server, [10, present]);
        assert_eq!(configs.len(), 1, "{present} contributors of the second expert");
        assert_eq!(configs[0].batches, [0]);
        let effects = server.step(Moment(0), sum(&configs[0], 1.0));
        near(&server, 0, &[2.0; 4]);
        near(&server, 1, &[1.0; 4]);
        let record = effects.iter().find_map(|effect| match effect {
            TaskEffect::Record(record) => Some(record),
            _ => None,
        });
        let closed = &record.unwrap().cohorts[0];
        assert_eq!((closed.name.as_str(), closed.members), ("reverse", present));
        assert_eq!(closed.failure, Some(format!("expected at least 8 contributors, got {present}")));
    }
}

#[test]
fn a_plan_cannot_ask_for_an_expert_of_one_or_two() {
    for least in 0..3 {
        let error = RoundPlan::parse(&PLAN.replacen("least = 8", &format!("least = {least}"), 1)).unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (13, "experts.least"));
    }
}

#[test]
fn no_cohort_goes_below_its_least_even_if_others_leave_before_they_join() {
    let (configs, _) = begin(&mut server(), [10, 10]);
    assert!(configs.iter().all(|config| config.least_members == 8));
}

#[test]
fn the_router_comes_last_with_the_rows_that_the_experts_learned() {
    let mut server = server();
    let (configs, _) = begin(&mut server, [10, 10]);
    assert_eq!(configs.len(), 2);
    assert_ne!(configs[0].layout, configs[1].layout);
    server.step(Moment(0), sum(&configs[1], 2.0));
    server.step(Moment(0), sum(&configs[0], 1.0));
    near(&server, 2, &[2.0, 2.0, 3.0, 3.0]);
    let (configs, _) = begin(&mut server, [10, 10]);
    assert_eq!((configs.len(), configs[0].batches.as_slice()), (1, [0, 1].as_slice()));
    let effects = server.step(Moment(0), sum(&configs[0], -1.0));
    near(&server, 2, &[1.0, 1.0, 2.0, 2.0]);
    near(&server, 0, &[2.0, 2.0, 1.0, 1.0]);
    assert!(effects.iter().any(|effect| matches!(effect, TaskEffect::End(_))));
}
