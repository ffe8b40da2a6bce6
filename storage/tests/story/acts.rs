//! What happens to a store, whatever it is made of.

use std::slice;

use neuro_orchestrator::Standing;
use neuro_orchestrator::store::{Batch, BatchId, Earned, ExpertUse, Hardware, StoreError, WorkerRecord};
use neuro_primitives::receipt::{Offer, SignedVoucher, Totals, Voucher};
use neuro_primitives::{ExpertId, Hash, ModelId, NodeId, Signature, UnixMillis};

use crate::place::Place;

pub const ADA: NodeId = NodeId([1; 32]);
const BOB: NodeId = NodeId([2; 32]);
const CYD: NodeId = NodeId([3; 32]);
const ORCHESTRATOR: NodeId = NodeId([9; 32]);
const MODEL: ModelId = ModelId(Hash([5; 32]));

/// An act of the story.
pub type Act = fn(&mut dyn Place);

pub const ALL: [(&str, Act); 13] = [
    ("migrations_twice", migrations_twice),
    ("restart", restart),
    ("first_seen_stays", first_seen_stays),
    ("an_exclusion_stays_until_a_pardon", an_exclusion_stays_until_a_pardon),
    ("a_batch_is_whole", a_batch_is_whole),
    ("a_batch_counts_once", a_batch_counts_once),
    ("vouchers", vouchers),
    ("leaderboard", leaderboard),
    ("averages_fade", averages_fade),
    ("an_older_version", an_older_version_is_brought_up_to_date),
    ("a_damaged_voucher", a_damaged_voucher_is_named),
    ("odd_values", odd_values),
    ("a_newer_version_is_refused", a_newer_version_is_refused),
];

pub fn batch(sequence: u64) -> Batch {
    Batch::empty(BatchId { writer: ORCHESTRATOR, sequence, run: u64::MAX - 3 }, 1_000 + sequence)
}

pub fn earning(sequence: u64, worker: NodeId, micro_units: u64) -> Batch {
    Batch { earned: vec![Earned { worker, micro_units }], ..batch(sequence) }
}

pub fn by(writer: u8, batch: Batch) -> Batch {
    Batch { id: BatchId { writer: NodeId([writer; 32]), ..batch.id }, ..batch }
}

fn worker(id: NodeId, name: &str, team: Option<&str>) -> WorkerRecord {
    WorkerRecord {
        id,
        name: name.to_owned(),
        team: team.map(str::to_owned),
        hardware: Hardware {
            cpu_features: "avx2 f16c".to_owned(),
            cores: 16,
            ram_bytes: 64 << 30,
            gpu: "H200".to_owned(),
            vram_bytes: 139 << 30,
            engine: "native-1".to_owned(),
            version: "0.1.0".to_owned(),
        },
        first_seen_s: 500,
        last_seen_s: 900,
        standing: Standing {
            valid: 12.25,
            invalid: 0.5,
            streak: 7,
            timely: 99.125,
            late: 1.0,
            uptime_s: 3600.5,
            first_seen_s: 400,
        },
        excluded: None,
    }
}

/// The place keeps vouchers as they are: nobody checks signatures here.
fn voucher_with(orchestrator: NodeId, worker: NodeId, sequence: u64, covered: u64) -> SignedVoucher {
    let voucher = Voucher {
        orchestrator,
        worker,
        sequence,
        totals: Totals { covered, accepted: 0, denied: 0 },
        answers: 3,
        root: Hash([6; 32]),
        previous: Hash([5; 32]),
        expires: UnixMillis(u64::MAX),
    };
    SignedVoucher { offer: Offer { voucher, signature: Signature([7; 64]) }, signature: Signature([8; 64]) }
}

fn voucher(worker: NodeId, sequence: u64, covered: u64) -> SignedVoucher {
    voucher_with(ORCHESTRATOR, worker, sequence, covered)
}

fn used(expert: u16, rows: u64) -> ExpertUse {
    ExpertUse { model: MODEL, expert: ExpertId { layer: 2, expert }, rows }
}

fn migrations_twice(place: &mut dyn Place) {
    place.open().unwrap().commit(&earning(1, ADA, 5)).unwrap();
    let mut again = place.open().unwrap();
    assert_eq!(again.credit(ADA).unwrap().unwrap().credit.total, 5);
    assert_eq!(again.workers().unwrap(), []);
}

