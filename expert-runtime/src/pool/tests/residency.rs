//! The memory limit: kept, harmless to calls that run, and invisible in the sums.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

use super::*;
use crate::{EngineId, Linear};

/// Bytes that an expert of [`Scale`] takes.
const EXPERT: u64 = 100;

/// Makes experts that multiply by the first weight, and counts those that live.
#[derive(Default)]
struct Counting {
    alive: Arc<AtomicU64>,
    most: AtomicU64,
}

struct Scale {
    by: f32,
    alive: Arc<AtomicU64>,
}

impl Engine for Counting {
    fn id(&self) -> EngineId {
        EngineId { class: "counting", spec: 0 }
    }

    fn linear(&self, weight: &Weight<'_>) -> Result<Box<dyn Linear>, EngineError> {
        ReferenceEngine.linear(weight)
    }

    fn expert(&self, weights: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError> {
        let alive = self.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(alive, Ordering::SeqCst);
        Ok(Box::new(Scale { by: weights.gate.to_f32()?[0], alive: Arc::clone(&self.alive) }))
    }
}

impl Expert for Scale {
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError> {
        let Activations::F32(rows) = hidden else { unreachable!("the caller sends f32") };
        Ok(Rows::new(rows.width(), rows.values().iter().map(|value| value * self.by).collect()))
    }

