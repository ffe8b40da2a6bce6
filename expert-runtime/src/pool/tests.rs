//! Any split of experts over pools adds up to the same sums.

mod residency;

use neuro_model::HiddenActivation;
use neuro_primitives::Route;
use proptest::prelude::*;

use super::*;
use crate::engine::Weight;
use crate::engines::ReferenceEngine;

const D_MODEL: usize = 24;
const EXPERTS: u16 = 8;
const LAYER: u16 = 3;

fn id(expert: u16) -> ExpertId {
    ExpertId { layer: LAYER, expert }
}

fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    std::iter::repeat_with(draw).take(count).collect()
}

fn weights(seed: u32) -> ExpertWeights<'static> {
    let matrix = |rows, columns, part| Weight::from_f32("w", rows, columns, &values(rows * columns, 3 * seed + part));
    let (gate, up, down) = (matrix(17, D_MODEL, 0), matrix(17, D_MODEL, 1), matrix(D_MODEL, 17, 2));
    ExpertWeights { gate, up, down, biases: None, activation: HiddenActivation::Silu }
}

fn pool(engine: Arc<dyn Engine>, experts: impl IntoIterator<Item = u16>) -> ExpertPool {
    let pool = ExpertPool::new(engine, D_MODEL);
    for expert in experts {
        pool.insert(id(expert), &weights(u32::from(expert))).expect("the weights fit");
    }
    pool
}

fn reference(experts: impl IntoIterator<Item = u16>) -> ExpertPool {
    pool(Arc::new(ReferenceEngine), experts)
}

fn routes(rows: &[&[(u16, f32)]]) -> Routes {
    let mut routes = Routes::new();
    for row in rows {
        routes.push_row(row.iter().map(|&(expert, gate)| Route { expert, gate }));
    }
    routes
}

/// What an orchestrator does: asks each pool for its experts' part of the rows that have one, and adds the answers.
fn total(pools: &[ExpertPool], hidden: &Rows, routes: &Routes) -> Result<FixedSum, PoolError> {
    let mut total = FixedSum::zeros(hidden.count(), D_MODEL);
    for pool in pools {
        let (rows, part) = routes.restrict(|expert| pool.holds(id(expert)));
        for (&row, sum) in rows.iter().zip(pool.run(LAYER, &hidden.gather(&rows).into(), &part)?) {
            total.add(row, &sum).expect("the sums are small");
        }
    }
    Ok(total)
}

/// Up to 20 rows, each with a subset of the experts.
fn any_routes() -> impl Strategy<Value = Routes> {
    let row = proptest::collection::btree_map(0..EXPERTS, -2.0_f32..2.0, 0..5);
    proptest::collection::vec(row, 1..20).prop_map(|rows| {
        let mut routes = Routes::new();
        for row in rows {
            routes.push_row(row.into_iter().map(|(expert, gate)| Route { expert, gate }));
        }
        routes
    })
}

proptest! {
    #[test]
    fn any_split_of_the_experts_adds_up_to_the_same_bits(
        routes in any_routes(),
        owners in proptest::collection::vec(0..4_usize, usize::from(EXPERTS)),
        seed in 0..1000_u32,
    ) {
        let hidden = Rows::new(D_MODEL, values(routes.count() * D_MODEL, seed));
        let whole = total(&[reference(0..EXPERTS)], &hidden, &routes)?;
        for pools in [1, 2, 4] {
            let owner = |expert: u16| owners[usize::from(expert)];
            let split: Vec<ExpertPool> = (0..pools)
                .map(|pool| reference((0..EXPERTS).filter(|&expert| owner(expert) % pools == pool)))
                .collect();
            prop_assert_eq!(&total(&split, &hidden, &routes)?, &whole, "{} pools", pools);
        }
    }
}

#[test]
fn a_sum_is_the_gated_sum_of_the_experts() -> Result<(), PoolError> {
    let hidden = Rows::new(D_MODEL, values(3 * D_MODEL, 5));
    let routes = routes(&[&[(1, 0.75), (4, -0.5)], &[(4, 0.3)], &[(0, 1.0), (1, 2.0), (4, 0.1)]]);
    let sums = pool(Arc::new(ReferenceEngine), [0, 1, 4]).run(LAYER, &hidden.clone().into(), &routes)?;
    for (row, routes) in routes.iter().enumerate() {
        let mut expected = vec![0.0_f64; D_MODEL];
        for route in routes {
            let expert = ReferenceEngine.expert(&weights(u32::from(route.expert)))?;
            let output = expert.forward(&hidden.slice(row, row + 1).into())?;
            for (sum, value) in expected.iter_mut().zip(output.values()) {
                *sum += f64::from(route.gate * value);
            }
        }
        let mut sum = FixedSum::zeros(1, D_MODEL);
        sum.add(0, &sums[row]).expect("the widths are the same");
        for (got, expected) in sum.to_rows().values().iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "row {row}: {got} instead of {expected}");
        }
    }
    Ok(())
}

