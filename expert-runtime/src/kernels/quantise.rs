//! One block of activations, for the kernels: the rule of [`crate::activations`], in a form that compilers vectorise.

use neuro_primitives::ACTIVATION_BLOCK;

/// A quantised block with the sums that the kernels need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Block {
    pub(crate) values: [i8; ACTIVATION_BLOCK],
    pub(crate) scale: f32,
    /// Sums of the first and of the second 16 values.
    pub(crate) sums: [i32; 2],
}

/// Below this, a block counts as zeros.
const LEAST: f32 = 1e-30;

/// 1.5 · 2^23: added to a float of at most 2^22, it leaves the nearest integer (ties to even) in the lower bits.
const INTEGERS: f32 = 12_582_912.0;

/// The block of 32 values; `None` when one is not finite.
#[inline(always)]
pub(super) fn block(source: &[f32; ACTIVATION_BLOCK]) -> Option<Block> {
    // Magnitudes of floats are ordered as their bits are.
    let bits = source.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & 0x7FFF_FFFF));
    let largest = f32::from_bits(bits);
    if !largest.is_finite() {
        return None;
    }
    if largest < LEAST {
        return Some(Block { values: [0; ACTIVATION_BLOCK], scale: 0.0, sums: [0; 2] });
    }
    let inverse = 127.0 / largest;
    let integers: [i32; ACTIVATION_BLOCK] = std::array::from_fn(|index| {
        (source[index] * inverse + INTEGERS).to_bits().cast_signed() - INTEGERS.to_bits().cast_signed()
    });
    let values = integers.map(|integer| integer as i8);
    Some(Block { values, scale: largest / 127.0, sums: sums(&values) })
}

/// Sums of the first and of the second half.
#[inline(always)]
pub(super) fn sums(values: &[i8; ACTIVATION_BLOCK]) -> [i32; 2] {
    let sum = |half: &[i8]| half.iter().map(|&value| i32::from(value)).sum();
    [sum(&values[..ACTIVATION_BLOCK / 2]), sum(&values[ACTIVATION_BLOCK / 2..])]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::InstructionSet;
    use crate::kernels::operand::quantise_block;

    /// The rule spelled out.
    fn by_the_rule(source: &[f32; ACTIVATION_BLOCK]) -> Option<Block> {
        if source.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let largest = source.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let (scale, inverse) = if largest < 1e-30 { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) };
        let values = source.map(|value| (value * inverse).round_ties_even() as i8);
        Some(Block { values, scale, sums: sums(&values) })
    }

    fn check(source: [f32; ACTIVATION_BLOCK]) {
        for set in InstructionSet::available() {
            assert_eq!(quantise_block(set, &source), by_the_rule(&source), "{set}");
        }
    }

    proptest! {
        #[test]
        fn a_block_is_that_of_the_rule(
            values in prop::array::uniform32(-1.0_f32..1.0), exponent in -40_i32..38, ties in any::<bool>(),
        ) {
            let scale = 10.0_f32.powi(exponent);
            let mut source = values.map(|value| value * scale);
            if ties {
                source = values.map(|value| (value * 254.0).round() / 2.0);
                source[7] = -127.0;
            }
            check(source);
        }
    }

    #[test]
    fn what_is_no_number_is_refused_wherever_it_lies() {
        for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in 0..ACTIVATION_BLOCK {
                let mut source = [0.5; ACTIVATION_BLOCK];
                source[place] = value;
                check(source);
            }
        }
        check([f32::MAX; ACTIVATION_BLOCK]);
        check([-0.0; ACTIVATION_BLOCK]);
    }
}
