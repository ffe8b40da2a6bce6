//! NEON: four registers for each group, each sixteen sums and each sixteen floats.
//!
//! With the 4-way dot product (`DOT`), one instruction takes four rows and four activations. Without it, products of
//! bytes are widened to 16 bits, neighbours are added there (2 · 128 · 127 fits), and the pairs are added in 32 bits.
//! Unsigned codes are below 64, so they are signed bytes too. The matrix products of i8mm are not used.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::format::{FloatFormat, QuantisedFormat};
use super::super::product::{self, FloatTile, QuantisedTile, TileOutput};
use super::super::quantise::{self, Block};
use super::{LANES, Lanes};

/// NEON, with its dot products or without.
#[derive(Clone, Copy)]
pub(in super::super) struct Neon<const DOT: bool>;

/// Computes with each quarter. A closure here would not always be inlined, and a call costs a hundredfold.
macro_rules! each {
    ($quarters:expr, |$quarter:ident| $result:expr) => {{
        let [first, second, third, fourth] = $quarters;
        [
            {
                let $quarter = first;
                $result
            },
            {
                let $quarter = second;
                $result
            },
            {
                let $quarter = third;
                $result
            },
            {
                let $quarter = fourth;
                $result
            },
        ]
    }};
}

/// The quarters' numbers.
const QUARTERS: [usize; 4] = [0, 1, 2, 3];

/// Adds to each lane of `sum` four products of bytes.
///
/// # Safety
/// The machine has NEON and its dot products.
#[inline(always)]
unsafe fn dot_of_four(mut sum: int32x4_t, codes: int8x16_t, activations: int8x16_t) -> int32x4_t {
    // SAFETY: as the caller says; it touches registers only.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {codes:v}.16b, {activations:v}.16b",
            sum = inout(vreg) sum,
            codes = in(vreg) codes,
            activations = in(vreg) activations,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// As [`dot_of_four`], with what every NEON has.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn widened_dot(sum: int32x4_t, codes: int8x16_t, activations: int8x16_t) -> int32x4_t {
    // SAFETY: as the caller says.
    unsafe {
        let lower = vmull_s8(vget_low_s8(codes), vget_low_s8(activations));
        let upper = vmull_high_s8(codes, activations);
        vpadalq_s16(sum, vpaddq_s16(lower, upper))
    }
}

