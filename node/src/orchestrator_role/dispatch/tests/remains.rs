//! What is left of tasks that nobody will answer: nothing.

use super::*;

fn remembered(dispatch: &Dispatch) -> usize {
    dispatch.lock().tasks.len()
}

/// Answers whatever the worker is asked until the call has its sum.
fn answer_until_done(dispatch: &Arc<Dispatch>, worker: &mut Scripted, outcome: Outcome) {
    while !outcome.is_finished() {
        if let Ok(frame) = worker.frames.try_recv()
            && let Ok(Frame::Task(task)) = Frame::decode(&frame)
        {
            worker.answers(dispatch, answer(&task, 1.0)).unwrap();
        }
        dispatch.reported(Input::Tick);
    }
    assert_eq!(outcome.join().unwrap().unwrap().values(), rows(1.0));
}

#[test]
fn nothing_is_kept_of_tasks_that_were_refused_malformed_or_lost() {
    let dispatch = dispatch(1);
    for number in 1..=30 {
        let mut worker = Scripted::join(&dispatch, number, number.into());
        let outcome = call(&dispatch);
        let task = worker.task();
        match number % 3 {
            0 => {
                let failure = Failure::new(Some(task.task), FailureCode::Overloaded, "busy");
                dispatch.refused(worker.id, worker.session, task.task, &failure).unwrap();
            }
            1 => {
                let mut malformed = answer(&task, 1.0);
                malformed.sums.pop();
                worker.answers(&dispatch, malformed).unwrap();
            }
            _ => {
                dispatch.left(worker.id, worker.session);
                worker = Scripted::join(&dispatch, number, 100);
            }
        }
        answer_until_done(&dispatch, &mut worker, outcome);
        assert_eq!(remembered(&dispatch), 0, "round {number}");
        dispatch.left(worker.id, worker.session);
    }
}

#[test]
fn nothing_is_kept_of_tasks_for_a_worker_that_was_lost_with_the_first_of_them() {
    let dispatch = dispatch(2);
    let mut first = Scripted::join(&dispatch, 1, 1);
    let outcomes = [call(&dispatch), call(&dispatch)];
    let _in_flight = [first.task(), first.task()];
    let deaf = Scripted::join(&dispatch, 2, 2);
    drop(deaf.frames);
    dispatch.left(first.id, first.session);
    assert!(!dispatch.is_linked(deaf.id), "it was asked, and takes nothing");
    assert_eq!(remembered(&dispatch), 0);
    dispatch.stop();
    outcomes.into_iter().for_each(|outcome| assert!(outcome.join().unwrap().is_err()));
}

#[test]
fn a_worker_that_refuses_what_another_was_asked_is_not_blamed_for_it() {
    let dispatch = dispatch(1);
    let mut worker = Scripted::join(&dispatch, 1, 1);
    let outcome = call(&dispatch);
    let task = worker.task();
    let stranger = Scripted::join(&dispatch, 2, 2);
    let failure = Failure::new(Some(task.task), FailureCode::Internal, "no");
    assert!(dispatch.refused(stranger.id, stranger.session, task.task, &failure).is_err());
    assert_eq!((remembered(&dispatch), dispatch.faults(stranger.id)), (1, 0));
    worker.answers(&dispatch, answer(&task, 2.0)).unwrap();
    assert_eq!(outcome.join().unwrap().unwrap().values(), rows(2.0));
}
