//! `neuro fl` under SIGKILL: whoever dies in whatever phase, the round goes on and the same bytes are sent.
//!
//! Phases pass in milliseconds. A participant is held in one by its own audit log: a line is on disk before its bytes
//! leave, so where the log is a named pipe that nobody reads, the participant waits between "durable" and "sent" for as
//! long as the test likes, and everybody else waits for it. That is the moment at which it is killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::federation::{Federation, audit_lines, plain_sum, trainer};
use crate::process::Process;
use crate::stage::{Stage, eventually};

/// Eight members of whom two may drop out, and phases that nobody misses however often all are killed.
const PATIENT: &str = "least = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 300000\nreveal_ms = 300000\nshares_ms = \
                       300000\nreceived_ms = 300000\nvote_ms = 300000\nanswer_ms = 300000\n";

/// A phase, what leaves a participant in it first, and who is held there. A vote or an answer of all is not waited for:
/// there half of the cohort is held.
const PHASES: [(&str, &str, &[usize]); 7] = [
    ("join", "join", &[0]),
    ("reveal", "reveal", &[1]),
    ("shares", "shares", &[2]),
    ("received", "received", &[3]),
    ("upload", "statement", &[4]),
    ("vote", "vote", &[0, 1, 2, 3]),
    ("answer", "answer", &[4, 5, 6, 7]),
];

/// Who is killed in every phase, after it sent what the phase asks for.
const OFTEN_KILLED: usize = 7;

#[test]
fn a_round_outlives_its_aggregator_and_its_participants_in_every_phase() {
    let stage = Stage::new();
    let mut federation = Federation::start(&stage, PATIENT, &[]);
    let mut participants: Vec<Process> = (0..8).map(|number| federation.join(number, &trainer(number))).collect();
    let mut held = hold(&federation, PHASES[0].2);
    federation.command(&["round", "start"]);
    for (turn, (phase, left, numbers)) in PHASES.into_iter().enumerate() {
        wait_until_held(&federation, phase, &held);
        for gate in &held {
            assert!(gate.lines().iter().all(|line| line["left"] != left), "{phase}: nothing has left yet");
        }
        federation.aggregator.kill();
        numbers.iter().for_each(|&number| participants[number].kill());
        participants[OFTEN_KILLED].kill();
        federation.restart();
        federation.aggregator.event("resumed");
        let free = |number: &usize| !numbers.contains(number);
        let said: Vec<usize> = (0..8).map(|number| said_times(&federation, number, left)).collect();
        if free(&OFTEN_KILLED) {
            participants[OFTEN_KILLED] = federation.join(OFTEN_KILLED, &trainer(OFTEN_KILLED));
        }
        // Whoever was not held says to the new aggregator again what it said to the old one.
        for number in (0..8).filter(free) {
            eventually(&format!("{number} says its {left} again"), || {
                said_times(&federation, number, left) > said[number] && has_said_where_it_stands(&federation, number)
            });
        }
        held.into_iter().for_each(Gate::open);
        held = PHASES.get(turn + 1).map_or_else(Vec::new, |(_, _, next)| hold(&federation, next));
        for &number in numbers {
            participants[number] = federation.join(number, &trainer(number));
        }
    }
    let round = federation.ended();
    assert_eq!(round["done"], true, "{round}");
    assert_eq!(round["sum"], plain_sum(&(0..8).collect::<Vec<_>>()));
    for (number, participant) in participants.iter().enumerate() {
        assert_eq!(participant.event("ended")["done"], true, "{number}");
        assert_one_hash_of_each(&federation, number);
    }
}

#[test]
fn a_sum_that_no_line_of_history_tells_of_yet_is_not_lost() {
    let stage = Stage::new();
    let mut federation = Federation::start(&stage, PATIENT, &[]);
    let _participants: Vec<Process> = (0..8).map(|number| federation.join(number, &trainer(number))).collect();
    // The aggregator waits for a reader of its history once the sum is on disk.
    let task = federation.aggregated();
    make_pipe(&task.join("history.jsonl"));
    federation.command(&["round", "start"]);
    eventually("the result is on disk", || task.join("rounds/1/0/result.json").exists());
    assert!(task.join("rounds/1/0/sum").exists());
    federation.aggregator.kill();
    fs::remove_file(task.join("history.jsonl")).unwrap();
    federation.restart();
    let round = federation.ended();
    assert_eq!((round["done"].as_bool(), round["number"].as_u64()), (Some(true), Some(1)), "{round}");
    assert_eq!(round["sum"], plain_sum(&(0..8).collect::<Vec<_>>()));
    assert_eq!(fs::read_to_string(task.join("history.jsonl")).unwrap().lines().count(), 1);
}

