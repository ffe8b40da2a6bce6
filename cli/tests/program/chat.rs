//! `neuro chat`: a conversation over a pipe and on a terminal.

use crate::models;
use crate::stage::Stage;
use crate::terminal::Terminal;

/// What a model with random weights says to `input`: whatever it was told before changes its words.
fn said(stage: &Stage, input: &str) -> Vec<serde_json::Value> {
    let model = models::fixture("mixtral-7-float32").display().to_string();
    let talked = stage.pipe(&["chat", "--model", &model, "--max-tokens", "12", "--json"], input);
    assert_eq!((talked.code, talked.stderr.as_str()), (Some(0), ""));
    talked.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_pipe_gets_an_answer_a_line() {
    let stage = Stage::new();
    let model = models::skills().display().to_string();
    let talked = stage.pipe(&["chat", "--model", &model], "What is 12+35?\n\nWhat is 97+11?\n/quit\nWhat is 1+1?\n");
    assert_eq!(talked.stdout, "47\n108\n", "after /quit nothing is answered; {}", talked.stderr);
}

#[test]
fn what_was_said_before_counts_until_it_is_cleared() {
    let stage = Stage::new();
    let fresh = said(&stage, "What is an expert?\n");
    let later = said(&stage, "Repeat: marble marble\nReverse: willow\nWhat is an expert?\n");
    assert_ne!(later[2], fresh[0]);
    let cleared = said(&stage, "Repeat: marble marble\nReverse: willow\n/clear\nWhat is an expert?\n");
    assert_eq!(cleared[2], fresh[0]);
}

#[test]
fn control_c_stops_the_answer_and_not_the_program() {
    let stage = Stage::new();
    let model = models::endless(&stage).display().to_string();
    let Some(terminal) = Terminal::open(&stage) else { return };
    terminal.enter(&stage, &["chat", "--model", &model, "--max-tokens", "4000", "--temperature", "1", "--seed", "1"]);
    terminal.wait_for("Ctrl-C stops an answer");
    terminal.type_line("What is an expert?");
    terminal.wait_for("An expert is one");
    terminal.press("C-c");
    terminal.wait_until("the prompt is back", |screen| screen.trim_end().ends_with('>'));
    terminal.type_line("/help");
    terminal.wait_until("it still obeys", |screen| screen.matches("/clear forgets").count() >= 1);
    terminal.press("C-c");
    terminal.wait_for("(Ctrl-D or /quit leaves)");
    terminal.type_line("/quit");
    terminal.wait_for("ended with 0");
}
