//! Numbers drawn from the operating system.

use neuro_primitives::NodeKey;
use neuro_primitives::key::EntropyError;

/// A batch below `batches`, which is at least 1. Of 2^64 values modulo at most 2^16 none is favoured by more than
/// 2^−48.
pub(super) fn batch(batches: u16) -> Result<u16, EntropyError> {
    // The public half of a fresh key is as random as any.
    let random = NodeKey::generate()?.node_id().0;
    let mut word = [0; 8];
    word.copy_from_slice(&random[..8]);
    Ok((u64::from_le_bytes(word) % u64::from(batches.max(1))) as u16)
}
