//! What a kernel asks of an instruction set: sixteen lanes, one for each row of a panel.
//!
//! The kernels are written once, over this trait; each instruction set says how its registers hold the lanes. Float
//! operations are those of IEEE 754, each rounded once, and the integer sums are exact, so the bits do not depend on
//! who implements them.

use super::format::{FloatFormat, QuantisedFormat};
use super::product::{FloatTile, QuantisedTile, TileOutput};
use super::quantise::Block;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;
pub(super) use scalar::Scalar;

/// Rows of a panel, which are the lanes of a kernel.
pub(super) const LANES: usize = 16;

/// Weights of one group: four columns of each lane's row, a byte each.
pub(super) const GROUP: usize = 4 * LANES;

/// Columns of a quad of groups, and activations that one [`Lanes::dot`] takes.
pub(super) const QUAD: usize = 16;

/// One instruction set's registers and operations.
///
/// # Safety
/// Every function asks that the machine has the instruction set. Those that take a pointer read (or write) as many
/// bytes there as they say, at any alignment.
pub(super) trait Lanes: Copy + Sized {
    /// 64 bytes.
    type Bytes: Copy;
    /// 16 × i32.
    type Integers: Copy;
    /// 16 × f32.
    type Floats: Copy;

    /// Rows of activations that a kernel takes at once: as many as the registers hold sums for.
    const TILE: usize;

    /// 64 bytes.
    unsafe fn bytes(source: *const u8) -> Self::Bytes;
    /// Each byte's lower four bits.
    unsafe fn low_nibbles(bytes: Self::Bytes) -> Self::Bytes;
    /// Each byte's upper four bits.
    unsafe fn high_nibbles(bytes: Self::Bytes) -> Self::Bytes;
    /// `codes | ((plane << left) & mask)`, byte by byte; a negative `left` shifts to the right. `mask` must clear what
    /// a shift of wider words carries from one byte into the next.
    unsafe fn with_bits(codes: Self::Bytes, plane: Self::Bytes, left: i32, mask: u8) -> Self::Bytes;
    /// The table's entry for each byte, all of which are below 16.
    unsafe fn look_up(codes: Self::Bytes, table: &[i8; 16]) -> Self::Bytes;

    /// The sums that [`Self::dot`] adds to, where `sum` is that of the activations to come.
    unsafe fn start<F: QuantisedFormat>(sum: i32) -> Self::Integers;
    /// Adds to each lane the 16 products of its codes and the activations (16 × i8, none of them -128).
    unsafe fn dot<F: QuantisedFormat>(
        sums: Self::Integers,
        codes: &[Self::Bytes; 4],
        activations: *const i8,
    ) -> Self::Integers;
    /// The integers as f32. They are small enough to be exact.
    unsafe fn convert(integers: Self::Integers) -> Self::Floats;

    /// 16 × f32.
    unsafe fn floats(source: *const u8) -> Self::Floats;
    /// 16 × f16, all finite.
    unsafe fn halves(source: *const u8) -> Self::Floats;
    /// 16 × bf16.
    unsafe fn upper_halves(source: *const u8) -> Self::Floats;
    /// 16 exponents of a byte, each `e` as `2^(e - 128)`.
    unsafe fn powers(source: *const u8) -> Self::Floats;
    /// 16 × u8.
    unsafe fn unsigned(source: *const u8) -> Self::Floats;
    /// 16 × i8.
    unsafe fn signed(source: *const u8) -> Self::Floats;
    /// `value` in every lane.
    unsafe fn splat(value: f32) -> Self::Floats;
    /// `a · b`.
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once.
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `-(a · b) + c`, rounded once.
    unsafe fn fused_negative(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// Writes 16 × f32.
    unsafe fn store(values: Self::Floats, target: &mut [f32; LANES]);

    /// [`super::product::quantised`], compiled for this instruction set.
    unsafe fn quantised<F: QuantisedFormat, const T: usize>(tile: &QuantisedTile, output: &mut TileOutput);
    /// [`super::product::float`], compiled for this instruction set.
    unsafe fn float<F: FloatFormat, const T: usize>(tile: &FloatTile, output: &mut TileOutput);
    /// [`super::quantise::block`], compiled for this instruction set.
    unsafe fn quantise(source: &[f32; 32]) -> Option<Block>;
}
