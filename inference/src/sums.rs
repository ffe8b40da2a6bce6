//! Float sums in one fixed order: that of [`functions`], under this process's instruction set.
//!
//! The order depends on the length alone, so a result has the same bits on every machine, whatever the batch and the
//! number of threads.

use neuro_expert_runtime::kernels::{InstructionSet, functions};

pub use neuro_expert_runtime::kernels::functions::LANES;

/// The dot product of `left` and `right` (both `[n]`, f32); of the shorter length when they differ.
#[must_use]
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    functions::dot(InstructionSet::current(), left, right)
}

/// The sum of `values` (`[n]`, f32).
#[must_use]
pub fn sum(values: &[f32]) -> f32 {
    functions::sum(InstructionSet::current(), values)
}

/// Replaces each score by exp(score − largest) and returns their sum: the numerators and the denominator of a softmax.
pub fn exponentiate(scores: &mut [f32]) -> f32 {
    functions::exponentiate(InstructionSet::current(), scores, None)
}

/// `target += factor × values`, element by element (both `[n]`, f32), each product fused with its addition.
pub fn add_scaled(target: &mut [f32], factor: f32, values: &[f32]) {
    functions::add_scaled(InstructionSet::current(), target, factor, values);
}

/// `target += values`, element by element (both `[n]`, f32).
pub fn add(target: &mut [f32], values: &[f32]) {
    functions::add(InstructionSet::current(), target, values);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| libm::sinf(i as f32 * step) * 3.0).collect()
    }

    #[test]
    fn the_documented_order_is_the_order() {
        for n in [0, 1, 15, 16, 17, 64, 100] {
            let (left, right) = (wave(n, 0.7), wave(n, 1.3));
            let mut lanes = [0.0_f32; LANES];
            for i in 0..n {
                lanes[i % LANES] = libm::fmaf(left[i], right[i], lanes[i % LANES]);
            }
            for half in [8, 4, 2, 1] {
                for lane in 0..half {
                    lanes[lane] += lanes[lane + half];
                }
            }
            assert_eq!(dot(&left, &right).to_bits(), lanes[0].to_bits(), "{n} elements");
        }
    }

    #[test]
    fn sums_are_close_to_those_in_double_precision() {
        for n in [1, 16, 33, 1000] {
            let (left, right) = (wave(n, 0.31), wave(n, 0.17));
            let exact: f64 = left.iter().zip(&right).map(|(l, r)| f64::from(*l) * f64::from(*r)).sum();
            assert!((f64::from(dot(&left, &right)) - exact).abs() < 1e-3, "{n} elements");
            let exact: f64 = left.iter().map(|value| f64::from(*value)).sum();
            assert!((f64::from(sum(&left)) - exact).abs() < 1e-3, "{n} elements");
        }
    }

    #[test]
    fn sums_in_place_add_element_by_element() {
        let mut target = vec![1.0, 2.0];
        add_scaled(&mut target, 0.5, &[4.0, -4.0]);
        add(&mut target, &[1.0, 1.0]);
        assert_eq!(target, [4.0, 1.0]);
    }
}