#[test]
fn digests_and_contributions_are_those_of_each_expert_alone() -> Result<(), PoolError> {
    let hidden = Rows::new(D_MODEL, values(40 * D_MODEL, 5));
    let rows: Vec<&[(u16, f32)]> = [&[(1, 0.75), (4, -0.5)][..], &[(4, 0.3)], &[], &[(0, 1.0), (1, 2.0)]].repeat(10);
    let (pool, routes) = (reference([0, 1, 4]), routes(&rows));
    let computed = pool.run_digested(LAYER, &hidden.clone().into(), &routes)?;
    assert_eq!(computed.sums, pool.run(LAYER, &hidden.clone().into(), &routes)?);
    let contributions = pool.contributions(LAYER, &hidden.clone().into(), &routes)?;
    assert_eq!(computed.digests, contributions.iter().map(|values| digest(values)).collect::<Vec<_>>());
    let mut answered = contributions.iter();
    for (row, of_row) in routes.iter().enumerate() {
        let mut sum = FixedSum::zeros(1, D_MODEL);
        for &route in of_row {
            let mut alone = Routes::new();
            alone.push_row([route]);
            let other = reference([route.expert]).run(LAYER, &hidden.slice(row, row + 1).into(), &alone)?;
            let contribution = answered.next().expect("one a route");
            assert_eq!(other, [RowSum::One(contribution.clone())], "row {row}, expert {}", route.expert);
            sum.add_contribution(0, contribution).expect("it is small");
        }
        let mut answered = FixedSum::zeros(1, D_MODEL);
        answered.add(0, &computed.sums[row]).expect("it is small");
        assert_eq!(sum, answered, "row {row}");
    }
    assert_eq!(answered.next(), None);
    Ok(())
}

#[test]
fn a_row_travels_as_f32_only_with_one_route() -> Result<(), PoolError> {
    let hidden = Rows::new(D_MODEL, values(3 * D_MODEL, 6));
    let sums =
        reference([2, 5]).run(LAYER, &hidden.clone().into(), &routes(&[&[(2, 0.5)], &[], &[(2, 0.5), (5, 0.5)]]))?;
    assert!(matches!(&sums[0], RowSum::One(values) if values.len() == D_MODEL));
    assert_eq!(sums[1], RowSum::Many(vec![0; D_MODEL]), "a row without routes gets nothing added");
    assert!(matches!(&sums[2], RowSum::Many(values) if values.iter().any(|&value| value != 0)));
    Ok(())
}

#[test]
fn no_rows_are_answered_with_no_sums() {
    assert_eq!(reference([]).run(LAYER, &Rows::zeros(0, D_MODEL).into(), &Routes::new()), Ok(vec![]));
    assert_eq!(reference([]).run(LAYER, &Rows::default().into(), &Routes::new()), Ok(vec![]));
}

#[test]
fn an_expert_that_is_not_held_is_named() {
    let pool = reference([1, 2]);
    let run = |layer, expert| pool.run(layer, &Rows::zeros(1, D_MODEL).into(), &routes(&[&[(expert, 1.0)]]));
    assert!(run(LAYER, 1).is_ok());
    let missing = run(LAYER, 7).expect_err("expert 7 is not held");
    assert_eq!(missing, PoolError::NotHeld(id(7)));
    assert!(missing.is_retryable(), "another pool may hold it");
    let other_layer = ExpertId { layer: LAYER + 1, expert: 1 };
    assert_eq!(run(LAYER + 1, 1), Err(PoolError::NotHeld(other_layer)));
}

#[test]
fn a_contribution_out_of_range_names_expert_and_row() {
    let pool = reference([1, 2]);
    let hidden = Rows::new(D_MODEL, values(3 * D_MODEL, 8));
    for gate in [f32::NAN, f32::INFINITY, 1e30] {
        let routes = routes(&[&[(1, 1.0)], &[(1, 1.0), (2, gate)], &[(1, gate)]]);
        let error = pool.run(LAYER, &hidden.clone().into(), &routes).expect_err("the gate makes it leave the range");
        let PoolError::OutOfRange { expert, row, source: ContributionError::OutOfRange { .. } } = error else {
            panic!("{error}");
        };
        assert_eq!((expert, row), (id(2), 1), "the first row comes first, whatever the gate");
        assert!(!error.is_retryable(), "the same call gives the same contribution everywhere");
    }
}

