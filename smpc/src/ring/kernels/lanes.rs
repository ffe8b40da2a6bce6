//! What a kernel asks of an instruction set: registers of a few words, and products of them modulo 2^64.

use super::instruction_set::InstructionSet;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod weight;

use scalar::Scalar;
pub(in super::super) use weight::Weight;

/// The widest register, in words.
pub(super) const WIDEST: usize = 8;

/// One instruction set's registers and operations.
///
/// # Safety
/// Every function asks that the machine has the instruction set. Those that take a pointer read (or write) `WIDTH`
/// elements there, at any alignment.
pub(in super::super) trait Lanes: Copy {
    /// Words of a register.
    const WIDTH: usize;
    /// Rows of a tile over columns, of which each row has [`Self::PANEL`] registers: 8, 4 or 2. As many sums as stay in
    /// registers.
    const ROWS: usize;
    /// Registers of a row of a tile over columns: 2 or 1.
    const PANEL: usize;
    /// Both sides of a tile of dot products: 4 or 2.
    const SQUARE: usize;

    /// `WIDTH` words.
    type Words: Copy;
    /// Words made ready for a product.
    type Factor: Copy;
    /// Sums of products, perhaps in parts.
    type Sum: Copy;

    /// `WIDTH` words.
    unsafe fn load(source: *const u64) -> Self::Words;
    /// `WIDTH` weights, their signs extended.
    unsafe fn load_i32(source: *const i32) -> Self::Words;
    /// `WIDTH` weights, their signs extended.
    unsafe fn load_i16(source: *const i16) -> Self::Words;
    /// `value` in every lane.
    unsafe fn splat(value: u64) -> Self::Words;
    /// Writes `WIDTH` words.
    unsafe fn store(words: Self::Words, target: *mut u64);
    /// `a + b`.
    unsafe fn add(a: Self::Words, b: Self::Words) -> Self::Words;

    /// For [`Self::product`].
    unsafe fn factor(words: Self::Words) -> Self::Factor;
    /// For [`Self::narrow_product`].
    unsafe fn narrow_factor(words: Self::Words) -> Self::Factor;
    /// Nothing.
    unsafe fn zero() -> Self::Sum;
    /// `sum + a · b`.
    unsafe fn product(sum: Self::Sum, a: Self::Factor, b: Self::Factor) -> Self::Sum;
    /// `sum + a · b`, where b is the sign extension of 32 bits in each lane.
    unsafe fn narrow_product(sum: Self::Sum, a: Self::Factor, b: Self::Words) -> Self::Sum;
    /// The sums.
    unsafe fn words(sum: Self::Sum) -> Self::Words;
}

/// What runs under an instruction set. `compute` and all that it calls must be `#[inline(always)]`: what is not inlined
/// is compiled for the plainest machine. So no closures there.
pub(super) trait Kernel {
    /// Does the work.
    ///
    /// # Safety
    /// The machine has the instruction set of `L`.
    unsafe fn compute<L: Lanes>(self);
}

/// Runs `kernel` under `set`; as plain code where this machine lacks it.
pub(super) fn run<K: Kernel>(set: InstructionSet, kernel: K) {
    match set {
        // SAFETY: found to be available.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 if set.is_available() => unsafe { avx2::run(kernel) },
        // SAFETY: found to be available.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 if set.is_available() => unsafe { avx512::run(kernel) },
        // SAFETY: asks nothing of the machine.
        _ => unsafe { kernel.compute::<Scalar>() },
    }
}

/// The sum of all lanes.
///
/// # Safety
/// The machine has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn total<L: Lanes>(sum: L::Sum) -> u64 {
    let mut lanes = [0; WIDEST];
    // SAFETY: as the caller says; no register is wider than the array.
    unsafe { L::store(L::words(sum), lanes.as_mut_ptr()) };
    let [a, b, c, d, e, f, g, h] = lanes;
    let (front, back) = (a.wrapping_add(b).wrapping_add(c).wrapping_add(d), e.wrapping_add(f).wrapping_add(g));
    front.wrapping_add(back).wrapping_add(h)
}