/// Four f16 as f32.
///
/// # Safety
/// The machine has NEON and 8 bytes are readable.
#[inline(always)]
unsafe fn four_halves(source: *const u8) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: as the caller says; it touches registers only.
    unsafe {
        let halves = vreinterpret_u16_u8(vld1_u8(source));
        asm!(
            "fcvtl {wide:v}.4s, {halves:v}.4h",
            wide = out(vreg) wide,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    wide
}

/// Sixteen bytes, four to a quarter, as u32.
///
/// # Safety
/// The machine has NEON and 16 bytes are readable.
#[inline(always)]
unsafe fn wide_unsigned(source: *const u8) -> [uint32x4_t; 4] {
    // SAFETY: as the caller says.
    unsafe {
        let bytes = vld1q_u8(source);
        let (lower, upper) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
        [vmovl_u16(vget_low_u16(lower)), vmovl_high_u16(lower), vmovl_u16(vget_low_u16(upper)), vmovl_high_u16(upper)]
    }
}

impl<const DOT: bool> Lanes for Neon<DOT> {
    type Bytes = [uint8x16_t; 4];
    type Integers = [int32x4_t; 4];
    type Floats = [float32x4_t; 4];

    const TILE: usize = 4;

    #[inline(always)]
    unsafe fn bytes(source: *const u8) -> Self::Bytes {
        // SAFETY: 64 bytes are readable, as the trait asks.
        each!(QUARTERS, |quarter| unsafe { vld1q_u8(source.add(16 * quarter)) })
    }

    #[inline(always)]
    unsafe fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(bytes, |bytes| unsafe { vandq_u8(bytes, vdupq_n_u8(15)) })
    }

    #[inline(always)]
    unsafe fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(bytes, |bytes| unsafe { vshrq_n_u8::<4>(bytes) })
    }

    #[inline(always)]
    unsafe fn with_bits(codes: Self::Bytes, plane: Self::Bytes, left: i32, mask: u8) -> Self::Bytes {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(QUARTERS, |quarter| unsafe {
            let bits = vandq_u8(vshlq_u8(plane[quarter], vdupq_n_s8(left as i8)), vdupq_n_u8(mask));
            vorrq_u8(codes[quarter], bits)
        })
    }

    #[inline(always)]
    unsafe fn look_up(codes: Self::Bytes, table: &[i8; 16]) -> Self::Bytes {
        // SAFETY: the table has the 16 bytes that are read.
        unsafe {
            let table = vreinterpretq_u8_s8(vld1q_s8(table.as_ptr()));
            each!(codes, |codes| vqtbl1q_u8(table, codes))
        }
    }

    #[inline(always)]
    unsafe fn start<F: QuantisedFormat>(sum: i32) -> Self::Integers {
        let start = if F::SIGNED { 0 } else { -F::OFFSET * sum };
        // SAFETY: the machine has the instruction set, as the trait asks.
        [unsafe { vdupq_n_s32(start) }; 4]
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
                let four = activations.cast::<i32>().add(group).read_unaligned();
                let activations = vreinterpretq_s8_s32(vdupq_n_s32(four));
                sums = each!(QUARTERS, |quarter| {
                    let codes = vreinterpretq_s8_u8(codes[quarter]);
                    if DOT {
                        dot_of_four(sums[quarter], codes, activations)
                    } else {
                        widened_dot(sums[quarter], codes, activations)
                    }
                });
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn convert(integers: Self::Integers) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(integers, |integers| unsafe { vcvtq_f32_s32(integers) })
    }

    #[inline(always)]
    unsafe fn floats(source: *const u8) -> Self::Floats {
        // SAFETY: 64 bytes are readable, as the trait asks.
        each!(QUARTERS, |quarter| unsafe { vreinterpretq_f32_u8(vld1q_u8(source.add(16 * quarter))) })
    }

    #[inline(always)]
    unsafe fn halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        each!(QUARTERS, |quarter| unsafe { four_halves(source.add(8 * quarter)) })
    }

    #[inline(always)]
    unsafe fn upper_halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        each!(QUARTERS, |quarter| unsafe {
            let halves = vreinterpret_u16_u8(vld1_u8(source.add(8 * quarter)));
            vreinterpretq_f32_u32(vshll_n_u16::<16>(halves))
        })
    }

    #[inline(always)]
    unsafe fn powers(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe {
            each!(wide_unsigned(source), |exponents| {
                let doubled = vmaxq_u32(vshlq_n_u32::<23>(exponents), vdupq_n_u32(0x0040_0000));
                vmulq_f32(vreinterpretq_f32_u32(doubled), vdupq_n_f32(0.5))
            })
        }
    }

    #[inline(always)]
    unsafe fn unsigned(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe { each!(wide_unsigned(source), |integers| vcvtq_f32_u32(integers)) }
    }

    #[inline(always)]
    unsafe fn signed(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe {
            // A byte moved to the top of its word and back keeps its sign.
            each!(wide_unsigned(source), |integers| {
                let top = vreinterpretq_s32_u32(vshlq_n_u32::<24>(integers));
                vcvtq_f32_s32(vshrq_n_s32::<24>(top))
            })
        }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        [unsafe { vdupq_n_f32(value) }; 4]
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(QUARTERS, |quarter| unsafe { vmulq_f32(a[quarter], b[quarter]) })
    }

    #[inline(always)]
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(QUARTERS, |quarter| unsafe { vfmaq_f32(c[quarter], a[quarter], b[quarter]) })
    }

    #[inline(always)]
    unsafe fn fused_negative(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: the machine has the instruction set, as the trait asks.
        each!(QUARTERS, |quarter| unsafe { vfmsq_f32(c[quarter], a[quarter], b[quarter]) })
    }

    #[inline(always)]
    unsafe fn store(values: Self::Floats, target: &mut [f32; LANES]) {
        for (quarter, values) in values.into_iter().enumerate() {
            // SAFETY: the target has the 16 values that are written.
            unsafe { vst1q_f32(target.as_mut_ptr().add(4 * quarter), values) }
        }
    }

    unsafe fn quantised<F: QuantisedFormat, const T: usize>(tile: &QuantisedTile, output: &mut TileOutput) {
        #[target_feature(enable = "neon")]
        unsafe fn compiled<const DOT: bool, F: QuantisedFormat, const T: usize>(
            tile: &QuantisedTile,
            output: &mut TileOutput,
        ) {
            // SAFETY: the machine has what this function is compiled for; the tile is the caller's.
            unsafe { product::quantised::<Neon<DOT>, F, T>(tile, output) }
        }
        // SAFETY: the machine has the instruction set, and the tile is whole, as the caller says.
        unsafe { compiled::<DOT, F, T>(tile, output) }
    }

    unsafe fn float<F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
        #[target_feature(enable = "neon")]
        unsafe fn compiled<const DOT: bool, F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
            // SAFETY: the machine has what this function is compiled for; the tile is the caller's.
            unsafe { product::float::<Neon<DOT>, F, T>(tile, output) }
        }
        // SAFETY: the machine has the instruction set, and the tile is whole, as the caller says.
        unsafe { compiled::<DOT, F, T>(tile, output) }
    }

    unsafe fn quantise(source: &[f32; 32]) -> Option<Block> {
        quantise::block(source)
    }
}
