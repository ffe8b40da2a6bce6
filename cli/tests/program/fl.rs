//! `neuro fl`: rounds of real processes, honest and otherwise.

use crate::federation::{Federation, plain_sum, trainer};
use crate::models;
use crate::process::Process;
use crate::stage::{Stage, eventually};

/// Eight members of whom two may drop out; phases that nobody misses, but for uploads.
const EIGHT: &str = "least = 8\ndropout = 0.25";

#[test]
fn the_masked_sum_is_the_plain_sum() {
    let stage = Stage::new();
    let federation = Federation::start(&stage, EIGHT, &["--start-at", "8"]);
    let participants: Vec<Process> = (0..8).map(|number| federation.join(number, &trainer(number))).collect();
    let round = federation.ended();
    assert_eq!(round["done"], true, "{round}");
    assert_eq!(round["sum"], plain_sum(&(0..8).collect::<Vec<_>>()));
    assert_eq!((round["survivors"].as_u64(), round["weight"].as_u64()), (Some(8), Some(52)));
    for participant in &participants {
        let end = participant.event("ended");
        assert_eq!(end["done"], true, "{end}");
    }
    assert_eq!(federation.command(&["round", "list"])[0]["survivors"], 8);
    assert_eq!(federation.command(&["show"])["cohorts"][0]["done"], true);
    let audit = federation.audit(0);
    let left: Vec<&str> = audit.iter().filter_map(|line| line["left"].as_str()).collect();
    assert_eq!(left, ["join", "reveal", "shares", "received", "statement", "payload", "vote", "answer"]);
}

#[test]
fn a_trainer_that_crashes_hangs_or_babbles_costs_its_own_part() {
    let stage = Stage::new();
    let cohort = "least = 9\ndropout = 0.34\n[cohort.deadlines]\nupload_ms = 20000";
    let federation = Federation::start(&stage, cohort, &["--start-at", "9"]);
    let mut participants: Vec<Process> = (0..6).map(|number| federation.join(number, &trainer(number))).collect();
    for (number, trainer) in [(6, "echo broken >&2; exit 3"), (7, "sleep 1000"), (8, "exec yes")] {
        participants.push(federation.join(number, trainer));
    }
    let round = federation.ended();
    assert_eq!(round["done"], true, "{round}");
    assert_eq!(round["sum"], plain_sum(&(0..6).collect::<Vec<_>>()));
    let crashed = participants[6].event("gave_up");
    assert!(crashed["reason"].as_str().unwrap().contains("broken"), "{crashed}");
    let babbled = participants[8].event("gave_up");
    assert!(babbled["reason"].as_str().unwrap().contains("bytes"), "{babbled}");
    assert_eq!(participants[7].event("ended")["done"], false);
}

#[test]
fn a_cohort_below_the_floor_ends_with_a_reason_and_unmasks_nothing() {
    let stage = Stage::new();
    let federation = Federation::start(&stage, "least = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 60000", &[]);
    let participants: Vec<Process> = (0..5).map(|number| federation.join(number, &trainer(number))).collect();
    assert_eq!(federation.command(&["round", "start"])["round"], 1);
    let round = federation.ended();
    assert_eq!(round["done"], false);
    assert_eq!(round["outcome"], "too few joined: expected at least 8, got 5");
    assert!(participants[0].event("ended")["reason"].as_str().unwrap().contains("too few joined"));
    assert!(federation.audit(0).iter().all(|line| line["left"] == "join"), "nothing but keys left");
}

#[test]
fn one_folder_takes_part_once_and_a_stranger_not_at_all() {
    let stage = Stage::new();
    let federation = Federation::start(&stage, EIGHT, &[]);
    let _first = federation.join(0, &trainer(0));
    let folder = federation.folder(0).display().to_string();
    let twice = ["fl", "join", &federation.invitation, "--trainer", "true", "--data-dir", &folder];
    let refused = stage.run(&twice);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("another process takes part"), "{}", refused.stderr);
    let other = stage.path("other").display().to_string();
    let half = &federation.invitation[..60];
    let refused = stage.run(&["fl", "join", half, "--trainer", "true", "--data-dir", &other]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
}

#[test]
fn one_key_in_two_places_is_out_of_the_round_and_named() {
    let stage = Stage::new();
    let federation = Federation::start(&stage, "least = 8\ndropout = 0.25\n[cohort.deadlines]\njoin_ms = 300000", &[]);
    let mut participants: Vec<Process> = (0..9).map(|number| federation.join(number, &trainer(number))).collect();
    // The round waits for the last member, so that the second process with the first one's key comes in time.
    participants[8].kill();
    models::copy_folders(&federation.folder(0), &federation.folder(20));
    federation.command(&["round", "start"]);
    let joined = || federation.command(&["status"])["round"]["cohorts"][0]["reported"].clone();
    eventually("eight have joined", || joined() == 8);
    // While the first process attends, nobody else does with its key.
    let folder = federation.folder(20).display().to_string();
    let join =
        ["fl", "join", "digits", "--trainer", "true", "--json-lines", "--stop-with-parent", "--data-dir", &folder];
    let twin = stage.start(&join);
    let lost = twin.event("lost");
    assert!(lost["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{lost}");
    // Afterwards the other one's join contradicts the first.
    participants[0].kill();
    twin.event("attending");
    eventually("their key is out", || joined() == 7);
    participants[8] = federation.join(8, &trainer(8));
    let round = federation.ended();
    assert_eq!(round["done"], true, "{round}");
    assert_eq!(round["sum"], plain_sum(&(1..9).collect::<Vec<_>>()));
    assert_eq!(round["blamed"].as_array().map(Vec::len), Some(1), "{round}");
}
