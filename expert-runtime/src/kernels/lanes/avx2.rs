//! AVX2: two registers for each group, each sixteen sums and each sixteen floats.
//!
//! `maddubs` multiplies unsigned bytes by signed ones and adds neighbours in 16 bits, where the sum must not saturate.
//! Signed weights go in as their absolute values (128 at most) with their sign moved to the activation (127 at most):
//! 2 · 128 · 127 fits. Small unsigned codes leave room to add two or four such sums before they are widened.

use std::arch::x86_64::*;

use super::super::format::{FloatFormat, QuantisedFormat};
use super::super::product::{self, FloatTile, QuantisedTile, TileOutput};
use super::super::quantise::{self, Block};
use super::{LANES, Lanes};

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx2;

/// The largest code of which four groups' sums of two products fit into 16 bits: 4 · 2 · 32 · 127 < 2^15.
const FOUR_GROUPS: i32 = 32;

/// Computes with each half. A closure here would not always be inlined, and a call costs a hundredfold.
macro_rules! each {
    ($halves:expr, |$half:ident| $result:expr) => {{
        let [first, second] = $halves;
        [
            {
                let $half = first;
                $result
            },
            {
                let $half = second;
                $result
            },
        ]
    }};
}

/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn widened(sum: __m256i, pairs: __m256i) -> __m256i {
    // SAFETY: as the caller says.
    unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))) }
}

/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn signed_dot(sum: __m256i, codes: [__m256i; 4], activations: [__m256i; 4]) -> __m256i {
    let mut sum = sum;
    for (codes, activations) in codes.into_iter().zip(activations) {
        // SAFETY: as the caller says.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(activations, codes));
            sum = widened(sum, pairs);
        }
    }
    sum
}

/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn unsigned_dot<F: QuantisedFormat>(sum: __m256i, codes: [__m256i; 4], activations: [__m256i; 4]) -> __m256i {
    // SAFETY: as the caller says.
    unsafe {
        let (first, second) = (
            _mm256_add_epi16(
                _mm256_maddubs_epi16(codes[0], activations[0]),
                _mm256_maddubs_epi16(codes[1], activations[1]),
            ),
            _mm256_add_epi16(
                _mm256_maddubs_epi16(codes[2], activations[2]),
                _mm256_maddubs_epi16(codes[3], activations[3]),
            ),
        );
        if F::LARGEST < FOUR_GROUPS {
            return widened(sum, _mm256_add_epi16(first, second));
        }
        widened(widened(sum, first), second)
    }
}

/// Four activations in every lane.
///
/// # Safety
/// The machine has AVX2 and 4 activations are readable.
#[inline(always)]
unsafe fn broadcast(activations: *const i8) -> __m256i {
    // SAFETY: as the caller says.
    unsafe { _mm256_set1_epi32(activations.cast::<i32>().read_unaligned()) }
}

/// The dot products of half `HALF` of the lanes.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn half_dot<F: QuantisedFormat, const HALF: usize>(
    sum: __m256i,
    codes: &[[__m256i; 2]; 4],
    activations: [__m256i; 4],
) -> __m256i {
    let codes = [codes[0][HALF], codes[1][HALF], codes[2][HALF], codes[3][HALF]];
    // SAFETY: as the caller says.
    unsafe { if F::SIGNED { signed_dot(sum, codes, activations) } else { unsigned_dot::<F>(sum, codes, activations) } }
}

impl Lanes for Avx2 {
    type Bytes = [__m256i; 2];
    type Integers = [__m256i; 2];
    type Floats = [__m256; 2];

    const TILE: usize = 4;

    #[inline(always)]
    unsafe fn bytes(source: *const u8) -> Self::Bytes {
        // SAFETY: 64 bytes are readable, as the trait asks.
        unsafe { [_mm256_loadu_si256(source.cast()), _mm256_loadu_si256(source.add(32).cast())] }
    }

