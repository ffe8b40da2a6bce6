//! Bodies written once in plain Rust, compiled once per instruction set.
//!
//! A [`Body`] works on fixed arrays of [`LANES`] floats, which the compiler turns into vectors of whatever width the
//! instruction set has. Rust neither reorders float operations nor fuses them unasked, so every translation gives the
//! same bits. [`run`] is the only way in, and the only place where an instruction set is entered.

use super::instruction_set::InstructionSet;

/// Lanes of every sum, and values of every step. Enough independent additions to hide their latency; with 32 the small
/// heads of 16 would be padding.
pub const LANES: usize = 16;

/// The two operations that the language has no portable and fast word for. A value of such a type is the proof that
/// the instruction set is there.
pub(crate) trait Vectors: Copy {
    /// `a · b + c`, rounded once.
    fn fused(self, a: f32, b: f32, c: f32) -> f32;

    /// f16 as f32, exactly; a signalling NaN becomes a quiet one.
    fn widen(self, halves: &[u16; LANES]) -> [f32; LANES];
}

/// What runs under an instruction set. `compute` and all that it calls must be `#[inline(always)]`: what is not inlined
/// is compiled for the plainest machine.
pub(crate) trait Body {
    /// The result.
    type Output;

    /// Does the work.
    fn compute<V: Vectors>(self, vectors: V) -> Self::Output;
}

/// Runs `body` under `set`; under [`InstructionSet::Scalar`] where this machine lacks it, with the same result.
#[inline]
pub(crate) fn run<B: Body>(set: InstructionSet, body: B) -> B::Output {
    if !set.is_available() {
        return body.compute(Portable);
    }
    match set {
        // SAFETY: `is_available` found every feature that the function enables.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe { x86::run_avx2(body) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => unsafe { x86::run_avx512(body) },
        // SAFETY: as above. What the dot products of `NeonDotprod` add is of no use to floats.
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon | InstructionSet::NeonDotprod => unsafe { aarch64::run_neon(body) },
        _ => body.compute(Portable),
    }
}

/// Nothing but the language. The product and sum come from `libm`: the platform's own function is not exact everywhere.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Vectors for Portable {
    #[inline(always)]
    fn fused(self, a: f32, b: f32, c: f32) -> f32 {
        libm::fmaf(a, b, c)
    }

    #[inline(always)]
    fn widen(self, halves: &[u16; LANES]) -> [f32; LANES] {
        halves.map(widened)
    }
}

/// One f16 as f32 by its bits. The exponent's bias is put right by a product with a power of two, which also brings
/// subnormals to their normal form.
#[inline(always)]
fn widened(half: u16) -> f32 {
    let (sign, magnitude) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7FFF) << 13);
    let finite = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let quiet = if magnitude > 0x0F80_0000 { 0x0040_0000 } else { 0 };
    let bits = if magnitude >= 0x0F80_0000 { magnitude | 0x7F80_0000 | quiet } else { finite };
    f32::from_bits(bits | sign)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm_loadu_si128, _mm256_cvtph_ps, _mm256_loadu_si256, _mm256_storeu_ps, _mm512_cvtph_ps,
        _mm512_storeu_ps,
    };

    use super::{Body, LANES, Vectors};

    /// # Safety
    /// The machine has AVX2, FMA and F16C.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn run_avx2<B: Body>(body: B) -> B::Output {
        body.compute(Avx2)
    }

    /// # Safety
    /// The machine has AVX-512 (F, BW, VL, DQ), AVX2, FMA and F16C.
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) unsafe fn run_avx512<B: Body>(body: B) -> B::Output {
        body.compute(Avx512)
    }

    /// Made by [`run_avx2`] alone.
    #[derive(Clone, Copy)]
    struct Avx2;

    /// Made by [`run_avx512`] alone.
    #[derive(Clone, Copy)]
    struct Avx512;

    impl Vectors for Avx2 {
        #[inline(always)]
        fn fused(self, a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn widen(self, halves: &[u16; LANES]) -> [f32; LANES] {
            let mut wide = [0.0; LANES];
            // SAFETY: a value of this type exists only where F16C does; each access takes 8 elements inside its array.
            unsafe {
                let low = _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().cast()));
                let high = _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().add(8).cast()));
                _mm256_storeu_ps(wide.as_mut_ptr(), low);
                _mm256_storeu_ps(wide.as_mut_ptr().add(8), high);
            }
            wide
        }
    }

    impl Vectors for Avx512 {
        #[inline(always)]
        fn fused(self, a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn widen(self, halves: &[u16; LANES]) -> [f32; LANES] {
            let mut wide = [0.0; LANES];
            // SAFETY: a value of this type exists only where AVX-512F does; both arrays have 16 elements.
            unsafe {
                let halves: __m256i = _mm256_loadu_si256(halves.as_ptr().cast());
                _mm512_storeu_ps(wide.as_mut_ptr(), _mm512_cvtph_ps(halves));
            }
            wide
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::{vcvt_f32_f16, vld1_u16, vreinterpret_f16_u16, vst1q_f32};

    use super::{Body, LANES, Vectors};

    /// # Safety
    /// The machine has NEON.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn run_neon<B: Body>(body: B) -> B::Output {
        body.compute(Neon)
    }

    /// Made by [`run_neon`] alone.
    #[derive(Clone, Copy)]
    struct Neon;

    impl Vectors for Neon {
        #[inline(always)]
        fn fused(self, a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn widen(self, halves: &[u16; LANES]) -> [f32; LANES] {
            let mut wide = [0.0; LANES];
            for start in (0..LANES).step_by(4) {
                // SAFETY: a value of this type exists only where NEON does; `start + 4` is within both arrays.
                unsafe {
                    let four = vreinterpret_f16_u16(vld1_u16(halves.as_ptr().add(start)));
                    vst1q_f32(wide.as_mut_ptr().add(start), vcvt_f32_f16(four));
                }
            }
            wide
        }
    }
}

#[cfg(test)]
mod tests;
