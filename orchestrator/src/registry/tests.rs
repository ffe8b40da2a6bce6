//! Copies, their states, and the index of serving holders.

use neuro_primitives::{Moment, TaskId};

use super::*;
use crate::settings::{ExpertSpec, GIVEN_UP_WINDOW};

const A: NodeId = NodeId([1; 32]);
const B: NodeId = NodeId([2; 32]);

fn registry() -> Registry {
    let specs = (0..3).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 10 }).collect();
    let mut registry = Registry::new(Catalogue::new(specs));
    for id in [A, B] {
        registry.insert(id, Worker::new(100, Moment(0)));
    }
    registry
}

/// Each state with: counted as planned, serving.
#[test]
fn each_state_counts_where_it_should() {
    let table = [
        (CopyState::Queued, 1, false),
        (CopyState::Loading, 1, false),
        (CopyState::Ready, 1, true),
        (CopyState::Leaving, 0, true),
        (CopyState::Retiring, 0, false),
    ];
    for (state, planned, serves) in table {
        let mut registry = registry();
        registry.set(1, B, Some(state));
        assert_eq!((registry.planned(1), !registry.serving(1).is_empty()), (planned, serves), "{state:?}");
        assert_eq!(registry.worker(B).unwrap().room(), 90);
        assert_eq!(registry.take_woken(), if serves { vec![1] } else { vec![] });
        registry.remove(B);
        assert_eq!((registry.planned(1), registry.copies(1).len(), registry.serving(1).len()), (0, 0, 0), "{state:?}");
    }
}

#[test]
fn indices_ascend_whatever_the_order_of_arrival() {
    let mut registry = registry();
    registry.set(0, B, Some(CopyState::Ready));
    registry.set(0, A, Some(CopyState::Ready));
    assert_eq!(registry.copies(0), [A, B]);
    assert_eq!(registry.serving(0), [A, B].map(|id| registry.slot(id).unwrap()));
    assert!(registry.is_spare(0, A));
    registry.set(0, B, Some(CopyState::Leaving));
    assert!(!registry.is_spare(0, A), "a leaving copy is no reason to drop another");
}

#[test]
fn a_copy_with_a_task_in_flight_is_dropped_when_the_task_is_forgotten() {
    let mut registry = registry();
    registry.set(2, A, Some(CopyState::Ready));
    let slot = registry.slot(A).unwrap();
    registry.task_sent(slot, &[2], 40);
    registry.retire(2, A);
    assert_eq!(registry.state(2, A), Some(CopyState::Retiring));
    registry.task_settled(slot, 40);
    assert!(registry.take_drops().is_empty());
    registry.task_forgotten(slot, &[2]);
    assert_eq!(registry.state(2, A), None);
    assert_eq!(registry.take_drops().get(&A), Some(&BTreeSet::from([ExpertId { layer: 0, expert: 2 }])));
    assert!(registry.take_freed());
    assert_eq!((registry.worker(A).unwrap().pending, registry.worker(A).unwrap().backlog_us), (0, 0));
}

#[test]
fn a_queued_copy_goes_without_a_word_to_the_worker() {
    let mut registry = registry();
    registry.set(2, A, Some(CopyState::Queued));
    registry.retire(2, A);
    assert!(registry.take_drops().is_empty());
    assert_eq!(registry.worker(A).unwrap().room(), 100);
}

#[test]
fn silence_is_the_time_of_tasks_in_vain_and_ends_with_any_answer() {
    let mut worker = Worker::new(0, Moment(0));
    assert_eq!(worker.missed(Moment(100), Moment(300)).as_micros(), 200);
    assert_eq!(worker.missed(Moment(400), Moment(600)).as_micros(), 400, "between them it was not asked");
    assert_eq!(worker.missed(Moment(450), Moment(600)).as_micros(), 400, "two at a time are one silence");
    worker.alive(Moment(650));
    assert_eq!(worker.missed(Moment(640), Moment(900)).as_micros(), 0, "it answered something meanwhile");
    assert_eq!(worker.missed(Moment(800), Moment(1_000)).as_micros(), 200);
    assert_eq!(worker.tasks_late, 5);
}

#[test]
fn given_up_tasks_are_remembered_within_a_window() {
    let mut worker = Worker::new(0, Moment(0));
    for task in 0..=GIVEN_UP_WINDOW as u64 {
        worker.give_up(GivenUp { task: TaskId(task), sent: Moment(task), size: None });
    }
    assert!(worker.take_given_up(TaskId(0)).is_none());
    assert_eq!(worker.take_given_up(TaskId(5)).map(|entry| entry.sent), Some(Moment(5)));
    assert!(worker.take_given_up(TaskId(5)).is_none());
}
