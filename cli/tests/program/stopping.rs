//! Ctrl-C while a command waits for what may never come.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;

use crate::models;
use crate::network::Network;
use crate::process::Process;
use crate::stage::{Stage, eventually, finish, signal};

/// A pipe at `path` that is open and in which nothing comes: whoever reads it waits.
fn silent(stage: &Stage, path: &Path) -> File {
    let mut make = stage.command_of("mkfifo");
    make.arg("-m600").arg(path);
    assert_eq!(finish(make, "").code, Some(0));
    File::options().read(true).write(true).open(path).unwrap()
}

/// Waits until `process` has opened `path`.
fn wait_until_read(process: &Process, path: &Path) {
    let folder = format!("/proc/{}/fd", process.id());
    eventually(&format!("{} is read", path.display()), || {
        let open = fs::read_dir(&folder).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target == path)
    });
}

#[test]
fn control_c_ends_an_orchestrator_that_reads_its_model() {
    let stage = Stage::new();
    let model = stage.path("model");
    fs::create_dir(&model).unwrap();
    let config = model.join("config.json");
    let _silent = silent(&stage, &config);
    let mut serve = Process::start(Network::serve_command(&stage, &model, &[]));
    wait_until_read(&serve, &config);
    serve.interrupt();
    assert_eq!(serve.wait().code(), Some(0), "{}", serve.said());
    assert_eq!(serve.said(), "");
}

#[test]
fn control_c_ends_an_orchestrator_whose_store_does_not_answer() {
    let stage = Stage::new();
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    store.set_nonblocking(true).unwrap();
    let url = format!("postgres://neuro@{}/neuro?sslmode=disable", store.local_addr().unwrap());
    let mut serve = Process::start(Network::serve_command(&stage, &models::skills(), &["--store", &url]));
    let mut connected = None;
    eventually("it connects to its store", || {
        connected = store.accept().ok();
        connected.is_some()
    });
    serve.interrupt();
    assert_eq!(serve.wait().code(), Some(0), "{}", serve.said());
    assert_eq!(serve.said(), "");
}

#[test]
fn a_second_signal_ends_what_the_first_did_not() {
    let stage = Stage::new();
    let keys = stage.path("keys");
    let _silent = silent(&stage, &keys);
    let options = ["--api-key-file", keys.to_str().unwrap()];
    let mut serve = Process::start(Network::serve_command(&stage, &models::skills(), &options));
    wait_until_read(&serve, &keys);
    // Two of one kind may arrive as one.
    serve.interrupt();
    signal(serve.id(), "TERM");
    assert_eq!(serve.wait().code(), Some(130), "{}", serve.said());
}
