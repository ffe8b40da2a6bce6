//! Functions of one variable: a cubic per cell of a public table, chosen without anybody seeing which.
//!
//! The domain [low, low + 2^k) of x (as integers) is cut into 2^t cells of 2^(k-t). With x' = x - low and a mask r over
//! Z_2^k whose highest t bits ρ are shared as a product of two one-hot vectors u ⊗ v,
//!
//! ```text
//! c = x' + r mod 2^k is opened;   cell' = (c >> (k-t)) - ρ mod 2^t     is the cell of x' or the next one
//! T[cell'] = Σ_a u_a (Σ_b T[C - (2^s a + b)] v_b)                     local inside, one inner product outside
//! ```
//!
//! Whether the next cell is taken depends on what r has in its low bits. So x must lie below the last cell, and cell j is
//! fitted on its own cell and the one before it, in δ = x' - 2^(k-t) j, and y = T_0 + T_1 δ + (T_2 + T_3 δ) δ².

use crate::arithmetic::Mask;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::conversion::Conversion;
use crate::error::SmpcError;
use crate::share::Shares;

/// What is looked up: a function on [low, low + 2^k - 2^(k-t)), in fixed point.
pub struct Table {
    /// k: the domain has 2^k integers.
    pub domain_bits: u32,
    /// Its lowest integer.
    pub low: i64,
    /// t.
    pub cell_bits: u32,
    /// Fraction bits of x, of y, and of every coefficient.
    pub fraction: u32,
    /// `[2^t]` cubics: coefficients of δ^0 to δ^3, fixed point.
    pub cubics: Vec<[u64; 4]>,
}

/// A mask whose cell is one-hot.
pub struct LookupMasks {
    /// r over Z_2^k, `[n]`.
    pub(crate) mask: Mask,
    /// `[n * 2^(t-s)]`: which group of 2^s cells.
    pub(crate) high: Shares,
    /// `[n * 2^s]`: which cell of the group.
    pub(crate) low: Shares,
}

impl LookupMasks {
    /// Those of `n` values from value `from` on.
    pub(crate) fn cut(&self, from: usize, n: usize) -> Self {
        let of = |digit: &Shares| {
            let width = digit.len() / self.mask.shares.len();
            digit.range(from * width..(from + n) * width)
        };
        Self { mask: self.mask.cut(from, n), high: of(&self.high), low: of(&self.low) }
    }
}

impl Table {
    /// The table of `function` over [low, low + 2^k) at `fraction` bits: each cubic meets the function at the Chebyshev
    /// points of the two cells that it serves.
    #[must_use]
    pub fn of(function: impl Fn(f64) -> f64, low: i64, domain_bits: u32, cell_bits: u32, fraction: u32) -> Self {
        let scale = (1_u64 << fraction) as f64;
        let width = (1_u64 << (domain_bits - cell_bits)) as f64 / scale;
        let encode = |value: f64| (value * scale).round() as i64 as u64;
        let cubic = |cell: u64| {
            let origin = low as f64 / scale + cell as f64 * width;
            cubic_fit(|delta| function(origin + delta), width).map(encode)
        };
        Self { domain_bits, low, cell_bits, fraction, cubics: (0..1 << cell_bits).map(cubic).collect() }
    }

    /// s: bits of the lower digit.
    #[must_use]
    pub const fn low_digit(&self) -> u32 {
        self.cell_bits / 2
    }

    /// `[5][2^(t-s), 2^s]` for the opened cell C: coefficients and origins of the cell that (a, b) leads to.
    fn rotated(&self, opened: u64, output: usize, a: u64, b: u64) -> u64 {
        let cell = opened.wrapping_sub((a << self.low_digit()) + b) & ((1 << self.cell_bits) - 1);
        match self.cubics[cell as usize].get(output) {
            Some(coefficient) => *coefficient,
            None => cell << (self.domain_bits - self.cell_bits),
        }
    }
}

/// Coefficients in δ of the cubic through `function` at four Chebyshev points of (-width, width).
fn cubic_fit(function: impl Fn(f64) -> f64, width: f64) -> [f64; 4] {
    let points: [f64; 4] = std::array::from_fn(|at| (std::f64::consts::PI * (2 * at + 1) as f64 / 8.0).cos());
    let mut differences = points.map(|point| function(point * width));
    for order in 1..4 {
        for at in (order..4).rev() {
            differences[at] = (differences[at] - differences[at - 1]) / (points[at] - points[at - order]);
        }
    }
    // Newton's form, multiplied out in u = δ / width.
    let mut cubic = [differences[3], 0.0, 0.0, 0.0];
    for at in (0..3).rev() {
        let shifted = [0.0, cubic[0], cubic[1], cubic[2]];
        cubic = std::array::from_fn(|power| shifted[power] - points[at] * cubic[power]);
        cubic[0] += differences[at];
    }
    std::array::from_fn(|power| cubic[power] / width.powi(power as i32))
}

