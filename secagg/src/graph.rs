//! Who shares and masks with whom (section 6): a ring drawn from the seed, each member joined to the h on either side.
//!
//! Nobody sends the graph: everybody derives it from the same seed.

mod order;

use neuro_primitives::Hash;

use crate::identity::{Bitmap, Member};

/// The neighbours of all members of one cohort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    n: u16,
    degree: usize,
    /// Around the ring; nobody in the complete graph.
    order: Vec<Member>,
    /// `degree` neighbours of member 0, ascending, then those of member 1, and so on.
    neighbours: Vec<Member>,
}

impl Graph {
    /// The graph of `n` members with `k` neighbours each: complete from k = n − 1 on, else a ring with ⌊k/2⌋ on either
    /// side, in the order that `seed` draws.
    #[must_use]
    pub fn new(n: u16, k: u16, seed: &Hash) -> Self {
        if u32::from(k) + 1 >= u32::from(n) { Self::complete(n) } else { Self::ring(order::drawn(n, seed), k / 2) }
    }

    fn complete(n: u16) -> Self {
        let others = |of: u16| (0..n).filter(move |&other| other != of).map(Member);
        let neighbours = (0..n).flat_map(others).collect();
        Self { n, degree: usize::from(n.saturating_sub(1)), order: Vec::new(), neighbours }
    }

    /// Members at `order[p]` and `order[p′]` are neighbours if p and p′ lie at most `half` apart around the ring.
    fn ring(order: Vec<Member>, half: u16) -> Self {
        let n = order.len();
        let half = usize::from(half);
        let degree = 2 * half;
        let mut neighbours = vec![Member(0); n * degree];
        for (position, member) in order.iter().enumerate() {
            let row = &mut neighbours[member.index() * degree..][..degree];
            for step in 1..=half {
                row[step - 1] = order[(position + step) % n];
                row[half + step - 1] = order[(position + n - step) % n];
            }
            row.sort_unstable();
        }
        Self { n: order.len() as u16, degree, order, neighbours }
    }

    /// Members of the cohort.
    #[must_use]
    pub const fn n(&self) -> u16 {
        self.n
    }

    /// How many neighbours every member has.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.degree
    }

    /// The members around the ring, or nobody if the graph is complete.
    #[must_use]
    pub fn order(&self) -> &[Member] {
        &self.order
    }

    /// The neighbours of a member, ascending; none of a member beyond the cohort.
    #[must_use]
    pub fn neighbours(&self, of: Member) -> &[Member] {
        let start = of.index() * self.degree;
        self.neighbours.get(start..start + self.degree).unwrap_or_default()
    }

    /// Whether the two are neighbours. Nobody is its own.
    #[must_use]
    pub fn are_neighbours(&self, one: Member, other: Member) -> bool {
        self.neighbours(one).binary_search(&other).is_ok()
    }

    /// The neighbours of a member that are in `among`, ascending.
    pub fn neighbours_in<'a>(&'a self, of: Member, among: &'a Bitmap) -> impl Iterator<Item = Member> + 'a {
        self.neighbours(of).iter().copied().filter(|&neighbour| among.get(neighbour))
    }

    /// Whether any two of `among` are joined by a path within `among`. The empty set and a single member are connected.
    #[must_use]
    pub fn is_connected(&self, among: &Bitmap) -> bool {
        let mut unseen = among.clone();
        let Some(first) = among.iter().next() else { return true };
        unseen.remove(first);
        let mut reached = vec![first];
        while let Some(member) = reached.pop() {
            for &neighbour in self.neighbours(member) {
                if unseen.get(neighbour) {
                    unseen.remove(neighbour);
                    reached.push(neighbour);
                }
            }
        }
        unseen.count() == 0
    }

    /// The `least`-core of `among`: what is left after members with fewer than `least` neighbours left are taken out,
    /// repeatedly. So sharers (section 7.3) and survivors (section 9.1) are fixed; the order of taking out does not
    /// matter.
    #[must_use]
    pub fn core(&self, among: &Bitmap, least: u16) -> Bitmap {
        let least = usize::from(least);
        let mut left = among.clone();
        let mut counts: Vec<usize> = (0..self.n).map(|of| self.neighbours_in(Member(of), among).count()).collect();
        let mut leaving: Vec<Member> = among.iter().filter(|of| counts[of.index()] < least).collect();
        leaving.iter().for_each(|&member| left.remove(member));
        while let Some(member) = leaving.pop() {
            for &neighbour in self.neighbours(member) {
                counts[neighbour.index()] -= 1;
                if left.get(neighbour) && counts[neighbour.index()] < least {
                    left.remove(neighbour);
                    leaving.push(neighbour);
                }
            }
        }
        left
    }
}

#[cfg(test)]
mod tests;
