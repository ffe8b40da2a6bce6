//! Nothing but the language, a word at a time.

use super::Lanes;

/// No instruction set.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

impl Lanes for Scalar {
    const WIDTH: usize = 1;
    const ROWS: usize = 4;
    const PANEL: usize = 2;
    const SQUARE: usize = 2;

    type Words = u64;
    type Factor = u64;
    type Sum = u64;

    #[inline(always)]
    unsafe fn load(source: *const u64) -> u64 {
        // SAFETY: a word is readable, as the trait asks.
        unsafe { source.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_i32(source: *const i32) -> u64 {
        // SAFETY: a weight is readable, as the trait asks.
        i64::from(unsafe { source.read_unaligned() }) as u64
    }

    #[inline(always)]
    unsafe fn load_i16(source: *const i16) -> u64 {
        // SAFETY: a weight is readable, as the trait asks.
        i64::from(unsafe { source.read_unaligned() }) as u64
    }

    #[inline(always)]
    unsafe fn splat(value: u64) -> u64 {
        value
    }

    #[inline(always)]
    unsafe fn store(words: u64, target: *mut u64) {
        // SAFETY: a word is writable, as the trait asks.
        unsafe { target.write_unaligned(words) }
    }

    #[inline(always)]
    unsafe fn add(a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    #[inline(always)]
    unsafe fn factor(words: u64) -> u64 {
        words
    }

    #[inline(always)]
    unsafe fn narrow_factor(words: u64) -> u64 {
        words
    }

    #[inline(always)]
    unsafe fn zero() -> u64 {
        0
    }

    #[inline(always)]
    unsafe fn product(sum: u64, a: u64, b: u64) -> u64 {
        sum.wrapping_add(a.wrapping_mul(b))
    }

    #[inline(always)]
    unsafe fn narrow_product(sum: u64, a: u64, b: u64) -> u64 {
        sum.wrapping_add(a.wrapping_mul(b))
    }

    #[inline(always)]
    unsafe fn words(sum: u64) -> u64 {
        sum
    }
}
