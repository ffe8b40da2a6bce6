//! What the program says of itself.

use crate::stage::Stage;

#[test]
fn every_command_explains_itself() {
    let stage = Stage::new();
    for command in [
        "",
        "up",
        "ask",
        "chat",
        "serve",
        "serve plan",
        "worker",
        "worker start",
        "worker list",
        "worker show",
        "worker pardon",
        "worker evidence",
        "credit",
        "credit top",
        "credit me",
        "credit team",
        "model",
        "model inspect",
        "model logits",
        "model eval",
        "model quantize",
        "model split",
        "dashboard",
        "fl",
        "fl serve",
        "fl invite",
        "fl join",
        "fl round",
        "fl status",
        "fl show",
        "fl curves",
        "fl export",
        "fl model",
        "fl roster",
        "bench",
        "bench decode",
        "bench dispatch",
        "bench secagg",
        "bench smpc",
        "fl simulate",
        "smpc",
        "smpc invite",
        "smpc party",
        "smpc estimate",
        "smpc ask",
        "smpc calibrate",
        "smpc eval",
        "smpc show",
        "smpc split",
        "completions",
    ] {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = stage.run(&arguments);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        insta::assert_snapshot!(format!("help {command}").trim_end().replace(' ', "_"), help.stdout);
    }
}

#[test]
fn a_wrong_word_is_answered_with_the_right_ones() {
    let stage = Stage::new();
    let arguments = ["model", "inspekt"];
    let refused = stage.run(&arguments);
    assert_eq!(refused.code, Some(2));
    insta::assert_snapshot!(stage.transcript(&arguments, &refused));
}

#[test]
fn shells_accept_their_completions() {
    let stage = Stage::new();
    let script = stage.run(&["completions", "bash"]);
    let mut bash = stage.command_of("bash");
    bash.arg("-c").arg("source /dev/stdin && complete -p neuro").stdin(std::process::Stdio::piped());
    let accepted = crate::stage::finish(bash, &script.stdout);
    assert!(accepted.stdout.starts_with("complete "), "{}{}", accepted.stdout, accepted.stderr);
    for command in ["worker", "dashboard", "inspect"] {
        assert!(script.stdout.contains(command));
    }
}
