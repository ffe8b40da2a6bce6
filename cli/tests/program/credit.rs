//! `neuro credit`: what workers earn, and that it outlives the orchestrator.

use serde_json::Value;

use crate::models;
use crate::network::{FREE_PORTS, Network};
use crate::stage::{Finished, Stage, eventually};

/// A command on the folder called `node`.
fn credit(stage: &Stage, node: &str, arguments: &[&str]) -> Finished {
    let data_dir = stage.path(node).display().to_string();
    stage.run(&[&["credit"], arguments, &["--data-dir", &data_dir]].concat())
}

fn json(stage: &Stage, node: &str, arguments: &[&str]) -> Value {
    let shown = credit(stage, node, &[arguments, &["--json"]].concat());
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    serde_json::from_str(&shown.stdout).unwrap()
}

/// What the workers with these names have, as the orchestrator's leaderboard says.
fn totals(stage: &Stage) -> Vec<(String, u64)> {
    let reply = json(stage, "orchestrator", &["top"]);
    let mut totals: Vec<_> = reply["workers"].as_array().unwrap().iter().map(total).collect();
    totals.sort();
    totals
}

fn total(line: &Value) -> (String, u64) {
    (line["name"].as_str().unwrap().to_owned(), line["total_micro_units"].as_u64().unwrap())
}

/// Looks in a row that show the same: what witnesses earn may come a little after the answer.
const SAME_LOOKS: usize = 10;

/// Asks, and waits until what the workers earned by it is written and shown, and no longer changes.
fn earn(stage: &Stage, network: &Network<'_>, workers: usize) -> Vec<(String, u64)> {
    assert_eq!(network.ask("What is 12+35?"), "47");
    let (mut shown, mut same) = (Vec::new(), 0);
    eventually("what was earned is written", || {
        let waits = network.status()["store"]["waiting_workers"].as_u64();
        let now = totals(stage);
        same = if waits == Some(0) && now == shown { same + 1 } else { 0 };
        shown = now;
        same >= SAME_LOOKS && shown.len() == workers
    });
    shown
}

#[test]
fn credit_and_teams_outlive_a_killed_orchestrator() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::skills(), 2);
    assert_eq!(credit(&stage, "worker-1", &["team", "Blue", "--join"]).stdout, "this worker is in team Blue\n");
    let earned = earn(&stage, &network, 2);
    assert!(earned.iter().all(|(_, total)| *total > 0), "{earned:?}");
    network.orchestrator.kill();
    drop(network);

    let mut network = Network::orchestrator(&stage, &models::skills(), &[]);
    assert_eq!(totals(&stage), earned, "nothing lost, nothing counted twice");
    let before = network.status();
    let names: Vec<_> = before["workers"].as_array().unwrap().iter().map(|worker| &worker["name"]).collect();
    assert_eq!((names.len(), &before["workers"][0]["state"]), (2, &Value::from("gone")), "{names:?}");

    network.add("worker-1");
    network.orchestrator.event("serving");
    let more = earn(&stage, &network, 2);
    assert!(more[0].1 > earned[0].1, "{more:?}");
    assert_eq!(more[1], earned[1], "the other one is away");
    let teams = json(&stage, "orchestrator", &["top"])["teams"].clone();
    assert_eq!((&teams[0]["name"], teams[0]["total_micro_units"].as_u64()), (&Value::from("Blue"), Some(more[0].1)));
}

#[test]
fn a_worker_sees_its_own_line_and_changes_its_team() {
    let stage = Stage::new();
    let network = Network::start(&stage, &models::skills(), 1);
    assert_eq!(credit(&stage, "worker-1", &["me"]).stdout, "credit   0\nteam     none\n");
    assert_eq!(credit(&stage, "orchestrator", &["top"]).stdout, "nobody has earned anything yet\n");
    let earned = earn(&stage, &network, 1);
    let own = json(&stage, "worker-1", &["me"]);
    assert_eq!((total(&own["credit"]), &own["team"]), (earned[0].clone(), &Value::Null));
    assert_eq!(own["credit"]["place"], 1);
    assert_eq!(own["credit"]["badges"][0], "top 1%", "nobody has more");

    credit(&stage, "worker-1", &["team", "  Blue Ocean ", "--join"]);
    eventually("the team is written", || {
        json(&stage, "orchestrator", &["team", "Blue Ocean"])["workers"].as_array().map(Vec::len) == Some(1)
    });
    assert_eq!(json(&stage, "worker-1", &["team"])["team"], "Blue Ocean");
    let refused = credit(&stage, "worker-1", &["team", "a\u{7}b", "--join"]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    credit(&stage, "worker-1", &["team", "--leave"]);
    assert_eq!(credit(&stage, "worker-1", &["team"]).stdout, "this worker is in no team\n");
    let owner = credit(&stage, "orchestrator", &["team", "Blue", "--join"]);
    assert_eq!(owner.code, Some(3), "an orchestrator is no worker: {}", owner.stderr);
}

#[test]
fn without_an_orchestrator_there_is_an_error_that_says_what_to_do() {
    let stage = Stage::new();
    let nobody = credit(&stage, "nobody", &["top"]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(4), ""));
    assert!(nobody.stderr.contains("neuro worker start --join"), "{}", nobody.stderr);
    let mut network = Network::start(&stage, &models::skills(), 1);
    network.orchestrator.kill();
    let gone = credit(&stage, "worker-1", &["me"]);
    assert_eq!(gone.code, Some(4), "{}", gone.stderr);
}

#[test]
fn a_store_that_cannot_be_opened_stops_the_start() {
    let stage = Stage::new();
    let (model, data_dir) = (models::skills().display().to_string(), stage.path("orchestrator").display().to_string());
    for (store, said) in [
        ("postgre://user:secret@host/db", "name a file, or the URL"),
        ("/nowhere/at/all.sqlite", "check that the folder is there"),
        ("postgres://nobody@/none?host=/nowhere", "check that PostgreSQL runs"),
    ] {
        let fixed = ["serve", "--model", &model, "--data-dir", &data_dir, "--store", store];
        let refused = stage.run(&[&fixed, FREE_PORTS].concat());
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains(said) && !refused.stderr.contains("secret"), "{}", refused.stderr);
    }
}
