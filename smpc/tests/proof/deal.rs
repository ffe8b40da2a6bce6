//! Tapes of three honest parties.

use neuro_smpc::tape::{MatrixProduct, ProverTape, Run, Runs, Tape, Tapes, VerifierTape};

/// What is to be proved: lengths of relations, sizes of matrices as rows, inner, columns.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    pub ring: Vec<usize>,
    pub bits: Vec<usize>,
    pub matrices: Vec<[usize; 3]>,
}

/// A stream of words.
pub struct Words(blake3::OutputReader, bool);

impl Words {
    pub fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof(), false)
    }

    /// All witnesses are 0.
    pub fn zeros() -> Self {
        Self(blake3::Hasher::new().finalize_xof(), true)
    }

    pub fn take(&mut self, count: usize) -> Vec<u64> {
        let mut bytes = vec![0; 8 * count];
        if !self.1 {
            self.0.fill(&mut bytes);
        }
        bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }
}

/// A ring and its operations on words.
#[derive(Clone, Copy, PartialEq)]
enum Ring {
    Words,
    Bits,
}

impl Ring {
    fn subtract(self, a: u64, b: u64) -> u64 {
        if self == Self::Words { a.wrapping_sub(b) } else { a ^ b }
    }

    fn dot(self, left: &[u64], right: &[u64]) -> u64 {
        let products = left.iter().zip(right);
        match self {
            Self::Words => products.fold(0, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(*b))),
            Self::Bits => products.fold(0, |sum, (a, b)| sum ^ (a & b)),
        }
    }
}

/// Tapes of all three parties.
pub fn deal(statement: &Statement, words: &mut Words) -> [Tapes; 3] {
    let mut tapes = [Tapes::default(), Tapes::default(), Tapes::default()];
    for (tape, dealt) in tapes.iter_mut().zip(deal_tapes(Ring::Words, &statement.ring, words)) {
        tape.ring = dealt;
    }
    for (tape, dealt) in tapes.iter_mut().zip(deal_tapes(Ring::Bits, &statement.bits, words)) {
        tape.bits = dealt;
    }
    for &size in &statement.matrices {
        for (tape, product) in tapes.iter_mut().zip(deal_product(size, words)) {
            tape.matrices.push(product);
        }
    }
    tapes
}

fn deal_tapes(ring: Ring, lengths: &[usize], words: &mut Words) -> [Tape; 3] {
    let ends: Vec<_> = lengths
        .iter()
        .scan(0, |end, n| {
            *end += n;
            Some(*end)
        })
        .collect();
    let mut runs = Runs::default();
    lengths.iter().for_each(|n| runs.push(Run { relations: 1, terms: *n, parts: 1 }));
    let terms = ends.last().copied().unwrap_or(0);
    let mut tapes = [Tape::default(), Tape::default(), Tape::default()];
    for i in 0..3 {
        let (left, right, rights) = (words.take(terms), words.take(terms), words.take(ends.len()));
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let sums = starts.zip(&ends).map(|(start, &end)| ring.dot(&left[start..end], &right[start..end]));
        let lefts = sums.zip(&rights).map(|(sum, &right)| ring.subtract(sum, right)).collect();
        let verifier = |known: &[u64], target| VerifierTape { known: known.to_vec(), target, runs: runs.clone() };
        tapes[(i + 2) % 3].left = verifier(&left, lefts);
        tapes[(i + 1) % 3].right = verifier(&right, rights);
        tapes[i].proving = ProverTape { left, right, runs: runs.clone() };
    }
    tapes
}

fn deal_product([rows, inner, columns]: [usize; 3], words: &mut Words) -> [MatrixProduct; 3] {
    let x = [0; 3].map(|_| words.take(rows * inner));
    let y = [0; 3].map(|_| words.take(inner * columns));
    let a = [0; 3].map(|_| words.take(rows * columns));
    let product = |x: &[u64], y: &[u64], at: usize| {
        (0..inner).fold(0u64, |sum, k| {
            sum.wrapping_add(x[at / columns * inner + k].wrapping_mul(y[k * columns + at % columns]))
        })
    };
    // Z_i - A_i, with the mask of the next component taken off.
    let masked = |i: usize| -> Vec<u64> {
        let j = (i + 1) % 3;
        let terms = |at| [product(&x[i], &y[i], at), product(&x[i], &y[j], at), product(&x[j], &y[i], at)];
        let sum = |at: usize| terms(at).into_iter().fold(0u64.wrapping_sub(a[j][at]), u64::wrapping_add);
        (0..rows * columns).map(sum).collect()
    };
    std::array::from_fn(|i| {
        let j = (i + 1) % 3;
        let (x, y) = ([x[i].clone(), x[j].clone()], [y[i].clone(), y[j].clone()]);
        MatrixProduct { rows, inner, columns, x, y, product: masked(j), zero: a[i].clone() }
    })
}
