//! AVX2: four words a register, multiplied in halves of 32 bits.
//!
//! With a = a_0 + 2^32 a_1 and b likewise, `a b = a_0 b_0 + 2^32 (a_0 b_1 + a_1 b_0)` modulo 2^64. The two parts are
//! summed apart and put together at the end. Where b is a signed integer of 32 bits, a is taken with a *signed* lower
//! half, which carries into the upper one, and two signed products are enough: `a_0 b + 2^32 a_1 b`.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

/// AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) {
    // SAFETY: as the caller says.
    unsafe { kernel.compute::<Avx2>() }
}

impl Lanes for Avx2 {
    const WIDTH: usize = 4;
    const ROWS: usize = 4;
    const PANEL: usize = 1;
    const SQUARE: usize = 2;

    type Words = __m256i;
    /// The words, and their upper halves in the lower half of each lane.
    type Factor = [__m256i; 2];
    /// What counts once, and what counts 2^32 times.
    type Sum = [__m256i; 2];

    #[inline(always)]
    unsafe fn load(source: *const u64) -> __m256i {
        // SAFETY: four words are readable, as the trait asks.
        unsafe { _mm256_loadu_si256(source.cast()) }
    }

    #[inline(always)]
    unsafe fn load_i32(source: *const i32) -> __m256i {
        // SAFETY: four weights are readable, as the trait asks.
        unsafe { _mm256_cvtepi32_epi64(_mm_loadu_si128(source.cast())) }
    }

    #[inline(always)]
    unsafe fn load_i16(source: *const i16) -> __m256i {
        // SAFETY: four weights are readable, as the trait asks.
        unsafe { _mm256_cvtepi16_epi64(_mm_loadl_epi64(source.cast())) }
    }

    #[inline(always)]
    unsafe fn splat(value: u64) -> __m256i {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe { _mm256_set1_epi64x(value as i64) }
    }

    #[inline(always)]
    unsafe fn store(words: __m256i, target: *mut u64) {
        // SAFETY: four words are writable, as the trait asks.
        unsafe { _mm256_storeu_si256(target.cast(), words) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe { _mm256_add_epi64(a, b) }
    }

    #[inline(always)]
    unsafe fn factor(words: __m256i) -> [__m256i; 2] {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe { [words, _mm256_srli_epi64::<32>(words)] }
    }

    #[inline(always)]
    unsafe fn narrow_factor(words: __m256i) -> [__m256i; 2] {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe {
            let carried = _mm256_add_epi64(words, _mm256_set1_epi64x(1 << 31));
            [words, _mm256_srli_epi64::<32>(carried)]
        }
    }

    #[inline(always)]
    unsafe fn zero() -> [__m256i; 2] {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn product(sum: [__m256i; 2], a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe {
            let low = _mm256_mul_epu32(a[0], b[0]);
            let crossed = _mm256_add_epi64(_mm256_mul_epu32(a[0], b[1]), _mm256_mul_epu32(a[1], b[0]));
            [_mm256_add_epi64(sum[0], low), _mm256_add_epi64(sum[1], crossed)]
        }
    }

    #[inline(always)]
    unsafe fn narrow_product(sum: [__m256i; 2], a: [__m256i; 2], b: __m256i) -> [__m256i; 2] {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe {
            let (low, high) = (_mm256_mul_epi32(a[0], b), _mm256_mul_epi32(a[1], b));
            [_mm256_add_epi64(sum[0], low), _mm256_add_epi64(sum[1], high)]
        }
    }

    #[inline(always)]
    unsafe fn words(sum: [__m256i; 2]) -> __m256i {
        // SAFETY: the machine has AVX2, as the trait asks.
        unsafe { _mm256_add_epi64(sum[0], _mm256_slli_epi64::<32>(sum[1])) }
    }
}
