//! The local part of products of single elements, and of inner products.

use super::instruction_set::InstructionSet;
use super::lanes::{Kernel, Lanes, run, total};

/// `x_i y_i + x_i y_{i+1} + x_{i+1} y_i` for each element: `x`, `y`: components own and next, `[n]` each; `out: [n]`.
///
/// # Panics
/// If the lengths differ.
pub(in super::super) fn products(set: InstructionSet, x: [&[u64]; 2], y: [&[u64]; 2], out: &mut [u64]) {
    assert!([x[0], x[1], y[0], y[1]].iter().all(|side| side.len() == out.len()), "factors of different lengths");
    run(set, Products { x, y, out });
}

/// The same, summed over groups of `length` elements: `x`, `y`: `[n, length]`; `out: [n]`.
///
/// # Panics
/// If the lengths do not fit.
pub(in super::super) fn inner_products(
    set: InstructionSet,
    length: usize,
    x: [&[u64]; 2],
    y: [&[u64]; 2],
    out: &mut [u64],
) {
    let terms = out.len() * length;
    assert!([x[0], x[1], y[0], y[1]].iter().all(|side| side.len() == terms), "factors of another length");
    run(set, InnerProducts { length, x, y, out });
}

struct Products<'a> {
    x: [&'a [u64]; 2],
    y: [&'a [u64]; 2],
    out: &'a mut [u64],
}

impl Kernel for Products<'_> {
    /// Plain Rust: the compiler makes vectors of it.
    #[inline(always)]
    unsafe fn compute<L: Lanes>(self) {
        let n = self.out.len();
        let (x_own, x_next) = (&self.x[0][..n], &self.x[1][..n]);
        let (y_own, y_next) = (&self.y[0][..n], &self.y[1][..n]);
        for i in 0..n {
            self.out[i] = term([x_own[i], x_next[i]], [y_own[i], y_next[i]]);
        }
    }
}

struct InnerProducts<'a> {
    length: usize,
    x: [&'a [u64]; 2],
    y: [&'a [u64]; 2],
    out: &'a mut [u64],
}

impl Kernel for InnerProducts<'_> {
    #[inline(always)]
    unsafe fn compute<L: Lanes>(self) {
        for (group, out) in self.out.iter_mut().enumerate() {
            let begin = group * self.length;
            let mut sides: [&[u64]; 4] = [self.x[0], self.x[1], self.y[0], self.y[1]];
            for side in &mut sides {
                *side = &side[begin..][..self.length];
            }
            // SAFETY: as the caller says; all were cut to one length.
            *out = unsafe { inner_product::<L>(&sides) };
        }
    }
}

/// One group: components own and next of x, then of y.
///
/// # Safety
/// The machine has the instruction set of `L`, and all four are equally long.
#[inline(always)]
unsafe fn inner_product<L: Lanes>(sides: &[&[u64]; 4]) -> u64 {
    let [x_own, x_next, y_own, y_next] = *sides;
    let length = x_own.len();
    let whole = length - length % L::WIDTH;
    // SAFETY: the instruction set is there, as the caller says. Each load ends at `whole` elements at the latest.
    let mut result = unsafe {
        let mut sums = [L::zero(); 2];
        let mut at = 0;
        while at < whole {
            let y = L::load(y_own.as_ptr().add(at));
            let both = L::add(y, L::load(y_next.as_ptr().add(at)));
            sums[0] = L::product(sums[0], L::factor(L::load(x_own.as_ptr().add(at))), L::factor(both));
            sums[1] = L::product(sums[1], L::factor(L::load(x_next.as_ptr().add(at))), L::factor(y));
            at += L::WIDTH;
        }
        total::<L>(sums[0]).wrapping_add(total::<L>(sums[1]))
    };
    for i in whole..length {
        result = result.wrapping_add(term([x_own[i], x_next[i]], [y_own[i], y_next[i]]));
    }
    result
}

/// One product.
#[inline(always)]
fn term(x: [u64; 2], y: [u64; 2]) -> u64 {
    x[0].wrapping_mul(y[0].wrapping_add(y[1])).wrapping_add(x[1].wrapping_mul(y[0]))
}
