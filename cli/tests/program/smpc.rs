//! `neuro smpc`: three parties and a client, each a process of its own, over mutual TLS on the loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::clocks;
use crate::models;
use crate::place::Place;
use crate::process::Process;
use crate::stage::{Finished, Stage, finish, names_in, signal};

/// Runs the output matrix alone: fast, and known.
const TRIAL: &[&str] = &["--trial-head", "--deadline", "60"];

/// The same, with parties that wait for each other but briefly.
const BRIEF_TRIAL: &[&str] = &["--trial-head", "--deadline", "5"];

/// What nobody but the client may read.
const SECRET: &str = "12+35";

/// Three parties that have made a parties file together.
struct Trio<'a> {
    stage: &'a Stage,
    model: String,
    file: String,
    options: &'static [&'static str],
    parties: Vec<Process>,
    _places: [Place; 3],
}

impl<'a> Trio<'a> {
    /// All three, with one model.
    fn start(stage: &'a Stage, model: &Path, options: &'static [&'static str]) -> Self {
        let mut trio = Self::invited(stage, model, options);
        for index in 0..3 {
            let party = trio.party(index, &trio.model);
            trio.parties.push(party);
        }
        trio
    }

    /// The parties file, and nobody who runs yet.
    fn invited(stage: &'a Stage, model: &Path, options: &'static [&'static str]) -> Self {
        let file = stage.path("parties.toml").display().to_string();
        let places = [(); 3].map(|()| Place::new());
        for (index, place) in places.iter().enumerate() {
            let command = if index == 0 { "invite" } else { "join" };
            let address = place.address();
            let entered = enter(stage, command, index, &format!("party-{index}"), &address, &file);
            assert_eq!(entered.code, Some(0), "{}", entered.stderr);
        }
        Self { stage, model: model.display().to_string(), file, options, parties: Vec::new(), _places: places }
    }

    /// Starts a party and waits until it listens.
    fn party(&self, index: usize, model: &str) -> Process {
        Self::listening(index, self.party_command(index, model))
    }

    fn listening(index: usize, command: Command) -> Process {
        let party = Process::start(command);
        assert_eq!(party.event("ready")["party"], index);
        party
    }

    fn party_command(&self, index: usize, model: &str) -> Command {
        let (number, folder) = (index.to_string(), self.stage.path(&format!("party-{index}")).display().to_string());
        let fixed =
            ["smpc", "party", "--json-lines", "--stop-with-parent", "--index", &number, "--parties", &self.file];
        let more = ["--model", model, "--data-dir", &folder];
        self.stage.command(&[&fixed[..], &more[..], self.options].concat())
    }

    fn arguments<'b>(&'b self, text: &'b str, folder: &'b str, options: &[&'b str]) -> Vec<&'b str> {
        let fixed =
            ["smpc", "ask", "--json", "--parties", &self.file, "--model", &self.model, "--data-dir", folder, text];
        [&fixed[..], self.options, options].concat()
    }

    /// Asks to the end.
    fn ask(&self, text: &str, options: &[&str]) -> Finished {
        let folder = self.stage.path("client").display().to_string();
        self.stage.run(&self.arguments(text, &folder, options))
    }

    /// Asks, and gives the answer's object.
    fn answer(&self, text: &str, options: &[&str]) -> Value {
        let finished = self.ask(text, options);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        serde_json::from_str(&finished.stdout).unwrap()
    }

    /// Begins a session that lasts, about [`SECRET`], and waits until party 2 is in it.
    fn long_session(&self) -> Process {
        let folder = self.stage.path("client").display().to_string();
        let question = format!("What is {SECRET}?");
        let asking = self.stage.start(&self.arguments(&question, &folder, &["--max-tokens", "450", "--restarts", "0"]));
        for party in &self.parties {
            party.event("agreed");
        }
        // A party tells of its agreement before the client has it.
        self.parties[2].event("turn");
        asking
    }

    /// Nothing that a party has said or kept has a word of the question of [`Self::long_session`] in it.
    fn assert_nobody_knows_the_question(&self) {
        for (index, party) in self.parties.iter().enumerate() {
            assert!(!party.said().contains(SECRET), "party {index}: {}", party.said());
            let kept = self.stage.path(&format!("party-{index}/smpc"));
            for name in names_in(&kept) {
                let bytes = fs::read(kept.join(&name)).unwrap();
                let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
                assert!(!found, "party {index} keeps it in {name}");
            }
        }
    }

    /// The failure that a party told at the end of its session.
    fn failure_of(&self, index: usize) -> String {
        self.parties[index].event("ended")["failure"].as_str().unwrap_or_default().to_owned()
    }
}

/// Adds one entry to a parties file.
fn enter(stage: &Stage, command: &str, index: usize, folder: &str, address: &str, file: &str) -> Finished {
    let (index, folder) = (index.to_string(), stage.path(folder).display().to_string());
    let (operator, network, region) =
        (format!("operator {index}"), format!("AS6449{index}"), format!("region-{index}"));
    let said = ["--address", address, "--operator", &operator, "--network", &network, "--region", &region];
    stage.run(&[&["smpc", command, file, "--index", &index, "--data-dir", &folder][..], &said[..]].concat())
}

#[test]
fn the_skills_model_answers_a_question_that_nobody_sees() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), &[]);
    let answer = trio.answer("12+35=", &[]);
    assert_eq!(answer["answer"], "47");
    took_what_was_told(&estimated(&trio, &["12+35="], &["--tokens", "3"]), &answer);
    assert_eq!((&answer["security"], &answer["sessions"]), (&Value::from("malicious"), &Value::from(1)));
    let file = answer["transcript"].as_str().unwrap();
    let shown = stage.run(&["smpc", "show", file, "--json"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let statements = shown["statements"].as_array().unwrap();
    assert_eq!(statements.len(), 3);
    for (index, statement) in statements.iter().enumerate() {
        assert_eq!((&statement["party"], &statement["failure"]), (&Value::from(index), &Value::Null));
        trio.parties[index].event("ended");
        let kept = stage.path(&format!("party-{index}/smpc"));
        assert_eq!(names_in(&kept), [format!("{}.transcript", answer["session"].as_str().unwrap())]);
    }
    assert_eq!(shown["receipt"]["tokens"], statements[0]["tokens"]);
    let session = answer["session"].as_str().unwrap();
    let theirs = [0, 1, 2].map(|at| stage.path(&format!("party-{at}/smpc/{session}.transcript")).display().to_string());
    let together = stage.run(&["smpc", "show", "--json", &theirs[2], file, &theirs[0], &theirs[1]]);
    assert_eq!(serde_json::from_str::<Value>(&together.stdout).expect(&together.stderr), shown);
    assert_eq!(trio.answer("12+35=", &["--semi-honest"])["answer"], "47");
    let mut forged = fs::read(file).unwrap();
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    fs::write(file, forged).unwrap();
    assert_eq!(stage.run(&["smpc", "show", file]).code, Some(3), "a changed transcript is refused");
}

#[test]
fn ten_questions_have_the_answers_of_plaintext() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), &[]);
    let (questions, record) = (models::skills().join("test.jsonl"), stage.path("record.json"));
    let (questions, record) = (questions.display().to_string(), record.display().to_string());
    let fixed = ["smpc", "eval", "--json-lines", "--parties", &trio.file, "--model", &trio.model, "--batch", "2"];
    let eval = stage.start(&[&fixed[..], &["--limit", "10", "--questions", &questions, "--out", &record]].concat());
    for _ in 0..10 {
        eval.event("answered");
    }
    assert_eq!(eval.event("done")["asked"], 10);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    assert_eq!((&kept["asked"], &kept["equal"]), (&Value::from(10), &Value::from(10)), "{kept:#}");
    assert_eq!(kept["right"], kept["plaintext_right"]);
}

