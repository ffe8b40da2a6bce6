//! `neuro worker start`: joining, fetching, caching, and being turned away.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use neuro_model::{Checkpoint, names};
use neuro_primitives::{ExpertId, Hash, NodeKey};
use neuro_protocol::ticket::SignedTicket;

use crate::models;
use crate::network::Network;
use crate::process::Process;
use crate::stage::{Stage, eventually, names_in};

#[test]
fn an_empty_disk_gets_the_tensors_of_its_experts_and_no_others() {
    let stage = Stage::new();
    let network = Network::start(&stage, &models::skills(), 4);
    assert_eq!(network.ask("What is 12+35?"), "47");
    let checkpoint = Checkpoint::open(&models::skills()).unwrap();
    let mut copies = 0;
    for number in 1..=4 {
        let folder = stage.path(&format!("worker-{number}/tensors"));
        let files = names_in(&folder);
        for name in &files {
            assert_eq!(*name, Hash::of(&fs::read(folder.join(name)).unwrap()).to_string());
        }
        let experts = experts_of(&checkpoint, &files);
        assert_eq!((experts.len(), files.len()), (16, 48), "half of 32 experts, three tensors each");
        copies += experts.len();
    }
    assert_eq!(copies, 2 * 32, "every expert is on two workers");
    assert!(!stage.path("orchestrator/tensors").exists());
}

#[test]
fn an_orchestrator_says_who_works_for_it_and_how_well() {
    let stage = Stage::new();
    let network = Network::start(&stage, &models::skills(), 2);
    assert_eq!(network.ask("What is 12+35?"), "47");
    let folder = stage.path("orchestrator").display().to_string();
    let worker = |arguments: &[&str]| stage.run(&[&["worker"], arguments, &["--data-dir", &folder]].concat());
    let list = worker(&["list"]);
    assert!(list.stdout.contains("worker-1") && list.stdout.contains("worker-2"), "{}", list.stdout);
    let shown = worker(&["show", "worker-1", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(
        (&shown["name"], &shown["state"], &shown["excluded"]),
        (&"worker-1".into(), &"ready".into(), &"".into())
    );
    assert!(shown["streak"].as_u64() > Some(0), "its first results are checked: {shown}");
    assert!(shown["hardware"]["cores"].as_u64() > Some(0) && shown["row_us"].is_u64(), "{shown}");
    assert_eq!(shown["calibration"]["speeds"].as_array().map(Vec::len), Some(3), "{shown}");
    let page = worker(&["show", "worker-1"]).stdout;
    for line in ["machine", "instructions", "link", "speed", "lends"] {
        assert!(page.lines().any(|shown| shown.starts_with(line)), "{line}: {page}");
    }
    let unknown = worker(&["show", "worker-9"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("no worker is called \"worker-9\""), "{}", unknown.stderr);
}

#[test]
fn a_plan_says_who_holds_how_much_and_why() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::skills(), 2);
    let folder = stage.path("orchestrator").display().to_string();
    let plan = |arguments: &[&str]| stage.run(&[&["serve", "plan"], arguments, &["--data-dir", &folder]].concat());
    let page = plan(&[]).stdout;
    assert!(page.contains("worker-1") && page.contains("100 %"), "{page}");
    assert!(page.contains("moved last:") && page.contains("too few workers held it"), "{page}");
    let read = || -> serde_json::Value { serde_json::from_str(&plan(&["--json"]).stdout).unwrap() };
    assert_eq!((&read()["workers"][0]["experts"], &read()["next"]), (&32.into(), &serde_json::json!([])));
    network.add("worker-3");
    eventually("the third worker takes its part", || {
        let shown = read();
        shown["workers"].as_array().map(Vec::len) == Some(3)
            && shown["recent"]
                .as_array()
                .unwrap()
                .iter()
                .any(|moved| moved["why"] == "a worker that came takes its part")
    });
    network.orchestrator.kill();
    let nobody = plan(&[]);
    assert_eq!(nobody.code, Some(4), "{}", nobody.stderr);
}

#[test]
fn a_restarted_worker_fetches_nothing_again() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::skills(), 1);
    let folder = stage.path("worker-1/tensors");
    let before = marks(&folder);
    assert_eq!(before.len(), 96);
    network.workers[0].kill();
    network.add("worker-1");
    network.workers[1].event("holding");
    assert_eq!(marks(&folder), before, "no file was written anew");
    assert_eq!(network.ask("What is 12+35?"), "47");
}

