//! The account is the file's, and what is not known costs everything.

use super::*;
use neuro_privacy::integer_bounds;

fn event(variance: f64) -> Event {
    Event::Skellam { variance, bounds: integer_bounds(100.0, 64, 0.6), distance_log2: -80.0 }
}

fn foreseen(event: Option<Event>) -> Foreseen {
    Foreseen { event, delta: 1e-5 }
}

#[test]
fn joined_rounds_and_releases_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut past = PastFile::open(folder.path()).unwrap();
    past.joined(3, 0).unwrap();
    past.joined(3, 2).unwrap();
    past.charge(3, 0, UnixMillis(50), None).unwrap();
    past.charge(3, 0, UnixMillis(60), None).unwrap();
    let (past, _) = PastFile::open(folder.path()).unwrap().at(UnixMillis(100), &foreseen(None), &[]);
    assert_eq!(past.newest_round, Some((3, BTreeSet::from([0, 2]))));
    assert_eq!(past.releases, [UnixMillis(50)]);
}

#[test]
fn a_past_that_cannot_be_read_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("past.json"), b"{").unwrap();
    assert!(PastFile::open(folder.path()).is_err());
}

#[test]
fn releases_compose_over_the_task_and_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut past = PastFile::open(folder.path()).unwrap();
    let next = foreseen(Some(event(1e6)));
    let after = |past: &PastFile, pending: &[Foreseen]| past.at(UnixMillis(100), &next, pending).1;
    let first = after(&past, &[]);
    assert_eq!(first.round, first.after);
    past.charge(1, 0, UnixMillis(50), Some(event(1e6))).unwrap();
    let second = after(&PastFile::open(folder.path()).unwrap(), &[]);
    assert!(second.after > first.after && second.round == first.round);
    let expected = composed([(&event(1e6), 2)], 1e-5).unwrap().epsilon;
    assert_eq!(second.after, expected);
    let third = after(&past, &[foreseen(Some(event(4e6)))]);
    assert!(third.after > second.after, "a part that has not answered yet will");
}

#[test]
fn a_sum_without_noise_costs_everything_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut past = PastFile::open(folder.path()).unwrap();
    assert_eq!(past.at(UnixMillis(1), &foreseen(None), &[]).1.after, f64::INFINITY);
    past.charge(1, 0, UnixMillis(50), None).unwrap();
    let (floors, account) = past.at(UnixMillis(100), &foreseen(Some(event(1e6))), &[]);
    assert!(account.round.is_finite());
    assert_eq!(floors.epsilon, f64::INFINITY);
}
