//! Which instruction sets the kernels of the proof may use on this machine.

use std::sync::OnceLock;

/// Proof that the machine has an instruction set: it can only be had from [`Set::available`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Nothing but the language.
    Scalar,
    /// AVX2 and PCLMULQDQ.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 (F, BW, DQ, VL) and VPCLMULQDQ, besides all of `Avx2`.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Set {
    /// Nothing but the language: everywhere.
    pub const SCALAR: Self = Self(Level::Scalar);

    /// Those that this machine has, the slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut sets = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx2() {
                sets.push(Self(Level::Avx2));
            }
            if has_avx2() && has_avx512() {
                sets.push(Self(Level::Avx512));
            }
        }
        sets
    }

    /// The best that this machine has.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceLock<Set> = OnceLock::new();
        *CURRENT.get_or_init(|| Self::available().last().copied().unwrap_or(Self::SCALAR))
    }

    pub(super) const fn level(self) -> Level {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("vpclmulqdq")
}
