//! Range profiles: what they are made of, when they are refused, and that the model that comes with the program has one.

use std::path::Path;
use std::sync::Arc;

use neuro_model::Checkpoint;
use neuro_node::smpc_role::agreement::Profile;
use neuro_node::smpc_role::blocks::BlockProgram;
use neuro_node::smpc_role::model::{ClientModel, ModelFacts};
use neuro_node::smpc_role::ranges::calibration::{Calibration, own_texts};
use neuro_node::smpc_role::ranges::{OperationRange, ProfileOf, RangeError, RangeProfile, Tail, operations, shape};
use neuro_primitives::Hash;
use neuro_smpc::nn::{ModelShape, ModelWeights, Operation};

const WHOSE: ProfileOf = ProfileOf { model: Hash([1; 32]), program: Hash([2; 32]) };

const SHAPE: ModelShape =
    ModelShape { d_model: 16, heads: 4, kv_heads: 2, head_dim: 8, d_expert: 12, top_k: 2, normalised: true };

/// A profile of a model with two layers whose values are all small.
fn sample() -> RangeProfile {
    let values: Vec<f64> = (0..400).map(|row| f64::from(row) / 400.0).collect();
    let range = |(operation, layer): (Operation, usize)| {
        let bound = operation.bound(&SHAPE);
        OperationRange { operation, layer, bound, tail: Tail::of(&values, bound) }
    };
    RangeProfile {
        model: WHOSE.model,
        program: WHOSE.program,
        fixed_point: Profile::DEFAULT,
        longest_rows: 4096,
        operations: operations(2).map(range).collect(),
    }
}

#[test]
fn a_profile_is_the_same_after_it_was_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ranges.json");
    sample().write(&path).unwrap();
    let read = RangeProfile::read(&path).unwrap();
    assert_eq!((read.hash(), read), (sample().hash(), sample()));
    assert_eq!(&sample().hash().to_string()[..16], CONFORMANCE, "docs/spec/smpc-session.md");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in
        [("\"beyond\": 40", "\"beyond\": 401"), ("logits", "lobits"), ("\"version\": 1", "\"version\": 0")]
    {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(RangeProfile::read(&path).is_err(), "{from} became {to}");
    }
}

#[test]
fn a_value_that_may_leave_its_bound_is_named() {
    let mut profile = sample();
    assert_eq!(profile.check(WHOSE, &SHAPE, 2), Ok(()));
    let silu = |range: &OperationRange| (range.operation, range.layer) == (Operation::SiluInput, 1);
    let at = profile.operations.iter().position(silu).unwrap();
    let values: Vec<f64> = (0..400).map(|row| f64::from(row) / 16.0).collect();
    profile.operations[at].tail = Tail::of(&values, 31.0);
    let refused = profile.check(WHOSE, &SHAPE, 2).unwrap_err().to_string();
    for part in ["a session of 4096 rows", "experts: input of SiLU in layer 1", "values of 31 or more", "24.94 was"] {
        assert!(refused.contains(part), "{refused}");
    }
    profile.longest_rows = 0;
    assert_eq!(profile.check(WHOSE, &SHAPE, 2), Ok(()), "no row fails in a session that has none");
}

#[test]
fn a_profile_of_something_else_is_refused() {
    let other = ProfileOf { model: Hash([9; 32]), ..WHOSE };
    assert!(matches!(sample().check(other, &SHAPE, 2), Err(RangeError::OfAnother { what: "model", .. })));
    let incomplete = sample().check(WHOSE, &SHAPE, 3).unwrap_err();
    assert!(matches!(incomplete, RangeError::Incomplete { layer: 2, .. }), "{incomplete}");
    let mut wider = sample();
    wider.operations.iter_mut().for_each(|range| range.bound *= 2.0);
    assert!(matches!(wider.check(WHOSE, &SHAPE, 2), Err(RangeError::Incomplete { .. })));
}

#[test]
fn the_skills_model_keeps_to_its_ranges() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint");
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let (client, facts) = (ClientModel::load(&folder).unwrap(), ModelFacts::of(&checkpoint).unwrap());
    let whose = ProfileOf { model: facts.hash, program: BlockProgram::hash() };
    let program = BlockProgram::load(&checkpoint, facts).unwrap();
    let calibration = Calibration { client: &client, weights: program.weights(), whose, longest_rows: None };
    let profile = calibration.run(&own_texts().collect::<Vec<_>>(), &|| ()).unwrap();
    let (shape, layers) = (shape(checkpoint.config()), checkpoint.config().layers);
    assert_eq!(profile.check(whose, &shape, layers), Ok(()));
    assert!(profile.longest_rows >= 512);
    // Rows of zeros, which padding is, would leave the norm's range.
    let weights = Arc::new(ModelWeights { rms_eps: 1e-7, ..program.weights().as_ref().clone() });
    let calibration = Calibration { client: &client, weights: &weights, whose, longest_rows: None };
    let refused = calibration.run(&["2+3="], &|| ()).unwrap().check(whose, &shape, layers);
    assert!(
        matches!(refused, Err(RangeError::Refused { operation, .. }) if operation.contains("embedding: smallness"))
    );
}

/// Quantiles of an exponential distribution.
fn exponential(n: usize, mean: f64) -> Vec<f64> {
    (0..n).map(|at| -mean * (1.0 - (at as f64 + 0.5) / n as f64).ln()).collect()
}

#[test]
fn an_exponential_tail_is_told_a_little_too_large() {
    for mean in [0.1, 1.0, 30.0] {
        let values = exponential(2000, mean);
        for bound in [10.0 * mean, 20.0 * mean] {
            let (told, is) = (Tail::of(&values, bound).chance(bound), (-bound / mean).exp());
            assert!(told >= is && told < is * 12.0_f64.exp(), "mean {mean}, bound {bound}: {told}, {is}");
        }
    }
}

#[test]
fn what_was_seen_outside_is_never_explained_away() {
    let mut values = vec![1.0; 1000];
    values[500] = 100.0;
    let tail = Tail::of(&values, 50.0);
    assert_eq!((tail.outside, tail.rows, tail.largest), (1, 1000, 100.0));
    assert!(tail.chance(50.0) >= 1e-3);
}

#[test]
fn where_nothing_is_known_everything_fails() {
    for values in [vec![], vec![f64::NAN; 20], vec![f64::INFINITY; 20], vec![9.0; 20]] {
        assert!((Tail::of(&values, 5.0).chance(5.0) - 1.0).abs() < 1e-9, "{values:?}");
    }
    assert!(Tail::of(&[0.0; 20], 5.0).chance(5.0) < 1e-9, "what is always the same does not grow");
}

/// The first digits of the hash of [`sample`].
const CONFORMANCE: &str = "59a656a918f4edb9";