/// Everything that is committed is there for the next process.
fn restart(place: &mut dyn Place) {
    let excluded = WorkerRecord { excluded: Some("it lied".to_owned()), ..worker(BOB, "", None) };
    let workers = vec![worker(ADA, "ada", Some("blue")), excluded];
    let vouchers = vec![voucher(ADA, 4, 40), voucher(BOB, 3, 30)];
    let first = Batch {
        workers: workers.clone(),
        earned: vec![Earned { worker: ADA, micro_units: 1_000 }],
        vouchers: vouchers.clone(),
        expert_use: vec![used(1, 10), used(0, 4)],
        ..batch(1)
    };
    place.open().unwrap().commit(&first).unwrap();
    place.open().unwrap().commit(&Batch { expert_use: vec![used(1, 5)], ..earning(2, ADA, 50) }).unwrap();

    let mut store = place.open().unwrap();
    assert_eq!(store.last_batch(ORCHESTRATOR).unwrap(), Some(batch(2).id));
    assert_eq!(store.last_batch(ADA).unwrap(), None);
    assert_eq!(store.workers().unwrap(), workers);
    assert_eq!(store.vouchers(ORCHESTRATOR).unwrap(), vouchers);
    assert_eq!(store.vouchers(ADA).unwrap(), []);
    assert_eq!(store.expert_use(MODEL).unwrap(), [used(0, 4), used(1, 15)]);
    let ada = store.credit(ADA).unwrap().unwrap();
    assert_eq!((ada.name.as_str(), ada.team.as_deref(), ada.credit.total), ("ada", Some("blue"), 1_050));
    assert_eq!(store.credit(BOB).unwrap(), None);
}

fn first_seen_stays(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    store.commit(&Batch { workers: vec![worker(ADA, "ada", Some("blue"))], ..batch(1) }).unwrap();
    let later = WorkerRecord { first_seen_s: 800, last_seen_s: 2_000, ..worker(ADA, "new name", None) };
    store.commit(&Batch { workers: vec![later.clone()], ..batch(2) }).unwrap();
    assert_eq!(store.workers().unwrap(), [WorkerRecord { first_seen_s: 500, ..later }]);
}

/// Two orchestrators share the place; the other one knows the worker from before it was excluded.
fn an_exclusion_stays_until_a_pardon(place: &mut dyn Place) {
    let (mut store, mut elsewhere) = (place.open().unwrap(), place.open().unwrap());
    let honest = worker(ADA, "ada", None);
    let excluded = |reason: &str| WorkerRecord { excluded: Some(reason.to_owned()), ..worker(ADA, "ada", None) };
    let written = |worker: &WorkerRecord, batch: Batch| Batch { workers: vec![worker.clone()], ..batch };
    store.commit(&written(&excluded("it lied"), batch(1))).unwrap();
    elsewhere.commit(&by(8, written(&honest, batch(1)))).unwrap();
    elsewhere.commit(&by(8, written(&excluded("it lied again"), batch(2)))).unwrap();
    assert_eq!(place.open().unwrap().workers().unwrap(), [excluded("it lied")]);

    let pardon = Batch { pardoned: vec![ADA, BOB], ..written(&honest, batch(2)) };
    store.commit(&pardon).unwrap();
    store.commit(&pardon).unwrap();
    assert_eq!(place.open().unwrap().workers().unwrap(), slice::from_ref(&honest), "and nobody was made of a pardon");
    store.commit(&Batch { pardoned: vec![ADA], ..written(&excluded("once more"), batch(3)) }).unwrap();
    assert_eq!(store.workers().unwrap(), [excluded("once more")], "what it did after the pardon counts");
}

/// A batch that fails at its end leaves nothing of its beginning, and the next one goes through.
fn a_batch_is_whole(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    store.commit(&Batch { vouchers: vec![voucher(ADA, 5, 50)], ..batch(1) }).unwrap();
    let torn = Batch {
        workers: vec![worker(ADA, "ada", None)],
        vouchers: vec![voucher(BOB, 1, 1), voucher(ADA, 5, 99)],
        ..earning(2, ADA, 7)
    };
    let error = store.commit(&torn).unwrap_err();
    assert_eq!(error.refused_voucher(), Some(ADA));
    assert_eq!(store.last_batch(ORCHESTRATOR).unwrap(), Some(batch(1).id));
    assert_eq!(store.workers().unwrap(), []);
    assert_eq!(store.credit(ADA).unwrap(), None);
    assert_eq!(store.vouchers(ORCHESTRATOR).unwrap(), [voucher(ADA, 5, 50)]);
    store.commit(&Batch { vouchers: vec![voucher(BOB, 1, 1)], ..torn }).unwrap();
    assert_eq!(store.credit(ADA).unwrap().unwrap().credit.total, 7);
}

