//! Functions of one variable: a cubic per cell of a public table, chosen without anybody seeing which.
//!
//! The domain [low, low + 2^k) of x (as integers) is cut into 2^t cells of 2^w, w = k-t. With x' = x - low and a mask r
//! over Z_2^k, r = 2^w ρ + r',
//!
//! ```text
//! c = 2^w C + c' = x' + r mod 2^k is opened;   cell' = C - ρ mod 2^t   is the cell of x' or the next one
//! δ = c' - r'                                  is the distance of x' from where that cell begins
//! ```
//!
//! Whether the next cell is taken depends on what r has in its low bits. So x must lie below the last cell, and cell j is
//! fitted on its own cell and the one before it, in δ, and y = T_0 + T_1 δ + (T_2 + T_3 δ) δ². How T[C - ρ] is read
//! without ρ or C being known to anybody together is in [`masks`] and [`query`].

pub(crate) mod curve;
pub mod masks;
pub mod powers;
mod query;

use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::share::Shares;
use crate::truncation::GUARD;

pub use curve::Curve;
pub use masks::LookupMasks;
pub use powers::PowerMasks;

/// Coefficients of a cubic.
const OUTPUTS: usize = 4;

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
    /// Of δ^0 to δ^3, fixed point: `[2 · 2^t]` each, the coefficient of cell -i at place i. So the cells from any C down
    /// stand side by side.
    downwards: [Vec<u64>; OUTPUTS],
    /// δ² and T_3 δ lie below 2^(bits-2), at twice the fraction bits.
    power_bits: u32,
    /// So does what is summed.
    sum_bits: u32,
    /// More fraction bits that δ² and T_3 δ keep: they are off by two units there, and T_3 δ counts as often as
    /// δ² is large.
    guard: u32,
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
        let cubics: Vec<[u64; OUTPUTS]> = (0..1 << cell_bits).map(cubic).collect();
        let n = cubics.len();
        let downwards = std::array::from_fn(|power| (0..2 * n).map(|at| cubics[(2 * n - at) % n][power]).collect());
        let [power_bits, sum_bits] = product_bits(&cubics, width * scale, scale);
        let guard = fraction.min(GUARD + 2 * width.log2().ceil().max(0.0) as u32);
        Self { domain_bits, low, cell_bits, fraction, downwards, power_bits, sum_bits, guard }
    }

    /// w: bits of a place in a cell.
    const fn width_bits(&self) -> u32 {
        self.domain_bits - self.cell_bits
    }

    /// The cell and the place in it of each opened c.
    fn places(&self, opened: &[u64]) -> (Vec<usize>, Vec<u64>) {
        let within = (1_u64 << self.width_bits()) - 1;
        let cells = opened.iter().map(|c| (c >> self.width_bits()) as usize & ((1 << self.cell_bits) - 1)).collect();
        (cells, opened.iter().map(|c| c & within).collect())
    }
}

/// Bits of the largest power of a lookup and of its largest sum, and three more: δ below `width`, all at `scale`.
fn product_bits(cubics: &[[u64; OUTPUTS]], width: f64, scale: f64) -> [u32; 2] {
    let size = |coefficient: u64| (coefficient as i64).unsigned_abs() as f64;
    let bounds = |[_, one, two, three]: &[u64; OUTPUTS]| {
        let cube = size(*three) * width;
        let square = (size(*two) + cube / scale + 1.0) * (width * width / scale + 1.0);
        [cube, size(*one) * width + square]
    };
    let largest = |[power, sum]: [f64; 2], [cube, all]: [f64; 2]| [power.max(cube), sum.max(all)];
    let bounds = cubics.iter().map(bounds).fold([width * width, 1.0], largest);
    bounds.map(|bound| (bound.log2().ceil() as u32 + 3).min(64))
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
    /// function(x) for every x of the table's domain, `[n]`: four rounds.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn look_up(&mut self, x: &Shares, table: &Table) -> Result<Shares, SmpcError> {
        let n = x.len();
        let from_low = x.clone().plus_constant(self.party(), (table.low as u64).wrapping_neg());
        let (coefficients, delta) = if self.is_malicious() {
            self.cell_by_one_hot(&from_low, table)?
        } else {
            self.cell_by_query(&from_low, table)?
        };
        let of = |power: usize| coefficients.range(power * n..(power + 1) * n);
        let left = Shares::concat(&[&delta, &of(3)]);
        let right = Shares::concat(&[&delta, &delta]);
        let (powers, guard) = self.powers(&left, &right, table)?;
        // T_1 δ + (T_2 + T_3 δ) δ², and T_0 at its scale.
        let (square, cube) = (powers.range(0..n), powers.range(n..2 * n));
        let left = alternating(&of(1).times(1 << (2 * guard)), &of(2).times(1 << guard).plus(&cube));
        let right = alternating(&delta, &square);
        let sums = self.inner_products("look up: result", &left, &right, 2, table.sum_bits + 2 * guard)?;
        Ok(self.truncate_products(sums, table.fraction + 2 * guard)?.plus(&of(0)))
    }

    /// δ² and T_3 δ, and how many fraction bits they have more than x. They are needed over the ring of the last sum alone.
    fn powers(&mut self, left: &Shares, right: &Shares, table: &Table) -> Result<(Shares, u32), SmpcError> {
        let guard = table.guard;
        let shift = table.fraction - guard;
        let bits = table.sum_bits + 2 * guard + shift;
        if bits <= 64 {
            let products = self.products("look up: powers", left, right, bits)?;
            return Ok((self.truncate_narrow(products, shift)?, guard));
        }
        let products = self.products("look up: powers", left, right, table.power_bits)?;
        Ok((self.truncate_products(products, table.fraction)?, 0))
    }
}

/// x_0, y_0, x_1, y_1, ...
fn alternating(x: &Shares, y: &Shares) -> Shares {
    let part = |at: usize| x.parts[at].iter().zip(&y.parts[at]).flat_map(|(x, y)| [*x, *y]).collect();
    Shares { parts: [part(0), part(1)] }
}
