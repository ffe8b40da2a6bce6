//! Public tables that are read at shared places.
//!
//! A table stands downwards and twice: the value of cell -i at place i, `[2 · cells]`, so the cells from any one down are
//! side by side.

use super::kernels::InstructionSet;
use super::kernels::tables::{Reply, Rows};

/// For each of the `tables` and each of `cells: [n]`, Σ_b T[C - (size · a + b)] · low_b of every group a: that of group
/// 0, `[4, n]`, and what the others differ from it, `[4, n, groups - 1]`. `low: [n, size]` is one component.
///
/// # Panics
/// If lengths do not fit.
#[must_use]
pub fn table_rows(tables: &[Vec<u64>; 4], cells: &[usize], low: &[u64], size: usize) -> (Vec<u64>, Vec<u64>) {
    let n = cells.len();
    let groups = tables[0].len() / 2 / size;
    assert!(low.len() == n * size && groups > 0, "a one-hot vector for every cell");
    let (mut first, mut others) = (vec![0; 4 * n], vec![0; 4 * n * (groups - 1)]);
    for (output, table) in tables.iter().enumerate() {
        let first = &mut first[output * n..][..n];
        let others = &mut others[output * n * (groups - 1)..][..n * (groups - 1)];
        Rows { table, cells, low, size, first, others }.run(InstructionSet::current());
    }
    (first, others)
}

/// Adds to `reply: [4, n]` (by ⊕) all T[C - j] - m of the selected j: `selected: [n, words]`, one bit a cell; `masks:
/// [4, n]`, the m of each.
///
/// # Panics
/// If lengths do not fit.
pub fn table_reply(tables: &[Vec<u64>; 4], cells: &[usize], selected: &[u64], masks: &[u64], reply: &mut [u64]) {
    let words = (tables[0].len() / 2).div_ceil(64);
    let n = cells.len();
    assert!(selected.len() == n * words && masks.len() == 4 * n && reply.len() == 4 * n, "one of each for every cell");
    let tables = tables.each_ref().map(Vec::as_slice);
    Reply { tables, cells, selected, masks, reply }.run(InstructionSet::current());
}
