//! Plain Rust, on any machine: what the other instruction sets are compared with.

use half::f16;

use super::super::format::{FloatFormat, QuantisedFormat};
use super::super::product::{self, FloatTile, QuantisedTile, TileOutput};
use super::super::quantise::{self, Block};
use super::{GROUP, LANES, Lanes};

/// Nothing but the language.
#[derive(Clone, Copy)]
pub(in super::super) struct Scalar;

/// `N` values from unaligned bytes.
///
/// # Safety
/// As many bytes as `N` values have can be read at `source`, and any bits are a `T`.
#[inline(always)]
unsafe fn read<T: Copy, const N: usize>(source: *const u8) -> [T; N] {
    // SAFETY: the caller says so; the read asks for no alignment.
    unsafe { source.cast::<[T; N]>().read_unaligned() }
}

impl Lanes for Scalar {
    type Bytes = [u8; GROUP];
    type Integers = [i32; LANES];
    type Floats = [f32; LANES];

    const TILE: usize = 4;

    #[inline(always)]
    unsafe fn bytes(source: *const u8) -> Self::Bytes {
        // SAFETY: 64 bytes are readable, as the trait asks.
        unsafe { read(source) }
    }

    #[inline(always)]
    unsafe fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte & 15)
    }

    #[inline(always)]
    unsafe fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte >> 4)
    }

    #[inline(always)]
    unsafe fn with_bits(codes: Self::Bytes, plane: Self::Bytes, left: i32, mask: u8) -> Self::Bytes {
        let shift = |bits: u8| if left < 0 { bits >> -left } else { bits << left };
        std::array::from_fn(|index| codes[index] | (shift(plane[index]) & mask))
    }

    #[inline(always)]
    unsafe fn look_up(codes: Self::Bytes, table: &[i8; 16]) -> Self::Bytes {
        codes.map(|code| table[usize::from(code & 15)].cast_unsigned())
    }

    #[inline(always)]
    unsafe fn start<F: QuantisedFormat>(sum: i32) -> Self::Integers {
        [if F::SIGNED { 0 } else { -F::OFFSET * sum }; LANES]
    }

    #[inline(always)]
    unsafe fn dot<F: QuantisedFormat>(
        mut sums: Self::Integers,
        codes: &[Self::Bytes; 4],
        activations: *const i8,
    ) -> Self::Integers {
        // SAFETY: 16 activations are readable, as the trait asks.
        let activations: [i8; 16] = unsafe { read(activations.cast()) };
        let value = |code: u8| if F::SIGNED { i32::from(code.cast_signed()) } else { i32::from(code) };
        for (group, activations) in codes.iter().zip(activations.as_chunks::<4>().0) {
            for (sum, codes) in sums.iter_mut().zip(group.as_chunks::<4>().0) {
                *sum += codes.iter().zip(activations).map(|(&code, &v)| value(code) * i32::from(v)).sum::<i32>();
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn convert(integers: Self::Integers) -> Self::Floats {
        integers.map(|integer| integer as f32)
    }

    #[inline(always)]
    unsafe fn floats(source: *const u8) -> Self::Floats {
        // SAFETY: 64 bytes are readable, as the trait asks.
        unsafe { read::<[u8; 4], LANES>(source) }.map(f32::from_le_bytes)
    }

    #[inline(always)]
    unsafe fn halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        unsafe { read::<[u8; 2], LANES>(source) }.map(|bytes| f16::from_le_bytes(bytes).to_f32_const())
    }

    #[inline(always)]
    unsafe fn upper_halves(source: *const u8) -> Self::Floats {
        // SAFETY: 32 bytes are readable, as the trait asks.
        let halves = unsafe { read::<[u8; 2], LANES>(source) };
        halves.map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
    }

    #[inline(always)]
    unsafe fn powers(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe { read::<u8, LANES>(source) }.map(|exponent| {
            // Twice the power is a normal number but for exponent 0, whose double is the largest power below them.
            f32::from_bits((u32::from(exponent) << 23).max(0x0040_0000)) * 0.5
        })
    }

    #[inline(always)]
    unsafe fn unsigned(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe { read::<u8, LANES>(source) }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn signed(source: *const u8) -> Self::Floats {
        // SAFETY: 16 bytes are readable, as the trait asks.
        unsafe { read::<i8, LANES>(source) }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    unsafe fn fused_negative(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        std::array::from_fn(|lane| (-a[lane]).mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    unsafe fn store(values: Self::Floats, target: &mut [f32; LANES]) {
        *target = values;
    }

    unsafe fn quantised<F: QuantisedFormat, const T: usize>(tile: &QuantisedTile, output: &mut TileOutput) {
        // SAFETY: the caller's tile is whole, as the kernel asks.
        unsafe { product::quantised::<Self, F, T>(tile, output) }
    }

    unsafe fn float<F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput) {
        // SAFETY: the caller's tile is whole, as the kernel asks.
        unsafe { product::float::<Self, F, T>(tile, output) }
    }

    unsafe fn quantise(source: &[f32; 32]) -> Option<Block> {
        quantise::block(source)
    }
}
