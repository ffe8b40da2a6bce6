//! Evidence: one row of one expert that a worker answered wrong, shown so that nobody needs to trust whoever shows it.
//!
//! ```text
//! worker's signature ─ voucher ─ root ─ way ─ answer's leaf ─ way ─ entry: row, gate, expert, digest
//! the model's id in the entry = hash of the manifest ─ hashes of the expert's weights
//! the row, computed again with these weights by the exact engine ─ another digest: the worker was wrong
//! ```
//!
//! Only the worker's signature counts: an orchestrator that makes up a voucher has no signature of the worker, and one
//! that makes up a row has no way to a root that the worker signed. `docs/spec/receipts.md` has every byte.

use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::receipt::{AnswerLeaf, Entry, Proof, SignedVoucher, VoucherError, row_bytes};
use neuro_primitives::{ActivationFormat, Activations, ExpertId, Hash, ModelId, NodeId, TaskId};

use crate::frame::hidden;
use crate::limits::MAX_DIGESTS_PER_ANSWER;
use crate::manifest::Manifest;

/// What a worker signed about one row of one expert. Not believed before [`Evidence::judge`].
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The voucher that covers the answer.
    pub voucher: SignedVoucher,
    /// The task.
    pub task: TaskId,
    /// The hash of the answer's sums.
    pub sums: Hash,
    /// From the answer's leaf to the voucher's root.
    pub answer: Proof,
    /// From the entry to the root of the answer's entries.
    pub entry: Proof,
    /// The model.
    pub model: ModelId,
    /// The expert.
    pub expert: ExpertId,
    /// The factor on its output.
    pub gate: f32,
    /// The row as it was sent, one of them. `[1, d_model]`
    pub row: Activations,
    /// The worker's word on the contribution.
    pub digest: Hash,
    /// Hashes of the expert's tensors, in the order of the manifest.
    pub weights: Vec<Hash>,
}

/// What follows from evidence.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The worker signed a contribution that the expert does not make.
    Wrong {
        /// Who.
        worker: NodeId,
        /// The digest of what the expert makes of the row.
        expected: Hash,
        /// The digest that the worker signed.
        got: Hash,
    },
    /// The worker answered what the expert makes of the row.
    Right {
        /// Who.
        worker: NodeId,
    },
    /// It shows nothing.
    Unfounded(Unfounded),
}

/// Why evidence shows nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfounded {
    /// The worker did not sign the voucher.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
    /// The answer does not lie below the voucher's root.
    #[error("the answer is not part of what the voucher covers")]
    Answer,
    /// The entry does not lie below the answer's root.
    #[error("the row is not part of the answer")]
    Entry,
    /// It is about another model than the one it is held against.
    #[error("it is about the model {got}, not {expected}")]
    Model {
        /// The manifest's.
        expected: ModelId,
        /// The entry's.
        got: ModelId,
    },
    /// The manifest has no such expert, or other weights for it.
    #[error("the manifest has other weights for the expert {0}")]
    Weights(ExpertId),
    /// The row is not in the form that the manifest names for its layer, so no worker would have computed it.
    #[error("the row is not in the form of layer {0}")]
    Form(u16),
    /// It could not be computed again.
    #[error("the row cannot be computed: {0}")]
    Computation(String),
}

/// Bytes that are no evidence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvidenceError {
    /// The bytes do not hold the fields.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// They do not begin as evidence does.
    #[error("these bytes are no evidence")]
    Magic,
    /// A row of a width or form that may not be, or that no encoder makes.
    #[error("the row of the evidence is not well formed")]
    Row,
}

impl EvidenceError {
    /// Always false: the same bytes are refused again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

impl Evidence {
    /// The entry that the worker committed to.
    #[must_use]
    pub fn entry(&self) -> Entry {
        let row = Hash::of(&row_bytes(&self.row, 0));
        Entry { model: self.model, expert: self.expert, gate: self.gate, row, digest: self.digest }
    }

    /// What follows from this, given the model's manifest (whose publisher the caller trusts). `recompute` runs the expert
    /// on the row by the exact engine, on weights with the hashes of the manifest, and returns the digest of gate × output.
    pub fn judge(&self, manifest: &Manifest, recompute: impl FnOnce(&Self) -> Result<Hash, String>) -> Verdict {
        let worker = self.voucher.voucher().worker;
        let judged = self.check(manifest).and_then(|()| recompute(self).map_err(Unfounded::Computation));
        match judged {
            Ok(expected) if expected == self.digest => Verdict::Right { worker },
            Ok(expected) => Verdict::Wrong { worker, expected, got: self.digest },
            Err(unfounded) => Verdict::Unfounded(unfounded),
        }
    }