#[test]
fn a_model_that_may_leave_its_ranges_is_refused() {
    let stage = Stage::new();
    let trio = Trio::invited(&stage, &models::skills(), &[]);
    let profile = stage.path("ranges.json").display().to_string();
    let made = stage.run(&["smpc", "calibrate", "--json", "--model", &trio.model, "--out", &profile]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    assert!(made["expected_failures"].as_f64().unwrap() < 1e-3, "{made:#}");
    let mut document: Value = serde_json::from_str(&fs::read_to_string(&profile).unwrap()).unwrap();
    let operations = document["operations"].as_array_mut().unwrap();
    let silu = |range: &&mut Value| range["operation"] == "experts: input of SiLU" && range["layer"] == 2;
    operations.iter_mut().find(silu).unwrap()["excess"] = Value::from(9.5);
    fs::write(&profile, document.to_string()).unwrap();
    for (command, folder) in [(&["ask", "12+35="][..], "client"), (&["party", "--index", "0"], "party-0")] {
        let with = ["--parties", &trio.file, "--model", &trio.model, "--ranges", &profile];
        let folder = stage.path(folder).display().to_string();
        let refused = stage.run(&[&["smpc"], command, &with, &["--data-dir", &folder]].concat());
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        for said in ["values beyond their bounds", "experts: input of SiLU in layer 2", "values of 31 or more"] {
            assert!(refused.stderr.contains(said), "{}", refused.stderr);
        }
    }
}

#[test]
fn honest_and_proved_sessions_say_the_same_and_name_the_parties() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), TRIAL);
    let proved = trio.answer("12+35=", &["--max-tokens", "3"]);
    let trusted = trio.answer("12+35=", &["--max-tokens", "3", "--semi-honest"]);
    assert_eq!(proved["answer"], trusted["answer"]);
    assert_eq!(trusted["security"], "semi-honest");
    assert!(proved["bytes"].as_u64() > trusted["bytes"].as_u64());
    assert_eq!(proved["parties"][1]["operator"], "operator 1");
    let limits = proved["limits"].to_string();
    assert!(limits.contains("any two of them together") && limits.contains("how long"), "{limits}");
}