#[test]
fn a_cached_tensor_that_was_damaged_is_fetched_again() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::skills(), 1);
    network.workers[0].kill();
    let folder = stage.path("worker-1/tensors");
    let name = names_in(&folder)[0].clone();
    let mut bytes = fs::read(folder.join(&name)).unwrap();
    bytes[1000] ^= 0x40;
    fs::write(folder.join(&name), &bytes).unwrap();
    let damaged = marks(&folder);

    network.add("worker-1");
    network.workers[1].event("holding");
    assert_eq!(Hash::of(&fs::read(folder.join(&name)).unwrap()).to_string(), name, "it is whole again");
    let changed: Vec<_> = marks(&folder).difference(&damaged).map(|(name, ..)| name.clone()).collect();
    assert_eq!(changed, [name], "and no other was written anew");
    assert!(
        network.workers[1].said().contains("is fetched again") && network.workers[1].said().contains("changed on disk"),
        "{}",
        network.workers[1].said()
    );
    assert_eq!(network.ask("What is 12+35?"), "47");
}

#[test]
fn a_worker_may_come_over_peer_to_peer_alone() {
    let stage = Stage::new();
    let mut network = Network::orchestrator(&stage, &models::skills(), &[]);
    let joined = network.add_with("worker-1", &["--p2p-only"]);
    assert_eq!(joined["over"], "p2p");
    network.orchestrator.event("serving");
    assert_eq!(network.ask("What is 12+35?"), "47");
}

#[test]
fn a_full_disk_costs_the_cache_and_not_the_answer() {
    let stage = Stage::new();
    let mut network = Network::orchestrator(&stage, &models::skills(), &[]);
    let arguments = network.worker_arguments("worker-1");
    let plain = stage.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    // No file may grow beyond 16 KiB; a tensor has 64. Without the signal, the write itself fails, as on a full disk.
    let mut limited = stage.command_of("sh");
    limited
        .args(["-c", r#"trap '' XFSZ; ulimit -f 32; exec "$0" "$@""#])
        .arg(plain.get_program())
        .args(plain.get_args());
    network.take(Process::start(limited));
    network.orchestrator.event("serving");
    assert_eq!(network.ask("What is 12+35?"), "47");
    assert_eq!(names_in(&stage.path("worker-1/tensors")), Vec::<String>::new(), "nothing half-written is left");
    assert!(network.workers[0].said().contains("is the disk full?"), "{}", network.workers[0].said());
}

#[test]
fn a_ticket_that_has_expired_admits_nobody() {
    let stage = Stage::new();
    let network = Network::orchestrator(&stage, &models::skills(), &["--ticket-hours", "0"]);
    insta::assert_snapshot!("expired_ticket", turned_away(&stage, &network, &network.ticket));
}

#[test]
fn a_ticket_that_another_signed_admits_nobody() {
    let stage = Stage::new();
    let network = Network::orchestrator(&stage, &models::skills(), &[]);
    let forged = SignedTicket::from_text(&network.ticket)
        .unwrap()
        .verify_signature()
        .unwrap()
        .clone()
        .sign(&NodeKey::generate().unwrap());
    insta::assert_snapshot!("forged_ticket", turned_away(&stage, &network, &forged.to_text()));
}

#[test]
fn what_is_no_ticket_admits_nobody() {
    let stage = Stage::new();
    let network = Network::orchestrator(&stage, &models::skills(), &[]);
    insta::assert_snapshot!("no_ticket", turned_away(&stage, &network, "letmein"));
    let half = &network.ticket[..network.ticket.len() / 2];
    insta::assert_snapshot!("half_a_ticket", turned_away(&stage, &network, half));
}

/// What a worker with this ticket is told; the network goes on without it.
fn turned_away(stage: &Stage, network: &Network<'_>, ticket: &str) -> String {
    let data_dir = stage.path("stranger").display().to_string();
    let refused = stage.run(&["worker", "start", "--join", ticket, "--data-dir", &data_dir]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert_eq!(network.status()["workers"].as_array().map(Vec::len), Some(0));
    assert_eq!(refused.stdout, "");
    let signer = network.signer();
    let said = stage.anonymous(&refused.stderr).replace(&signer, "ORCHESTRATOR");
    (0..60).fold(said, |said, seconds| said.replace(&format!(" {seconds} s ago"), " N s ago"))
}

/// The experts whose three tensors are among the files, which must all be tensors of experts.
fn experts_of(checkpoint: &Checkpoint, files: &[String]) -> BTreeSet<ExpertId> {
    let config = checkpoint.config();
    let tensors = checkpoint.tensor_names().filter_map(|name| Some((names::expert_of(config, name)?, name)));
    let held =
        tensors.filter(|(_, name)| files.contains(&Hash::of(&checkpoint.tensor(name).unwrap().bytes).to_string()));
    held.map(|(expert, _)| expert).collect()
}

/// Each file with what changes when it is written anew.
pub fn marks(folder: &Path) -> BTreeSet<(String, u64, i64, i64)> {
    let mark = |name: String| {
        let facts = fs::metadata(folder.join(&name)).unwrap();
        (name, facts.ino(), facts.mtime(), facts.mtime_nsec())
    };
    names_in(folder).into_iter().map(mark).collect()
}