/// Whoever does not know whether a commit went through commits again; two writers of one name find out.
fn a_batch_counts_once(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    store.commit(&earning(1, ADA, 7)).unwrap();
    store.commit(&earning(1, ADA, 7)).unwrap();
    place.open().unwrap().commit(&earning(1, ADA, 7)).unwrap();
    assert_eq!(store.credit(ADA).unwrap().unwrap().credit.total, 7);
    let mut other = earning(1, ADA, 7);
    other.id.run = 4;
    assert!(matches!(store.commit(&other), Err(StoreError::OutOfTurn { expected: 2, got: 1, .. })));
    assert!(matches!(store.commit(&earning(3, ADA, 7)), Err(StoreError::OutOfTurn { expected: 2, got: 3, .. })));
    store.commit(&by(8, earning(1, ADA, 7))).unwrap();
    assert_eq!(store.credit(ADA).unwrap().unwrap().credit.total, 14);
}

fn vouchers(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    let commit = |store: &mut dyn neuro_orchestrator::store::Store, sequence, voucher: SignedVoucher| {
        store.commit(&Batch { vouchers: vec![voucher], ..batch(sequence) })
    };
    commit(&mut *store, 1, voucher(ADA, 5, 50)).unwrap();
    commit(&mut *store, 2, voucher(ADA, 5, 50)).unwrap();
    for wrong in [voucher(ADA, 5, 51), voucher(ADA, 4, 50), voucher(ADA, 6, 49)] {
        let error = commit(&mut *store, 3, wrong).unwrap_err();
        assert_eq!((error.refused_voucher(), error.is_retryable()), (Some(ADA), false), "{error}");
    }
    assert_eq!(place.open().unwrap().vouchers(ORCHESTRATOR).unwrap(), [voucher(ADA, 5, 50)]);
    commit(&mut *store, 3, voucher(ADA, 6, 50)).unwrap();
    let elsewhere = voucher_with(BOB, ADA, 1, 1);
    commit(&mut *store, 4, elsewhere).unwrap();
    assert_eq!(store.vouchers(ORCHESTRATOR).unwrap(), [voucher(ADA, 6, 50)]);
    assert_eq!(store.vouchers(BOB).unwrap(), [elsewhere]);
}

/// A store whose vouchers were not whole is brought up to date, and keeps the rest.
fn an_older_version_is_brought_up_to_date(place: &mut dyn Place) {
    place.open().unwrap().commit(&earning(1, ADA, 5)).unwrap();
    place.run("DROP TABLE vouchers");
    place.run("CREATE TABLE vouchers (worker INTEGER); CREATE TABLE audits (id INTEGER)");
    place.run("UPDATE neuro_schema SET version = 1");
    let mut store = place.open().unwrap();
    store.commit(&Batch { vouchers: vec![voucher(ADA, 1, 1)], ..batch(2) }).unwrap();
    assert_eq!(store.vouchers(ORCHESTRATOR).unwrap(), [voucher(ADA, 1, 1)]);
    assert_eq!(store.credit(ADA).unwrap().unwrap().credit.total, 5);
}

/// What something else wrote over a voucher is no voucher.
fn a_damaged_voucher_is_named(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    store.commit(&Batch { vouchers: vec![voucher(ADA, 1, 1)], ..batch(1) }).unwrap();
    place.run("UPDATE vouchers SET signed = worker");
    let error = store.vouchers(ORCHESTRATOR).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { what, .. } if what.contains("voucher")), "{error}");
}

