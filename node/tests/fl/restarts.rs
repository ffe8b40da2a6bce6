//! The aggregator dies while it writes, more than once.

use std::fs;
use std::path::Path;

use neuro_protocol::federated::RoundPhase;

use crate::federation::Federation;

const TENSORS: &[(&str, &[usize])] = &[("w", &[2])];

/// Half of the trainers wait for one file, the others for another.
fn trainer(federation: &Federation, number: usize) -> String {
    let update = federation.trainer(number, &[("w", &[2], &[0.5, 0.25])], 1);
    let gate = federation.path(gate(number));
    format!("while [ ! -e {} ]; do sleep 0.05; done; {update}", gate.display())
}

fn gate(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "first-gate" } else { "second-gate" }
}

fn append(path: &Path, bytes: &[u8]) {
    fs::write(path, [fs::read(path).unwrap(), bytes.to_vec()].concat()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_tore_is_cut_off_and_the_journal_goes_on_behind_the_cut() {
    let plan = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n";
    let mut federation = Federation::start(plan, TENSORS, Some(8), 1).await;
    let _participants = federation.join_all(8, |number| trainer(&federation, number)).await;
    let journal = federation.file("rounds/1/0/journal");
    federation.reported(RoundPhase::Upload, 0).await;
    federation.leave().await;
    // An entry whose length is on disk and whose bytes are not.
    let torn = [&100_u32.to_le_bytes()[..], &[0; 100]].concat();
    append(&journal, &torn);
    federation.serve().await;
    fs::write(federation.path("first-gate"), "").unwrap();
    federation.reported(RoundPhase::Upload, 4).await;
    federation.leave().await;
    // Where a file system leaves zeros.
    append(&journal, &[0; 4096]);
    federation.serve().await;
    fs::write(federation.path("second-gate"), "").unwrap();
    let round = federation.ended().await;
    assert!(round.done, "{}", round.outcome);
    assert_eq!((round.number, round.survivors), (1, 8));
}
