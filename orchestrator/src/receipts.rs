//! Receipts: how a worker is owed for what it answered, without trusting the orchestrator and without a signature a task.
//!
//! A pair of orchestrator (the *payer*) and worker (the *payee*) keeps one cumulative [`Voucher`]. Every few hundred
//! milliseconds of work the payer offers the next one; the payee compares it with its own record and signs.
//!
//! ```text
//! payer                                              payee
//!   answered(task, leaf)   ◀── answers ──            answered(task, leaf)
//!   offer()     ── Offer, tasks ───────────────────▶ check() ── not its own root, totals, order: Refusal
//!                                                    the driver writes the voucher down, then keep()
//!   countersigned() ◀── SignedVoucher ─────────────
//!   or refused(), or overdue(): the interval is forfeited
//!
//! after a loss   attached() ◀── its last voucher ──  last()
//!                ── the payer's, if newer; the offer that was open, once more ─▶  adopt(), check()
//! ```
//!
//! # An answer's way to money
//!
//! pending → in an offer → *covered* by a signed voucher → held back for the challenge window, and for as long as it is
//! being checked → *accepted*, or *denied* if it was disputed before.
//!
//! # Invariants
//!
//! - Totals never fall, and covered ≥ accepted + denied. A task is covered at most once, so it is paid at most once.
//! - A sequence number is never offered with two contents while the payer lives, and skips ahead when it restarts.
//! - Whoever refuses an offer, or is silent past [`ReceiptSettings::patience`], forfeits its interval: these answers are
//!   never covered. A voucher that the payee signed meanwhile is still good when it comes: both adopt the highest
//!   sequence that both signed. Offers made after that one name the voucher before it, so the payee could not sign them:
//!   they are void, and their answers are offered anew.
//! - A crash of either side loses at most what was not in an offer yet (payer), or not signed yet (payee). What was signed
//!   is found again from the other side, and counts once: totals are cumulative.
//! - Memory is bounded: [`MAX_ANSWERS`] answers an offer, [`MAX_RECORDS`] before and after; held back is what offers of a
//!   challenge window can cover.
//!
//! # What it does not protect against
//!
//! A payer that offers nothing, or denies what was right: the payee sees it in the totals and stops working for it. It can
//! lose no more than the work since it last looked.

mod payee;
mod payer;

use std::time::Duration;

use neuro_primitives::receipt::Voucher;
use neuro_primitives::{Hash, NodeId, TaskId};

pub use payee::{Payee, Refusal};
pub use payer::{Payer, ReceiptFault, Resumption};

/// The pair that a voucher belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The payer.
    pub orchestrator: NodeId,
    /// The payee.
    pub worker: NodeId,
}

/// The policy of a payer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptSettings {
    /// How often vouchers are offered while there is work. A signature and two checks each: at 250 ms a thousand workers
    /// take a third of a core.
    pub interval: Duration,
    /// How long an answer is held back after it came. Longer, and honest workers wait for their pay; shorter, and what is
    /// found wrong without a check that was under way, by a user say, is paid already.
    pub challenge_window: Duration,
    /// How long an offer may stay without an answer.
    pub patience: Duration,
    /// How long a voucher may be presented for payment.
    pub validity: Duration,
}

impl Default for ReceiptSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(250),
            challenge_window: Duration::from_secs(10),
            patience: Duration::from_secs(2),
            validity: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// An answer as receipts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The task.
    pub task: TaskId,
    /// The hash of its leaf ([`neuro_primitives::receipt::AnswerLeaf::hash`]).
    pub leaf: Hash,
    /// Rows × experts.
    pub units: u32,
}

/// Answers of one voucher. Its tasks are named beside the offer: 32 KiB. More wait for the next interval.
pub const MAX_ANSWERS: usize = 4096;

/// Answers that one side remembers at one stage: a minute at a thousand a second. The oldest are forgotten first, and
/// are then never paid.
pub const MAX_RECORDS: usize = 1 << 16;

/// Sequence numbers that a payer skips when it restarts: more than the offers that it can have made since it last wrote
/// a voucher down, so that none is made twice.
pub const SEQUENCE_GAP: u64 = 1 << 20;

impl Pair {
    /// Whether the voucher belongs to this pair.
    #[must_use]
    pub fn owns(&self, voucher: &Voucher) -> bool {
        voucher.orchestrator == self.orchestrator && voucher.worker == self.worker
    }
}

#[cfg(test)]
mod tests;
