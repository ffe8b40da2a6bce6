//! Worker processes of which one lies, one stalls and one is killed again and again, and what clients get all the same.
//!
//! The workers are processes of their own: this very test program, told by an environment variable whom to play. The good ones
//! run the real worker; the liar and the one that stalls are twins. The orchestrator is the real one.

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The networks of other tests need more of these than this one.
#![allow(dead_code)]

#[path = "../roles/network.rs"]
mod network;
mod player;
#[path = "../roles/twin_worker.rs"]
mod twin_worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_model::Checkpoint;
use neuro_node::data_dir::DataDir;
use neuro_node::evidence::{Judge, read_evidence};
use neuro_node::http::{self, HttpOptions};
use neuro_node::local::{LocalCompleter, LocalOptions};
use neuro_orchestrator::Checks;
use neuro_protocol::Verdict;
use neuro_protocol::control::{Status, WorkerStatus};
use serde_json::{Value, json};

use network::{Network, TCP, checkpoint, is_gone, of, within};
use player::{Part, Player};

/// Questions that are asked.
const QUESTIONS: usize = 200;

/// Workers of a network.
const WORKERS: usize = 6;

/// Requests after which the mortal worker is killed and started again.
const LIVES_FOR: usize = 10;

/// Questions more, until a liar is found who was trusted for long.
const MORE_QUESTIONS: usize = 600;

/// Questions of the skills model.
fn questions() -> Vec<String> {
    let text = std::fs::read_to_string(checkpoint().join("test.jsonl")).unwrap();
    let question = |line: &str| serde_json::from_str::<Value>(line).unwrap()["question"].as_str().unwrap().to_owned();
    let all: Vec<String> = text.lines().map(question).collect();
    // Some of each skill: they stand one skill after the other.
    all.iter().step_by((all.len() / QUESTIONS).max(1)).take(QUESTIONS).cloned().collect()
}

