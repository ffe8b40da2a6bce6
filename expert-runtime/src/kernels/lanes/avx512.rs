//! AVX-512 with VNNI: a register for each group, each sixteen sums and each sixteen floats.
//!
//! The dot product multiplies unsigned bytes by signed ones. Signed weights are made unsigned by adding 128, and every
//! sum starts at what the offset adds too much.

use std::arch::x86_64::*;

use super::super::format::{FloatFormat, QuantisedFormat};
use super::super::product::{self, FloatTile, QuantisedTile, TileOutput};
use super::super::quantise::{self, Block};
use super::{LANES, Lanes};

/// AVX-512 (F, BW, VL, DQ) and VNNI.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx512;

impl Lanes for Avx512 {
    type Bytes = __m512i;
    type Integers = __m512i;
    type Floats = __m512;

    const TILE: usize = 8;

    #[inline(always)]
    unsafe fn bytes(source: *const u8) -> Self::Bytes {
        // SAFETY: 64 bytes are readable, as the trait asks.
        unsafe { _mm512_loadu_si512(source.cast()) }
    }

    #[inline(always)]
    unsafe fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(15)) }
    }

    #[inline(always)]
    unsafe fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(15)) }
    }

    #[inline(always)]
    unsafe fn with_bits(codes: Self::Bytes, plane: Self::Bytes, left: i32, mask: u8) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe {
            let count = _mm512_set1_epi16(left.unsigned_abs() as i16);
            let shifted = if left < 0 { _mm512_srlv_epi16(plane, count) } else { _mm512_sllv_epi16(plane, count) };
            _mm512_or_si512(codes, _mm512_and_si512(shifted, _mm512_set1_epi8(mask.cast_signed())))
        }
    }

    #[inline(always)]
    unsafe fn look_up(codes: Self::Bytes, table: &[i8; 16]) -> Self::Bytes {
        // SAFETY: the table has the 16 bytes that are read.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, codes)
        }
    }

    #[inline(always)]
    unsafe fn start<F: QuantisedFormat>(sum: i32) -> Self::Integers {
        let offset = if F::SIGNED { 128 } else { F::OFFSET };
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_set1_epi32(-offset * sum) }
    }

    #[inline(always)]
    unsafe fn dot<F: QuantisedFormat>(
        mut sums: Self::Integers,
        codes: &[Self::Bytes; 4],
        activations: *const i8,
    ) -> Self::Integers {
        for (group, codes) in codes.iter().enumerate() {
            // SAFETY: 16 activations are readable, as the trait asks, 4 for each group.
            unsafe {
                let activations = activations.cast::<i32>().add(group).read_unaligned();
                let offset = _mm512_set1_epi8(i8::MIN);
                let codes = if F::SIGNED { _mm512_xor_si512(*codes, offset) } else { *codes };
                sums = _mm512_dpbusd_epi32(sums, codes, _mm512_set1_epi32(activations));
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn convert(integers: Self::Integers) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_cvtepi32_ps(integers) }
    }

    #[inline(always)]
    unsafe fn floats(source: *const u8) -> Self::Floats {
        // SAFETY: 64 bytes are readable, as the trait asks.
        unsafe { _mm512_loadu_ps(source.cast()) }
    }

    #[inline(always)]
    unsafe fn halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(source.cast())) }
    }

    #[inline(always)]
    unsafe fn upper_halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(source.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn powers(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe {
            let doubled = _mm512_slli_epi32::<23>(_mm512_cvtepu8_epi32(_mm_loadu_si128(source.cast())));
            let doubled = _mm512_max_epi32(doubled, _mm512_set1_epi32(0x0040_0000));
            _mm512_mul_ps(_mm512_castsi512_ps(doubled), _mm512_set1_ps(0.5))
        }
    }

    #[inline(always)]
    unsafe fn unsigned(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(source.cast()))) }
    }

    #[inline(always)]
    unsafe fn signed(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(source.cast()))) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn fused_negative(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(values: Self::Floats, target: &mut [f32; LANES]) {
        // SAFETY: the target has the 16 values that are written.
        unsafe { _mm512_storeu_ps(target.as_mut_ptr(), values) }
    }

    unsafe fn quantised<F: QuantisedFormat, const T: usize>(tile: &QuantisedTile, output: &mut TileOutput) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
        unsafe fn compiled<F: QuantisedFormat, const T: usize>(tile: &QuantisedTile, output: &mut TileOutput) {
            // SAFETY: the machine has what this function is compiled for; the tile is the caller's.
            unsafe { product::quantised::<Avx512, F, T>(tile, output) }
        }
        // SAFETY: the machine has the instruction set, and the tile is whole, as the caller says.
        unsafe { compiled::<F, T>(tile, output) }
    }

    unsafe fn float<F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
        unsafe fn compiled<F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
            // SAFETY: the machine has what this function is compiled for; the tile is the caller's.
            unsafe { product::float::<Avx512, F, T>(tile, output) }
        }
        // SAFETY: the machine has the instruction set, and the tile is whole, as the caller says.
        unsafe { compiled::<F, T>(tile, output) }
    }

    unsafe fn quantise(source: &[f32; 32]) -> Option<Block> {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
        fn compiled(source: &[f32; 32]) -> Option<Block> {
            quantise::block(source)
        }
        // SAFETY: the machine has the instruction set, as the trait asks.
        unsafe { compiled(source) }
    }
}
