//! An orchestrator that ends, in order or not, and comes back on its folder: its workers go on with it.

use std::io::Read;
use std::process::Stdio;

use neuro_primitives::NodeId;
use neuro_primitives::receipt::SignedVoucher;
use serde_json::{Value, json};

use crate::api::{self, Streamed};
use crate::models;
use crate::network::Network;
use crate::process::Process;
use crate::stage::{Stage, eventually};
use crate::worker::marks;

/// Pieces of text after which the orchestrator dies: the answer has begun and is far from its end.
const FIRST_CHUNKS: usize = 20;

/// A worker waits no longer than this before it tries again, so that it is back within five seconds.
const LONGEST_PAUSE_MS: u64 = 3_000;

/// The vouchers of both workers once both sides have the same, over more than `before`. Where an interval was forfeited,
/// because a busy machine signed late, it takes more `work`.
fn agreed(
    stage: &Stage,
    network: &Network<'_>,
    before: &[SignedVoucher],
    work: impl Fn(&Network<'_>),
) -> Vec<SignedVoucher> {
    let mut vouchers = Vec::new();
    eventually("both sides have the same vouchers over what was answered", || {
        vouchers = [1, 2].iter().filter_map(|&number| at_worker(stage, network, number)).collect();
        let covered = |voucher: &SignedVoucher| voucher.voucher().totals.covered;
        let grew = |(place, voucher)| covered(voucher) > before.get(place).map_or(0, covered);
        if vouchers.len() < 2 || !vouchers.iter().enumerate().all(grew) {
            work(network);
            return false;
        }
        at_orchestrator(stage, network, &vouchers)
    });
    vouchers
}

/// What a worker has on disk.
fn at_worker(stage: &Stage, network: &Network<'_>, number: usize) -> Option<SignedVoucher> {
    let file = stage.path(&format!("worker-{number}/vouchers")).join(network.signer());
    SignedVoucher::decode(&std::fs::read(file).ok()?).ok()
}

/// Whether the orchestrator's store has exactly these vouchers.
fn at_orchestrator(stage: &Stage, network: &Network<'_>, vouchers: &[SignedVoucher]) -> bool {
    let file = stage.path("orchestrator/orchestrator.sqlite");
    let orchestrator: NodeId = network.signer().parse().unwrap();
    let stored = neuro_storage::open(&format!("sqlite:{}", file.display())).unwrap().vouchers(orchestrator).unwrap();
    stored.len() == vouchers.len() && vouchers.iter().all(|voucher| stored.contains(voucher))
}

/// Later vouchers of the same pairs: signed by both, each with a higher sequence, and no total fell.
fn assert_follow(later: &[SignedVoucher], earlier: &[SignedVoucher]) {
    for (later, earlier) in later.iter().zip(earlier) {
        assert_eq!(later.verify(), Ok(()));
        let (new, old) = (later.voucher(), earlier.voucher());
        assert_eq!((new.worker, new.orchestrator), (old.worker, old.orchestrator));
        assert!(new.sequence > old.sequence && new.totals.follows(&old.totals), "{old:?} then {new:?}");
    }
}

/// Whoever was to be paid twice would have said so: a worker signs no task twice, and no total but its own. (It may say of
/// an offer that it follows another one, when its last signature came too late on a busy machine.)
fn assert_nothing_twice(network: &Network<'_>) {
    for said in network.workers.iter().map(Process::said) {
        assert!(!said.contains("is covered already") && !said.contains("no total to fall"), "{said}");
    }
}

/// What every worker earned, by name.
fn credit(stage: &Stage) -> Vec<(String, u64)> {
    let data_dir = stage.path("orchestrator").display().to_string();
    let shown = stage.run(&["credit", "top", "--json", "--data-dir", &data_dir]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let line = |line: &Value| Some((line["name"].as_str()?.to_owned(), line["total_micro_units"].as_u64()?));
    let mut earned: Vec<_> = shown["workers"].as_array().unwrap().iter().filter_map(line).collect();
    earned.sort();
    earned
}

/// Whoever was excluded for nothing needs no pardon; without an orchestrator nobody can give one.
fn assert_nobody_to_pardon(stage: &Stage, code: i32, said: &str) {
    let data_dir = stage.path("orchestrator").display().to_string();
    let refused = stage.run(&["worker", "pardon", "worker-1", "--data-dir", &data_dir]);
    assert_eq!(refused.code, Some(code), "{}", refused.stderr);
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
}

#[test]
fn vouchers_go_on_over_a_restart_and_both_sides_agree() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::skills(), 2);
    assert_nobody_to_pardon(&stage, 1, "no excluded worker is called \"worker-1\"");
    let before = agreed(&stage, &network, &[], ask);
    before.iter().for_each(|voucher| assert_eq!(voucher.verify(), Ok(())));

    network.orchestrator.interrupt();
    network.orchestrator.wait();
    assert_nobody_to_pardon(&stage, 4, "no orchestrator runs");
    network.start_again();
    network.workers.iter().for_each(|worker| drop(worker.event("joined")));
    network.wait_holders(2);
    assert_follow(&agreed(&stage, &network, &before, ask), &before);
    assert_nothing_twice(&network);
}

