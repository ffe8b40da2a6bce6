//! Experts of a checkpoint whose every byte is compared with a hash before it is used.
//!
//! A file may change under a program that has mapped it: a disk fails, or another model is copied over it. Whoever accuses
//! others because of what a file says makes sure first that it says what it was.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use neuro_expert_runtime::{ExpertSource, ExpertTensors, SourceError, TakeWeights, expert_weights};
use neuro_model::{Checkpoint, TensorData};
use neuro_primitives::{ExpertId, Hash};

use super::{expert_tensors, place, unreadable};

/// The hash of each tensor, by its name.
pub type WeightHashes = BTreeMap<String, Hash>;

/// Experts that were found to be other bytes than their hashes say.
pub(super) type Damaged = Arc<Mutex<BTreeSet<ExpertId>>>;

/// The experts of a checkpoint, copied and compared when they are read.
pub(super) struct VerifiedSource {
    pub(super) checkpoint: Arc<Checkpoint>,
    pub(super) hashes: WeightHashes,
    pub(super) damaged: Damaged,
}

impl VerifiedSource {
    /// The tensor in memory of its own: what is used is what was hashed, whatever becomes of the file meanwhile.
    fn verified<'a>(&self, id: ExpertId, tensor: TensorData<'a>) -> Result<TensorData<'a>, SourceError> {
        let bytes = tensor.bytes.to_vec();
        place(&tensor).into_iter().for_each(|place| self.checkpoint.release(place));
        let (expected, got) = (self.hashes.get(tensor.name), Hash::of(&bytes));
        if expected != Some(&got) {
            // A set of ids is whole after every insertion.
            self.damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            let expected = expected.map_or_else(|| "none".to_owned(), Hash::to_string);
            let reason = format!("expected the hash {expected} of tensor {}, got {got}", tensor.name);
            return Err(SourceError::Unreadable { reason, retryable: false });
        }
        Ok(TensorData { bytes: Cow::Owned(bytes), ..tensor })
    }
}

impl ExpertSource for VerifiedSource {
    fn load(&self, id: ExpertId, take: &mut TakeWeights<'_>) -> Result<(), SourceError> {
        let ExpertTensors { gate, up, down, biases } = expert_tensors(&self.checkpoint, id).map_err(unreadable)?;
        let biases = match biases {
            Some([gate, up, down]) => {
                Some([self.verified(id, gate)?, self.verified(id, up)?, self.verified(id, down)?])
            }
            None => None,
        };
        let (gate, up, down) = (self.verified(id, gate)?, self.verified(id, up)?, self.verified(id, down)?);
        take(&expert_weights(self.checkpoint.config(), ExpertTensors { gate, up, down, biases })?)?;
        Ok(())
    }

    fn look(&self, id: ExpertId, take: &mut TakeWeights<'_>) -> Result<(), SourceError> {
        self.load(id, take)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::{Seek, SeekFrom, Write};
    use std::path::Path;

    use neuro_expert_runtime::default_engine;
    use neuro_model::names;
    use neuro_primitives::{Activations, Route, Routes, Rows};

    use super::super::Recomputation;
    use super::*;

    /// A copy of a small model that may be spoilt.
    fn copied(folder: &Path) -> Arc<Checkpoint> {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/mixtral-7-float32");
        for file in fs::read_dir(fixture).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        Arc::new(Checkpoint::open(folder).unwrap())
    }

    fn hashes(checkpoint: &Checkpoint) -> WeightHashes {
        let hash = |name: &str| (name.to_owned(), Hash::of(&checkpoint.tensor(name).unwrap().bytes));
        checkpoint.tensor_names().map(hash).collect()
    }

    /// Changes the first weight of the tensor where it lies in the file.
    fn spoil(folder: &Path, checkpoint: &Checkpoint, name: &str) {
        let (file, bytes) = (folder.join("model.safetensors"), checkpoint.tensor(name).unwrap().bytes.to_vec());
        let whole = fs::read(&file).unwrap();
        let at = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
        let mut file = OpenOptions::new().write(true).open(file).unwrap();
        file.seek(SeekFrom::Start(at as u64 + 2)).unwrap();
        file.write_all(&[bytes[2] ^ 0x40]).unwrap();
    }

    fn asked(width: usize, expert: u16) -> (Activations, Routes) {
        let mut routes = Routes::new();
        routes.push_row([Route { expert, gate: 0.5 }]);
        (Rows::new(width, (0..width).map(|at| (at % 7) as f32 - 2.5).collect()).into(), routes)
    }

    #[test]
    fn an_expert_whose_bytes_were_changed_computes_nothing_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = copied(folder.path());
        let verified = Recomputation::verified(&checkpoint, default_engine(), hashes(&checkpoint)).unwrap();
        let believing = Recomputation::open(&checkpoint, default_engine()).unwrap();
        let answer = |experts: &Recomputation, expert| {
            let (hidden, routes) = asked(checkpoint.config().d_model, expert);
            experts.answer(1, &hidden, &routes)
        };
        assert_eq!(answer(&verified, 0), answer(&believing, 0));
        let right = answer(&Recomputation::open(&checkpoint, default_engine()).unwrap(), 2);

        let spoilt = ExpertId { layer: 1, expert: 2 };
        let name = names::expert(checkpoint.config(), spoilt).up;
        spoil(folder.path(), &checkpoint, &name);
        assert_ne!(answer(&believing, 2), right, "who does not compare gets it wrong");
        let refused = answer(&verified, 2).unwrap_err();
        assert!(refused.message.contains(&name), "{refused}");
        assert_eq!(verified.damaged(), BTreeSet::from([spoilt]));
        assert!(answer(&verified, 1).is_ok(), "the others go on");
    }
}
