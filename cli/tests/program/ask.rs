//! `neuro ask`: where the question comes from, and how the answer is shown.

use std::fs;

use crate::models;
use crate::network::Network;
use crate::stage::{Finished, Stage};

fn ask(stage: &Stage, options: &[&str], input: &str) -> Finished {
    let model = models::skills().display().to_string();
    let asked = stage.pipe(&[&["ask", "--model", &model], options].concat(), input);
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);
    assert_eq!(asked.stderr, "", "no progress where nobody watches");
    asked
}

#[test]
fn a_question_comes_typed_piped_or_from_a_file() {
    let stage = Stage::new();
    assert_eq!(ask(&stage, &["What is 12+35?"], "").stdout, "47\n");
    assert_eq!(ask(&stage, &["-"], "What is 12+35?\n").stdout, "47\n");
    assert_eq!(ask(&stage, &[], "What is 12+35?\n").stdout, "47\n");
    fs::write(stage.path("question.txt"), "What is 12+35?").unwrap();
    assert_eq!(ask(&stage, &["--file", "question.txt"], "").stdout, "47\n");
    assert_eq!(ask(&stage, &["--system", "Be brief.", "What is an expert?"], "").code, Some(0));
}

#[test]
fn nothing_to_ask_is_said() {
    let stage = Stage::new();
    let arguments = ["ask", ""];
    let asked = stage.run(&arguments);
    assert_eq!(asked.code, Some(2));
    insta::assert_snapshot!(stage.transcript(&arguments, &asked));
    assert_eq!(stage.pipe(&["ask"], " \n").code, Some(2));
    let arguments = ["ask", "--file", "missing.txt", "What is it?"];
    insta::assert_snapshot!("file_to_ask_about_is_missing", stage.transcript(&arguments, &stage.run(&arguments)));
}

#[test]
fn the_system_message_reaches_the_model() {
    let stage = Stage::new();
    let tokens = |options: &[&str]| {
        let asked = ask(&stage, &[&["--json"], options, &["What is 12+35?"]].concat(), "");
        serde_json::from_str::<serde_json::Value>(&asked.stdout).unwrap()["prompt_tokens"].as_u64().unwrap()
    };
    assert!(tokens(&["--system", "Be brief."]) > tokens(&[]));
}

#[test]
fn who_computed_is_explained() {
    let stage = Stage::new();
    assert_eq!(ask(&stage, &["--explain", "What is 12+35?"], "").stdout, "47\n\n  computed in this process\n");
    let network = Network::start(&stage, &models::skills(), 2);
    let asked = stage.run(&["ask", "--url", &network.api, "--explain", "What is 12+35?"]);
    let lines: Vec<&str> = asked.stdout.lines().collect();
    assert_eq!(lines[0], "47");
    let columns: Vec<&str> = lines[2].split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    assert_eq!(columns, ["worker", "experts held", "micro-tasks", "rows × experts", "computing"]);
    assert!(lines[3].starts_with("  worker-1") && lines[4].starts_with("  worker-2"), "{}", asked.stdout);
    assert!(asked.stdout.contains("engine native"), "{}", asked.stdout);
    assert!(!asked.stdout.contains('\x1b'), "no colours where stdout is no terminal");
}

#[test]
fn colours_come_when_forced_and_go_when_refused() {
    let stage = Stage::new();
    let shown = |variables: &[(&str, &str)]| {
        let mut command = stage.command(&["ask", ""]);
        command.envs(variables.iter().copied());
        crate::stage::finish(command, "").stderr
    };
    assert!(shown(&[("CLICOLOR_FORCE", "1")]).contains('\x1b'));
    assert!(!shown(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\x1b'));
    assert!(!shown(&[]).contains('\x1b'));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let stage = Stage::new();
    let model = models::endless(&stage).display().to_string();
    let plain = stage.command(&["ask", "--model", &model, "--max-tokens", "3000", "What is an expert?"]);
    let mut piped = stage.command_of("sh");
    piped.args(["-c", r#"{ "$0" "$@"; echo "status $?" >&2; } | head -c 5"#]);
    piped.arg(plain.get_program()).args(plain.get_args());
    let cut = crate::stage::finish(piped, "");
    assert_eq!((cut.stdout.len(), cut.stderr.as_str()), (5, "status 0\n"));
}
