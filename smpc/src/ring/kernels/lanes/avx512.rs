//! AVX-512: eight words a register, multiplied by `vpmullq`.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

/// AVX-512 (F, BW, VL, DQ).
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// # Safety
/// The machine has AVX2 and AVX-512 (F, BW, VL, DQ).
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) {
    // SAFETY: as the caller says.
    unsafe { kernel.compute::<Avx512>() }
}

impl Lanes for Avx512 {
    const WIDTH: usize = 8;
    const ROWS: usize = 8;
    const PANEL: usize = 2;
    const SQUARE: usize = 4;

    type Words = __m512i;
    type Factor = __m512i;
    type Sum = __m512i;

    #[inline(always)]
    unsafe fn load(source: *const u64) -> __m512i {
        // SAFETY: eight words are readable, as the trait asks.
        unsafe { _mm512_loadu_si512(source.cast()) }
    }

    #[inline(always)]
    unsafe fn load_i32(source: *const i32) -> __m512i {
        // SAFETY: eight weights are readable, as the trait asks.
        unsafe { _mm512_cvtepi32_epi64(_mm256_loadu_si256(source.cast())) }
    }

    #[inline(always)]
    unsafe fn load_i16(source: *const i16) -> __m512i {
        // SAFETY: eight weights are readable, as the trait asks.
        unsafe { _mm512_cvtepi16_epi64(_mm_loadu_si128(source.cast())) }
    }

    #[inline(always)]
    unsafe fn splat(value: u64) -> __m512i {
        // SAFETY: the machine has AVX-512, as the trait asks.
        unsafe { _mm512_set1_epi64(value as i64) }
    }

    #[inline(always)]
    unsafe fn store(words: __m512i, target: *mut u64) {
        // SAFETY: eight words are writable, as the trait asks.
        unsafe { _mm512_storeu_si512(target.cast(), words) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the machine has AVX-512, as the trait asks.
        unsafe { _mm512_add_epi64(a, b) }
    }

    #[inline(always)]
    unsafe fn factor(words: __m512i) -> __m512i {
        words
    }

    #[inline(always)]
    unsafe fn narrow_factor(words: __m512i) -> __m512i {
        words
    }

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: the machine has AVX-512, as the trait asks.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn product(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the machine has AVX-512, as the trait asks.
        unsafe { _mm512_add_epi64(sum, _mm512_mullo_epi64(a, b)) }
    }

    #[inline(always)]
    unsafe fn narrow_product(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the machine has AVX-512, as the trait asks.
        unsafe { _mm512_add_epi64(sum, _mm512_mullo_epi64(a, b)) }
    }

    #[inline(always)]
    unsafe fn words(sum: __m512i) -> __m512i {
        sum
    }
}