#[test]
fn a_party_that_is_killed_ends_the_session_and_a_new_one_works() {
    let stage = Stage::new();
    let mut trio = Trio::start(&stage, &models::skills(), TRIAL);
    let mut asking = trio.long_session();
    trio.parties[2].kill();
    assert_ne!(asking.wait().code(), Some(0));
    assert!(asking.said().contains("party"), "{}", asking.said());
    for index in 0..2 {
        let failure = trio.failure_of(index);
        assert!(failure.contains("party 2") || failure.contains("client"), "party {index}: {failure}");
    }
    let accounts = [0, 1].map(|index| {
        let folder = stage.path(&format!("party-{index}/smpc"));
        folder.join(&names_in(&folder)[0]).display().to_string()
    });
    let shown = stage.run(&["smpc", "show", "--json", &accounts[0], &accounts[1]]);
    let shown: Value = serde_json::from_str(&shown.stdout).expect(&shown.stderr);
    assert_eq!(shown["statements"].as_array().unwrap().len(), 2);
    assert!(shown["statements"][1]["failure"].is_string());
    assert_eq!(shown["contradicted"], Value::Array(Vec::new()), "the two that are left tell the same");
    trio.assert_nobody_knows_the_question();
    trio.parties[2] = trio.party(2, &trio.model);
    assert_eq!(trio.answer("12+35=", &["--max-tokens", "2"])["completion_tokens"], 2);
}

#[test]
fn a_party_that_stalls_ends_the_session_within_the_deadline() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), BRIEF_TRIAL);
    let mut asking = trio.long_session();
    signal(trio.parties[2].id(), "STOP");
    assert_eq!(asking.wait().code(), Some(1));
    assert!(asking.said().contains("5000 ms"), "{}", asking.said());
    for index in 0..2 {
        let failure = trio.failure_of(index);
        // One of the two may have waited for the other, which waited for party 2; a client that got no answer hangs up.
        let known = failure.contains("party 2: no message within 5000 ms") || failure.contains("the client");
        assert!(known, "party {index} names somebody else: {failure}");
    }
    trio.assert_nobody_knows_the_question();
    signal(trio.parties[2].id(), "CONT");
    assert_eq!(trio.answer("12+35=", &["--max-tokens", "2"])["completion_tokens"], 2);
}