    fn resident_bytes(&self) -> u64 {
        EXPERT
    }
}

impl Drop for Scale {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a test does before an expert is read.
type Before = Box<dyn Fn(ExpertId) -> Result<(), SourceError> + Send + Sync>;

/// The weights of `tests::weights`, with a count of loads and whatever a test does before one.
#[derive(Default)]
struct Shelf {
    loads: AtomicUsize,
    before: Option<Before>,
}

impl ExpertSource for Shelf {
    fn load(&self, id: ExpertId, take: &mut crate::TakeWeights<'_>) -> Result<(), SourceError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if let Some(before) = &self.before {
            before(id)?;
        }
        Ok(take(&weights(u32::from(id.expert)))?)
    }
}

fn shelf(before: impl Fn(ExpertId) -> Result<(), SourceError> + Send + Sync + 'static) -> Arc<Shelf> {
    Arc::new(Shelf { loads: AtomicUsize::new(0), before: Some(Box::new(before)) })
}

/// A pool with room for `room` experts, of which `experts` come from `source`.
fn limited(engine: Arc<dyn Engine>, room: Option<u64>, experts: u16, source: &Arc<Shelf>) -> ExpertPool {
    let pool = ExpertPool::new(engine, D_MODEL).with_limit(room.map(|room| room * EXPERT));
    for expert in 0..experts {
        register(&pool, expert, source);
    }
    pool
}

fn register(pool: &ExpertPool, expert: u16, source: &Arc<Shelf>) {
    let stored = StoredExpert { stored_bytes: EXPERT, input_format: ActivationFormat::F32 };
    pool.register(id(expert), stored, Arc::<Shelf>::clone(source));
}

fn call(pool: &ExpertPool, experts: &[u16]) -> Result<Vec<RowSum>, PoolError> {
    let row: Vec<(u16, f32)> = experts.iter().map(|&expert| (expert, 0.5)).collect();
    let hidden = Rows::new(D_MODEL, values(D_MODEL, 7));
    pool.run(LAYER, &hidden.into(), &routes(&[&row]))
}

fn ids(experts: &[u16]) -> Vec<ExpertId> {
    experts.iter().map(|&expert| id(expert)).collect()
}

proptest! {
    #[test]
    fn the_limit_is_kept_whatever_is_called(
        room in 1..6_u64,
        calls in proptest::collection::vec(proptest::collection::btree_set(0..12_u16, 1..8), 1..30),
    ) {
        let engine = Arc::new(Counting::default());
        let pool = limited(engine.clone(), Some(room), 12, &Arc::default());
        let whole = limited(Arc::new(Counting::default()), None, 12, &Arc::default());
        for experts in calls {
            let experts: Vec<u16> = experts.into_iter().collect();
            prop_assert_eq!(call(&pool, &experts)?, call(&whole, &experts)?);
            prop_assert!(pool.resident_bytes() <= room * EXPERT);
            prop_assert_eq!(engine.alive.load(Ordering::SeqCst) * EXPERT, pool.resident_bytes());
        }
        prop_assert!(engine.most.load(Ordering::SeqCst) <= room, "also while calls ran");
        let ResidencyCounters { loads, evictions, .. } = pool.counters();
        prop_assert_eq!(loads - evictions, pool.resident().len() as u64);
        prop_assert_eq!(pool.held().len(), 12, "all can be used again");
    }
}

#[test]
fn a_limit_below_one_expert_runs_them_one_by_one() -> Result<(), PoolError> {
    let engine = Arc::new(Counting::default());
    let pool = limited(engine.clone(), Some(0), 4, &Arc::default());
    let whole = limited(Arc::new(Counting::default()), None, 4, &Arc::default());
    assert_eq!(call(&pool, &[0, 1, 2, 3])?, call(&whole, &[0, 1, 2, 3])?);
    assert_eq!(engine.most.load(Ordering::SeqCst), 1);
    Ok(())
}

#[test]
fn bits_do_not_depend_on_what_is_in_memory() -> Result<(), PoolError> {
    let hidden = Rows::new(D_MODEL, values(40 * D_MODEL, 3));
    let gates: Vec<Vec<(u16, f32)>> =
        (0..40).map(|row| (0..6).filter(|expert| (row + expert) % 3 != 0).map(|e| (e, 0.3)).collect()).collect();
    let rows: Vec<&[(u16, f32)]> = gates.iter().map(Vec::as_slice).collect();
    let run = |room| {
        let pool = limited(Arc::new(ReferenceEngine), room, 6, &Arc::default());
        pool.run(LAYER, &hidden.clone().into(), &routes(&rows))
    };
    let expected = run(None)?;
    for room in [0, 1, 60, 100, 200] {
        assert_eq!(run(Some(room))?, expected, "room {room}");
    }
    Ok(())
}

#[test]
fn hot_experts_stay() -> Result<(), PoolError> {
    let shelf = Arc::default();
    let pool = limited(Arc::new(Counting::default()), Some(3), 20, &shelf);
    for cold in 2..20 {
        call(&pool, &[0, 1])?;
        call(&pool, &[cold])?;
    }
    assert_eq!(shelf.loads.load(Ordering::SeqCst), 20, "the hot ones were loaded once");
    assert!(pool.resident().starts_with(&ids(&[0, 1])));
    Ok(())
}

#[test]
fn use_of_long_ago_counts_little() -> Result<(), PoolError> {
    let pool = limited(Arc::new(Counting::default()), Some(2), 4, &Arc::default());
    (0..100).try_for_each(|_| call(&pool, &[0]).map(drop))?;
    (0..10 * HALF_LIFE_CALLS).try_for_each(|_| call(&pool, &[]).map(drop))?;
    call(&pool, &[1])?;
    call(&pool, &[2])?;
    assert_eq!(pool.resident(), ids(&[1, 2]), "a hundred uses have become a tenth of one");
    Ok(())
}

#[test]
fn an_expert_that_was_inserted_never_goes() -> Result<(), PoolError> {
    let pool = limited(Arc::new(Counting::default()), Some(2), 4, &Arc::default());
    pool.insert(id(9), &weights(9))?;
    for expert in [0, 1, 2, 3, 0, 9] {
        call(&pool, &[expert])?;
        assert!(pool.resident().contains(&id(9)) && pool.resident().len() == 2);
    }
    for more in 10..13 {
        pool.insert(id(more), &weights(1))?;
    }
    assert_eq!(pool.resident_bytes(), 4 * EXPERT, "the owner's word is beyond the limit");
    call(&pool, &[0, 1, 2, 9])?;
    assert!(pool.resident_bytes() <= 5 * EXPERT);
    Ok(())
}

#[test]
fn two_calls_load_an_expert_once() {
    let met = Arc::new(Barrier::new(2));
    let both = Arc::clone(&met);
    let shelf = shelf(move |_| {
        both.wait();
        Ok(())
    });
    let pool = limited(Arc::new(Counting::default()), Some(1), 1, &shelf);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&pool, &[0]));
        let second = scope.spawn(|| call(&pool, &[0]));
        // One of them is in the source now; the other finds it loading or, later, loaded.
        met.wait();
        assert_eq!(first.join().unwrap().unwrap(), second.join().unwrap().unwrap());
    });
    assert_eq!((shelf.loads.load(Ordering::SeqCst), pool.counters().loads), (1, 1));
}

