//! The largest of some numbers, without anybody seeing which.
//!
//! All pairs are compared at once: one comparison's rounds for any number of candidates. Of a pair i < j the second wins
//! where x_j > x_i, so equal numbers leave the first in front, as they do in plaintext.
//!
//! How many are in front of candidate i is counted in a tree over one-hot counters, as far as `k` needs it:
//! count r of two halves is the sum over s of (count s of the one) & (count r - s of the other).

use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::share::{BitShares, NEXT, OWN, Shares};

/// Candidates that are compared all with all: beyond it, groups of so many hand on their largest.
const TOGETHER: usize = 40;

/// As few levels as groups of [`TOGETHER`] give, and groups on each that are equally large.
const fn group_size(n: usize) -> usize {
    let (mut levels, mut reached) = (1, TOGETHER);
    while reached < n {
        levels += 1;
        reached *= TOGETHER;
    }
    let mut size = 2_usize;
    while size.pow(levels) < n {
        size += 1;
    }
    size
}

impl<C: Channel> Computation<C> {
    /// One-hot vectors of the first, second, … k-th largest of each row: `[rows, n]` to `[k, rows, n]` numbers 0 and 1.
    /// Differences lie below 2^(bits-1).
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn largest(&mut self, x: &Shares, n: usize, k: usize, bits: u32) -> Result<Shares, SmpcError> {
        let rows = x.len() / n;
        let planes = self.ranks(x, n, k, bits)?;
        let lanes = rows * n;
        // One conversion for all ranks: planes have whole words, so their lanes follow each other with gaps.
        let long = BitShares { words: planes.words * k, parts: planes.parts };
        let numbers = self.plane_to_numbers(&long, planes.words * k * 64)?;
        let rank = |rank: usize| rank * planes.words * 64..rank * planes.words * 64 + lanes;
        Ok(Shares::concat(&(0..k).map(|at| numbers.range(rank(at))).collect::<Vec<_>>().iter().collect::<Vec<_>>()))
    }

    /// The largest of each row: `[rows, n]` to `[rows]`.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn maximum(&mut self, x: &Shares, n: usize, bits: u32) -> Result<Shares, SmpcError> {
        let (mut x, mut n) = (x.clone(), n);
        while n > 1 {
            let size = group_size(n);
            let groups = n.div_ceil(size);
            // The last group is filled up with its own last candidate.
            let rows = x.len() / n;
            let places = (0..rows).flat_map(|row| (0..groups * size).map(move |at| row * n + at.min(n - 1)));
            x = x.gather(&places.collect::<Vec<_>>());
            let chosen = self.largest(&x, size, 1, bits)?;
            let products = self.inner_products("maximum", &x, &chosen, size, 64)?;
            x = self.replicate(products)?;
            n = groups;
        }
        Ok(x)
    }

    /// `[k]` planes of `rows * n` lanes: whether candidate i of its row has rank 0, 1, …
    fn ranks(&mut self, x: &Shares, n: usize, k: usize, bits: u32) -> Result<BitShares, SmpcError> {
        let rows = x.len() / n;
        if n == 1 {
            let ones = vec![u64::MAX; rows.div_ceil(64)];
            return Ok(BitShares::zeros(1, ones.len()).xor_public(self.party(), &ones));
        }
        let pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
        let of = |side: fn(&(usize, usize)) -> usize| {
            let pairs = &pairs;
            let places = (0..rows).flat_map(move |row| pairs.iter().map(move |pair| row * n + side(pair)));
            x.gather(&places.collect::<Vec<_>>())
        };
        let second_wins = self.is_negative(&of(|pair| pair.0).minus(&of(|pair| pair.1)), bits)?;
        let mut counters: Vec<Vec<BitShares>> =
            (0..n - 1).map(|slot| self.in_front(&second_wins, &pairs, (rows, n), slot)).collect();
        while counters.len() > 1 {
            counters = self.add_counters(counters, k)?;
        }
        let planes: Vec<BitShares> = counters.into_iter().flatten().take(k).collect();
        Ok(BitShares::stack(&planes.iter().collect::<Vec<_>>()))
    }

    /// Counts 0 and 1 of whether the candidate `slot + 1` places after i (around the row) is in front of i.
    fn in_front(
        &self,
        second_wins: &BitShares,
        pairs: &[(usize, usize)],
        (rows, n): (usize, usize),
        slot: usize,
    ) -> Vec<BitShares> {
        let words = (rows * n).div_ceil(64);
        let mut in_front = BitShares::zeros(1, words);
        let mut turned = vec![0_u64; words];
        for lane in 0..rows * n {
            let (row, i) = (lane / n, lane % n);
            let j = (i + 1 + slot) % n;
            let (low, high) = (i.min(j), i.max(j));
            // Pair (low, high) in the order of `pairs`.
            let pair = row * pairs.len() + low * (2 * n - low - 1) / 2 + high - low - 1;
            for at in [OWN, NEXT] {
                in_front.parts[at][lane / 64] |= (second_wins.parts[at][pair / 64] >> (pair % 64) & 1) << (lane % 64);
            }
            if j < i {
                turned[lane / 64] |= 1 << (lane % 64);
            }
        }
        let one = in_front.xor_public(self.party(), &turned);
        let zero = one.clone().xor_public(self.party(), &vec![u64::MAX; words]);
        vec![zero, one]
    }

    /// Counters of pairs of neighbours added: one round.
    fn add_counters(&mut self, counters: Vec<Vec<BitShares>>, k: usize) -> Result<Vec<Vec<BitShares>>, SmpcError> {
        let terms = |pair: &[Vec<BitShares>]| match pair {
            [one, other] => (0..one.len().min(k))
                .flat_map(|s| (0..other.len().min(k)).map(move |t| (s, t)))
                .filter(|(s, t)| s + t < k)
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for pair in counters.chunks(2) {
            for (s, t) in terms(pair) {
                left.push(&pair[0][s]);
                right.push(&pair[1][t]);
            }
        }
        let products = self.and("ranks", &BitShares::stack(&left), &BitShares::stack(&right))?;
        let mut from = 0;
        let mut added = Vec::with_capacity(counters.len().div_ceil(2));
        for pair in counters.chunks(2) {
            let terms = terms(pair);
            if terms.is_empty() {
                added.push(pair[0].clone());
                continue;
            }
            let mut sums: Vec<Option<BitShares>> = vec![None; k];
            for (s, t) in terms {
                let product = products.planes(from..from + 1);
                from += 1;
                sums[s + t] = Some(sums[s + t].as_ref().map_or_else(|| product.clone(), |sum| sum.xor(&product)));
            }
            added.push(sums.into_iter().flatten().collect());
        }
        Ok(added)
    }
}
