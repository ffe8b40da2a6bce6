//! Sums of words, and of products of words, over random subsets with AVX-512, by the method of the four Russians.
//!
//! Bit b of the weights says which rows are added for coefficient b. Four rows have sixteen subsets: their sums are
//! written to a table once, and each of the 64 coefficients takes one, where a sum of masked rows would take four. A
//! register holds eight columns here, and eight coefficients of one column where the sums go, so tiles are turned at the
//! end.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::super::galois::{DEGREE, Element};
use super::galois::Columns;
use super::galois_avx512::{LANES, load, store};

/// Rows of one table.
const ROWS: usize = 4;
/// Tables that are held at once, of 1 KiB each: half of the first cache.
const TABLES: usize = 16;
/// Coefficients whose sums are held in registers at once.
const HELD: usize = 16;

/// Sums of the subsets of [`ROWS`] rows, eight columns of each.
type Table = [__m512i; 1 << ROWS];

/// Which subset each coefficient takes: a byte each.
type Choice = [u64; DEGREE / 8];

/// The first `columns` sums, a multiple of eight; `rows`: `[weights.len(), width]`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn accumulate(sums: &mut [Element], columns: usize, weights: &[u64], rows: &[u64], width: usize) {
    let choices: Vec<_> = weights.chunks(ROWS).map(choose).collect();
    for (octet, sums) in sums[..columns].chunks_mut(LANES).enumerate() {
        let mut rows = rows.chunks(width);
        add_all(sums, &choices, || rows.next().map_or(_mm512_setzero_si512(), |row| load(row, octet * LANES)));
    }
}

/// See [`super::galois::accumulate_products`]; `columns.rows` is a multiple of eight.
///
/// The words of eight right rows are copied together, so that they stay in the first cache for all left rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn accumulate_products(sums: &mut [Element], weights: &[u64], columns: &Columns<'_>) {
    let Columns { rows, widths, left, right } = *columns;
    let choices: Vec<_> = weights.chunks(ROWS).map(choose).collect();
    let count = right.len() / rows;
    let mut lefts = vec![0; left.len()];
    for (at, column) in left.chunks_exact(rows).enumerate() {
        column.iter().enumerate().for_each(|(row, word)| lefts[row * count + at] = *word);
    }
    for octet in 0..rows / LANES {
        let rights: Vec<_> = right.chunks_exact(rows).map(|column| load(column, octet * LANES)).collect();
        for (sums, lefts) in sums.chunks_exact_mut(rows).zip(lefts.chunks_exact(count)) {
            let (mut widths, mut terms) = (widths.iter(), lefts.iter().zip(&rights));
            add_all(&mut sums[octet * LANES..][..LANES], &choices, || {
                let width = widths.next().copied().unwrap_or_default();
                terms.by_ref().take(width).fold(_mm512_setzero_si512(), |sum, (left, right)| {
                    _mm512_add_epi64(sum, _mm512_mullo_epi64(_mm512_set1_epi64(left.cast_signed()), *right))
                })
            });
        }
    }
}

/// Adds to eight sums what each choice takes of four rows, of which `next` gives one after the other, and 0 when there are no
/// more.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn add_all(sums: &mut [Element], choices: &[Choice], mut next: impl FnMut() -> __m512i) {
    let mut tables = [const { MaybeUninit::<Table>::uninit() }; TABLES];
    let mut chosen = [_mm512_setzero_si512(); DEGREE];
    for choices in choices.chunks(TABLES) {
        for table in &mut tables[..choices.len()] {
            table.write(subsets([next(), next(), next(), next()]));
        }
        // SAFETY: the loop above has written a table for every choice.
        let tables = unsafe { tables[..choices.len()].assume_init_ref() };
        add_chosen(&mut chosen, tables, choices);
    }
    for (octet, chosen) in chosen.as_chunks().0.iter().enumerate() {
        for (sum, turned) in sums.iter_mut().zip(turned(chosen)) {
            let total = _mm512_add_epi64(load(&sum.0, octet * LANES), turned);
            store(&mut sum.0, octet * LANES, total);
        }
    }
}

/// Bit t of byte b is bit b of weight t: byte by byte, since this is done for every row of sums.
fn choose(weights: &[u64]) -> Choice {
    std::array::from_fn(|octet| {
        let bits = |(t, weight): (usize, &u64)| spread(weight >> (8 * octet)) << t;
        weights.iter().enumerate().map(bits).fold(0, |choice, bits| choice | bits)
    })
}

/// Byte i is bit i of `bits`.
const fn spread(bits: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Byte i keeps bit i alone, which 127 more carry to its highest bit.
    let kept = ((bits & 0xff) * EACH) & 0x8040_2010_0804_0201;
    ((kept + 0x7f * EACH) >> 7) & EACH
}

#[inline]
#[target_feature(enable = "avx512f")]
fn subsets(rows: [__m512i; ROWS]) -> Table {
    let mut sums = [_mm512_setzero_si512(); 1 << ROWS];
    for (t, row) in rows.into_iter().enumerate() {
        for subset in 0..1 << t {
            sums[(subset | (1 << t)) % (1 << ROWS)] = _mm512_add_epi64(sums[subset], row);
        }
    }
    sums
}

/// Adds to each coefficient what it chooses of every table.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_chosen(sums: &mut [__m512i; DEGREE], tables: &[Table], choices: &[Choice]) {
    for (part, sums) in sums.as_chunks_mut::<HELD>().0.iter_mut().enumerate() {
        let mut held = *sums;
        for (table, choice) in tables.iter().zip(choices) {
            // Words of eight choices: bytes would be loaded into a vector and taken out of it one by one.
            let choice = &choice[part * HELD / LANES..];
            for (sums, choice) in held.as_chunks_mut::<LANES>().0.iter_mut().zip(choice) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    let subset = (choice >> (8 * i)) as usize % (1 << ROWS);
                    *sum = _mm512_add_epi64(*sum, table[subset]);
                }
            }
        }
        *sums = held;
    }
}

/// Lane i of register j becomes lane j of register i.
#[inline]
#[target_feature(enable = "avx512f")]
fn turned(registers: &[__m512i; LANES]) -> [__m512i; LANES] {
    let mut result = *registers;
    for odd in [0, 1] {
        let pair = |i: usize| {
            let (a, b) = (registers[2 * i], registers[2 * i + 1]);
            if odd == 0 { _mm512_unpacklo_epi64(a, b) } else { _mm512_unpackhi_epi64(a, b) }
        };
        // Four quarters of 128 bits each: the even ones and the odd ones of two registers at a time.
        let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
        let even = [_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0x88>(c, d)];
        let uneven = [_mm512_shuffle_i64x2::<0xdd>(a, b), _mm512_shuffle_i64x2::<0xdd>(c, d)];
        result[odd] = _mm512_shuffle_i64x2::<0x88>(even[0], even[1]);
        result[odd + 2] = _mm512_shuffle_i64x2::<0x88>(uneven[0], uneven[1]);
        result[odd + 4] = _mm512_shuffle_i64x2::<0xdd>(even[0], even[1]);
        result[odd + 6] = _mm512_shuffle_i64x2::<0xdd>(uneven[0], uneven[1]);
    }
    result
}
