//! `neuro dashboard` on a real terminal.

use crate::models;
use crate::network::Network;
use crate::stage::Stage;
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
fn it_wants_a_terminal() {
    let stage = Stage::new();
    let arguments = ["dashboard"];
    let refused = stage.run(&arguments);
    assert_eq!(refused.code, Some(2));
    insta::assert_snapshot!(stage.transcript(&arguments, &refused));
}