#[test]
fn a_party_with_another_model_is_found_before_anything_is_shared() {
    let stage = Stage::new();
    let mut trio = Trio::invited(&stage, &models::skills(), TRIAL);
    let other = models::endless(&stage).display().to_string();
    for index in 0..3 {
        let party = trio.party(index, if index == 1 { &other } else { &trio.model });
        trio.parties.push(party);
    }
    let refused = trio.ask("12+35=", &["--max-tokens", "2"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("the terms differ: model: "), "{}", refused.stderr);
}

#[test]
fn what_cannot_be_three_parties_is_refused() {
    let stage = Stage::new();
    let file = stage.path("parties.toml").display().to_string();
    let enter = |command, index, folder: &str| enter(&stage, command, index, folder, "127.0.0.1:1", &file);
    assert_eq!(enter("join", 0, "a").code, Some(2), "there is no file yet");
    assert_eq!(enter("invite", 0, "a").code, Some(0));
    assert_eq!(enter("invite", 1, "b").code, Some(3), "there is one already");
    let twice = enter("join", 1, "a");
    assert_eq!(twice.code, Some(3));
    assert!(twice.stderr.contains("parties 0 and 1 have one key"), "{}", twice.stderr);
    let model = models::skills().display().to_string();
    let asked = stage.run(&["smpc", "ask", "--parties", &file, "--model", &model, "hello"]);
    assert_eq!(asked.code, Some(3));
    assert!(asked.stderr.contains("got 1 of them: 1, 2 missing"), "{}", asked.stderr);
}

#[test]
fn a_party_s_key_asks_nothing() {
    let stage = Stage::new();
    let trio = Trio::invited(&stage, &models::skills(), TRIAL);
    let (folder, record) = (stage.path("party-1").display().to_string(), stage.path("record").display().to_string());
    let questions = models::skills().join("test.jsonl").display().to_string();
    let with = ["--parties", &trio.file, "--model", &trio.model, "--data-dir", &folder];
    for command in [&["ask", "12+35="][..], &["eval", "--questions", &questions, "--out", &record]] {
        let refused = stage.run(&[&["smpc"], command, &with].concat());
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        assert!(refused.stderr.contains("party 1's; who asks needs a key of its own"), "{}", refused.stderr);
    }
}

/// `command` where no file may be written.
fn without_room(stage: &Stage, command: &Command) -> Command {
    let mut limited = stage.command_of("sh");
    // Without the signal, the write itself fails, as on a full disk.
    limited.args(["-c", r#"trap '' XFSZ; ulimit -f 0; exec "$0" "$@""#]).arg(command.get_program());
    limited.args(command.get_args());
    limited
}

#[test]
fn questions_share_a_session_and_its_rounds() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), &[]);
    let questions = ["What is 12+35?", "What is 2+3?"];
    let expected = questions.map(|question| stage.run(&["ask", "--json", "--model", &trio.model, question]));
    let expected = expected.map(|answer| serde_json::from_str::<Value>(&answer.stdout).unwrap()["answer"].clone());
    let answer = trio.answer(questions[0], &[questions[1]]);
    assert_eq!(answer["answers"], Value::from(expected.to_vec()));
    assert_eq!((&answer["turns"], &answer["sessions"]), (&Value::from(3), &Value::from(1)));
}

/// What `neuro smpc estimate` says.
fn estimated(trio: &Trio<'_>, questions: &[&str], options: &[&str]) -> Value {
    let fixed = ["smpc", "estimate", "--json", "--model", &trio.model, "--round-trip", "0"];
    let estimated = trio.stage.run(&[&fixed[..], questions, options].concat());
    assert_eq!(estimated.code, Some(0), "{}", estimated.stderr);
    serde_json::from_str(&estimated.stdout).unwrap()
}

/// An answer of two digits took, within a twentieth, what was estimated.
fn took_what_was_told(estimated: &Value, answer: &Value) {
    assert_eq!(answer["turns"], 3, "two digits and the end");
    for what in ["rounds", "bytes"] {
        let (told, took) = (estimated["total"][what].as_f64().unwrap(), answer[what].as_f64().unwrap());
        assert!((told / took - 1.0).abs() < 0.05, "{what}: {told} told, {took} taken");
    }
}

