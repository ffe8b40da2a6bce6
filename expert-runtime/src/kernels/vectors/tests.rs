//! Halves and fused products are the same everywhere.

use super::*;

struct Widen<'a>(&'a [u16; LANES]);

impl Body for Widen<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn compute<V: Vectors>(self, vectors: V) -> Self::Output {
        vectors.widen(self.0)
    }
}

struct Fused(f32, f32, f32);

impl Body for Fused {
    type Output = f32;

    #[inline(always)]
    fn compute<V: Vectors>(self, vectors: V) -> f32 {
        vectors.fused(self.0, self.1, self.2)
    }
}

#[test]
fn every_half_is_widened_exactly() {
    for set in InstructionSet::ALL {
        for start in (0..=u16::MAX).step_by(LANES) {
            let block: [u16; LANES] = std::array::from_fn(|lane| start + lane as u16);
            for (half, wide) in block.into_iter().zip(run(set, Widen(&block))) {
                let expected = half::f16::from_bits(half).to_f32_const();
                assert_eq!(wide.to_bits(), expected.to_bits(), "{set}: {half:#06x}");
            }
        }
    }
}

#[test]
fn a_product_and_its_sum_are_rounded_once() {
    let small = f32::EPSILON;
    for set in InstructionSet::ALL {
        // (1 + ε)² − (1 + 2ε) = ε²: nothing of it is left where the product is rounded first.
        assert_eq!(run(set, Fused(1.0 + small, 1.0 + small, -(1.0 + 2.0 * small))), small * small);
        // Rounding to f64 and then to f32 would give 1.
        assert_eq!(run(set, Fused(small, 0.5 + f32::EPSILON, 1.0)), 1.0 + small);
    }
}
