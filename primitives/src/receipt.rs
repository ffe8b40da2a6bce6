//! Receipts: what a worker answered, hashed so that one row of one expert can be shown to others, and the vouchers in
//! which worker and orchestrator agree on it.
//!
//! ```text
//! voucher: running totals, hash of the one before, root ── signed by the orchestrator, then by the worker
//!                                              │
//!                            tree over all answers since the voucher before it
//!                                              │
//!            answer leaf: task, number of entries, root of entries, hash of the sums
//!                                              │
//!                             tree over the answer's (row, expert) entries
//!                                              │
//!            entry: model, layer, expert, gate, hash of the row's bytes, digest of the contribution
//! ```
//!
//! Both sides make the leaf from what they sent and received; nothing of it travels. Every kind of hash begins with a
//! name of its own, so none can pass as another. `docs/spec/receipts.md` has every byte.

mod entry;
mod tree;
mod voucher;

pub use entry::{AnswerLeaf, AnswerTree, Entry, row_bytes, sums_hash};
pub use tree::{Proof, root};
pub use voucher::{Offer, SignedVoucher, Totals, VOUCHER_BYTES, Voucher, VoucherError};

use crate::hash::Hash;

/// BLAKE3 of `tag ‖ 0 ‖ parts`. No tag contains a zero byte, so the split is unique.
fn tagged(tag: &str, parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tag.as_bytes()).update(&[0]);
    for part in parts {
        hasher.update(part);
    }
    Hash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests;
