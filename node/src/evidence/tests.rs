//! A real expert's answers, right and bent, before a judge with the same checkpoint.

use std::path::Path;

use super::*;
use neuro_primitives::receipt::{AnswerTree, Totals, Voucher, root};
use neuro_primitives::{Activations, ExpertId, RowSum, Rows, TaskId, UnixMillis};
use neuro_protocol::Unfounded;

const EXPERT: ExpertId = ExpertId { layer: 1, expert: 2 };

fn checkpoint(name: &str) -> Arc<Checkpoint> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    Arc::new(Checkpoint::open(&folder).unwrap())
}

fn judge(name: &str) -> Judge {
    let folder = tempfile::tempdir().unwrap();
    Judge::new(checkpoint(name), &DataDir::open(folder.path()).unwrap()).unwrap()
}

/// Two rows of numbers for expert 2 and another one.
fn asked(width: usize) -> (Activations, Routes) {
    let values = (0..2 * width).map(|at| (at % 13) as f32 / 8.0 - 0.75).collect();
    let mut routes = Routes::new();
    routes.push_row([Route { expert: 2, gate: 0.25 }]);
    routes.push_row([Route { expert: 0, gate: 0.5 }, Route { expert: 2, gate: 0.375 }]);
    (Rows::new(width, values).into(), routes)
}

/// What the worker signed about row 1 of expert 2, after `change` to its digests.
fn evidence(judge: &Judge, change: impl FnOnce(&mut [Hash])) -> Evidence {
    let (hidden, routes) = asked(judge.publication.checkpoint().config().d_model);
    let mut answered = judge.experts.answer(EXPERT.layer, &hidden, &routes).unwrap();
    change(&mut answered.digests);
    let [orchestrator, worker] = [1, 2].map(|seed| NodeKey::from_secret(&[seed; 32]));
    let manifest = judge.publication.manifest();
    let (model, sums): (_, &[RowSum]) = (manifest.model_id(), &answered.sums);
    let tree = AnswerTree::new(model, EXPERT.layer, TaskId(5), (&hidden, &routes), (&answered.digests, sums));
    let leaves = [tree.leaf().hash()];
    let voucher = Voucher {
        orchestrator: orchestrator.node_id(),
        worker: worker.node_id(),
        sequence: 1,
        totals: Totals { covered: 3, ..Totals::default() },
        answers: 1,
        root: root(&leaves),
        previous: Hash([0; 32]),
        expires: UnixMillis(1),
    };
    Evidence {
        voucher: voucher.offer(&orchestrator).countersign(&worker),
        task: TaskId(5),
        sums: tree.leaf().sums,
        answer: neuro_primitives::receipt::Proof::of(&leaves, 0).unwrap(),
        entry: tree.proof(2).unwrap(),
        model,
        expert: EXPERT,
        gate: 0.375,
        row: hidden.gather(&[1]),
        digest: answered.digests[2],
        weights: manifest.manifest().expert_tensors(EXPERT).map(|tensor| tensor.hash).collect(),
    }
}

#[test]
fn an_honest_answer_is_right_and_a_bent_one_wrong() {
    let judge = judge("mixtral-7-float32");
    let worker = NodeKey::from_secret(&[2; 32]).node_id();
    let honest = evidence(&judge, |_| ());
    assert_eq!(judge.judge(&honest), Verdict::Right { worker });
    let bent = evidence(&judge, |digests| digests[2].0[0] ^= 1);
    assert_eq!(judge.judge(&bent), Verdict::Wrong { worker, expected: honest.digest, got: bent.digest });
}

#[test]
fn evidence_survives_its_file_and_other_files_are_none() {
    let (judge, folder) = (judge("mixtral-7-float32"), tempfile::tempdir().unwrap());
    let (file, evidence) = (folder.path().join("evidence"), evidence(&judge, |_| ()));
    std::fs::write(&file, evidence.encode()).unwrap();
    assert_eq!(read_evidence(&file).unwrap(), evidence);
    std::fs::write(&file, vec![b'n'; 300_000]).unwrap();
    assert!(read_evidence(&file).unwrap_err().is_unfounded());
    assert!(!read_evidence(&folder.path().join("absent")).unwrap_err().is_unfounded());
}

#[test]
fn another_model_judges_nothing() {
    let evidence = evidence(&judge("mixtral-7-float32"), |digests| digests[2].0[0] ^= 1);
    let verdict = judge("mixtral-9-float16").judge(&evidence);
    assert!(matches!(verdict, Verdict::Unfounded(Unfounded::Model { .. })), "{verdict:?}");
}
