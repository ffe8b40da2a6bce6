//! A round of sixteen shards of thirty-two, whole: configurations, encoded and masked vectors, sums, and the robust rule.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use neuro_fl_aggregator::round_plan::RoundPlan;
use neuro_fl_aggregator::server::{CohortSum, RoundStart, TaskEffect, TaskInput, TaskServer};
use neuro_fl_aggregator::task::TaskSetup;
use neuro_fl_aggregator::{BatchInfo, EncodingPlan, Flat, Layout, encode_update, modulus_rule};
use neuro_primitives::{Hash, Moment, NodeId, UnixMillis};
use neuro_privacy::NoiseRng;
use neuro_secagg::config::{Base, RoundConfig};
use neuro_secagg::masks::{MaskJob, MaskSeed, Sign, apply};
use neuro_secagg::packing::Modulus;
use neuro_secagg::sum::Accumulator;

const MEMBERS: u16 = 32;

const PLAN: &str = "task = \"t\"\n[model]\nweights = \"w\"\n[rounds]\ncount = 1\n[update]\nrange = 10\n[robust]\nrule = \"median\"\nshards \
                    = 16\nnorm_bound = 5\n";

fn server(plan: &str) -> TaskServer {
    let setup = TaskSetup { task: Hash::of(b"task"), plan: RoundPlan::parse(plan).unwrap(), population: 512 };
    let tracks = setup.tracks(vec![(Layout::of_shapes([("w", vec![3])]).unwrap(), Flat(vec![0.0; 3]))]).unwrap();
    TaskServer::new(setup, tracks)
}

fn begin(server: &mut TaskServer) -> Vec<RoundConfig> {
    let members = u32::from(MEMBERS);
    let open = (0..16).map(|batch| BatchInfo { batch, members, present: members, capability: 0 }).collect();
    let base = Base::Weights(Hash::of(b"base"));
    let start = RoundStart {
        roster: (1, Hash::of(b"roster")),
        open,
        bases: vec![base],
        whole: base,
        random: [5; 32],
        unix: UnixMillis(0),
    };
    let config = |effect| if let TaskEffect::OpenCohort(config) = effect { Some(*config) } else { None };
    server.step(Moment(0), TaskInput::Begin(start)).into_iter().filter_map(config).collect()
}

/// A shard whose members all hand in `update`, each under a mask of its own that comes off the sum alone.
fn shard(config: &RoundConfig, update: &[f32]) -> TaskInput {
    let plan = EncodingPlan::of(config).unwrap();
    let honest_at_least = config.demand(MEMBERS, MEMBERS.into()).honest_at_least();
    let modulus = Modulus::new(modulus_rule(config, MEMBERS, MEMBERS.into()).unwrap()).unwrap();
    let (mut sum, mut rng) = (Accumulator::new(plan.vector_entries(), modulus), NoiseRng::from_seed(&[7; 32]));
    let job = |member: u16, sign| {
        let seed = Hash::of(&[config.round_id.as_slice(), &member.to_le_bytes()].concat());
        MaskJob { seed: MaskSeed::ChaCha20(seed.0), sign }
    };
    for member in 0..MEMBERS {
        let flat = Flat(update.to_vec());
        let mut encoded = encode_update(&flat, None, 1, &plan, honest_at_least, modulus, &mut rng).unwrap();
        apply(encoded.vector.lanes(), 0, &[job(member, Sign::Plus)]);
        sum.add(&encoded.vector.to_packed()).unwrap();
    }
    let off: Vec<MaskJob> = (0..MEMBERS).map(|member| job(member, Sign::Minus)).collect();
    sum.unmask(&off, 1);
    TaskInput::CohortDone(CohortSum {
        round: config.round,
        cohort: config.cohort,
        sum: sum.finish(),
        survivors: MEMBERS.into(),
        n: MEMBERS,
        members: (0..MEMBERS).map(|member| NodeId([member as u8; 32])).collect(),
        honest_at_least,
    })
}

fn run(plan: &str, tolerance: f32) {
    let mut server = server(plan);
    let configs = begin(&mut server);
    assert_eq!(configs.len(), 16);
    for config in &configs {
        let bad = config.cohort % 3 == 0;
        let input = shard(config, if bad { &[9.0, -9.0, 9.0] } else { &[0.5, 0.0, -0.5] });
        server.step(Moment(0), input);
    }
    for (value, expected) in server.tracks()[0].model.0.iter().zip([0.5, 0.0, -0.5]) {
        assert!((value - expected).abs() < tolerance, "{value} against {expected}");
    }
}

#[test]
fn six_bad_shards_of_sixteen_do_not_move_the_median() {
    run(PLAN, 0.01);
}

#[test]
fn every_shard_has_its_own_noise_and_the_median_stands() {
    let noise = "[privacy]\nmode = \"distributed\"\nclip = 4\nscale = 100\nnoise_multiplier = 0.05\ndelta = 1e-5\n";
    run(&format!("{PLAN}{noise}"), 0.1);
}
