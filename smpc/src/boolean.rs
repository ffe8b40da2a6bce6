//! AND gates over bit planes, and the carries of additions.
//!
//! An AND gate is a product over GF(2): z_i = x_i y_i ⊕ x_i y_{i+1} ⊕ x_{i+1} y_i ⊕ a_i ⊕ a_{i+1}, 64 gates in a word.

use std::borrow::Cow;

use crate::channel::Channel;
use crate::computation::{Computation, Step};
use crate::error::SmpcError;
use crate::ring::packing::write_words;
use crate::share::{BitShares, NEXT, OWN};
use crate::tape::Run;

/// Whether runs of positions make a carry (`generate`) or hand one on (`propagate`): one plane each per position.
#[derive(Clone)]
pub struct Carry {
    /// g.
    pub generate: BitShares,
    /// p.
    pub propagate: BitShares,
}

/// Neighbouring positions.
#[derive(Clone)]
pub struct Positions {
    /// Which planes.
    pub range: std::ops::Range<usize>,
    /// Whether the run as a whole hands on a carry is asked too. Otherwise p of the lowest position counts nothing.
    pub is_inner: bool,
}

/// One plane of a sharing.
pub type Plane<'a> = (&'a BitShares, usize);

impl<C: Channel> Computation<C> {
    /// x & y, plane by plane: one round.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn and(&mut self, name: &'static str, x: &BitShares, y: &BitShares) -> Result<BitShares, SmpcError> {
        let all = |of| (0..x.width()).map(|plane| (of, plane)).collect::<Vec<Plane<'_>>>();
        self.and_planes(name, x.words, &all(x), &all(y))
    }

    /// x & y of planes of `words` words, wherever they stand: one round.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn and_planes(
        &mut self,
        name: &'static str,
        words: usize,
        x: &[Plane<'_>],
        y: &[Plane<'_>],
    ) -> Result<BitShares, SmpcError> {
        let step = self.begin(name);
        let (own, masks) = self.own_gates(step, words, [x, y])?;
        self.send(step, self.party().previous(), to_bytes(&own))?;
        let next = to_words(&self.receive(step, self.party().next(), own.len() * 8)?);
        if self.records() {
            self.record_gates(words, [x, y], &masks, &next);
            self.prove_if_many()?;
        }
        Ok(BitShares { words, parts: [own, next] })
    }

    /// x & y ⊕ `mask` of planes of `words` words, opened as it is made: one round. The mask's bits are uniform, and used up.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub(crate) fn and_opened(
        &mut self,
        name: &'static str,
        x: &[Plane<'_>],
        y: &[Plane<'_>],
        mask: &BitShares,
    ) -> Result<Vec<u64>, SmpcError> {
        let step = self.begin(name);
        let (own, masks) = self.own_gates(step, mask.words, [x, y])?;
        let both = |x: &[u64], y: &[u64]| x.iter().zip(y).map(|(x, y)| x ^ y).collect::<Vec<u64>>();
        let told = both(&own, &mask.parts[OWN]);
        let (previous, next) = (self.party().previous(), self.party().next());
        self.send(step, previous, to_bytes(&told))?;
        self.send(step, next, to_bytes(&told))?;
        let from_next = self.receive(step, next, own.len() * 8)?;
        let from_previous = self.receive(step, previous, own.len() * 8)?;
        if self.is_malicious() {
            self.openings.told_by_next.update(&from_next);
            self.openings.told_by_previous.update(&from_previous);
        }
        let from_next = to_words(&from_next);
        if self.records() {
            self.record_gates(mask.words, [x, y], &masks, &both(&from_next, &mask.parts[NEXT]));
            self.prove_if_many()?;
        }
        Ok(both(&both(&told, &from_next), &to_words(&from_previous)))
    }

    /// Components i of x & y, and the masks a_(i+1) in them.
    fn own_gates(
        &mut self,
        step: Step,
        words: usize,
        [x, y]: [&[Plane<'_>]; 2],
    ) -> Result<(Vec<u64>, Vec<u64>), SmpcError> {
        let [mut own, masks] = self.random(step, x.len() * words)?;
        if self.records() {
            self.tapes.bits.right.target.extend_from_slice(&own);
        }
        for (at, out) in own.chunks_exact_mut(words.max(1)).enumerate() {
            let [x_own, x_next, y_own, y_next] = operands(x[at], y[at]);
            let masks = &masks[at * words..][..words];
            for (i, z) in out.iter_mut().enumerate() {
                *z ^= x_own[i] & (y_own[i] ^ y_next[i]) ^ x_next[i] & y_own[i] ^ masks[i];
            }
        }
        Ok((own, masks))
    }

    /// Writes the relations to the tape, but for the masks that are there already.
    fn record_gates(&mut self, words: usize, [x, y]: [&[Plane<'_>]; 2], masks: &[u64], z_next: &[u64]) {
        let tape = &mut self.tapes.bits;
        let run = Run { relations: z_next.len(), terms: 1, parts: 2 };
        let write = |to: &mut Vec<u64>, planes: &[Plane<'_>], at: usize| {
            planes.iter().for_each(|(of, plane)| to.extend_from_slice(of.plane(at, *plane)));
        };
        for (to, first, second, at) in [
            (&mut tape.proving.left, x, y, OWN),
            (&mut tape.proving.right, y, x, NEXT),
            (&mut tape.left.known, x, y, NEXT),
            (&mut tape.right.known, y, x, OWN),
        ] {
            to.reserve(2 * z_next.len());
            write(to, first, at);
            write(to, second, at);
        }
        tape.left.target.reserve(z_next.len());
        for (at, masks) in masks.chunks_exact(words.max(1)).enumerate() {
            let [_, x, _, y] = operands(x[at], y[at]);
            let z = &z_next[at * words..][..words];
            tape.left.target.extend((0..words).map(|i| z[i] ^ (x[i] & y[i]) ^ masks[i]));
        }
        tape.proving.runs.push(run);
        tape.left.runs.push(run);
        tape.right.runs.push(run);
    }

    /// Whether each of some runs of positions makes or hands on a carry: a plane each. All runs share their rounds, of
    /// which there are as many as the longest run has halvings.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn carries_over(&mut self, name: &'static str, of: &Carry, runs: &[Positions]) -> Result<Carry, SmpcError> {
        let (mut of, mut runs) = (Cow::Borrowed(of), runs.to_vec());
        loop {
            let is_last = runs.iter().all(|run| run.range.len() <= 2);
            let halved = self.halve(name, &of, &runs)?;
            if is_last {
                return Ok(halved);
            }
            let mut from = 0;
            for run in &mut runs {
                let width = run.range.len().div_ceil(2);
                run.range = from..from + width;
                from += width;
            }
            of = Cow::Owned(halved);
        }
    }

    /// Pairs of neighbours of each run made one, run after run: one round, or none where no run has a pair.
    pub(crate) fn halve(&mut self, name: &'static str, of: &Carry, runs: &[Positions]) -> Result<Carry, SmpcError> {
        let (words, mut left, mut right) = (of.generate.words, Vec::new(), Vec::new());
        for (run, low) in runs.iter().flat_map(|run| run.pairs().map(move |low| (run, low))) {
            left.push((&of.propagate, low + 1));
            right.push((&of.generate, low));
            if run.needs_propagate(low) {
                left.push((&of.propagate, low + 1));
                right.push((&of.propagate, low));
            }
        }
        let products =
            if left.is_empty() { BitShares::zeros(0, words) } else { self.and_planes(name, words, &left, &right)? };
        Ok(of.halved(runs, &products))
    }

    /// The carries into every position of x + y from below, and out of the last one: `width + 1` planes, the first zero.
    /// By Sklansky's tree: as many rounds as `width` has halvings.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn all_carries(&mut self, name: &'static str, run: Carry) -> Result<BitShares, SmpcError> {
        let (width, words) = (run.generate.width(), run.generate.words);
        let (mut run, mut block) = (run, 1);
        while block < width {
            let upper: Vec<usize> = (0..width).filter(|at| at & block != 0).collect();
            let begin = |at: &usize| at & !(2 * block - 1);
            // Only what does not reach down to the lowest position may still have to hand on a carry.
            let inner: Vec<usize> = upper.iter().copied().filter(|at| begin(at) > 0).collect();
            let left: Vec<Plane<'_>> = upper.iter().chain(&inner).map(|at| (&run.propagate, *at)).collect();
            let low = |at: &usize| begin(at) + block - 1;
            let generates = upper.iter().map(|at| (&run.generate, low(at)));
            let right: Vec<Plane<'_>> = generates.chain(inner.iter().map(|at| (&run.propagate, low(at)))).collect();
            let products = self.and_planes(name, words, &left, &right)?;
            for (product, at) in upper.iter().enumerate() {
                run.generate.xor_plane(*at, (&products, product));
            }
            run.propagate.replace(&inner, &products.planes(upper.len()..upper.len() + inner.len()));
            block *= 2;
        }
        Ok(BitShares::stack(&[&BitShares::zeros(1, words), &run.generate]))
    }
}

fn to_bytes(words: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_words(words, &mut bytes);
    bytes
}

fn to_words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

/// Components own and next of x, and of y.
fn operands<'a>(x: Plane<'a>, y: Plane<'a>) -> [&'a [u64]; 4] {
    [x.0.plane(OWN, x.1), x.0.plane(NEXT, x.1), y.0.plane(OWN, y.1), y.0.plane(NEXT, y.1)]
}

impl Positions {
    /// The lower ones of pairs of neighbours.
    fn pairs(&self) -> impl Iterator<Item = usize> + use<> {
        self.range.clone().take(self.range.len() & !1).step_by(2)
    }

    /// Whether anybody asks if what begins at position `low` hands on a carry.
    const fn needs_propagate(&self, low: usize) -> bool {
        low > self.range.start || self.is_inner
    }
}

impl Carry {
    /// Pairs of neighbours of each run made one: g = g_high ⊕ p_high g_low, p = p_high p_low, the highest left where
    /// their number is odd. Run follows run.
    fn halved(&self, runs: &[Positions], products: &BitShares) -> Self {
        let (words, width) = (self.generate.words, runs.iter().map(|run| run.range.len().div_ceil(2)).sum::<usize>());
        let planes =
            || BitShares { words, parts: [Vec::with_capacity(width * words), Vec::with_capacity(width * words)] };
        let mut halved = Self { generate: planes(), propagate: planes() };
        let (mut at, mut product) = (0, 0_usize);
        for run in runs {
            for low in run.pairs() {
                halved.generate.push_plane((&self.generate, low + 1));
                halved.generate.xor_plane(at, (products, product));
                product += 1;
                // What nobody asks for may be anything.
                halved.propagate.push_plane((products, product.min(products.width().saturating_sub(1))));
                product += usize::from(run.needs_propagate(low));
                at += 1;
            }
            if run.range.len() % 2 == 1 {
                halved.generate.push_plane((&self.generate, run.range.end - 1));
                halved.propagate.push_plane((&self.propagate, run.range.end - 1));
                at += 1;
            }
        }
        halved
    }
}