/// What a single process answers.
async fn alone(questions: &[String]) -> BTreeMap<String, String> {
    let completer = LocalCompleter::load(&checkpoint(), LocalOptions::default(), &mut |_| {}).unwrap();
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
    let serving =
        tokio::spawn(http::serve(listener, Arc::new(completer), HttpOptions::default(), std::future::pending()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answers = BTreeMap::new();
    for question in questions {
        let messages = json!([{ "role": "user", "content": question }]);
        let body = json!({ "model": "skills", "temperature": 0, "messages": messages });
        let reply: Value = client.post(&url).json(&body).send().await.unwrap().json().await.unwrap();
        answers.insert(question.clone(), text_of(&reply).expect("one process answers"));
    }
    serving.abort();
    answers
}

fn text_of(reply: &Value) -> Option<String> {
    reply["choices"][0]["message"]["content"].as_str().map(str::to_owned)
}

/// One network at a time: six processes are enough for a small machine.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A network under a policy, and six workers: the odd ones, one that dies again and again, and good ones.
struct Chaos {
    network: Network,
    _steady: Vec<Player>,
    mortal: Player,
    asked: usize,
}

impl Chaos {
    async fn begin(checks: Checks, odd: &[Part]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::checking(checks, folder, "127.0.0.1:0", vec![TCP.to_owned()]).await;
        let start = |part: &Part| Player::start(part.clone(), &network.door());
        let good = ["ada", "ben", "cem"].map(|name| Part::Good { name: name.to_owned() });
        let steady = good.iter().take(WORKERS - 1 - odd.len()).chain(odd).map(start).collect();
        let mortal = start(&Part::Good { name: "mortal".to_owned() });
        let shared = |status: &Status| {
            let twice = status.holders.iter().flat_map(|layer| &layer.counts).all(|holders| *holders >= 2);
            twice && status.workers.iter().filter(|worker| worker.experts_held > 0).count() == WORKERS
        };
        network.until("all workers", shared).await;
        Self { network, _steady: steady, mortal, asked: 0 }
    }

    /// Asks, and has the mortal worker die in between.
    async fn ask(&mut self, question: &str) -> Result<String, Value> {
        self.asked += 1;
        if self.asked.is_multiple_of(LIVES_FOR) {
            self.mortal.die_and_come_back();
        }
        let reply: Value = self.network.request(json!({ "temperature": 0 }), question).await.json().await.unwrap();
        text_of(&reply).ok_or(reply)
    }

    async fn worker(&self, name: &str) -> WorkerStatus {
        of(&self.network.status().await, name).cloned().unwrap()
    }
}

fn assert_excluded(worker: &WorkerStatus) {
    assert!(worker.excluded.contains("a wrong result"), "no reason is told of {}: {:?}", worker.name, worker.excluded);
    assert_eq!((worker.experts_held, worker.in_flight), (0, 0), "{} still has work", worker.name);
}

/// Whoever never answers is sent away for it, and not for lying; while others ask, since it costs nothing before.
async fn assert_sent_away(network: &Network, name: &str) {
    let sent_away = |status: &Status| of(status, name).is_some_and(|worker| is_gone(worker) && worker.faults > 0);
    let asks = async {
        while !sent_away(&network.status().await) {
            network.ask().await;
        }
    };
    within("the silent one's leave", asks).await;
    let worker = of(&network.status().await, name).cloned().unwrap();
    assert_eq!((worker.experts_held, worker.in_flight, worker.excluded.as_str()), (0, 0, ""));
    assert!(worker.timeliness.is_some_and(|share| share < 0.5), "{:?} of its tasks in time", worker.timeliness);
    assert_eq!(worker.streak, 0, "nothing of it was ever found right");
}

/// The orchestrator has evidence against the worker that anyone with the model finds convincing, and its owner alone reads.
async fn assert_proven(network: &Network, name: &str) {
    let has_evidence = |status: &Status| of(status, name).is_some_and(|worker| !worker.evidence.is_empty());
    let worker = of(&network.until("evidence", has_evidence).await, name).cloned().unwrap();
    let evidence = read_evidence(worker.evidence.as_ref()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(elsewhere.path()).unwrap();
    let judge = Judge::new(Arc::new(Checkpoint::open(&checkpoint()).unwrap()), &data_dir).unwrap();
    let Verdict::Wrong { worker: proven, .. } = judge.judge(&evidence) else { panic!("{:?}", judge.judge(&evidence)) };
    assert_eq!(proven.to_string(), worker.id);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&worker.evidence).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "it shows a row of a user's prompt");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_verified_every_answer_is_that_of_a_single_process() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let questions = questions();
    let expected = alone(&questions).await;
    let liar = Part::Liar { name: "liar".to_owned(), honest: 0, percent: 10, in_sums_alone: false };
    let mut chaos = Chaos::begin(Checks::Verified, &[liar, Part::Silent { name: "silent".to_owned() }]).await;
    for question in &questions {
        assert_eq!(chaos.ask(question).await.as_ref(), Ok(&expected[question]), "{question}");
    }
    assert_excluded(&chaos.worker("liar").await);
    assert_sent_away(&chaos.network, "silent").await;
    assert_proven(&chaos.network, "liar").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_sampled_a_trusted_liar_is_found_and_its_lies_are_few() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let questions = questions();
    let expected = alone(&questions).await;
    let early = Part::Liar { name: "early".to_owned(), honest: 0, percent: 10, in_sums_alone: false };
    let late = Part::Liar { name: "late".to_owned(), honest: 400, percent: 50, in_sums_alone: true };
    let silent = Part::Silent { name: "silent".to_owned() };
    let mut chaos = Chaos::begin(Checks::SAMPLED, &[early, late, silent]).await;
    let (mut wrong, mut told) = (0, 0);
    for question in questions.iter().cycle().take(QUESTIONS + MORE_QUESTIONS) {
        match chaos.ask(question).await {
            Ok(answer) => wrong += usize::from(answer != expected[question]),
            // A stream whose answer rests on a lie ends with an error that says so.
            Err(reply) => {
                assert!(
                    reply["error"]["message"].as_str().is_some_and(|text| text.contains("turned out wrong")),
                    "{reply}"
                );
                told += 1;
            }
        }
        let found = !chaos.worker("late").await.excluded.is_empty();
        if chaos.asked >= QUESTIONS && found {
            break;
        }
    }
    for name in ["early", "late"] {
        assert_excluded(&chaos.worker(name).await);
    }
    assert_sent_away(&chaos.network, "silent").await;
    println!("{} questions, {wrong} wrong answers, {told} streams told of one", chaos.asked);
    assert!(wrong <= 100, "{wrong} wrong answers of {}", chaos.asked);
    for question in &questions[..20] {
        assert_eq!(chaos.ask(question).await.as_ref(), Ok(&expected[question]), "after the liars went: {question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_an_expert_leaves_evidence_and_one_about_a_sum_alone_does_not() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let network = Network::checking(Checks::Verified, folder, "127.0.0.1:0", vec![TCP.to_owned()]).await;
    let player = |part| Player::start(part, &network.door());
    let lies = |name: &str, in_sums_alone| Part::Liar { name: name.to_owned(), honest: 0, percent: 100, in_sums_alone };
    let _workers = [Part::Good { name: "ada".to_owned() }, lies("digests", false), lies("sums", true)].map(player);
    let found = |status: &Status, name: &str| of(status, name).is_some_and(|worker| !worker.excluded.is_empty());
    let join = |status: &Status| status.workers.iter().filter(|worker| worker.experts_held > 0).count() == 3;
    network.until("all workers", join).await;
    let mut status = Status::default();
    for _ in 0..QUESTIONS {
        assert_eq!(network.ask().await, "47");
        status = network.status().await;
        if found(&status, "digests") && found(&status, "sums") {
            break;
        }
    }
    assert_excluded(of(&status, "digests").unwrap());
    assert_excluded(of(&status, "sums").unwrap());
    assert_proven(&network, "digests").await;
    let sums = of(&network.status().await, "sums").cloned().unwrap();
    assert_eq!(sums.evidence, "", "no row of one expert shows that a sum is wrong");
}

/// Not a test of its own: what a worker process of the tests above runs.
#[tokio::test(flavor = "multi_thread")]
async fn play() {
    player::play().await;
}