/// An expert in use while others need its room: they wait.
#[test]
fn an_expert_in_use_is_not_dropped() {
    let engine = Arc::new(Counting::default());
    let (inside, order) = (Arc::new(Barrier::new(2)), Arc::new(Mutex::new(Vec::new())));
    let (there, told) = (Arc::clone(&inside), Arc::clone(&order));
    let first_time = AtomicBool::new(true);
    let shelf = shelf(move |id| {
        if id.expert == 0 && first_time.swap(false, Ordering::SeqCst) {
            there.wait();
            there.wait();
        }
        told.lock().unwrap().push(id.expert);
        Ok(())
    });
    let pool = limited(engine.clone(), Some(1), 2, &shelf);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&pool, &[0]));
        inside.wait();
        let second = scope.spawn(|| call(&pool, &[1]));
        inside.wait();
        assert!(first.join().unwrap().is_ok() && second.join().unwrap().is_ok());
    });
    assert_eq!(*order.lock().unwrap(), [0, 1], "the second waited for room");
    assert_eq!(engine.most.load(Ordering::SeqCst), 1);
}

#[test]
fn many_calls_at_once_keep_the_limit() {
    let engine = Arc::new(Counting::default());
    let pool = limited(engine.clone(), Some(3), 10, &Arc::default());
    let whole = limited(Arc::new(Counting::default()), None, 10, &Arc::default());
    std::thread::scope(|scope| {
        for thread in 0..4_u16 {
            let (pool, whole) = (&pool, &whole);
            scope.spawn(move || {
                for number in 0..50_u16 {
                    let first = (thread * 3 + number) % 5;
                    let experts = [first, first + 2, first + 5];
                    assert_eq!(call(pool, &experts), call(whole, &experts));
                }
            });
        }
    });
    assert!(engine.most.load(Ordering::SeqCst) <= 3);
}

#[test]
fn a_failed_load_names_the_expert_and_is_tried_again() -> Result<(), PoolError> {
    for retryable in [true, false] {
        let failing = Arc::new(AtomicBool::new(true));
        let fails = Arc::clone(&failing);
        let unreadable = || SourceError::Unreadable { reason: "the disk is gone".into(), retryable };
        let reason = unreadable();
        let shelf = shelf(move |id| match id.expert {
            1 if fails.load(Ordering::SeqCst) => Err(reason.clone()),
            _ => Ok(()),
        });
        let pool = limited(Arc::new(Counting::default()), Some(2), 3, &shelf);
        let error = call(&pool, &[0, 1, 2]).unwrap_err();
        assert_eq!(error, PoolError::Load { expert: id(1), source: unreadable() });
        assert_eq!(error.is_retryable(), retryable);
        assert_eq!(error.to_string(), format!("expert {} cannot be loaded: the disk is gone", id(1)));
        failing.store(false, Ordering::SeqCst);
        call(&pool, &[0, 1, 2])?;
        assert!(pool.resident_bytes() <= 2 * EXPERT, "a failed load keeps no room");
    }
    Ok(())
}

#[test]
fn a_source_that_panics_keeps_no_room() {
    let pool = limited(
        Arc::new(Counting::default()),
        Some(1),
        2,
        &shelf(|id| match id.expert {
            0 => panic!("a bug of the source"),
            _ => Ok(()),
        }),
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(&pool, &[0])));
    assert!(panicked.is_err());
    assert_eq!(pool.resident_bytes(), 0);
    assert!(call(&pool, &[1]).is_ok());
}

#[test]
fn weights_that_do_not_fit_are_refused_when_they_are_read() {
    let pool = ExpertPool::new(Arc::new(ReferenceEngine), D_MODEL + 1);
    register(&pool, 0, &Arc::default());
    let refused = pool.warm(&ids(&[0]), &mut |_| ControlFlow::Continue(())).unwrap_err();
    let width = EngineError::Width { expected: D_MODEL + 1, got: D_MODEL };
    assert_eq!(refused, PoolError::Load { expert: id(0), source: width.into() });
}

#[test]
fn an_expert_removed_while_it_loads_serves_its_call_alone() {
    let pool = Arc::new_cyclic(|pool: &std::sync::Weak<ExpertPool>| {
        let weak = pool.clone();
        let source = shelf(move |id| {
            assert!(weak.upgrade().is_some_and(|pool| pool.remove(id)));
            Ok(())
        });
        limited(Arc::new(Counting::default()), Some(1), 2, &source)
    });
    assert!(call(&pool, &[0]).is_ok());
    assert_eq!((pool.resident_bytes(), pool.held()), (0, ids(&[1])));
    assert_eq!(call(&pool, &[0]), Err(PoolError::NotHeld(id(0))));
}

