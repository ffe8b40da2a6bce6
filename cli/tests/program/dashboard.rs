//! `neuro dashboard` on a real terminal.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::models;
use crate::network::Network;
use crate::stage::{Stage, eventually};
use crate::terminal::Terminal;

#[test]
fn without_a_node_every_page_opens_and_the_terminal_comes_back() {
    let stage = Stage::new();
    let Some(terminal) = Terminal::open(&stage) else { return };
    terminal.enter(&stage, &["dashboard", "--data-dir", "nobody"]);
    terminal.wait_for("neuro up");
    assert!(terminal.shows_alternate_screen());
    let mut pages = Vec::new();
    for (key, page) in [("1", "Overview"), ("2", "Experts"), ("3", "Workers"), ("4", "Requests")] {
        terminal.press(key);
        let screen = terminal
            .wait_until("the page has changed", |screen| screen.contains(page) && !pages.contains(&screen.to_owned()));
        assert!(screen.contains("neuro up"), "it says how to start a node: {screen}");
        pages.push(screen);
    }
    terminal.press("q");
    terminal.wait_for("ended with 0");
    assert!(!terminal.shows_alternate_screen());
    terminal.type_line("echo as be''fore");
    terminal.wait_for("as before");
}

#[test]
fn a_running_node_is_shown() {
    let stage = Stage::new();
    let network = Network::start(&stage, &models::skills(), 2);
    assert_eq!(network.ask("What is 12+35?"), "47");
    let Some(terminal) = Terminal::open(&stage) else { return };
    terminal.enter(&stage, &["dashboard", "--data-dir", "orchestrator"]);
    terminal.wait_for("skills");
    terminal.press("3");
    let workers = terminal.wait_for("worker-2");
    assert!(workers.contains("worker-1") && workers.contains("ready"), "{workers}");
    terminal.press("2");
    terminal.wait_for("L0 ");
    terminal.press("C-c");
    terminal.wait_for("ended with 0");
    assert!(!terminal.shows_alternate_screen());
}

#[test]
fn a_node_that_hangs_holds_up_no_key() {
    let stage = Stage::new();
    let node = TcpListener::bind("127.0.0.1:0").unwrap();
    node.set_nonblocking(true).unwrap();
    let control = node.local_addr().unwrap().to_string();
    let running = json!({"pid": 1, "node": "", "api": null, "control": control, "p2p": []});
    fs::create_dir(stage.path("hung")).unwrap();
    fs::write(stage.path("hung/node.json"), running.to_string()).unwrap();
    let Some(terminal) = Terminal::open(&stage) else { return };
    terminal.enter(&stage, &["dashboard", "--data-dir", "hung"]);
    let mut pages = [("3", "Workers"), ("4", "Requests")].into_iter().cycle();
    // On a slow machine the dashboard may have given a connection up before the key came.
    eventually("a page turns while the node is asked", || {
        let asking = accepted(&node);
        let (key, page) = pages.next().unwrap();
        terminal.press(key);
        terminal.wait_until("the page has turned", |screen| screen.matches(page).count() == 2);
        is_open(asking)
    });
    terminal.press("q");
    terminal.wait_for("ended with 0");
    assert!(!terminal.shows_alternate_screen());
}

/// The next connection.
fn accepted(listener: &TcpListener) -> TcpStream {
    let mut accepted = None;
    eventually("somebody connects", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    accepted.unwrap().0
}

/// Whether the other end still waits.
fn is_open(mut connection: TcpStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    connection.read_to_end(&mut Vec::new()).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn it_wants_a_terminal() {
    let stage = Stage::new();
    let arguments = ["dashboard"];
    let refused = stage.run(&arguments);
    assert_eq!(refused.code, Some(2));
    insta::assert_snapshot!(stage.transcript(&arguments, &refused));
}
