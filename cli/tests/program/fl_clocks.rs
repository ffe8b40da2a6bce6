//! `neuro fl join` on machines whose clocks are wrong, by libfaketime.

use std::fs;
use std::path::PathBuf;

use crate::clocks::{self, library};
use crate::federation::{Federation, plain_sum, trainer};
use crate::process::Process;
use crate::stage::{Stage, eventually};

/// Eight members of whom two may drop out.
const EIGHT: &str = "least = 8\ndropout = 0.25";

/// A federation on machines that have clocks of their own.
struct Clocks<'a> {
    federation: Federation<'a>,
    library: PathBuf,
}

impl Clocks<'_> {
    /// The command of a participant whose clock is off by `offset`, as libfaketime reads it.
    fn command(&self, number: usize, offset: &str, trainer: &str) -> std::process::Command {
        let update = self.federation.update(number).display().to_string();
        let options = ["--trainer", "sh", "--", "-c", trainer, "sh", &update];
        let mut command = self.federation.command_to_join(number, &options);
        clocks::set(&mut command, &self.library, offset);
        command
    }

    fn join(&self, number: usize, offset: &str) -> Process {
        let participant = Process::start(self.command(number, offset, &trainer(number)));
        participant.event("attending");
        participant
    }

    /// When something last left a participant's machine, by its own clock, less what it is here.
    fn hours_ahead(&self, number: usize) -> i64 {
        let last = self.federation.audit(number).last().unwrap()["time_unix_ms"].as_u64().unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
        (last as i64 - now + 1_800_000).div_euclid(3_600_000)
    }
}

#[test]
fn clocks_that_are_hours_off_cost_nothing_and_one_set_back_says_what_to_do() {
    let (stage, Some(library)) = (Stage::new(), library()) else { return };
    let clocks = Clocks { federation: Federation::of_rounds(&stage, 2, EIGHT), library };
    let federation = &clocks.federation;
    let fast = clocks.join(0, "+7h");
    let _slow = clocks.join(1, "-7h");
    let _others: Vec<Process> = (2..9).map(|number| federation.join(number, &trainer(number))).collect();
    federation.command(&["round", "start"]);
    let round = federation.ended();
    assert_eq!((&round["done"], &round["survivors"]), (&true.into(), &9.into()), "{round}");
    assert_eq!(round["sum"], plain_sum(&(0..9).collect::<Vec<_>>()));
    assert_eq!((clocks.hours_ahead(0), clocks.hours_ahead(1), clocks.hours_ahead(2)), (7, -7, 0));
    // The first one's clock is set right: by its own account it took part seven hours from now.
    fast.event("ended");
    drop(fast);
    let set_back = federation.join(0, &trainer(0));
    federation.command(&["round", "start"]);
    let refused = set_back.event("refused")["reason"].as_str().unwrap().to_owned();
    assert!(refused.contains("expected this machine's clock not to show less than 20"), "{refused}");
    assert!(refused.contains(", got 20") && refused.ends_with("set the clock right, or wait"), "{refused}");
    let round = federation.ended();
    assert_eq!(round["sum"], plain_sum(&(1..9).collect::<Vec<_>>()), "the others go on: {round}");
}

#[test]
fn a_clock_past_the_rosters_end_stops_the_participant_and_costs_it_no_round() {
    let (stage, Some(library)) = (Stage::new(), library()) else { return };
    let clocks = Clocks { federation: Federation::start(&stage, EIGHT, &["--start-at", "8"]), library };
    let federation = &clocks.federation;
    let gate = stage.path("gate").display().to_string();
    let waits = |number| format!("while [ ! -e {gate} ]; do sleep 0.05; done; {}", trainer(number));
    let mut participants: Vec<Process> = (0..8).map(|number| federation.join(number, &waits(number))).collect();
    federation.wait_for_phase("upload");
    participants[0].kill();
    let mut ahead = Process::start(clocks.command(0, "+800d", &trainer(0)));
    assert_eq!(ahead.wait().code(), Some(3), "{}", ahead.said());
    let says = |words: &str| eventually(words, || ahead.said().contains(words));
    says("expected a roster that holds at 20");
    says("got one that expired at 20");
    says("set this machine's clock right");
    let right = federation.join(0, &waits(0));
    eventually("everybody attends", || federation.command(&["status"])["task"]["attending"] == 8);
    fs::write(&gate, "").unwrap();
    let round = federation.ended();
    assert_eq!(round["sum"], plain_sum(&(0..8).collect::<Vec<_>>()), "its part was not lost: {round}");
    right.event("ended");
}
