//! The same bits on every machine and for every division of the work, for weights of every type.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "model/exported.rs"]
mod exported;
#[path = "model/loaded.rs"]
mod loaded;
#[path = "model/scattered.rs"]
mod scattered;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use exported::{ExportedFile, every_type};
use loaded::LoadedModel;
use neuro_expert_runtime::activations::encode;
use neuro_expert_runtime::kernels::instruction_set::VARIABLE;
use neuro_expert_runtime::threads::with_threads;
use neuro_expert_runtime::{InstructionSet, Weight, default_engine};
use neuro_inference::{ExpertLayers, LocalExperts, Recomputation};
use neuro_primitives::contribution::digest;
use neuro_primitives::{Activations, Route, Routes, Rows};
use scattered::Scattered;

/// Where a process that was started by a test writes its logits.
const OUT: &str = "NEURO_TEST_LOGITS";

/// One model in every type, made once.
static FILES: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exactness");
    std::fs::create_dir_all(&folder).expect("a folder");
    // They are there in a process that a test started.
    let started = std::env::var_os(OUT).is_some();
    let made = |file: &ExportedFile| if started { file.path(&folder) } else { file.write(&folder) };
    every_type().iter().map(made).collect()
});

const WIDTH: usize = 256;

fn prompt() -> Vec<u32> {
    (0..50_u32).map(|at| 3 + at.wrapping_mul(2_654_435_761) % 381).collect()
}

fn whole(model: &LoadedModel) -> Vec<f32> {
    model.forward(&mut model.cache(), &prompt())
}

/// 17 rows of numbers that look random, from -2 to 2.
fn rows() -> Rows {
    let value = |at: u32| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 22) as f32 - 2.0;
    Rows::new(WIDTH, (0..17 * WIDTH as u32).map(value).collect())
}

#[track_caller]
fn assert_same_bits(left: &[f32], right: &[f32], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}");
    let differing = left.iter().zip(right).position(|(left, right)| left.to_bits() != right.to_bits());
    assert_eq!(differing, None, "{what}: the first value that differs");
}

#[test]
fn experts_in_four_pools_give_the_bits_of_one() {
    for path in FILES.iter() {
        let model = LoadedModel::open(path, default_engine());
        let scattered = Scattered::load(&model.checkpoint, &default_engine(), 4);
        let apart = model.trunk.forward(&mut model.cache(), &prompt(), &scattered).expect("a pass");
        assert_same_bits(&whole(&model), &apart, &path.display().to_string());
    }
}

#[test]
fn chunks_and_threads_change_no_bit() {
    for path in FILES.iter() {
        let model = LoadedModel::open(path, default_engine());
        let expected = with_threads(1, || whole(&model));
        for (chunk, threads) in [(50, 2), (1, 1), (17, 2)] {
            let parts = with_threads(threads, || {
                let mut cache = model.cache();
                prompt().chunks(chunk).map(|ids| model.forward(&mut cache, ids)).last().expect("a chunk")
            });
            let what = format!("{}, chunks of {chunk}, {threads} threads", path.display());
            assert_same_bits(&expected, &parts, &what);
        }
    }
}

#[test]
fn what_is_computed_again_from_the_checkpoint_is_what_a_worker_answered() {
    let mut routes = Routes::new();
    for row in 0..17_u16 {
        let gate = 0.25 + f32::from(row) / 64.0;
        routes.push_row((0..=row % 3).map(|expert| Route { expert: (row + expert) % 4, gate }));
    }
    for path in FILES.iter() {
        let (model, what) = (LoadedModel::open(path, default_engine()), path.display().to_string());
        let again = Recomputation::open(&model.checkpoint, default_engine()).expect("experts");
        let (layer, pool) = (0, model.experts.pool());
        let hidden = encode(&rows(), pool.input_format(layer).expect("a format")).expect("activations");
        let answered = pool.run_digested(layer, &hidden, &routes).expect("an answer");
        assert_eq!(again.answer(layer, &hidden, &routes).expect("an answer"), answered, "{what}");
        // One row of one expert, out of everything that was asked together.
        let disputed = Route { expert: 1, gate: 0.25 + 11.0 / 64.0 };
        let (mut one, row): (_, Activations) = (Routes::new(), hidden.gather(&[11]));
        one.push_row([disputed]);
        let [contribution] = &again.contributions(layer, &row, &one).expect("a contribution")[..] else {
            panic!("{what}: another number of contributions")
        };
        let place = (0..11).map(|row| routes.row(row).len()).sum::<usize>();
        let place = place + routes.row(11).iter().position(|route| *route == disputed).expect("it is asked");
        assert_eq!(contribution.digest(), answered.digests[place], "{what}");
        assert_eq!((contribution.row, contribution.expert), (0, 1));
        assert_eq!(digest(&contribution.values), contribution.digest());
    }
}

