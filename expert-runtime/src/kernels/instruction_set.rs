//! The instruction sets that kernels are written for, and which of them this machine has.

use std::str::FromStr;
use std::sync::OnceLock;

/// What a kernel may use. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstructionSet {
    /// Nothing but the language.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI, besides all of `Avx2`.
    Avx512,
    /// AArch64 with NEON.
    Neon,
    /// AArch64 with NEON and its 4-way dot products.
    NeonDotprod,
}

/// Names the instruction set to use, in place of the best one: `scalar`, `avx2`, `avx512`, `neon`, `neon-dotprod`. One
/// that the machine lacks is passed over.
pub const VARIABLE: &str = "NEURO_INSTRUCTION_SET";

/// A name that is no instruction set's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected scalar, avx2, avx512, neon or neon-dotprod, got {got:?}")]
pub struct UnknownInstructionSet {
    /// The name.
    pub got: String,
}

impl InstructionSet {
    /// All of them, the slowest first.
    pub const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Neon, Self::NeonDotprod];

    /// Those that this machine has, the slowest first; `Scalar` always.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|set| set.is_available()).collect()
    }

    /// The one that this process computes with: what [`VARIABLE`] names if the machine has it, else the best.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceLock<InstructionSet> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let named = std::env::var(VARIABLE).ok().and_then(|name| name.parse().ok());
            let best = Self::available().last().copied().unwrap_or(Self::Scalar);
            named.filter(|set: &Self| set.is_available()).unwrap_or(best)
        })
    }

    /// Whether this machine can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has_avx2(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => has_avx2() && has_avx512(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod => std::arch::is_aarch64_feature_detected!("dotprod"),
            _ => false,
        }
    }

    /// The name that [`VARIABLE`] knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
            Self::NeonDotprod => "neon-dotprod",
        }
    }
}

impl FromStr for InstructionSet {
    type Err = UnknownInstructionSet;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|set| set.name() == name)
            .ok_or_else(|| UnknownInstructionSet { got: name.to_owned() })
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_the_current_one_is_available() {
        for set in InstructionSet::ALL {
            assert_eq!(set.name().parse(), Ok(set));
        }
        assert!("sse".parse::<InstructionSet>().is_err());
        assert!(InstructionSet::available().contains(&InstructionSet::current()));
        assert!(InstructionSet::Scalar.is_available());
        // `tests/tools/neon.sh` reads which sets the other tests run under.
        println!(
            "instruction sets: {}",
            InstructionSet::available().iter().map(|set| set.name()).collect::<Vec<_>>().join(" ")
        );
    }
}