    #[inline(always)]
    unsafe fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(bytes, |bytes| unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(15)) })
    }

    #[inline(always)]
    unsafe fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(bytes, |bytes| unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(15)) })
    }

    #[inline(always)]
    unsafe fn with_bits(codes: Self::Bytes, plane: Self::Bytes, left: i32, mask: u8) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe {
            let count = _mm_cvtsi32_si128(left.abs());
            let mask = _mm256_set1_epi8(mask.cast_signed());
            let bits = each!(plane, |plane| {
                let shifted = if left < 0 { _mm256_srl_epi16(plane, count) } else { _mm256_sll_epi16(plane, count) };
                _mm256_and_si256(shifted, mask)
            });
            [_mm256_or_si256(codes[0], bits[0]), _mm256_or_si256(codes[1], bits[1])]
        }
    }

    #[inline(always)]
    unsafe fn look_up(codes: Self::Bytes, table: &[i8; 16]) -> Self::Bytes {
        // SAFETY: the table has the 16 bytes that are read.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            each!(codes, |codes| _mm256_shuffle_epi8(table, codes))
        }
    }

    #[inline(always)]
    unsafe fn start<F: QuantisedFormat>(sum: i32) -> Self::Integers {
        let start = if F::SIGNED { 0 } else { -F::OFFSET * sum };
        // SAFETY: the machine has the instruction set, as the trait asks.
        [unsafe { _mm256_set1_epi32(start) }; 2]
    }

    #[inline(always)]
    unsafe fn dot<F: QuantisedFormat>(
        sums: Self::Integers,
        codes: &[Self::Bytes; 4],
        activations: *const i8,
    ) -> Self::Integers {
        // SAFETY: 16 activations are readable, as the trait asks, 4 for each group.
        unsafe {
            let activations = [
                broadcast(activations),
                broadcast(activations.add(4)),
                broadcast(activations.add(8)),
                broadcast(activations.add(12)),
            ];
            [half_dot::<F, 0>(sums[0], codes, activations), half_dot::<F, 1>(sums[1], codes, activations)]
        }
    }

    #[inline(always)]
    unsafe fn convert(integers: Self::Integers) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(integers, |integers| unsafe { _mm256_cvtepi32_ps(integers) })
    }

    #[inline(always)]
    unsafe fn floats(source: *const u8) -> Self::Floats {
        // SAFETY: 64 bytes are readable, as the trait asks.
        unsafe { [_mm256_loadu_ps(source.cast()), _mm256_loadu_ps(source.add(32).cast())] }
    }

    #[inline(always)]
    unsafe fn halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        each!([0, 16], |at| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(source.add(at).cast())) })
    }

    #[inline(always)]
    unsafe fn upper_halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        each!([0, 16], |at| unsafe {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(source.add(at).cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        })
    }

    #[inline(always)]
    unsafe fn powers(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        each!([0, 8], |at| unsafe {
            let doubled = _mm256_slli_epi32::<23>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(source.add(at).cast())));
            let doubled = _mm256_max_epi32(doubled, _mm256_set1_epi32(0x0040_0000));
            _mm256_mul_ps(_mm256_castsi256_ps(doubled), _mm256_set1_ps(0.5))
        })
    }

    #[inline(always)]
    unsafe fn unsigned(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        each!([0, 8], |at| unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(source.add(at).cast()))) })
    }

    #[inline(always)]
    unsafe fn signed(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        each!([0, 8], |at| unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(source.add(at).cast()))) })
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        [unsafe { _mm256_set1_ps(value) }; 2]
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!([0, 1], |half| unsafe { _mm256_mul_ps(a[half], b[half]) })
    }

    #[inline(always)]
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!([0, 1], |half| unsafe { _mm256_fmadd_ps(a[half], b[half], c[half]) })
    }

    #[inline(always)]
    unsafe fn fused_negative(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!([0, 1], |half| unsafe { _mm256_fnmadd_ps(a[half], b[half], c[half]) })
    }

    #[inline(always)]
    unsafe fn store(values: Self::Floats, target: &mut [f32; LANES]) {
        // SAFETY: the target has the 16 values that are written.
        unsafe {
            _mm256_storeu_ps(target.as_mut_ptr(), values[0]);
            _mm256_storeu_ps(target.as_mut_ptr().add(8), values[1]);
        }
    }

    unsafe fn quantised<F: QuantisedFormat, const T: usize>(tile: &QuantisedTile, output: &mut TileOutput) {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn compiled<F: QuantisedFormat, const T: usize>(tile: &QuantisedTile, output: &mut TileOutput) {
            // SAFETY: the machine has what this function is compiled for; the tile is the caller's.
            unsafe { product::quantised::<Avx2, F, T>(tile, output) }
        }
        // SAFETY: the machine has the instruction set, and the tile is whole, as the caller says.
        unsafe { compiled::<F, T>(tile, output) }
    }

    unsafe fn float<F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn compiled<F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
            // SAFETY: the machine has what this function is compiled for; the tile is the caller's.
            unsafe { product::float::<Avx2, F, T>(tile, output) }
        }
        // SAFETY: the machine has the instruction set, and the tile is whole, as the caller says.
        unsafe { compiled::<F, T>(tile, output) }
    }

    unsafe fn quantise(source: &[f32; 32]) -> Option<Block> {
        #[target_feature(enable = "avx2,fma")]
        fn compiled(source: &[f32; 32]) -> Option<Block> {
            quantise::block(source)
        }
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { compiled(source) }
    }
}
