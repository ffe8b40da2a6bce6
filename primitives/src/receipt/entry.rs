//! What one answer commits to: an entry a row and expert, and the leaf above them.

use super::tagged;
use super::tree::{Proof, root};
use crate::activations::Activations;
use crate::codec::Writer;
use crate::contribution::RowSum;
use crate::hash::Hash;
use crate::id::{ExpertId, ModelId, TaskId};
use crate::routes::Routes;

/// One row of one expert: what was asked, and the worker's word on the result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The model.
    pub model: ModelId,
    /// The expert.
    pub expert: ExpertId,
    /// The factor on the expert's output.
    pub gate: f32,
    /// BLAKE3 of the row's bytes as they were sent ([`row_bytes`]).
    pub row: Hash,
    /// The digest of the contribution that the worker sent ([`crate::contribution::digest`]).
    pub digest: Hash,
}

impl Entry {
    /// The leaf of this entry in its answer's tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let (layer, expert) = (self.expert.layer.to_le_bytes(), self.expert.expert.to_le_bytes());
        tagged(ENTRY, &[&self.model.0.0, &layer, &expert, &self.gate.to_le_bytes(), &self.row.0, &self.digest.0])
    }
}

/// What an answer is in its voucher's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLeaf {
    /// The task.
    pub task: TaskId,
    /// How many entries: rows × experts of the task. The work that the answer counts as.
    pub entries: u32,
    /// The root over the entries, in the order of the task's routes.
    pub entries_root: Hash,
    /// [`sums_hash`] of the answer's sums.
    pub sums: Hash,
}

impl AnswerLeaf {
    /// The leaf in the voucher's tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let (task, entries) = (self.task.0.to_le_bytes(), self.entries.to_le_bytes());
        tagged(ANSWER, &[&task, &entries, &self.entries_root.0, &self.sums.0])
    }
}

/// The tree of one answer: made by both sides, kept as long as one of its entries may have to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerTree {
    /// Leaves of the entries, in the order of the task's routes.
    entries: Vec<Hash>,
    leaf: AnswerLeaf,
}

impl AnswerTree {
    /// The tree of the answer to `task`: `hidden` (`[rows, d_model]`) and `routes` as they were sent, `digests` (one a
    /// route) and `sums` (one a row) as they were answered.
    #[must_use]
    pub fn new(
        model: ModelId,
        layer: u16,
        task: TaskId,
        (hidden, routes): (&Activations, &Routes),
        (digests, sums): (&[Hash], &[RowSum]),
    ) -> Self {
        let mut entries = Vec::with_capacity(routes.entries().len());
        let mut digests = digests.iter();
        for (row, routes) in routes.iter().enumerate() {
            let row = Hash::of(&row_bytes(hidden, row));
            for (route, &digest) in routes.iter().zip(&mut digests) {
                let expert = ExpertId { layer, expert: route.expert };
                entries.push(Entry { model, expert, gate: route.gate, row, digest }.hash());
            }
        }
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let leaf = AnswerLeaf { task, entries: count, entries_root: root(&entries), sums: sums_hash(sums) };
        Self { entries, leaf }
    }

    /// The leaf of the voucher's tree.
    #[must_use]
    pub const fn leaf(&self) -> &AnswerLeaf {
        &self.leaf
    }

    /// The way from the entry at `place`, counted in the order of the task's routes, to [`AnswerLeaf::entries_root`].
    #[must_use]
    pub fn proof(&self, place: usize) -> Option<Proof> {
        Proof::of(&self.entries, place)
    }
}

/// Row `index` of `hidden` as it travels: f32 each, or the scales of its blocks and then its values; little-endian.
#[must_use]
pub fn row_bytes(hidden: &Activations, index: usize) -> Vec<u8> {
    let mut writer = Writer::with_capacity(hidden.format().row_bytes(hidden.width()));
    match hidden {
        Activations::F32(rows) => writer.f32s(rows.row(index)),
        Activations::Q8(rows) => {
            writer.f32s(rows.row_scales(index));
            writer.i8s(rows.row(index));
        }
    }
    writer.finish()
}

/// The hash of an answer's sums as they travel: for each row its kind, 1 or 2, and its values, little-endian.
#[must_use]
pub fn sums_hash(sums: &[RowSum]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for sum in sums {
        let mut writer = Writer::new();
        match sum {
            RowSum::One(values) => {
                writer.u8(1);
                writer.f32s(values);
            }
            RowSum::Many(values) => {
                writer.u8(2);
                writer.i64s(values);
            }
        }
        hasher.update(&writer.finish());
    }
    Hash(*hasher.finalize().as_bytes())
}

const ENTRY: &str = "neuro/receipt/entry/1";
const ANSWER: &str = "neuro/receipt/answer/1";
