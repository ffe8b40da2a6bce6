//! k, t and q: the aggregator finds them, a participant checks what it is shown (section 11).
//!
//! The bounds hold for whatever dropouts the aggregator chooses after it has seen the graph; why, the section says.

mod bounds;
mod refusal;

use std::ops::RangeInclusive;

use bounds::Bounds;
pub use refusal::{NoParameters, WeakParameters};

/// Up to this many members everybody is everybody's neighbour: a ring that passes would hardly be sparser.
pub const COMPLETE_UP_TO: u16 = 128;

/// The most neighbours of a member: with 1,600 an inbox is just below 1 MiB, twice as many would not fit a message.
pub const MOST_NEIGHBOURS: u16 = 1_600;

/// How much better than a participant demands the finder wants (S1) and (S2), in bits. Far above what logarithms of
/// other libraries differ by, far below what would change a `k`.
const FINDER_MARGIN_BITS: f64 = 1.0 / 1024.0;

/// Basis points of the whole.
const WHOLE_BPS: u64 = 10_000;

/// What a cohort declares, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// n: members of the cohort.
    pub n: u16,
    /// N: members that the roster lists in the configuration's batches.
    pub rostered: u32,
    /// γ: how many of the rostered may be corrupt, in 1/10,000.
    pub corrupt_bps: u16,
    /// δ: how many of the cohort may drop out, in 1/10,000.
    pub dropout_bps: u16,
    /// σ: a security failure has a probability of at most 2^−σ.
    pub security_bits: u8,
    /// η: a round of honest members with at most d dropouts fails with a probability of at most 2^−η.
    pub correctness_bits: u8,
}

impl Demand {
    /// c = ⌈γN⌉: tolerated corrupt members. Counted from the roster, so whoever stays away does not dilute them.
    #[must_use]
    pub fn corrupt(&self) -> u16 {
        let corrupt = (u64::from(self.corrupt_bps) * u64::from(self.rostered)).div_ceil(WHOLE_BPS);
        u16::try_from(corrupt).unwrap_or(u16::MAX)
    }

    /// d = ⌊δn⌋: tolerated dropouts, at most n.
    #[must_use]
    pub fn dropout(&self) -> u16 {
        let dropout = u64::from(self.dropout_bps) * u64::from(self.n) / WHOLE_BPS;
        u16::try_from(dropout).unwrap_or(u16::MAX).min(self.n)
    }

    /// n − d: the fewest sharers, survivors and answers of a round that finishes.
    #[must_use]
    pub fn least_survivors(&self) -> u16 {
        self.n - self.dropout()
    }

    /// n − d − c: how many honest members every sum that comes out covers at least.
    #[must_use]
    pub fn honest_at_least(&self) -> u16 {
        self.least_survivors().saturating_sub(self.corrupt())
    }

    /// The least q with 2q > n + c, so that two sets of q voters share an honest one.
    #[must_use]
    pub fn least_quorum(&self) -> u32 {
        (u32::from(self.n) + u32::from(self.corrupt())) / 2 + 1
    }
}

/// The graph's degree, the threshold of the shares and the quorum of the votes, with what they tolerate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Neighbours of every member: n − 1 (complete graph), or even, h = k/2 on either side of the ring.
    pub k: u16,
    /// Shares that rebuild a secret, and surviving neighbours that every survivor keeps.
    pub t: u16,
    /// Votes that certify a set.
    pub q: u16,
    /// c: tolerated corrupt members.
    pub corrupt: u16,
    /// d: tolerated dropouts.
    pub dropout: u16,
}

/// The sparsest graph that serves `demand`, with the largest threshold that survives its dropouts and the least quorum.
///
/// # Errors
/// When more corruption and dropout is declared than votes or any graph can bear.
pub fn find(demand: &Demand) -> Result<Parameters, NoParameters> {
    let (n, corrupt, dropout) = (demand.n, demand.corrupt(), demand.dropout());
    let quorum = demand.least_quorum();
    let voters = demand.least_survivors();
    let q = u16::try_from(quorum).ok().filter(|&q| q <= voters);
    let q = q.ok_or(NoParameters::Quorum { n, corrupt, dropout, quorum, voters })?;
    let bounds = Bounds::new(demand);
    let found = find_ring(demand, &bounds).or_else(|| find_complete(demand));
    let (k, t) = found.ok_or(NoParameters::Graph { n, corrupt, dropout })?;
    Ok(Parameters { k, t, q, corrupt, dropout })
}

