//! Bodies in plain Rust, compiled once per instruction set: the compiler makes vectors of what works on arrays.

use super::instruction_set::InstructionSet;

/// What runs under an instruction set. `compute` and all that it calls must be `#[inline(always)]`: what is not inlined
/// is compiled for the plainest machine.
pub(super) trait Body {
    /// Does the work.
    fn compute(self);
}

/// Runs `body` under `set`; as plain code where this machine lacks it.
pub(super) fn run<B: Body>(set: InstructionSet, body: B) {
    if !set.is_available() {
        return body.compute();
    }
    match set {
        InstructionSet::Scalar => body.compute(),
        // SAFETY: `is_available` found every feature that the function enables.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe { run_avx2(body) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => unsafe { run_avx512(body) },
    }
}

/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn run_avx2<B: Body>(body: B) {
    body.compute();
}

/// # Safety
/// The machine has AVX2 and AVX-512 (F, BW, VL, DQ).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn run_avx512<B: Body>(body: B) {
    body.compute();
}