/// Totals decide; of equal ones the lower id goes first, and of equal teams the name in byte order.
fn leaderboard(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    let dan = NodeId([4; 32]);
    let workers = vec![worker(ADA, "ada", Some("a")), worker(BOB, "bob", Some("Z")), worker(CYD, "cyd", Some("a"))];
    let earned = [(CYD, 2_500_000), (BOB, 5_500_000), (ADA, 3_000_000), (dan, 3_000_000)];
    let earned = earned.map(|(worker, micro_units)| Earned { worker, micro_units }).to_vec();
    store.commit(&Batch { workers, earned, ..batch(1) }).unwrap();
    store.commit(&Batch { at_s: 1_001 + 7 * 86_400, ..earning(2, CYD, 1) }).unwrap();

    let top = store.top_workers(3).unwrap();
    let lines: Vec<_> = top.iter().map(|line| (line.rank.place, line.worker, line.credit.total)).collect();
    assert_eq!(lines, [(1, BOB, 5_500_000), (2, ADA, 3_000_000), (3, dan, 3_000_000)]);
    assert_eq!((top[2].name.as_str(), &top[2].team), ("", &None), "credit of a worker that is not in the registry");
    let above: Vec<u64> = top.iter().map(|line| line.rank.above).collect();
    assert_eq!((above, top[0].rank.workers), (vec![0, 1, 1], 4));
    assert_eq!(store.credit(CYD).unwrap().unwrap().rank.place, 4);

    let teams = store.top_teams(10).unwrap();
    let lines: Vec<_> = teams.iter().map(|team| (team.team.as_str(), team.members, team.total)).collect();
    assert_eq!(lines, [("a", 2, 5_500_001), ("Z", 1, 5_500_000)]);
    store.commit(&earning(3, BOB, 1)).unwrap();
    assert_eq!(store.top_teams(1).unwrap()[0].team, "Z", "upper case stands before lower case");
    let members: Vec<NodeId> = store.team("a", 9).unwrap().iter().map(|line| line.worker).collect();
    assert_eq!(members, [ADA, CYD]);
    assert_eq!(store.team("a", 1).unwrap().len(), 1);
    assert_eq!(store.team("b", 9).unwrap(), []);
}

/// Both databases keep averages alike, and who works now stands above who worked once.
fn averages_fade(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    store.commit(&earning(1, ADA, 3_000_000)).unwrap();
    let week = 7 * 86_400;
    store.commit(&Batch { at_s: 1_001 + 3 * week, ..earning(2, BOB, 1_000_000) }).unwrap();
    let (ada, bob) = (store.credit(ADA).unwrap().unwrap(), store.credit(BOB).unwrap().unwrap());
    assert_eq!((ada.rank.place, ada.rank.above, bob.rank.place, bob.rank.above), (1, 1, 2, 0));
    let now_s = 1_001 + 3 * week;
    let ratio = ada.credit.recent_at(now_s) / bob.credit.recent_at(now_s);
    assert!((ratio - 3.0 / 8.0).abs() < 1e-12, "{ratio}");
}

/// What a worker says of itself cannot stop a commit.
fn odd_values(place: &mut dyn Place) {
    let mut store = place.open().unwrap();
    let mut odd = worker(ADA, "a\0'; DROP TABLE workers; --\u{1F980}", Some(""));
    odd.hardware.ram_bytes = u64::MAX;
    odd.standing.valid = f64::NAN;
    store.commit(&Batch { workers: vec![odd], ..earning(1, ADA, u64::MAX) }).unwrap();
    store.commit(&earning(2, ADA, u64::MAX)).unwrap();
    let kept = store.workers().unwrap().remove(0);
    assert_eq!(kept.name, "a'; DROP TABLE workers; --\u{1F980}");
    assert_eq!((kept.hardware.ram_bytes, kept.standing.valid), (i64::MAX as u64, 0.0));
    assert_eq!(store.credit(ADA).unwrap().unwrap().credit.total, i64::MAX as u64);
    assert_eq!(store.top_teams(1).unwrap()[0].total, i64::MAX as u64);
}

fn a_newer_version_is_refused(place: &mut dyn Place) {
    place.open().unwrap().commit(&earning(1, ADA, 5)).unwrap();
    place.run("UPDATE neuro_schema SET version = 99");
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::Newer { got: 99, .. }), "{error}");
    assert!(error.remedy().contains("newer program"));
    place.run("UPDATE neuro_schema SET version = 2");
    assert_eq!(place.open().unwrap().credit(ADA).unwrap().unwrap().credit.total, 5, "nothing was touched");
}
