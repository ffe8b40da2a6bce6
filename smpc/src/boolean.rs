//! AND gates over bit planes, and the carries of additions.
//!
//! An AND gate is a product over GF(2): z_i = x_i y_i ⊕ x_i y_{i+1} ⊕ x_{i+1} y_i ⊕ a_i ⊕ a_{i+1}, 64 gates in a word.

use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::share::{BitShares, NEXT, OWN};

/// Whether a run of positions makes a carry (`generate`) or hands one on (`propagate`): one plane each per position.
#[derive(Clone)]
pub struct Carry {
    /// g.
    pub generate: BitShares,
    /// p.
    pub propagate: BitShares,
}

impl<C: Channel> Computation<C> {
    /// x & y, plane by plane: one round.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn and(&mut self, name: &'static str, x: &BitShares, y: &BitShares) -> Result<BitShares, SmpcError> {
        let step = self.begin(name);
        let zero = self.random(step, x.parts[OWN].len())?;
        let gate = |at: usize| {
            let (x, x_next, y, y_next) = (x.parts[OWN][at], x.parts[NEXT][at], y.parts[OWN][at], y.parts[NEXT][at]);
            x & (y ^ y_next) ^ x_next & y ^ zero[OWN][at] ^ zero[NEXT][at]
        };
        let own: Vec<u64> = (0..zero[OWN].len()).map(gate).collect();
        self.send(step, self.party().previous(), own.iter().flat_map(|word| word.to_le_bytes()).collect())?;
        let body = self.receive(step, self.party().next(), own.len() * 8)?;
        let next: Vec<u64> = body.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        if self.records() {
            self.record_gates(x, y, &zero, &next);
        }
        Ok(BitShares { words: x.words, parts: [own, next] })
    }

    fn record_gates(&mut self, x: &BitShares, y: &BitShares, zero: &[Vec<u64>; 2], z_next: &[u64]) {
        let tape = &mut self.tapes.bits;
        for (at, z) in z_next.iter().enumerate() {
            let ([x, x_next], [y, y_next]) = ([OWN, NEXT].map(|part| x.parts[part][at]), [OWN, NEXT].map(|part| y.parts[part][at]));
            tape.proving.left.extend([x, y]);
            tape.proving.right.extend([y_next, x_next]);
            tape.proving.ends.push(tape.proving.left.len());
            tape.left.known.extend([x_next, y_next]);
            tape.left.ends.push(tape.left.known.len());
            tape.left.target.push(z ^ (x_next & y_next) ^ zero[NEXT][at]);
            tape.right.known.extend([y, x]);
            tape.right.ends.push(tape.right.known.len());
            tape.right.target.push(zero[OWN][at]);
        }
    }

    /// Whether each of some runs of positions makes or hands on a carry: a plane each. All runs share their rounds, of
    /// which there are as many as the longest run has halvings.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn carries_over(&mut self, name: &'static str, mut runs: Vec<Carry>) -> Result<Vec<Carry>, SmpcError> {
        while runs.iter().any(|run| run.generate.width() > 1) {
            let pairs: Vec<Pair> = runs.iter().map(Pair::of).collect();
            let combined = self.combine(name, &pairs)?;
            runs = pairs.into_iter().zip(combined).map(|(pair, joined)| pair.with_odd_one(joined)).collect();
        }
        Ok(runs)
    }

    /// (g, p) of pairs of neighbouring runs: g = g_high ⊕ p_high g_low, p = p_high p_low.
    fn combine(&mut self, name: &'static str, pairs: &[Pair]) -> Result<Vec<Carry>, SmpcError> {
        let left: Vec<&BitShares> = pairs.iter().flat_map(|pair| [&pair.high.propagate, &pair.high.propagate]).collect();
        let right: Vec<&BitShares> = pairs.iter().flat_map(|pair| [&pair.low.generate, &pair.low.propagate]).collect();
        let both = self.and(name, &BitShares::stack(&left), &BitShares::stack(&right))?;
        let mut from = 0;
        let mut planes = |width: usize| {
            from += width;
            both.planes(from - width..from)
        };
        Ok(pairs
            .iter()
            .map(|pair| {
                let width = pair.low.generate.width();
                let generate = pair.high.generate.xor(&planes(width));
                Carry { generate, propagate: planes(width) }
            })
            .collect())
    }

    /// The carries into every position of x + y from below, and out of the last one: `width + 1` planes, the first zero.
    /// By Sklansky's tree: as many rounds as `width` has halvings.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn all_carries(&mut self, name: &'static str, run: Carry) -> Result<BitShares, SmpcError> {
        let width = run.generate.width();
        let (mut run, mut block) = (run, 1);
        while block < width {
            let upper: Vec<usize> = (0..width).filter(|at| at & block != 0).collect();
            let lower = || upper.iter().map(|at| (at & !(2 * block - 1)) + block - 1);
            let of = |planes: &BitShares| planes.select(upper.iter().copied());
            let pair = Pair {
                high: Carry { generate: of(&run.generate), propagate: of(&run.propagate) },
                low: Carry { generate: run.generate.select(lower()), propagate: run.propagate.select(lower()) },
                odd: None,
            };
            for joined in self.combine(name, std::slice::from_ref(&pair))? {
                run.generate.replace(&upper, &joined.generate);
                run.propagate.replace(&upper, &joined.propagate);
            }
            block *= 2;
        }
        Ok(BitShares::stack(&[&BitShares::zeros(1, run.generate.words), &run.generate]))
    }
}

/// The positions of a run as pairs of neighbours, and the highest where their number is odd.
struct Pair {
    low: Carry,
    high: Carry,
    odd: Option<Carry>,
}

impl Pair {
    fn of(run: &Carry) -> Self {
        let width = run.generate.width();
        let of = |from: usize, to: usize, step: usize| {
            let places = (from..to).step_by(step);
            Carry { generate: run.generate.select(places.clone()), propagate: run.propagate.select(places) }
        };
        let even = width & !1;
        Self { low: of(0, even, 2), high: of(1, even, 2), odd: (width > even).then(|| of(even, width, 1)) }
    }

    fn with_odd_one(self, joined: Carry) -> Carry {
        match self.odd {
            None => joined,
            Some(odd) => Carry {
                generate: BitShares::stack(&[&joined.generate, &odd.generate]),
                propagate: BitShares::stack(&[&joined.propagate, &odd.propagate]),
            },
        }
    }
}
