//! What operators of an aggregator type, right and wrong: rounds, results, curves, exports.

use std::fs;

use serde_json::Value;

use crate::federation::{Federation, aggregated, trainer, write_plan};
use crate::place::Place;
use crate::process::Process;
use crate::stage::{Stage, eventually};

#[test]
fn orders_that_cannot_be_carried_out_are_answered_with_what_can() {
    let stage = Stage::new();
    let nowhere = stage.path("nowhere").display().to_string();
    for order in [&["round", "start"][..], &["round", "stop"], &["round", "list"], &["status"], &["show"]] {
        let refused = stage.run(&[&["fl"], order, &["--data-dir", &nowhere]].concat());
        assert_eq!(refused.code, Some(4), "{order:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("no aggregator runs on this data folder"), "{}", refused.stderr);
        assert!(refused.stderr.contains("try: start one with: neuro fl serve"), "{}", refused.stderr);
    }
    let federation = Federation::start(&stage, "least = 8\ndropout = 0.25", &[]);
    let _one = federation.join(0, &trainer(0));
    // A second member that never comes: a round waits for it.
    federation.command(&["invite", "--node", &"11".repeat(32)]);
    let listed = || federation.command(&["status"])["task"]["rostered"] == 2;
    eventually("both are listed", listed);
    for (order, code, words) in [
        (&["round", "stop"][..], 1, "no round is running"),
        (&["round", "show", "7"], 1, "there was no round 7"),
        (&["show"], 1, "no round has ended yet"),
        (&["show", "3"], 1, "no round 3 has ended"),
        (&["curves"], 1, "no round of digits has ended yet"),
        (&["export", "--format", "csv", "--out", "x.csv"], 1, "no round of digits has ended yet"),
        (&["curves", "--task", "other"], 2, "no task called \"other\" is aggregated in this data folder"),
    ] {
        let refused = federation.ask(order);
        assert_eq!(refused.code, Some(code), "{order:?}: {} {}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(words), "{order:?}: {}", refused.stderr);
    }
    assert_eq!(federation.command(&["round", "start"])["round"], 1);
    let twice = federation.ask(&["round", "start"]);
    assert_eq!(twice.code, Some(3), "{}", twice.stderr);
    assert!(twice.stderr.contains("a round is running"), "{}", twice.stderr);
    let stopped = federation.command(&["round", "stop"]);
    assert_eq!((stopped["round"].as_u64(), stopped["outcome"].as_str()), (Some(1), Some("stopped")));
    let round = federation.ended();
    assert_eq!(round["done"], false);
}

#[test]
fn a_running_round_shows_who_is_waited_for() {
    let stage = Stage::new();
    let federation = Federation::start(&stage, "least = 8\ndropout = 0.25", &["--start-at", "8"]);
    let mut participants: Vec<Process> = (0..7).map(|number| federation.join(number, &trainer(number))).collect();
    participants.push(federation.join(7, "sleep 1000"));
    federation.wait_for_phase("upload");
    eventually("seven have reported", || federation.command(&["status"])["round"]["cohorts"][0]["reported"] == 7);
    let status = federation.command(&["status"]);
    let cohort = &status["round"]["cohorts"][0];
    assert_eq!((cohort["members"].as_u64(), cohort["stragglers"].as_array().map(Vec::len)), (Some(8), Some(1)));
    assert!(cohort["payload_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let words = federation.ask(&["status"]).stdout;
    let straggler = &cohort["stragglers"][0].as_str().unwrap()[..8];
    for expected in ["training and uploading", "7 of 8 reported", straggler, "s left"] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
}

#[test]
fn results_are_drawn_and_exported_without_a_running_aggregator() {
    let stage = Stage::new();
    let mut federation = Federation::of_rounds(&stage, 2, "least = 8\ndropout = 0.25");
    let _participants: Vec<Process> = (0..8).map(|number| federation.join(number, &trainer(number))).collect();
    for number in 1..=2 {
        federation.command(&["round", "start"]);
        assert_eq!(federation.ended()["number"], number);
    }
    federation.aggregator.kill();
    let drawn = federation.ask(&["curves", "--metric", "round/weight", "--height", "4"]);
    assert!(drawn.stdout.contains("round/weight (last 52.0000)"), "{}{}", drawn.stdout, drawn.stderr);
    let unknown = federation.ask(&["curves", "--metric", "loss"]);
    assert!(unknown.stderr.contains("no metric \"loss\"; there are round/"), "{}", unknown.stderr);
    let out = stage.path("out");
    let path = |name: &str| out.join(name).display().to_string();
    for (format, name) in [("csv", "task.csv"), ("json", "task.json"), ("tensorboard", "events"), ("mlflow", "mlruns")]
    {
        let written = federation.command(&["export", "--format", format, "--out", &path(name)]);
        for file in written["files"].as_array().unwrap() {
            assert!(fs::metadata(file.as_str().unwrap()).unwrap().len() > 0, "{file}");
        }
    }
    let csv = fs::read_to_string(path("task.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.lines().nth(2).unwrap().starts_with("2,train,true,"), "{csv}");
    let json: Value = serde_json::from_str(&fs::read_to_string(path("task.json")).unwrap()).unwrap();
    assert_eq!((json[1]["round"].as_u64(), json[1]["cohorts"][0]["survivors"].as_u64()), (Some(2), Some(8)));
}

#[test]
fn an_owner_on_another_machine_signs_and_lists() {
    let stage = Stage::new();
    let [owner, aggregator] = ["owner", "aggregator"].map(|name| stage.path(name).display().to_string());
    let run =
        |arguments: &[&str], data_dir: &str| stage.run(&[arguments, &["--json", "--data-dir", data_dir]].concat());
    let json = |arguments: &[&str], data_dir: &str| -> Value {
        let done = run(arguments, data_dir);
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
        serde_json::from_str(&done.stdout).unwrap()
    };
    let id = json(&["fl", "roster", "owner"], &owner)["owner"].as_str().unwrap().to_owned();
    write_plan(&stage, 1, "least = 8\ndropout = 0.25");
    let plan = stage.path("round.toml").display().to_string();
    let place = Place::new();
    let address = place.address();
    let serve = ["fl", "serve", "--config", &plan, "--listen", &address, "--owner", &id];
    let without = run(&serve, &aggregator);
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("its owner has to make one") && without.stderr.contains("task.json"));
    // What the operator sends to the owner, and what comes back.
    let task_file = aggregated(&stage).join("task.json").display().to_string();
    let roster = stage.path("roster").display().to_string();
    let invite = ["fl", "invite", "--task-file", &task_file, "--roster-out", &roster];
    let invitation = json(&invite, &owner)["invitation"].as_str().unwrap().to_owned();
    assert_eq!(json(&["fl", "roster", "take", &roster], &aggregator)["roster_version"], 1);
    // Only the owner may invite, and only its newest roster is taken.
    let elsewhere = run(&["fl", "invite"], &aggregator);
    assert_eq!(elsewhere.code, Some(3), "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains("expected the key of the task's owner"), "{}", elsewhere.stderr);
    let aggregating =
        stage.start(&[&serve[..], &["--json-lines", "--stop-with-parent", "--data-dir", &aggregator]].concat());
    aggregating.event("ready");
    // A newcomer shows the invitation, is told its own id, and comes in once the owner has listed it.
    let newcomer = stage.path("newcomer").display().to_string();
    let join = ["fl", "join", &invitation, "--trainer", "true", "--json-lines", "--stop-with-parent"];
    let joining = stage.start(&[&join[..], &["--data-dir", &newcomer]].concat());
    let reason = joining.event("lost")["reason"].as_str().unwrap().to_owned();
    let node = reason.rsplit(' ').next().unwrap();
    let first = fs::read(&roster).unwrap();
    assert_eq!(json(&["fl", "invite", "--node", node, "--roster-out", &roster], &owner)["members"], 1);
    assert_eq!(json(&["fl", "roster", "take", &roster], &aggregator)["roster_version"], 2);
    joining.event("attending");
    assert_eq!(json(&["fl", "status"], &aggregator)["task"]["rostered"], 1);
    fs::write(&roster, first).unwrap();
    let older = run(&["fl", "roster", "take", &roster], &aggregator);
    assert_eq!(older.code, Some(3), "{}", older.stderr);
}