#[test]
fn a_row_among_seventeen_is_a_row_alone() {
    let rows = rows();
    let route = |at: u16| Route { expert: at % 4, gate: 0.25 + f32::from(at) / 64.0 };
    let routes_of = |row: u16| [route(2 * row), route(2 * row + 1)];
    let mut routes = Routes::new();
    (0..17).for_each(|row| routes.push_row(routes_of(row)));
    for path in FILES.iter() {
        let model = LoadedModel::open(path, default_engine());
        let layer = 0;
        let together = model.experts.run(layer, &rows, &routes).expect("sums");
        let head = model.checkpoint.tensor("lm_head.weight").expect("it is there");
        let linear = default_engine().linear(&Weight::new(head).expect("a matrix")).expect("a layer");
        let products = linear.apply(&rows).expect("products");
        for row in 0..17_u16 {
            let (at, what) = (usize::from(row), format!("{}, row {row}", path.display()));
            let (alone, mut its_routes) = (rows.gather(&[at]), Routes::new());
            its_routes.push_row(routes_of(row));
            let sums = model.experts.run(layer, &alone, &its_routes).expect("sums");
            assert_same_bits(together.row(at), sums.values(), &what);
            assert_same_bits(products.row(at), linear.apply(&alone).expect("products").values(), &what);
        }
    }
}

#[test]
fn room_for_one_expert_changes_no_bit() {
    for path in FILES.iter() {
        let model = LoadedModel::open(path, default_engine());
        let pool = model.experts.pool();
        let one = pool.resident_bytes() / pool.held().len() as u64;
        let limited = LocalExperts::load(&model.checkpoint, default_engine(), Some(one), &mut |_| {}).expect("experts");
        let logits = model.trunk.forward(&mut model.cache(), &prompt(), &limited).expect("a pass");
        assert_same_bits(&whole(&model), &logits, &path.display().to_string());
        assert_eq!(limited.pool().resident().len(), 1, "{}", path.display());
        assert!(limited.pool().counters().evictions > 0, "{}", path.display());
    }
}

#[test]
fn experts_that_are_still_on_their_way_into_memory_change_no_bit() {
    for path in FILES.iter() {
        let model = LoadedModel::open(path, default_engine());
        let expected = whole(&model);
        let in_place = LocalExperts::open(&model.checkpoint, default_engine(), None).expect("experts");
        in_place.pool().compute_in_place(true);
        let logits = model.trunk.forward(&mut model.cache(), &prompt(), &in_place).expect("a pass");
        assert_same_bits(&expected, &logits, &path.display().to_string());
        assert!(in_place.pool().resident().is_empty(), "{}", path.display());
        let started = LocalExperts::start(&model.checkpoint, default_engine(), &mut |_| {}).expect("experts");
        for _ in 0..3 {
            let logits = model.trunk.forward(&mut model.cache(), &prompt(), &started).expect("a pass");
            assert_same_bits(&expected, &logits, &path.display().to_string());
        }
    }
}

fn logits_of_every_type() -> Vec<u8> {
    let logits = FILES.iter().flat_map(|path| whole(&LoadedModel::open(path, default_engine())));
    logits.flat_map(f32::to_le_bytes).collect()
}

/// A process chooses its instruction set once, so each gets a process: this test again, which then only writes.
#[test]
fn every_instruction_set_gives_the_same_bits() {
    if let Some(out) = std::env::var_os(OUT) {
        let named = std::env::var(VARIABLE).expect("the test that started this one names a set");
        assert_eq!(InstructionSet::current().name(), named);
        return std::fs::write(out, logits_of_every_type()).expect("room for logits");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let expected = logits_of_every_type();
    for set in InstructionSet::available() {
        let out = folder.path().join(set.name());
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "every_instruction_set_gives_the_same_bits"]);
        let ended = command.env(VARIABLE, set.name()).env(OUT, &out).output().expect("a process");
        assert!(ended.status.success(), "{set}: {}", String::from_utf8_lossy(&ended.stdout));
        let logits = std::fs::read(&out).expect("logits");
        let differing = expected.iter().zip(&logits).position(|(left, right)| left != right);
        assert_eq!((logits.len(), differing), (expected.len(), None), "{set}: the first byte that differs");
    }
}
