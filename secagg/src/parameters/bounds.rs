//! The three probabilities of section 11 as logarithms to base 2.

use crate::tails::Hypergeometric;

use super::{Demand, WeakParameters};

/// Draws of the graph's seed that an aggregator may choose from by losing reveals (section 5).
const ATTEMPTS: f64 = 3.0;

/// The bounds of one cohort.
pub(super) struct Bounds {
    n: u32,
    corrupt: u32,
    dropout: u32,
    security_bits: f64,
    correctness_bits: f64,
}

impl Bounds {
    pub(super) fn new(demand: &Demand) -> Self {
        Self {
            n: u32::from(demand.n),
            corrupt: u32::from(demand.corrupt()),
            dropout: u32::from(demand.dropout()),
            security_bits: f64::from(demand.security_bits) + 1.0,
            correctness_bits: f64::from(demand.correctness_bits),
        }
    }

    /// σ + 1: (S1) and (S2) share the 2^−σ evenly.
    pub(super) const fn security_bits(&self) -> f64 {
        self.security_bits
    }

    /// (C): some member has fewer than `t` answering neighbours after d random dropouts.
    /// log2 n + log2 T(n − 1, d, k, k − t + 1).
    pub(super) fn correctness(&self, k: u16, t: u16) -> f64 {
        let lost = u32::from(k) - u32::from(t) + 1;
        libm::log2(f64::from(self.n)) + self.among_others(self.dropout, k).log2_at_least(lost)
    }

    /// (S1): two members that are honest have windows of h = k/2 positions with t − h corrupt each, so that dropouts can
    /// cut the ring there. log2 3 + log2 ((n − c)(n − c − 1)/2) + 2·log2 T(n − 2, c, h, t − h), for t > h.
    pub(super) fn connection(&self, k: u16, t: u16) -> f64 {
        let (window, honest) = (u32::from(k / 2), self.honest());
        let corrupt = Hypergeometric::new(self.n - 2, self.corrupt, window);
        let pairs = honest * (honest - 1.0) / 2.0;
        libm::log2(ATTEMPTS) + libm::log2(pairs) + 2.0 * corrupt.log2_at_least(u32::from(t) - window)
    }

    /// (S2): some honest member has `t` corrupt neighbours, who know its secrets.
    /// log2 3 + log2 (n − c) + log2 T(n − 1, c, k, t).
    pub(super) fn share_secrecy(&self, k: u16, t: u16) -> f64 {
        let corrupt = self.among_others(self.corrupt, k);
        libm::log2(ATTEMPTS) + libm::log2(self.honest()) + corrupt.log2_at_least(u32::from(t))
    }

    /// The largest t in h + 1..=k that passes (C), which grows with t.
    pub(super) fn largest_correct_threshold(&self, k: u16) -> Option<u16> {
        let correct = |t: u16| self.correctness(k, t) <= -self.correctness_bits;
        let (mut low, mut high) = (k / 2 + 1, k);
        if !correct(low) {
            return None;
        }
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if correct(middle) { low = middle } else { high = middle - 1 }
        }
        Some(low)
    }

    /// (S1) and (S2) for a ring of degree `k`, with h < t ≤ k ≤ n − 2.
    pub(super) fn check(&self, k: u16, t: u16) -> Result<(), WeakParameters> {
        let ceiling = -self.security_bits;
        let connection = self.connection(k, t);
        if connection > ceiling {
            return Err(WeakParameters::Connection { k, t, expected: ceiling, got: connection });
        }
        let secrecy = self.share_secrecy(k, t);
        if secrecy > ceiling {
            return Err(WeakParameters::ShareSecrecy { k, t, expected: ceiling, got: secrecy });
        }
        Ok(())
    }

    fn honest(&self) -> f64 {
        f64::from(self.n.saturating_sub(self.corrupt))
    }

    /// How many of a member's `k` neighbours are among the `marked` of the n − 1 others.
    fn among_others(&self, marked: u32, k: u16) -> Hypergeometric {
        Hypergeometric::new(self.n - 1, marked, u32::from(k))
    }
}