#[test]
fn a_row_that_is_not_a_number_is_refused() {
    let mut hidden = Rows::new(D_MODEL, values(2 * D_MODEL, 9));
    hidden.row_mut(1)[0] = f32::NAN;
    let error = reference([1]).run(LAYER, &hidden.clone().into(), &routes(&[&[(1, 1.0)], &[(1, 1.0)]]));
    assert!(matches!(error, Err(PoolError::OutOfRange { row: 1, .. })), "{error:?}");
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let pool = reference([1]);
    let one = routes(&[&[(1, 1.0)]]);
    let wide = pool.run(LAYER, &Rows::zeros(1, D_MODEL + 1).into(), &one);
    assert_eq!(wide, Err(EngineError::Width { expected: D_MODEL, got: D_MODEL + 1 }.into()));
    let more_rows = pool.run(LAYER, &Rows::zeros(2, D_MODEL).into(), &one);
    assert_eq!(more_rows, Err(PoolError::RouteCount { expected: 2, got: 1 }));
    let many: Vec<&[(u16, f32)]> = vec![&[]; MAX_ROWS + 1];
    let too_many = pool.run(LAYER, &Rows::zeros(MAX_ROWS + 1, D_MODEL).into(), &routes(&many));
    assert_eq!(too_many, Err(PoolError::TooManyRows { limit: MAX_ROWS, got: MAX_ROWS + 1 }));
    let most = pool.run(LAYER, &Rows::zeros(MAX_ROWS, D_MODEL).into(), &routes(&many[1..]));
    assert_eq!(most.map(|sums| sums.len()), Ok(MAX_ROWS));
}

#[test]
fn experts_come_and_go() -> Result<(), EngineError> {
    let pool = reference([4, 1]);
    assert_eq!(pool.held(), [id(1), id(4)]);
    let both = pool.resident_bytes();
    assert!(both >= 2 * 3 * 17 * 24 * 4, "{both} bytes do not hold two experts");
    assert!(pool.remove(id(4)));
    assert!(!pool.remove(id(4)), "it is gone");
    assert!(!pool.holds(id(4)) && pool.holds(id(1)));
    assert_eq!(pool.resident_bytes(), both / 2);
    pool.insert(id(1), &weights(4))?;
    assert_eq!(pool.held(), [id(1)], "new weights take the place of the old");
    Ok(())
}

#[test]
fn an_expert_of_another_width_is_refused() {
    let pool = ExpertPool::new(Arc::new(ReferenceEngine), D_MODEL + 1);
    let refused = pool.insert(id(1), &weights(1));
    assert_eq!(refused, Err(EngineError::Width { expected: D_MODEL + 1, got: D_MODEL }));
    assert!(pool.held().is_empty());
}

/// An expert that, while it computes, changes the pool that runs it. It would never return if the run held the lock.
struct Meddler(std::sync::Weak<ExpertPool>);

impl Engine for Meddler {
    fn id(&self) -> crate::engine::EngineId {
        crate::engine::EngineId { class: "meddler", spec: 0 }
    }

    fn linear(&self, weight: &Weight<'_>) -> Result<Box<dyn crate::engine::Linear>, EngineError> {
        ReferenceEngine.linear(weight)
    }

    fn expert(&self, _: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

impl Expert for Meddler {
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError> {
        let removed = self.0.upgrade().is_some_and(|pool| pool.remove(id(1)));
        assert!(removed, "the expert removes itself");
        match hidden {
            Activations::F32(rows) => Ok(rows.clone()),
            Activations::Q8(_) => unreachable!("the caller sends f32"),
        }
    }

    fn resident_bytes(&self) -> u64 {
        0
    }
}

#[test]
fn a_change_during_a_run_neither_waits_nor_disturbs_it() -> Result<(), PoolError> {
    let pool = Arc::new_cyclic(|pool| ExpertPool::new(Arc::new(Meddler(pool.clone())), D_MODEL));
    pool.insert(id(1), &weights(1))?;
    let hidden = Rows::new(D_MODEL, values(D_MODEL, 2));
    let sums = pool.run(LAYER, &hidden.clone().into(), &routes(&[&[(1, 1.0)]]))?;
    assert_eq!(sums, [RowSum::One(hidden.into_values())]);
    assert!(pool.held().is_empty());
    Ok(())
}
