//! Cases against workers: from an answer that was proven wrong to a file that convinces others.
//!
//! ```text
//! auditor ── accuse ─▶ waiting ── the worker signs a voucher that covers the answer ── close ─▶ evidence/WORKER.evidence
//!                         └── it signs nothing before it goes ── give_up
//! ```
//!
//! A file says one thing about one worker, which is excluded by then, so there is one a worker. It shows a row of hidden
//! states of whoever asked, so it stays in the data folder, for its owner's eyes.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neuro_expert_runtime::Computed;
use neuro_primitives::receipt::{AnswerTree, Proof, SignedVoucher};
use neuro_primitives::{Activations, ExpertId, Hash, ModelId, NodeId, TaskId};
use neuro_protocol::Evidence;

use super::dispatch::Kept;
use super::receipts::Receipts;
use crate::data_dir::{DataDir, DataDirError};
use crate::os::private_file;
use crate::publish::Publication;

/// Cases that may wait for a signature. Each waits for seconds, with a row of some KiB; of more the oldest is dropped.
const MAX_WAITING: usize = 64;

/// Files that are kept. With rows of 16 KiB they are 16 MiB; whoever brings a thousand liars fills no disk.
const MAX_FILES: usize = 1_024;

/// The cases of one orchestrator.
pub struct Cases {
    folder: PathBuf,
    publication: Arc<Publication>,
    receipts: Arc<Receipts>,
    waiting: Mutex<VecDeque<(NodeId, Finding)>>,
}

/// One row of one expert of an answer that was proven wrong.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    task: TaskId,
    sums: Hash,
    entry: Proof,
    expert: ExpertId,
    gate: f32,
    /// `[1, d_model]`
    row: Activations,
    digest: Hash,
}

impl Cases {
    /// Cases whose files are in the folder `evidence` of `data_dir`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(
        data_dir: &DataDir,
        publication: Arc<Publication>,
        receipts: Arc<Receipts>,
    ) -> Result<Self, DataDirError> {
        Ok(Self { folder: data_dir.folder("evidence")?, publication, receipts, waiting: Mutex::default() })
    }

    /// An answer is not what its experts make of its rows, which is `right`. Nothing follows where only its sums are
    /// wrong: no row of one expert shows that. Hashes the answer, and may write a file.
    pub fn accuse(&self, answer: &Kept, right: &Computed) {
        let (worker, model) = (answer.worker(), self.publication.manifest().model_id());
        let Some(finding) = Finding::of(model, answer, right).filter(|_| !self.waits_for(worker)) else { return };
        let mut waiting = self.waiting();
        waiting.push_back((worker, finding));
        if waiting.len() > MAX_WAITING {
            waiting.pop_front();
        }
        drop(waiting);
        self.close(worker);
    }

    /// Whether a case against `worker` waits for its signature.
    #[must_use]
    pub fn waits_for(&self, worker: NodeId) -> bool {
        self.waiting().iter().any(|(accused, _)| *accused == worker)
    }

    /// Closes the case against `worker` if it has signed a voucher that covers the answer by now. Writes a file.
    pub fn close(&self, worker: NodeId) {
        let finding = self.waiting().iter().find(|(accused, _)| *accused == worker).map(|(_, finding)| finding.clone());
        let signed = finding.and_then(|finding| Some((self.receipts.proof(worker, finding.task)?, finding)));
        let Some(((voucher, answer), finding)) = signed else { return };
        self.give_up(worker);
        match self.write(&self.evidence(voucher, answer, finding)) {
            Ok(()) => {
                tracing::warn!(worker = %worker.short(), file = %self.path(worker).display(), "evidence is written")
            }
            Err(error) => tracing::error!(worker = %worker.short(), %error, "evidence cannot be written"),
        }
    }

    /// Drops the case against `worker`, if one waits: it will not sign any more.
    pub fn give_up(&self, worker: NodeId) {
        self.waiting().retain(|(accused, _)| *accused != worker);
    }

    /// The file with the evidence against `worker`, if there is one.
    #[must_use]
    pub fn file(&self, worker: NodeId) -> Option<PathBuf> {
        Some(self.path(worker)).filter(|path| path.exists())
    }

    fn path(&self, worker: NodeId) -> PathBuf {
        self.folder.join(format!("{worker}.evidence"))
    }

    fn evidence(&self, voucher: SignedVoucher, answer: Proof, finding: Finding) -> Evidence {
        let manifest = self.publication.manifest();
        let Finding { task, sums, entry, expert, gate, row, digest } = finding;
        let weights = manifest.manifest().expert_tensors(expert).map(|tensor| tensor.hash).collect();
        let model = manifest.model_id();
        Evidence { voucher, task, sums, answer, entry, model, expert, gate, row, digest, weights }
    }

    /// Writes what convinces others, and nothing else.
    fn write(&self, evidence: &Evidence) -> io::Result<()> {
        evidence.check(self.publication.manifest().manifest()).map_err(io::Error::other)?;
        if fs::read_dir(&self.folder)?.count() >= MAX_FILES {
            return Err(io::Error::other(format!("{} files are kept already", MAX_FILES)));
        }
        private_file::replace(&self.path(evidence.voucher.voucher().worker), &evidence.encode())
    }

    /// No change to the list can panic half way, so a poisoned lock guards a whole one.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<(NodeId, Finding)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Finding {
    /// A row and expert of `answer` whose digest is not that of `right`: of a row that belongs to nobody if there is one,
    /// else the first.
    fn of(model: ModelId, answer: &Kept, right: &Computed) -> Option<Self> {
        let given = answer.answer();
        let rows = answer.routes().iter().enumerate();
        let entries = rows.flat_map(|(row, routes)| routes.iter().map(move |route| (row, *route))).enumerate();
        let wrong = entries.filter(|(place, _)| given.digests.get(*place) != right.digests.get(*place));
        let (place, (row, route)) = wrong.min_by_key(|(place, (row, _))| (!answer.is_nobodys(*row), *place))?;
        let (hidden, layer) = (answer.hidden(), answer.layer());
        let asked = (&hidden, answer.routes());
        let tree = AnswerTree::new(model, layer, given.task, asked, (&given.digests, &given.sums));
        Some(Self {
            task: given.task,
            sums: tree.leaf().sums,
            entry: tree.proof(place)?,
            expert: ExpertId { layer, expert: route.expert },
            gate: route.gate,
            row: hidden.gather(&[row]),
            digest: given.digests[place],
        })
    }
}
