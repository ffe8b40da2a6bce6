//! What a party remembers of every product until it is proved.
//!
//! In a product z = x·y party P_i computes and sends its component
//!
//! ```text
//! z_i = x_i y_i + x_i y_{i+1} + x_{i+1} y_i + a_i - a_{i+1}          (a: shared randomness, component by component)
//! ```
//!
//! P_{i-1} knows everything in it with index i, P_{i+1} everything with index i+1. So P_i is right if and only if
//!
//! ```text
//! (z_i - x_i y_i - a_i)  +  a_{i+1}  =  x_i · y_{i+1}  +  y_i · x_{i+1}
//!  told by P_{i-1}          P_{i+1}     left · right      left · right
//! ```
//!
//! an inner product of a vector that the *left* verifier P_{i-1} knows and one that the *right* verifier P_{i+1} knows,
//! and the prover knows both (Boneh et al. 2019). Each party so keeps three tapes: of what it proves itself, of what it
//! checks as left verifier of P_{i+1}, and of what it checks as right verifier of P_{i-1}. Sums of products of any length
//! are one relation with as many terms.

/// The relations of one ring, from the sides of one party. Words of AND gates hold 64 relations each.
#[derive(Default)]
pub struct Tape {
    /// What this party proves.
    pub proving: ProverTape,
    /// What it checks of P_{i+1}: it knows the left vectors.
    pub left: VerifierTape,
    /// What it checks of P_{i-1}: it knows the right vectors.
    pub right: VerifierTape,
}

/// Relations of one length that follow each other on a tape.
///
/// Their terms stand in blocks, `[parts][relations][terms]`: so vectors are written to a tape as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many relations.
    pub relations: usize,
    /// Terms of a relation in each block.
    pub terms: usize,
    /// Blocks.
    pub parts: usize,
}

/// Where the terms of relations stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    runs: Vec<Run>,
    relations: usize,
    terms: usize,
}

/// Terms of the prover.
#[derive(Default)]
pub struct ProverTape {
    /// `[terms]`.
    pub left: Vec<u64>,
    /// `[terms]`.
    pub right: Vec<u64>,
    /// Which terms belong to which relation.
    pub runs: Runs,
}

/// Terms and targets of one verifier.
#[derive(Default)]
pub struct VerifierTape {
    /// `[terms]`: the side that this verifier knows.
    pub known: Vec<u64>,
    /// `[relations]`: this verifier's part of what the sum of the terms shall be.
    pub target: Vec<u64>,
    /// Which terms belong to which relation.
    pub runs: Runs,
}

impl Run {
    /// Terms of one relation.
    #[must_use]
    pub const fn length(self) -> usize {
        self.terms * self.parts
    }

    /// Place of a relation's term `slot`, from the first of the run.
    #[must_use]
    pub const fn place(self, relation: usize, slot: usize) -> usize {
        (slot / self.terms * self.relations + relation) * self.terms + slot % self.terms
    }
}

impl Runs {
    /// Adds relations behind those that are there.
    pub fn push(&mut self, run: Run) {
        self.relations += run.relations;
        self.terms += run.relations * run.length();
        if run.relations > 0 {
            self.runs.push(run);
        }
    }

    fn clear(&mut self) {
        self.runs.clear();
        (self.relations, self.terms) = (0, 0);
    }

    /// In their order.
    #[must_use]
    pub fn as_slice(&self) -> &[Run] {
        &self.runs
    }

    /// How many relations.
    #[must_use]
    pub const fn relations(&self) -> usize {
        self.relations
    }

    /// How many terms.
    #[must_use]
    pub const fn terms(&self) -> usize {
        self.terms
    }
}

impl Tape {
    /// No relation is waiting at any of the three.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.proving.runs.relations() == 0 && self.left.runs.relations() == 0 && self.right.runs.relations() == 0
    }

    /// Words that this party keeps.
    #[must_use]
    pub fn words(&self) -> usize {
        let verifier = |tape: &VerifierTape| tape.known.len() + tape.target.len();
        2 * self.proving.left.len() + verifier(&self.left) + verifier(&self.right)
    }
}

impl Tape {
    fn clear(&mut self) {
        for words in [&mut self.proving.left, &mut self.proving.right, &mut self.left.known, &mut self.left.target] {
            words.clear();
        }
        self.right.known.clear();
        self.right.target.clear();
        [&mut self.proving.runs, &mut self.left.runs, &mut self.right.runs].into_iter().for_each(Runs::clear);
    }
}

impl ProverTape {
    /// Relations of one term each, whose sides are written behind those that are there.
    pub fn single_terms(&mut self, left: impl FnOnce(&mut Vec<u64>), right: impl FnOnce(&mut Vec<u64>)) {
        let first = self.left.len();
        left(&mut self.left);
        right(&mut self.right);
        self.runs.push(Run { relations: self.left.len() - first, terms: 1, parts: 1 });
    }
}

impl VerifierTape {
    /// Relations of one term each, whose sides and targets are written behind those that are there.
    pub fn single_terms(&mut self, known: impl FnOnce(&mut Vec<u64>), targets: impl FnOnce(&mut Vec<u64>)) {
        let first = self.known.len();
        known(&mut self.known);
        targets(&mut self.target);
        self.runs.push(Run { relations: self.known.len() - first, terms: 1, parts: 1 });
    }
}

/// Products of two matrices, Z = X·Y, that wait for their proof: too many terms to list one by one.
///
/// With the component indices of [`Tape`], P_i is right if and only if
/// `(Z_i - X_i Y_i - A_i) + A_{i+1} = X_i Y_{i+1} + X_{i+1} Y_i`.
pub struct MatrixProduct {
    /// Rows of X and Z.
    pub rows: usize,
    /// Columns of X, rows of Y.
    pub inner: usize,
    /// Columns of Y and Z.
    pub columns: usize,
    /// `[rows, inner]`: components i and i+1 of X.
    pub x: [Vec<u64>; 2],
    /// `[inner, columns]`: components i and i+1 of Y.
    pub y: [Vec<u64>; 2],
    /// `[rows, columns]`: `Z - A` at component i+1, from which this party checks P_{i+1} as left verifier.
    pub product: Vec<u64>,
    /// `[rows, columns]`: A at component i, with which it checks P_{i-1} as right verifier.
    pub zero: Vec<u64>,
}

/// All that waits.
#[derive(Default)]
pub struct Tapes {
    /// Relations over Z_2^64. Those of a smaller ring Z_2^k stand here times 2^(64-k), left side and targets.
    pub ring: Tape,
    /// Relations over GF(2), 64 in a word: `&` is the product, `^` the sum.
    pub bits: Tape,
    /// Matrix products over Z_2^64.
    pub matrices: Vec<MatrixProduct>,
}

impl Tapes {
    /// Nothing waits, in the room that is there.
    pub(crate) fn clear(&mut self) {
        self.ring.clear();
        self.bits.clear();
        self.matrices.clear();
    }

    /// Words that this party keeps: as many at all three.
    #[must_use]
    pub fn words(&self) -> usize {
        let matrix = |of: &MatrixProduct| of.x[0].len() * 2 + of.y[0].len() * 2 + of.product.len() * 2;
        self.ring.words() + self.bits.words() + self.matrices.iter().map(matrix).sum::<usize>()
    }
}
