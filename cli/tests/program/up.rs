//! `neuro up`: one command, a whole network, and nothing of it left afterwards.

use std::os::unix::process::ExitStatusExt;

use serde_json::Value;

use crate::stage::{Stage, eventually};

/// An orchestrator and four workers.
const PROCESSES: usize = 5;

#[test]
fn a_question_is_answered_and_nothing_is_left() {
    let stage = Stage::new();
    let asked = stage.run(&["up", "--ask", "What is 12+35?"]);
    assert_eq!((asked.code, asked.stdout.lines().next()), (Some(0), Some("47")), "{}", asked.stderr);
    // Who is slow at its first task is not waited for, so a short answer need not be the work of all four.
    let named = ["worker-1", "worker-2", "worker-3", "worker-4"].map(|worker| asked.stdout.matches(worker).count());
    assert!(named.iter().all(|count| *count <= 1) && named.iter().sum::<usize>() >= 2, "{}", asked.stdout);
    assert_eq!(asked.stderr, "");
    assert_eq!(stage.processes(), Vec::<u32>::new());
    assert_eq!(stage.left_in_temporary(), Vec::<String>::new());
}

#[test]
fn as_json_the_answer_is_one_object() {
    let stage = Stage::new();
    let asked = stage.run(&["up", "--json", "--workers", "2", "--ask", "What is 12+35?"]);
    let answer: Value = serde_json::from_str(&asked.stdout).expect("one object");
    assert_eq!(answer["answer"], "47");
    let shares = answer["explain"]["shares"].as_array().unwrap();
    assert_eq!(shares.len(), 2);
    assert!(shares.iter().all(|share| share["experts_held"] == 32), "each of two workers holds every expert: {answer}");
}

#[test]
fn control_c_ends_a_staying_network() {
    let stage = Stage::new();
    let mut up = stage.start(&["up", "--json-lines"]);
    let ready = up.event("ready");
    let mut processes: Vec<u64> =
        ready["processes"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    processes.push(up.id().into());
    processes.sort_unstable();
    let mut alive: Vec<u64> = stage.processes().into_iter().map(u64::from).collect();
    alive.sort_unstable();
    assert_eq!((alive.len(), &alive), (PROCESSES + 1, &processes));
    let asked = stage.run(&["ask", "--url", ready["api"].as_str().unwrap(), "What is 12+35?"]);
    assert_eq!(asked.stdout, "47\n", "{}", asked.stderr);

    up.interrupt();
    assert_eq!(up.wait().code(), Some(0), "{}", up.said());
    assert_eq!(stage.processes(), Vec::<u32>::new());
    assert_eq!(stage.left_in_temporary(), Vec::<String>::new());
}

#[test]
fn a_killed_network_leaves_no_child() {
    let stage = Stage::new();
    let mut up = stage.start(&["up", "--json-lines"]);
    up.event("ready");
    assert_eq!(stage.processes().len(), PROCESSES + 1);
    up.kill();
    stage.wait_empty();
}

#[test]
fn control_c_while_starting_leaves_nothing() {
    for seen in [1, 2, 4] {
        let stage = Stage::new();
        let mut up = stage.start(&["up"]);
        eventually("its first processes run", || stage.processes().len() >= seen);
        up.interrupt();
        let status = up.wait();
        // Before it listens for the signal, the signal itself ends it; after its start, Ctrl-C is a good end.
        assert!(matches!(status.code(), Some(0 | 130)) || status.signal() == Some(2), "{status}: {}", up.said());
        stage.wait_empty();
    }
}

#[test]
fn a_worker_that_dies_is_told_and_the_others_go_on() {
    let stage = Stage::new();
    let up = stage.start(&["up", "--json-lines", "--workers", "2"]);
    let ready = up.event("ready");
    let worker = ready["processes"][1].as_u64().unwrap();
    crate::stage::signal(u32::try_from(worker).unwrap(), "KILL");
    eventually("its end is told", || up.said().contains("the others go on"));
    let asked = stage.run(&["ask", "--url", ready["api"].as_str().unwrap(), "What is 12+35?"]);
    assert_eq!(asked.stdout, "47\n", "{}", asked.stderr);
}

#[test]
fn children_end_when_their_parent_closes_the_pipe() {
    let stage = Stage::new();
    let mut network = crate::network::Network::start(&stage, &crate::models::skills(), 1);
    network.workers[0].close_input();
    network.orchestrator.close_input();
    assert_eq!(network.workers[0].wait().code(), Some(0));
    assert_eq!(network.orchestrator.wait().code(), Some(0));
}