/// The first even k whose largest correct t passes (S1) and (S2).
fn find_ring(demand: &Demand, bounds: &Bounds) -> Option<(u16, u16)> {
    if demand.n <= COMPLETE_UP_TO {
        return None;
    }
    let ceiling = -bounds.security_bits() - FINDER_MARGIN_BITS;
    (4..=most_ring_neighbours(demand.n)).step_by(2).find_map(|k| {
        let t = bounds.largest_correct_threshold(k)?;
        let passes = bounds.connection(k, t) <= ceiling && bounds.share_secrecy(k, t) <= ceiling;
        passes.then_some((k, t))
    })
}

/// Everybody next to everybody: t = n − 1 − d must exceed c.
fn find_complete(demand: &Demand) -> Option<(u16, u16)> {
    let k = demand.n.checked_sub(1).filter(|&k| k <= MOST_NEIGHBOURS)?;
    let t = k.checked_sub(demand.dropout()).filter(|&t| t > demand.corrupt())?;
    Some((k, t))
}

/// The most neighbours on a ring that is not complete: two windows of k/2 positions and two members beside them fit.
fn most_ring_neighbours(n: u16) -> u16 {
    n.saturating_sub(2).min(MOST_NEIGHBOURS)
}

/// Whether the announced parameters keep this participant's secret, given what the configuration declares. Evaluates
/// (Q), (S1), (S2) or t > c; searches nothing, and leaves correctness to the aggregator.
///
/// # Errors
/// The first bound that does not hold, with what was expected.
pub fn check(demand: &Demand, announced: &Parameters) -> Result<(), WeakParameters> {
    check_tolerance(demand, announced)?;
    check_quorum(demand, announced.q)?;
    check_degree(demand.n, announced.k)?;
    let complete = announced.k == demand.n - 1;
    check_threshold(demand, announced, complete)?;
    if complete { Ok(()) } else { Bounds::new(demand).check(announced.k, announced.t) }
}

/// c and d are the participant's own count, from the roster and the configuration.
fn check_tolerance(demand: &Demand, announced: &Parameters) -> Result<(), WeakParameters> {
    let (corrupt, dropout) = (demand.corrupt(), demand.dropout());
    if announced.corrupt != corrupt {
        return Err(WeakParameters::Corrupt { expected: corrupt, got: announced.corrupt });
    }
    if announced.dropout != dropout {
        return Err(WeakParameters::Dropout { expected: dropout, got: announced.dropout });
    }
    Ok(())
}

/// (Q): 2q > n + c, and no more votes than members who stay.
fn check_quorum(demand: &Demand, q: u16) -> Result<(), WeakParameters> {
    let (least, most) = (demand.least_quorum(), demand.least_survivors());
    let holds = u32::from(q) >= least && q <= most;
    if holds { Ok(()) } else { Err(WeakParameters::Quorum { least, most, got: q }) }
}

/// Section 6: complete up to 128 members, otherwise complete or a ring; never more than an inbox holds.
fn check_degree(n: u16, k: u16) -> Result<(), WeakParameters> {
    let complete = n > 0 && k == n - 1;
    let ring = n > COMPLETE_UP_TO && k.is_multiple_of(2) && (4..=most_ring_neighbours(n)).contains(&k);
    let holds = k <= MOST_NEIGHBOURS && (complete || ring);
    if holds { Ok(()) } else { Err(WeakParameters::Degree { n, got: k }) }
}

/// t ≤ k, and t > c in the complete graph, t > h on a ring.
fn check_threshold(demand: &Demand, announced: &Parameters, complete: bool) -> Result<(), WeakParameters> {
    let above = if complete { demand.corrupt() } else { announced.k / 2 };
    let holds = announced.t > above && announced.t <= announced.k;
    if holds { Ok(()) } else { Err(WeakParameters::Threshold { above, most: announced.k, got: announced.t }) }
}

/// (n − d − c)/n of this cohort size: the share of the cohort that every sum covers with honest members at least.
#[must_use]
pub fn alpha(demand: &Demand) -> f64 {
    if demand.n == 0 { 0.0 } else { f64::from(demand.honest_at_least()) / f64::from(demand.n) }
}

/// The least [`alpha`] over all cohort sizes in `members`, which is what a participant is shown before it joins:
/// rounding makes α jump, so the smallest cohort need not have it. `demand.n` is not used; 0 for an empty range.
#[must_use]
pub fn least_alpha(demand: &Demand, members: RangeInclusive<u16>) -> f64 {
    members.map(|n| alpha(&Demand { n, ..*demand })).reduce(f64::min).unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
