//! The last voucher with each other node: what both sides go on from after a restart. A worker's are files; an
//! orchestrator's are in its store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use neuro_primitives::NodeId;
use neuro_primitives::receipt::SignedVoucher;

use crate::data_dir::{DataDir, DataDirError};
use crate::os::private_file;

/// Where vouchers are written down. The last one of a pair is all that counts.
pub trait VoucherStore: Send + Sync {
    /// The last voucher with `other` that was kept. What cannot be read counts as none: the other side has it.
    fn last(&self, other: NodeId) -> Option<SignedVoucher>;

    /// Keeps `voucher` with `other` in place of an older one; one that is older than the one kept changes nothing.
    /// [`VoucherFiles`] has it on disk then.
    ///
    /// # Errors
    /// When it is not kept.
    fn keep(&self, other: NodeId, voucher: &SignedVoucher) -> io::Result<()>;
}

/// A file a pair in one folder: written beside, synchronised, renamed.
pub struct VoucherFiles {
    folder: PathBuf,
    /// Sequence numbers of what is kept; held while a file is written, so that the newest stays.
    kept: Mutex<BTreeMap<NodeId, u64>>,
}

impl VoucherFiles {
    /// Vouchers in the folder `vouchers` of `data_dir`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(data_dir: &DataDir) -> Result<Self, DataDirError> {
        Ok(Self { folder: data_dir.folder("vouchers")?, kept: Mutex::default() })
    }

    fn path(&self, other: NodeId) -> PathBuf {
        self.folder.join(other.to_string())
    }
}

impl VoucherStore for VoucherFiles {
    fn last(&self, other: NodeId) -> Option<SignedVoucher> {
        let path = self.path(other);
        let bytes = fs::read(&path).ok()?;
        let voucher = SignedVoucher::decode(&bytes).and_then(|voucher| voucher.verify().map(|()| voucher));
        voucher.inspect_err(|error| tracing::warn!(file = %path.display(), %error, "a voucher cannot be read")).ok()
    }

    fn keep(&self, other: NodeId, voucher: &SignedVoucher) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = voucher.voucher().sequence;
        if kept.get(&other).is_some_and(|&kept| kept >= sequence) {
            return Ok(());
        }
        private_file::replace(&self.path(other), &voucher.encode())?;
        #[cfg(unix)]
        File::open(&self.folder)?.sync_all()?;
        kept.insert(other, sequence);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_primitives::receipt::{Totals, Voucher};
    use neuro_primitives::{Hash, NodeKey, UnixMillis};

    fn voucher(sequence: u64) -> SignedVoucher {
        let [orchestrator, worker] = [1, 2].map(|seed| NodeKey::from_secret(&[seed; 32]));
        let voucher = Voucher {
            orchestrator: orchestrator.node_id(),
            worker: worker.node_id(),
            sequence,
            totals: Totals::default(),
            answers: 0,
            root: Hash([0; 32]),
            previous: Hash([0; 32]),
            expires: UnixMillis(1),
        };
        voucher.offer(&orchestrator).countersign(&worker)
    }

    #[test]
    fn the_newest_voucher_of_a_pair_is_found_again() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let data_dir = DataDir::open(folder.path())?;
        let (files, other) = (VoucherFiles::open(&data_dir)?, NodeId([7; 32]));
        assert_eq!(files.last(other), None);
        for sequence in [1, 3, 2] {
            files.keep(other, &voucher(sequence))?;
        }
        assert_eq!(VoucherFiles::open(&data_dir)?.last(other), Some(voucher(3)));
        assert_eq!(files.last(NodeId([8; 32])), None);
        fs::write(files.path(other), b"half a voucher")?;
        assert_eq!(files.last(other), None);
        Ok(())
    }
}