#[test]
fn without_its_record_a_participant_is_out_of_that_round_and_in_the_next() {
    let stage = Stage::new();
    let federation =
        Federation::of_rounds(&stage, 2, "least = 8\ndropout = 0.25\n[cohort.deadlines]\nupload_ms = 30000");
    let gate = stage.path("gate");
    let gated = |number| format!("while [ ! -e {} ]; do sleep 0.05; done; {}", gate.display(), trainer(number));
    let mut participants: Vec<Process> = (0..8).map(|number| federation.join(number, &gated(number))).collect();
    federation.command(&["round", "start"]);
    federation.wait_for_phase("upload");
    participants[0].kill();
    fs::remove_file(federation.task_folder(0).join("rounds/1/0/record")).unwrap();
    fs::write(&gate, "").unwrap();
    participants[0] = federation.join(0, &trainer(0));
    let round = federation.ended();
    assert_eq!(round["done"], true, "{round}");
    assert_eq!(round["sum"], plain_sum(&(1..8).collect::<Vec<_>>()));
    let left: Vec<String> = federation.audit(0).iter().map(|line| line["left"].as_str().unwrap().to_owned()).collect();
    assert_eq!(left, ["join", "reveal", "shares", "received"], "nothing leaves without the record");
    federation.command(&["round", "start"]);
    let round = federation.ended();
    assert_eq!((round["number"].as_u64(), round["done"].as_bool()), (Some(2), Some(true)), "{round}");
    assert_eq!(round["sum"], plain_sum(&(0..8).collect::<Vec<_>>()));
}

/// A participant's audit log while a pipe is in its place.
struct Gate {
    task: PathBuf,
    /// The record when the gate was closed.
    before: Option<Vec<u8>>,
}

impl Gate {
    fn close(federation: &Federation<'_>, number: usize) -> Self {
        let task = federation.task_folder(number);
        let (log, aside) = (task.join("audit.jsonl"), task.join("audit.aside"));
        // A log that is not there yet begins empty.
        fs::rename(&log, &aside).or_else(|_| fs::write(&aside, "")).unwrap();
        make_pipe(&log);
        let before = fs::read(task.join("rounds/1/0/record")).ok();
        Self { task, before }
    }

    /// What had left before the gate was closed.
    fn lines(&self) -> Vec<Value> {
        audit_lines(&self.task.join("audit.aside"))
    }

    /// Whether the participant has made durable what it is about to send.
    fn is_reached(&self) -> bool {
        let record = fs::read(self.task.join("rounds/1/0/record")).ok();
        record.is_some() && record != self.before
    }

    /// The log as it was. Whoever waits at the pipe waits on.
    fn open(self) {
        fs::rename(self.task.join("audit.aside"), self.task.join("audit.jsonl")).unwrap();
    }
}

fn hold(federation: &Federation<'_>, numbers: &[usize]) -> Vec<Gate> {
    numbers.iter().map(|&number| Gate::close(federation, number)).collect()
}

/// Waits until the round is in `phase`, and all who are held have stored what they would send.
fn wait_until_held(federation: &Federation<'_>, phase: &str, held: &[Gate]) {
    let reported = 8 - held.len() as u64;
    eventually(&format!("{phase} is held"), || {
        let cohort = federation.command(&["status"])["round"]["cohorts"][0].clone();
        cohort["phase"] == phase && cohort["reported"] == reported && held.iter().all(Gate::is_reached)
    });
}

fn said_times(federation: &Federation<'_>, number: usize, left: &str) -> usize {
    let log = federation.task_folder(number).join("audit.jsonl");
    if log.metadata().is_ok_and(|facts| !facts.is_file()) {
        return 0;
    }
    audit_lines(&log).iter().filter(|line| line["left"] == left).count()
}

/// After what it says again a participant says which announcement it has; nothing more leaves until it hears something.
fn has_said_where_it_stands(federation: &Federation<'_>, number: usize) -> bool {
    federation.audit(number).last().is_some_and(|line| line["left"] == "message")
}

/// However often it was sent, it was the same.
fn assert_one_hash_of_each(federation: &Federation<'_>, number: usize) {
    let mut hashes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in federation.audit(number).iter().filter(|line| line["left"] != "message") {
        hashes.entry(line["left"].to_string()).or_default().push(line["hash"].to_string());
    }
    assert_eq!(hashes.len(), 8, "{number}: {hashes:?}");
    for (left, mut all) in hashes {
        all.dedup();
        assert_eq!(all.len(), 1, "{number}: {left}");
    }
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}