#[test]
fn an_answer_goes_on_when_a_party_comes_back() {
    let stage = Stage::new();
    let mut trio = Trio::start(&stage, &models::skills(), TRIAL);
    let tokens = ["--max-tokens", "300"];
    let undisturbed = trio.answer("12+35=", &tokens);
    let folder = stage.path("client").display().to_string();
    let command = stage.command(&trio.arguments("12+35=", &folder, &[&tokens[..], &["--restarts", "8"]].concat()));
    let asking = std::thread::spawn(move || finish(command, ""));
    trio.parties.iter().for_each(|party| drop(party.event("agreed")));
    trio.parties.iter().for_each(|party| drop(party.event("agreed")));
    // A party tells of its agreement before the client has it.
    trio.parties[2].event("turn");
    trio.parties[2].kill();
    trio.failure_of(0);
    trio.parties[2] = trio.party(2, &trio.model);
    let finished = asking.join().unwrap();
    let answer: Value = serde_json::from_str(&finished.stdout).expect(&finished.stderr);
    assert!(answer["sessions"].as_u64() > Some(1), "{}", answer["sessions"]);
    assert_eq!(answer["answer"], undisturbed["answer"]);
}

#[test]
fn nothing_is_computed_for_a_client_who_has_hung_up() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), &[]);
    let folder = stage.path("client").display().to_string();
    let mut asking = stage.start(&trio.arguments("What is 12+35?", &folder, &["What is 2+3?", "What is 3+4?"]));
    trio.parties.iter().for_each(|party| drop(party.event("turn")));
    asking.kill();
    let failures = [0, 1, 2].map(|index| trio.failure_of(index));
    assert!(failures.iter().any(|failure| failure.contains("the client has hung up")), "{failures:?}");
}

#[test]
fn without_room_on_any_disk_the_answer_is_still_given() {
    let stage = Stage::new();
    let mut trio = Trio::invited(&stage, &models::skills(), TRIAL);
    for index in 0..3 {
        let command = without_room(&stage, &trio.party_command(index, &trio.model));
        trio.parties.push(Trio::listening(index, command));
    }
    let folder = stage.path("client").display().to_string();
    let known = trio.answer("12+35=", &["--max-tokens", "3"]);
    trio.parties.iter().for_each(|party| drop(party.event("ended")));
    assert!(trio.parties[0].said().contains("could not be kept"), "{}", trio.parties[0].said());
    let command = stage.command(&trio.arguments("12+35=", &folder, &["--max-tokens", "3"]));
    let finished = finish(without_room(&stage, &command), "");
    assert!(finished.stdout.contains(known["answer"].as_str().unwrap()), "{}", finished.stdout);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("transcript"), "{}", finished.stderr);
}

#[test]
fn parties_whose_clocks_are_wrong_agree_all_the_same() {
    let (stage, Some(library)) = (Stage::new(), clocks::library()) else { return };
    let mut trio = Trio::invited(&stage, &models::skills(), TRIAL);
    for (index, offset) in ["+0h", "+3000d", "-3000d"].into_iter().enumerate() {
        let mut command = trio.party_command(index, &trio.model);
        clocks::set(&mut command, &library, offset);
        trio.parties.push(Trio::listening(index, command));
    }
    assert_eq!(trio.answer("12+35=", &["--max-tokens", "3"])["completion_tokens"], 3);
}

#[test]
fn routes_are_shown_to_parties_with_a_signed_consent_alone() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), &[]);
    let answer = trio.answer("What is 12+35?", &["--reveal-routes"]);
    assert_eq!((&answer["answer"], &answer["routes"]), (&Value::from("47"), &Value::from("revealed")));
}

#[test]
fn every_layer_is_near_the_model_in_the_open() {
    let stage = Stage::new();
    let trio = Trio::start(&stage, &models::skills(), &[]);
    let answer = trio.answer("What is 12+35?", &["--compare"]);
    let compared = &answer["comparison"];
    assert_eq!((&compared["tokens"], &compared["same_next_token"]), (&Value::from(3), &Value::from(3)));
    let errors = compared["layers"].as_array().unwrap().iter().chain([&compared["logits"]]);
    let relative: Vec<f64> = errors.map(|error| error["relative_error"].as_f64().unwrap()).collect();
    assert!(relative.iter().all(|error| (1e-8..1e-2).contains(error)), "rounding, and no more: {relative:?}");
    assert_eq!(relative.len(), 1 + 4, "four layers and the logits");
}

