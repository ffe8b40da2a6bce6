//! The sum of one cohort: payloads go in and out by member, masks come off at the end.
//!
//! Adding and subtracting are idempotent by member, so that a restarted aggregator may be told everything again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_primitives::{Hash, NodeId};
use neuro_secagg::masks::MaskJob;
use neuro_secagg::packing::{Modulus, PayloadError};
use neuro_secagg::sum::Accumulator;

use crate::os::private_file;

/// The sum cannot go on as it is: a payload that counts must be in it.
#[derive(Debug, thiserror::Error)]
pub enum SumError {
    /// A file.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A payload that is no vector of the sum's.
    #[error("the payload of node {} does not fit the sum: {source}", of.short())]
    Payload {
        /// Whose.
        of: NodeId,
        /// What is wrong.
        source: PayloadError,
    },
    /// The modulus is not known yet.
    #[error("a payload came before the cohort")]
    NoModulus,
    /// The aggregator's noise cannot be added, so nothing comes out.
    #[error("the sum is given up: {0}")]
    Noise(String),
}

/// One vector, and whose payloads are in it.
#[derive(Debug)]
pub struct Summing {
    entries: usize,
    sum: Option<(Modulus, Accumulator)>,
    holds: BTreeSet<NodeId>,
}

/// A sum without masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmasked {
    /// `[L]`: every entry of the vector, two's complement of B bits.
    pub values: Vec<i64>,
    /// BLAKE3 of the entries as i64, little-endian.
    pub hash: Hash,
}

impl Summing {
    /// An empty sum of vectors of `entries` entries.
    #[must_use]
    pub const fn new(entries: usize) -> Self {
        Self { entries, sum: None, holds: BTreeSet::new() }
    }

    /// Fixes the modulus, once the cohort is known; again changes nothing.
    pub fn set_modulus(&mut self, modulus: Modulus) {
        if self.sum.as_ref().is_none_or(|(held, _)| *held != modulus) {
            self.sum = Some((modulus, Accumulator::new(self.entries, modulus)));
            self.holds.clear();
        }
    }

    /// The modulus, once the cohort is known.
    ///
    /// # Errors
    /// Before that.
    pub fn modulus(&self) -> Result<Modulus, SumError> {
        self.sum.as_ref().map(|(modulus, _)| *modulus).ok_or(SumError::NoModulus)
    }

    /// Adds the payload in `path`, unless the sum holds it.
    ///
    /// # Errors
    /// When it cannot be read or has another length.
    pub fn add(&mut self, of: NodeId, path: &Path) -> Result<(), SumError> {
        if !self.holds.contains(&of) {
            let payload = read(path)?;
            self.accumulator()?.add(&payload).map_err(|source| SumError::Payload { of, source })?;
            self.holds.insert(of);
        }
        Ok(())
    }

    /// Takes the payload in `path` out, if the sum holds it.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn subtract(&mut self, of: NodeId, path: &Path) -> Result<(), SumError> {
        if self.holds.contains(&of) {
            let payload = read(path)?;
            self.accumulator()?.subtract(&payload).map_err(|source| SumError::Payload { of, source })?;
            self.holds.remove(&of);
        }
        Ok(())
    }

    /// Whose payloads are in the sum.
    #[must_use]
    pub const fn holds(&self) -> &BTreeSet<NodeId> {
        &self.holds
    }

    /// Takes the masks off, adds the aggregator's noise by `add_noise`, and makes the result durable in `path`. The sum is
    /// empty afterwards, and what it was before the noise is nowhere.
    ///
    /// # Errors
    /// When there is no noise, or the result cannot be written.
    pub fn unmask(
        &mut self,
        jobs: &[MaskJob],
        threads: usize,
        add_noise: impl FnOnce(&mut [i64]) -> Result<(), SumError>,
        path: &Path,
    ) -> Result<Unmasked, SumError> {
        let (_, mut sum) = self.sum.take().ok_or(SumError::NoModulus)?;
        sum.unmask(jobs, threads);
        let mut values = sum.finish();
        add_noise(&mut values)?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        private_file::replace(path, &bytes).map_err(at(path))?;
        Ok(Unmasked { values, hash: Hash::of(&bytes) })
    }

    /// The result that an earlier process made durable; `None` when there is none of the right length.
    #[must_use]
    pub fn finished(entries: usize, path: &Path) -> Option<Unmasked> {
        let bytes = fs::read(path).ok().filter(|bytes| bytes.len() == 8 * entries)?;
        let values = bytes.as_chunks::<8>().0.iter().map(|&word| i64::from_le_bytes(word)).collect();
        Some(Unmasked { values, hash: Hash::of(&bytes) })
    }

    fn accumulator(&mut self) -> Result<&mut Accumulator, SumError> {
        self.sum.as_mut().map(|(_, sum)| sum).ok_or(SumError::NoModulus)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SumError> {
    fs::read(path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SumError + '_ {
    move |source| SumError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_secagg::masks::Lanes;
    use neuro_secagg::packing::pack;

    fn packed(values: &[u32], modulus: Modulus) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(Lanes::Narrow(&mut values.to_vec()), modulus, &mut bytes);
        bytes
    }

    #[test]
    fn payloads_count_once_and_can_be_taken_out_again() {
        let folder = tempfile::tempdir().unwrap();
        let modulus = Modulus::new(20).unwrap();
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let path = |node: NodeId| folder.path().join(node.to_string());
        fs::write(path(a), packed(&[1, 2, 3], modulus)).unwrap();
        fs::write(path(b), packed(&[10, (1 << 20) - 5, 30], modulus)).unwrap();
        let mut sum = Summing::new(3);
        assert!(matches!(sum.add(a, &path(a)), Err(SumError::NoModulus)));
        sum.set_modulus(modulus);
        for _ in 0..2 {
            sum.add(a, &path(a)).unwrap();
            sum.add(b, &path(b)).unwrap();
            sum.set_modulus(modulus);
        }
        sum.subtract(a, &path(a)).unwrap();
        sum.subtract(a, &path(a)).unwrap();
        sum.add(a, &path(a)).unwrap();
        let result = folder.path().join("sum");
        let noise = |values: &mut [i64]| {
            values[2] += 7;
            Ok(())
        };
        let unmasked = sum.unmask(&[], 1, noise, &result).unwrap();
        assert_eq!(unmasked.values, [11, -3, 40], "noise is in before anything is written");
        assert_eq!(Summing::finished(3, &result), Some(unmasked));
        assert_eq!(Summing::finished(4, &result), None);
    }

    #[test]
    fn a_payload_of_another_length_is_not_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payload");
        fs::write(&path, [0; 3]).unwrap();
        let mut sum = Summing::new(3);
        sum.set_modulus(Modulus::new(20).unwrap());
        assert!(matches!(sum.add(NodeId([1; 32]), &path), Err(SumError::Payload { .. })));
        assert!(sum.holds().is_empty());
    }
}