#[test]
fn a_killed_orchestrator_ends_no_stream_silently_and_its_workers_come_back_with_all_they_have() {
    let stage = Stage::new();
    let mut network = Network::start(&stage, &models::endless(&stage), 2);
    let expected = complete(&network);
    let (vouchers, earned) = (agreed(&stage, &network, &[], |network| drop(complete(network))), credit(&stage));
    let folders = [1, 2].map(|number| stage.path(&format!("worker-{number}/tensors")));
    let tensors = folders.each_ref().map(|folder| marks(folder));

    let mut streamed = Streamed::default();
    let mut events = api::stream(&network.api, "/v1/completions", &request(3000, true));
    events.take_chunks(FIRST_CHUNKS, &mut streamed);
    let mut ask = stage.command(&["ask", "--url", &network.api, "Go on."]);
    let mut ask = ask.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ask.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    network.orchestrator.kill();
    events.take_rest(&mut streamed);
    assert!(!streamed.done, "a broken answer does not look like a whole one");
    let ask = ask.wait_with_output().unwrap();
    assert_ne!(ask.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&ask.stderr).contains("broke off"), "{}", String::from_utf8_lossy(&ask.stderr));

    wait_for_the_longest_pause(&network);
    network.start_again();
    network.workers.iter().for_each(|worker| drop(worker.event("joined")));
    network.wait_holders(2);
    assert_eq!(folders.each_ref().map(|folder| marks(folder)), tensors, "nothing was fetched again");
    assert_eq!(complete(&network), expected);
    assert_follow(&agreed(&stage, &network, &vouchers, |network| drop(complete(network))), &vouchers);
    assert_nothing_twice(&network);
    eventually("what was earned since is added", || {
        let now = credit(&stage);
        now.len() == 2 && now.iter().zip(&earned).all(|(now, before)| now.0 == before.0 && now.1 > before.1)
    });
}

/// Until every worker waits as long as it ever does.
fn wait_for_the_longest_pause(network: &Network<'_>) {
    for worker in &network.workers {
        let mut pause_ms = 0;
        while pause_ms < LONGEST_PAUSE_MS * 3 / 4 {
            pause_ms = worker.event("lost")["retry_ms"].as_u64().unwrap();
            assert!(pause_ms <= LONGEST_PAUSE_MS, "{pause_ms} ms");
        }
    }
}

fn ask(network: &Network<'_>) {
    assert_eq!(network.ask("What is 12+35?"), "47");
}

fn complete(network: &Network<'_>) -> Value {
    api::complete(&network.api, &request(60, false))
}

/// A sampled answer: a single wrong bit would soon lead it elsewhere.
fn request(tokens: usize, stream: bool) -> Value {
    json!({
        "model": "endless", "prompt": [0, 10, 20, 30], "max_tokens": tokens, "temperature": 1, "seed": 5,
        "stream": stream,
    })
}
