//! Activation functions. None of them calls the platform's mathematics library, whose last bits differ from one system
//! to the next.

use neuro_model::HiddenActivation;

use crate::kernels::{InstructionSet, functions};

pub use crate::kernels::functions::{clamped_swiglu, silu};

/// Replaces every gate value by the activation of it and `up`: what the down projection takes. Both `[values]`, f32.
pub fn gate_into(activation: HiddenActivation, gate: &mut [f32], up: &[f32]) {
    functions::gate_into(InstructionSet::current(), activation, gate, up);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silu_agrees_with_double_precision() {
        for step in -400..=400 {
            let x = step as f32 / 8.0;
            let exact = f64::from(x) / (1.0 + libm::exp(-f64::from(x)));
            let difference = (f64::from(silu(x)) - exact).abs();
            assert!(difference <= exact.abs() * 4e-7, "silu({x}) is off by {difference}");
        }
    }

    #[test]
    fn silu_goes_to_zero_on_the_left_and_to_the_identity_on_the_right() {
        assert_eq!(silu(-1e4), 0.0);
        assert_eq!(silu(f32::MIN), 0.0);
        assert_eq!(silu(1e4), 1e4);
        assert!(silu(f32::NAN).is_nan());
    }

    #[test]
    fn the_bits_are_the_same_everywhere() {
        let bits = [-3.25_f32, -0.5, 0.1, 1.0, 7.5].map(|x| silu(x).to_bits());
        assert_eq!(bits, SILU_BITS);
    }

    /// Bits of silu at -3.25, -0.5, 0.1, 1 and 7.5. A change of them changes every answer of the network.
    const SILU_BITS: [u32; 5] = [3_187_176_096, 3_191_950_595, 1_029_113_871, 1_060_841_128, 1_089_461_769];
}
