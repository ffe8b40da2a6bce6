//! The instruction sets that kernels are written for, and which of them this machine has.

use std::sync::OnceLock;

/// What a kernel may use. All give the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum InstructionSet {
    /// Nothing but the language.
    Scalar,
    /// x86-64 with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 (F, BW, VL, DQ).
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Names the instruction set to use, in place of the best one: `scalar`, `avx2`, `avx512`, as for the native engine. One
/// that the machine lacks, or that the ring has no kernels for, is passed over.
const VARIABLE: &str = "NEURO_INSTRUCTION_SET";

impl InstructionSet {
    /// All of them, the slowest first.
    #[cfg(target_arch = "x86_64")]
    const ALL: &[Self] = &[Self::Scalar, Self::Avx2, Self::Avx512];
    /// All of them.
    #[cfg(not(target_arch = "x86_64"))]
    const ALL: &[Self] = &[Self::Scalar];

    /// Those that this machine has, the slowest first; `Scalar` always.
    pub(in super::super) fn available() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|set| set.is_available()).collect()
    }

    /// The one that this process computes with: what [`VARIABLE`] names if the machine has it, else the best.
    pub(in super::super) fn current() -> Self {
        static CURRENT: OnceLock<InstructionSet> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let available = Self::available();
            let named = std::env::var(VARIABLE).ok();
            let named = available.iter().find(|set| Some(set.name()) == named.as_deref());
            named.or(available.last()).copied().unwrap_or(Self::Scalar)
        })
    }

    /// Whether this machine can run it.
    pub(super) fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }
}