    /// Whether the worker signed this row, and the manifest knows the expert.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Unfounded> {
        self.voucher.verify_worker()?;
        let voucher = self.voucher.voucher();
        let entries_root = self.entry.root_above(self.entry().hash()).ok_or(Unfounded::Entry)?;
        let leaf = AnswerLeaf { task: self.task, entries: self.entry.count, entries_root, sums: self.sums };
        if self.answer.count != voucher.answers || self.answer.root_above(leaf.hash()) != Some(voucher.root) {
            return Err(Unfounded::Answer);
        }
        self.check_model(manifest)
    }

    fn check_model(&self, manifest: &Manifest) -> Result<(), Unfounded> {
        let expected = manifest.model_id();
        if self.model != expected {
            return Err(Unfounded::Model { expected, got: self.model });
        }
        let hashes: Vec<Hash> = manifest.expert_tensors(self.expert).map(|tensor| tensor.hash).collect();
        if hashes.is_empty() || hashes != self.weights {
            return Err(Unfounded::Weights(self.expert));
        }
        let form = manifest.activation_formats.get(usize::from(self.expert.layer));
        if form == Some(&self.row.format()) { Ok(()) } else { Err(Unfounded::Form(self.expert.layer)) }
    }

    /// The one form of these bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(MAGIC);
        writer.raw(&self.voucher.encode());
        writer.u64(self.task.0);
        writer.raw(&self.sums.0);
        write_proof(&mut writer, &self.answer);
        write_proof(&mut writer, &self.entry);
        writer.raw(&self.model.0.0);
        writer.u16(self.expert.layer);
        writer.u16(self.expert.expert);
        writer.f32(self.gate);
        writer.u16(self.row.format().code());
        writer.count(self.row.width());
        hidden::write(&mut writer, &self.row);
        writer.raw(&self.digest.0);
        write_hashes(&mut writer, &self.weights);
        writer.finish()
    }

    /// What [`Self::encode`] made. Nothing of it is checked but its form.
    ///
    /// # Errors
    /// When the bytes are not exactly one piece of evidence within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != *MAGIC {
            return Err(EvidenceError::Magic);
        }
        let evidence = Self {
            voucher: SignedVoucher::read(&mut reader)?,
            task: TaskId(reader.u64()?),
            sums: Hash(reader.array()?),
            answer: read_proof(&mut reader)?,
            entry: read_proof(&mut reader)?,
            model: ModelId(Hash(reader.array()?)),
            expert: ExpertId { layer: reader.u16()?, expert: reader.u16()? },
            gate: reader.f32()?,
            row: read_row(&mut reader)?,
            digest: Hash(reader.array()?),
            weights: read_hashes(&mut reader, MAX_TENSORS_PER_EXPERT)?,
        };
        reader.finish()?;
        Ok(evidence)
    }
}

fn write_proof(writer: &mut Writer, proof: &Proof) {
    writer.u32(proof.index);
    writer.u32(proof.count);
    write_hashes(writer, &proof.beside);
}

fn read_proof(reader: &mut Reader<'_>) -> Result<Proof, EvidenceError> {
    Ok(Proof { index: reader.u32()?, count: reader.u32()?, beside: read_hashes(reader, MAX_STEPS)? })
}

fn write_hashes(writer: &mut Writer, hashes: &[Hash]) {
    writer.count(hashes.len());
    hashes.iter().for_each(|hash| writer.raw(&hash.0));
}

fn read_hashes(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<Hash>, EvidenceError> {
    let count = reader.count("hashes", limit, 32)?;
    let hashes: Result<Vec<Hash>, CodecError> = (0..count).map(|_| reader.array().map(Hash)).collect();
    Ok(hashes?)
}

/// One row, by the rules for those of a task.
fn read_row(reader: &mut Reader<'_>) -> Result<Activations, EvidenceError> {
    let format = ActivationFormat::from_code(reader.u16()?).ok_or(EvidenceError::Row)?;
    let width = hidden::read_width(reader, format).map_err(|_| EvidenceError::Row)?;
    hidden::read(reader, format, 1, width).map_err(|_| EvidenceError::Row)
}

/// How evidence begins: its kind and version.
const MAGIC: &[u8; 16] = b"neuro-evidence/1";

/// Steps of a way: both trees have far fewer than 2^32 leaves (4,096 answers, [`MAX_DIGESTS_PER_ANSWER`] entries).
const MAX_STEPS: usize = 32;
const _: () = assert!(MAX_DIGESTS_PER_ANSWER < 1 << MAX_STEPS);

/// Tensors of one expert: three matrices and three biases.
const MAX_TENSORS_PER_EXPERT: usize = 8;

#[cfg(test)]
mod tests;
