//! What came of a simulation.

use std::collections::BTreeMap;

use serde::Serialize;

/// All cohorts of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulationReport {
    /// What all randomness came from.
    pub seed: u64,
    /// Values of an update.
    pub entries: u32,
    /// In their order.
    pub cohorts: Vec<CohortReport>,
}

/// One cohort.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CohortReport {
    /// Its number.
    pub cohort: u16,
    /// Members called.
    pub called: u32,
    /// Members of the announced cohort.
    pub n: u16,
    /// Neighbours of each.
    pub k: u16,
    /// Shares that rebuild a secret.
    pub t: u16,
    /// Votes that certify a set.
    pub q: u16,
    /// `B`.
    pub modulus_bits: u8,
    /// α: the least part of a cohort whose sum can be learned.
    pub alpha: f64,
    /// The phases in order of their beginnings.
    pub phases: Vec<PhaseReport>,
    /// Members whose vectors the sum holds.
    pub survivors: usize,
    /// Why the round ended.
    pub end: String,
    /// Σw, if there is a sum.
    pub weight: Option<u64>,
    /// The greatest distance of the decoded weighted mean from that of the real updates, if there is a sum. The sum itself
    /// is the plain sum to the bit, or there is no report.
    pub max_abs_error: Option<f64>,
    /// ε of the release as the participants were told, if there is a sum; infinite without noise, which JSON has as null.
    pub epsilon: Option<f64>,
    /// Masks that the aggregator removed.
    pub expansions: usize,
    /// What the round cost the aggregator.
    pub server: ServerCost,
    /// What it cost a survivor: the median of each figure.
    pub participant: ParticipantCost,
    /// Bytes of a survivor by kind: the median of each.
    pub bytes: Bytes,
    /// BLAKE3 over all messages in order, each with its receiver or sender: the same for the same plan and seed.
    pub transcript: String,
}

/// One phase of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseReport {
    /// Its name.
    pub phase: String,
    /// The attempt at joining, from 0.
    pub attempt: u8,
    /// Messages that the aggregator got in it.
    pub messages: u32,
    /// CPU seconds of the aggregator in it.
    pub server_s: f64,
}

/// CPU seconds and memory of the aggregator.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServerCost {
    /// In the core: signatures, trees, shares, keys.
    pub protocol_s: f64,
    /// Hashing payloads and adding them.
    pub adding_s: f64,
    /// Removing masks.
    pub unmasking_s: f64,
    /// Reading the sum and hashing it.
    pub finishing_s: f64,
    /// The most bytes of vectors that it held at once.
    pub vector_bytes: u64,
    /// Bytes of the messages that it took and of the announcements that were under way at once, at most.
    pub message_bytes: u64,
    /// The growth of this process' resident memory while the aggregator worked, at most; only measured with parked
    /// participants, on Linux.
    pub resident_bytes: Option<u64>,
}

impl ServerCost {
    /// All CPU seconds.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.protocol_s + self.adding_s + self.unmasking_s + self.finishing_s
    }
}

/// CPU seconds of a participant.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ParticipantCost {
    /// In the core.
    pub protocol_s: f64,
    /// Quantising, masking, packing and hashing the vector.
    pub masking_s: f64,
}

impl ParticipantCost {
    /// All CPU seconds.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.protocol_s + self.masking_s
    }
}

/// Bytes of one participant by kind of message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Sent.
    pub up: BTreeMap<&'static str, u64>,
    /// Received.
    pub down: BTreeMap<&'static str, u64>,
}

impl Bytes {
    /// All bytes, both ways.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.up.values().chain(self.down.values()).sum()
    }

    pub(crate) fn up(&mut self, kind: &'static str, bytes: usize) {
        *self.up.entry(kind).or_default() += bytes as u64;
    }

    pub(crate) fn down(&mut self, kind: &'static str, bytes: usize) {
        *self.down.entry(kind).or_default() += bytes as u64;
    }

    /// The median of each kind.
    pub(crate) fn median(all: &[&Self]) -> Self {
        let of = |way: fn(&Self) -> &BTreeMap<&'static str, u64>| {
            let kinds: std::collections::BTreeSet<&'static str> =
                all.iter().flat_map(|bytes| way(bytes).keys().copied()).collect();
            let figure = |kind| {
                let mut figures: Vec<u64> =
                    all.iter().map(|bytes| way(bytes).get(kind).copied().unwrap_or_default()).collect();
                figures.sort_unstable();
                figures[figures.len() / 2]
            };
            kinds.into_iter().map(|kind| (kind, figure(kind))).collect()
        };
        Self { up: of(|bytes| &bytes.up), down: of(|bytes| &bytes.down) }
    }
}

/// The middle one of some figures; 0 of none.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_by_kind() {
        let of = |join, inbox| {
            let mut bytes = Bytes::default();
            bytes.up("join", join);
            bytes.down("inbox", inbox);
            bytes
        };
        let all = [of(1, 10), of(3, 30), of(2, 20)];
        let median = Bytes::median(&all.iter().collect::<Vec<_>>());
        assert_eq!((median.up["join"], median.down["inbox"], median.total()), (2, 20, 22));
        assert_eq!(super::median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(super::median(std::iter::empty()), 0.0);
    }
}