#[test]
fn warming_fills_the_limit_in_order_and_reads_all() -> Result<(), PoolError> {
    let shelf = Arc::default();
    let pool = limited(Arc::new(Counting::default()), Some(20), 30, &shelf);
    let mut heard = Vec::new();
    pool.warm(&pool.held(), &mut |done| {
        heard.push(done);
        ControlFlow::Continue(())
    })?;
    assert_eq!((shelf.loads.load(Ordering::SeqCst), heard.last()), (30, Some(&30)));
    let resident = pool.resident();
    assert_eq!(resident.len(), 20);
    assert!(resident.starts_with(&ids(&[0, 1, 2, 3])), "{resident:?}");
    let none = limited(Arc::new(Counting::default()), None, 30, &Arc::default());
    none.warm(&none.held(), &mut |_| ControlFlow::Break(()))?;
    assert!(none.resident().len() < 30, "warming was broken off");
    Ok(())
}

#[test]
fn a_wrong_guess_at_the_size_is_corrected_after_one_load() -> Result<(), PoolError> {
    let engine = Arc::new(Counting::default());
    let pool = ExpertPool::new(engine.clone(), D_MODEL).with_limit(Some(3 * EXPERT));
    let source: Arc<Shelf> = Arc::default();
    for expert in 0..8 {
        let stored = StoredExpert { stored_bytes: EXPERT / 4, input_format: ActivationFormat::F32 };
        pool.register(id(expert), stored, Arc::<Shelf>::clone(&source));
    }
    call(&pool, &[0, 1, 2, 3, 4, 5, 6, 7])?;
    assert_eq!(engine.most.load(Ordering::SeqCst), 3);
    Ok(())
}

#[test]
fn a_layer_takes_blocks_where_all_its_experts_do() {
    let pool = limited(Arc::new(ReferenceEngine), None, 0, &Arc::default());
    let source: Arc<Shelf> = Arc::default();
    assert_eq!(pool.input_format(LAYER), None);
    for (expert, input_format) in [(0, ActivationFormat::Q8), (1, ActivationFormat::F32)] {
        pool.register(id(expert), StoredExpert { stored_bytes: 1, input_format }, Arc::<Shelf>::clone(&source));
        assert_eq!(pool.input_format(LAYER), Some(input_format));
    }
    pool.remove(id(1));
    assert_eq!(pool.input_format(LAYER), Some(ActivationFormat::Q8));
    pool.remove(id(0));
    assert_eq!(pool.input_format(LAYER), None);
}

#[test]
fn in_place_no_expert_is_loaded_and_no_sum_is_another() -> Result<(), PoolError> {
    let (pool, whole) = (
        limited(Arc::new(Counting::default()), None, 6, &Arc::default()),
        limited(Arc::new(Counting::default()), None, 6, &Arc::default()),
    );
    pool.compute_in_place(true);
    assert_eq!(call(&pool, &[0, 3, 5])?, call(&whole, &[0, 3, 5])?);
    assert_eq!((pool.resident(), pool.resident_bytes()), (vec![], 0));
    pool.warm(&ids(&[1, 3]), &mut |_| ControlFlow::Continue(()))?;
    assert_eq!(call(&pool, &[0, 1, 3, 5])?, call(&whole, &[0, 1, 3, 5])?, "some in memory, some not");
    assert_eq!(pool.resident(), ids(&[1, 3]));
    pool.compute_in_place(false);
    assert_eq!(call(&pool, &[0, 1])?, call(&whole, &[0, 1])?);
    assert_eq!(pool.resident(), ids(&[0, 1, 3]), "loaded again");
    Ok(())
}

#[test]
fn in_place_an_expert_that_cannot_be_read_or_is_not_held_is_named() {
    let broken = shelf(|expert| if expert == id(2) { Err(gone()) } else { Ok(()) });
    let pool = limited(Arc::new(Counting::default()), None, 4, &broken);
    pool.compute_in_place(true);
    assert_eq!(call(&pool, &[1, 2, 3]), Err(PoolError::Load { expert: id(2), source: gone() }));
    assert_eq!(call(&pool, &[1, 9]), Err(PoolError::NotHeld(id(9))));
    assert_eq!(pool.resident_bytes(), 0);
}

#[test]
fn checking_names_what_cannot_be_used_and_takes_no_memory() {
    let broken = shelf(|expert| if expert == id(2) { Err(gone()) } else { Ok(()) });
    let pool = limited(Arc::new(Counting::default()), None, 4, &broken);
    let mut done = 0;
    let checked = pool.check_stored(&pool.held(), &mut |count| done = count);
    assert_eq!((checked, done), (Err(PoolError::Load { expert: id(2), source: gone() }), 2));
    assert_eq!(pool.check_stored(&ids(&[0, 1, 3]), &mut |_| ()), Ok(()));
    assert_eq!(pool.resident_bytes(), 0);
}

fn gone() -> SourceError {
    SourceError::Unreadable { reason: "the disk is gone".to_owned(), retryable: true }
}
