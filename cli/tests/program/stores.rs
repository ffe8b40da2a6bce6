//! A store that fails while the orchestrator runs: answers go on, the owner is told, and what waited is written once.

use std::process::Command;

use serde_json::Value;

use crate::models;
use crate::network::Network;
use crate::postgres::Server;
use crate::process::Process;
use crate::stage::{Stage, eventually};

/// Questions asked while the store fails: far more than workers, which is what waits.
const QUESTIONS: usize = 10;

/// Blocks of 512 bytes that a file may have in the test of a full disk: room for the tables and some batches.
const FILE_LIMIT: &str = "800";

/// What the dashboard says of the store.
fn store(network: &Network<'_>) -> Value {
    network.status()["store"].clone()
}

/// Asks on while the store fails. Returns why it does, as the owner is told.
fn ask_while_it_fails(network: &Network<'_>, workers: u64) -> String {
    for _ in 0..QUESTIONS {
        assert_eq!(network.ask("What is 12+35?"), "47");
    }
    let mut shown = Value::Null;
    eventually("the store's failure shows", || {
        shown = store(network);
        shown["failure"].is_string()
    });
    let waiting = shown["waiting_workers"].as_u64().unwrap();
    assert!((1..=workers).contains(&waiting), "what waits is bounded by the workers: {shown}");
    assert!(network.orchestrator.said().contains("records wait in memory"), "{}", network.orchestrator.said());
    shown["failure"].as_str().unwrap().to_owned()
}

fn wait_until_written(network: &Network<'_>) {
    eventually("what waited is written", || {
        let store = store(network);
        store["failure"].is_null() && store["waiting_workers"] == 0
    });
    assert!(network.orchestrator.said().contains("the store is written again"), "{}", network.orchestrator.said());
}

/// What all workers earned; nothing while nobody did.
fn earned(stage: &Stage) -> u64 {
    let data_dir = stage.path("orchestrator").display().to_string();
    let shown = stage.run(&["credit", "top", "--json", "--data-dir", &data_dir]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    shown["workers"].as_array().unwrap().iter().filter_map(|line| line["total_micro_units"].as_u64()).sum()
}

#[test]
fn a_full_disk_holds_up_no_answer_and_what_waited_is_written_once_there_is_room() {
    let stage = Stage::new();
    // The store alone shall not fit, so it lies elsewhere than what the node writes at its start.
    let plain = Network::serve_command(&stage, &models::skills(), &[]);
    let mut limited = stage.command_of("sh");
    let script = format!(r#"trap '' XFSZ; ulimit -S -f {FILE_LIMIT}; exec "$0" "$@""#);
    limited.args(["-c", &script]).arg(plain.get_program()).args(plain.get_args());
    let mut network = Network::of(&stage, &models::skills(), Process::start(limited));
    network.add("worker-1");
    network.add("worker-2");
    network.wait_holders(2);
    eventually("the disk is full", || {
        assert_eq!(network.ask("What is 12+35?"), "47");
        store(&network)["failure"].is_string()
    });
    let failure = ask_while_it_fails(&network, 2);
    assert!(failure.contains("orchestrator.sqlite") && failure.contains("disk"), "{failure}");
    let before = earned(&stage);

    let pid = network.orchestrator.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:unlimited"]).status().unwrap();
    assert!(lifted.success());
    wait_until_written(&network);
    assert!(earned(&stage) > before);
}

#[test]
fn a_server_that_stops_holds_up_no_answer_and_what_was_lost_with_the_node_is_said() {
    let stage = Stage::new();
    let mut server = Server::start();
    let url = server.database("neuro");
    let mut network = Network::orchestrator(&stage, &models::skills(), &["--store", &url, "--expect-workers", "2"]);
    network.add("worker-1");
    network.add("worker-2");
    network.orchestrator.event("serving");
    assert_eq!(network.ask("What is 12+35?"), "47");
    eventually("it is written", || store(&network)["waiting_workers"] == 0);
    let before = earned(&stage);

    server.stop();
    let failure = ask_while_it_fails(&network, 2);
    assert!(failure.contains("check that PostgreSQL runs"), "{failure}");
    server.start_again();
    wait_until_written(&network);
    assert!(earned(&stage) > before, "what was earned meanwhile counts");

    server.stop();
    ask_while_it_fails(&network, 2);
    network.orchestrator.interrupt();
    network.orchestrator.wait();
    let said = network.orchestrator.said();
    assert!(said.contains("the store did not take the last records"), "{said}");
}
