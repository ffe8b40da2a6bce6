//! Who is left out because of bad shares, and who shares then (section 7.3).
//!
//! A complaint is one word against another: it cannot be proved who lied. So nobody is blamed; whoever complains alone
//! about many, and then whoever many complain about, is left out like a dropout.

use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::identity::{Bitmap, Member};
use crate::messages::OutCause;

/// The outcome of the received phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `U`: who shares.
    pub(super) sharers: Bitmap,
    /// Those of them that stay before the threshold is asked for.
    pub(super) staying: Bitmap,
    /// Sent *received*.
    heard: Bitmap,
    /// Left out for complaining alone about more than L.
    pub(super) complainers: Bitmap,
    /// Left out because more than L complain about them.
    pub(super) complained_of: Bitmap,
}

impl Verdict {
    /// Why a dealer does not share, none if it does.
    pub(super) fn cause(&self, dealer: Member) -> Option<OutCause> {
        if self.sharers.get(dealer) {
            None
        } else if !self.heard.get(dealer) {
            Some(OutCause::Late)
        } else if self.complainers.get(dealer) {
            Some(OutCause::Complaints)
        } else if self.complained_of.get(dealer) {
            Some(OutCause::ComplainedOf)
        } else {
            Some(OutCause::FewNeighbours)
        }
    }
}

/// Applies the rule to the members that dealt and sent `received`, each with the dealers that it found bad. `most` is L.
pub(super) fn judge(graph: &Graph, t: u16, most: usize, received: &BTreeMap<Member, Bitmap>) -> Verdict {
    let n = graph.n();
    let heard = Bitmap::of(n, received.keys().copied());
    let counts = complaints(n, received.values());
    let alone = |bad: &Bitmap| bad.iter().filter(|dealer| counts[dealer.index()] == 1).count();
    let lonely = received.iter().filter(|(_, bad)| alone(bad) > most);
    let complainers = Bitmap::of(n, lonely.map(|(&holder, _)| holder));

    let believed = received.iter().filter(|(holder, _)| !complainers.get(**holder));
    let counts = complaints(n, believed.map(|(_, bad)| bad));
    let many = heard.iter().filter(|dealer| counts[dealer.index()] > most && !complainers.get(*dealer));
    let complained_of = Bitmap::of(n, many);

    let staying = heard.iter().filter(|&member| !complainers.get(member) && !complained_of.get(member));
    let staying = Bitmap::of(n, staying);
    Verdict { sharers: graph.core(&staying, t), staying, heard, complainers, complained_of }
}

/// L = max(1, ⌊(k − t)/4⌋): how many complaints one member may make alone, or have against it.
pub(super) fn most_complaints(k: u16, t: u16) -> usize {
    usize::from(k.saturating_sub(t) / 4).max(1)
}

/// How many complain about each member. `[n]`
fn complaints<'a>(n: u16, bad: impl Iterator<Item = &'a Bitmap>) -> Vec<usize> {
    let mut counts = vec![0; usize::from(n)];
    bad.flat_map(|bad| bad.iter()).for_each(|dealer| counts[dealer.index()] += 1);
    counts
}

#[cfg(test)]
mod tests;