/// Splits the skills model; the folder of shares.
fn split(stage: &Stage, name: &str, options: &[&str]) -> PathBuf {
    let (model, out) = (models::skills().display().to_string(), stage.path(name));
    let (path, owner) = (out.display().to_string(), stage.path("owner").display().to_string());
    let fixed = ["smpc", "split", "--json", "--model", &model, "--out", &path, "--data-dir", &owner];
    let made = stage.run(&[&fixed[..], options].concat());
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    out
}

/// Starts all three with their folders of `shares`.
fn start_secret<'a>(stage: &'a Stage, shares: &Path) -> Trio<'a> {
    let mut trio = Trio::invited(stage, &shares.join("public"), &[]);
    for index in 0..3 {
        let (number, folder) = (index.to_string(), stage.path(&format!("party-{index}")).display().to_string());
        let held = shares.join(format!("party-{index}")).display().to_string();
        let fixed = ["smpc", "party", "--json-lines", "--stop-with-parent", "--index", &number];
        let more = ["--parties", &trio.file, "--secret-weights", &held, "--data-dir", &folder];
        let party = stage.start(&[fixed, more].concat());
        assert_eq!(party.event("ready")["party"], index);
        trio.parties.push(party);
    }
    trio
}

#[test]
fn a_private_model_answers_up_to_its_owner_s_cap_and_no_party_has_it() {
    let stage = Stage::new();
    // Two digits and the end, of each of two questions.
    let shares = split(&stage, "shares", &["--queries", "6"]);
    assert!(!shares.join("party-0/model.safetensors").exists() && !shares.join("public/model.safetensors").exists());
    let trio = start_secret(&stage, &shares);
    let questions = ["What is 12+35?", "What is 20+30?"];
    let answer = trio.answer(questions[0], &[questions[1]]);
    took_what_was_told(&estimated(&trio, &questions, &["--max-tokens", "3"]), &answer);
    assert_eq!(answer["answers"], serde_json::json!(["47", "50"]));
    let told = &answer["secret_weights"];
    assert_eq!((&told["tokens_before"], &told["token_cap"]), (&Value::from(0), &Value::from(6)));
    assert!(told["told"].as_str().unwrap().contains("the index of the largest logit"), "{told}");
    let reached = trio.ask("What is 12+35?", &[]);
    assert_eq!(reached.code, Some(1), "{}", reached.stdout);
    let compared = trio.ask("What is 12+35?", &["--compare"]);
    assert!(compared.code == Some(3) && compared.stderr.contains("a private model cannot be compared"));
    assert!(reached.stderr.contains("lets a client key have 6 tokens; 6 of them are used"), "{}", reached.stderr);
}

#[test]
fn shares_of_another_splitting_are_refused_at_the_beginning() {
    let stage = Stage::new();
    let (ours, theirs) = (split(&stage, "ours", &[]), split(&stage, "theirs", &[]));
    let shares = "component-1.shares";
    fs::copy(theirs.join("party-1").join(shares), ours.join("party-1").join(shares)).unwrap();
    let trio = Trio::invited(&stage, &ours.join("public"), &[]);
    let start = |held: &Path| {
        let (held, folder) = (held.display().to_string(), stage.path("party-1").display().to_string());
        let fixed = ["smpc", "party", "--index", "1", "--parties", &trio.file];
        stage.run(&[&fixed[..], &["--secret-weights", &held, "--data-dir", &folder]].concat())
    };
    let refused = start(&ours.join("party-1"));
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("is not component 1 of the manifest"), "{}", refused.stderr);
    assert_eq!(start(&ours.join("party-0")).code, Some(3), "another party's folder");
    let model = models::skills().display().to_string();
    let out = ours.display().to_string();
    let twice = stage.run(&["smpc", "split", "--model", &model, "--out", &out]);
    assert_eq!(twice.code, Some(3), "{}", twice.stderr);
}