impl<C: Channel> Computation<C> {
    /// Masks for `n` lookups in tables of this shape.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn lookup_masks(&mut self, n: usize, domain_bits: u32, cell_bits: u32) -> Result<LookupMasks, SmpcError> {
        let eda = self.eda_bits(n, domain_bits)?;
        let planes = eda.bits.planes((domain_bits - cell_bits) as usize..domain_bits as usize);
        let bits = self.to_numbers(&[Conversion { planes: &planes, n, bits: 64 }])?;
        let plane = |at: u32| bits[0].range(at as usize * n..(at as usize + 1) * n);
        let low_digit = cell_bits / 2;
        let digits = [(0..low_digit).map(plane).collect(), (low_digit..cell_bits).map(plane).collect()];
        let [low, high] = self.one_hot(digits, n)?;
        Ok(LookupMasks { mask: eda.mask, high, low })
    }

    /// One-hot vectors of two digits, `[n, 2^bits]` each, from their bits, `[n]` each. A round for each doubling.
    fn one_hot(&mut self, digits: [Vec<Shares>; 2], n: usize) -> Result<[Shares; 2], SmpcError> {
        let party = self.party();
        // entries[d][j]: `[n]`, whether the bits of digit d so far are j.
        let mut entries: Vec<Vec<Shares>> =
            digits.iter().map(|_| vec![Shares::zeros(n).plus_constant(party, 1)]).collect();
        for at in 0..digits.iter().map(Vec::len).max().unwrap_or(0) {
            let bit = |digit: usize| digits[digit].get(at);
            let pairs: Vec<(&Shares, &Shares)> =
                (0..2).filter_map(|digit| bit(digit).map(|bit| (digit, bit))).flat_map(|(digit, bit)| entries[digit].iter().map(move |entry| (entry, bit))).collect();
            let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            // The first bit needs no product: the entry so far is 1.
            let set = if at == 0 {
                Shares::concat(&right)
            } else {
                let products = self.products("one-hot", &Shares::concat(&left), &Shares::concat(&right), 64)?;
                self.replicate(products)?
            };
            let mut from = 0;
            for digit in 0..2 {
                if digits[digit].len() <= at {
                    continue;
                }
                let old = std::mem::take(&mut entries[digit]);
                let set: Vec<Shares> = old.iter().map(|_| { from += n; set.range(from - n..from) }).collect();
                let unset = old.iter().zip(&set).map(|(entry, set)| entry.minus(set));
                entries[digit] = unset.chain(set.iter().cloned()).collect();
            }
        }
        let transposed = |entries: &Vec<Shares>| {
            let all = Shares::concat(&entries.iter().collect::<Vec<_>>());
            let places: Vec<usize> = (0..n).flat_map(|at| (0..entries.len()).map(move |entry| entry * n + at)).collect();
            all.gather(&places)
        };
        Ok([transposed(&entries[0]), transposed(&entries[1])])
    }

    /// function(x) for every x of the table's domain, `[n]`: four rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn look_up(&mut self, x: &Shares, table: &Table) -> Result<Shares, SmpcError> {
        let (party, n) = (self.party(), x.len());
        let LookupMasks { mask, high, low } = self.take_lookup(n, table.domain_bits, table.cell_bits)?;
        let from_low = x.clone().plus_constant(party, (table.low as u64).wrapping_neg());
        let opened = self.open_masked("look up: open", &from_low, mask)?;
        let cells: Vec<u64> = opened.iter().map(|c| c >> (table.domain_bits - table.cell_bits)).collect();
        let outputs = self.table_row(&cells, table, &high, &low)?;
        let [t0, t1, t2, t3, origin]: [Shares; 5] =
            std::array::from_fn(|output| outputs.range(output * n..(output + 1) * n));
        let delta = from_low.minus(&origin);
        let left = Shares::concat(&[&delta, &t3]);
        let right = Shares::concat(&[&delta, &delta]);
        let products = self.products("look up: powers", &left, &right, 64)?;
        let powers = self.truncate_products(products, table.fraction)?.split(&[n, n]);
        // T_1 δ + (T_2 + T_3 δ) δ², and T_0 at its scale.
        let pairs: Vec<usize> = (0..n).flat_map(|at| [at, n + at]).collect();
        let left = Shares::concat(&[&t1, &t2.plus(&powers[1])]).gather(&pairs);
        let right = Shares::concat(&[&delta, &powers[0]]).gather(&pairs);
        let sums = self.inner_products("look up: result", &left, &right, 2, 64)?;
        Ok(self.truncate_products(sums, table.fraction)?.plus(&t0))
    }

    /// `[5, n]`: T_0 to T_3 and the origin of the cell of each x.
    fn table_row(&mut self, cells: &[u64], table: &Table, high: &Shares, low: &Shares) -> Result<Shares, SmpcError> {
        let (groups, size) = (1_usize << (table.cell_bits - table.low_digit()), 1_usize << table.low_digit());
        let inside = low.map(|part| {
            let row = |output: usize, at: usize, group: usize| {
                let one_hot = part[at * size..(at + 1) * size].iter().zip(0..);
                one_hot.fold(0_u64, |sum, (v, b)| sum.wrapping_add(v.wrapping_mul(table.rotated(cells[at], output, group as u64, b))))
            };
            (0..5).flat_map(|output| (0..cells.len()).flat_map(move |at| (0..groups).map(move |group| (output, at, group))))
                .map(|(output, at, group)| row(output, at, group))
                .collect()
        });
        let outside = Shares::concat(&[high, high, high, high, high]);
        let products = self.inner_products("look up: cell", &inside, &outside, groups, 64)?;
        self.replicate(products)
    }
}
