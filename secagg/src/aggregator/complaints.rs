//! Who is left out because of bad shares, and who shares then (section 7.3).
//!
//! A complaint is one word against another: it cannot be proved who lied. So nobody is blamed; whoever complains alone
//! about many, and then whoever many complain about, is left out like a dropout.

use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::identity::{Bitmap, Member};

/// The outcome of the received phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `U`: who shares.
    pub sharers: Bitmap,
    /// Left out by the rule, although they sent everything.
    pub suspected: Bitmap,
}

/// Applies the rule to the members that dealt and sent `received`, each with the dealers that it found bad.
pub(super) fn judge(graph: &Graph, n: u16, t: u16, most: usize, received: &BTreeMap<Member, Bitmap>) -> Verdict {
    let against = |dealer: Member, among: &Bitmap| {
        received.iter().filter(|(holder, bad)| among.get(**holder) && bad.get(dealer)).count()
    };
    let everybody = Bitmap::of(n, received.keys().copied());
    let lonely = |bad: &Bitmap| bad.iter().filter(|&dealer| against(dealer, &everybody) == 1).count();
    let complainers = received.iter().filter(|(_, bad)| lonely(bad) > most).map(|(&holder, _)| holder);
    let mut suspected = Bitmap::of(n, complainers);

    let heard = without(&everybody, &suspected);
    let dealers: Vec<Member> = heard.iter().filter(|&dealer| against(dealer, &heard) > most).collect();
    dealers.into_iter().for_each(|dealer| suspected.insert(dealer));

    let sharers = prune(graph, t, without(&everybody, &suspected));
    Verdict { sharers, suspected }
}

/// L: how many complaints one member may make alone, or have against it.
pub(super) fn most_complaints(k: u16, t: u16) -> usize {
    usize::from(k.saturating_sub(t) / 4).max(1)
}

/// Takes out, repeatedly, the members with fewer than `t` neighbours left in the set.
pub(super) fn prune(graph: &Graph, t: u16, mut set: Bitmap) -> Bitmap {
    loop {
        let lonely: Vec<Member> = set.iter().filter(|&member| neighbours_in(graph, member, &set) < usize::from(t)).collect();
        if lonely.is_empty() {
            return set;
        }
        lonely.into_iter().for_each(|member| set.remove(member));
    }
}

/// How many neighbours of `member` are in `set`.
fn neighbours_in(graph: &Graph, member: Member, set: &Bitmap) -> usize {
    graph.neighbours(member).iter().filter(|&&neighbour| set.get(neighbour)).count()
}

/// The members of `set` that are not in `less`.
pub(super) fn without(set: &Bitmap, less: &Bitmap) -> Bitmap {
    Bitmap::of(set.n(), set.iter().filter(|&member| !less.get(member)))
}
