//! The functions of the native engine over slices of f32, with the same bits under every instruction set.
//!
//! Sums run in [`LANES`] lanes: lane `i` takes the elements `i`, `i + LANES`, `i + 2·LANES`, … in that order, each
//! product fused with its addition. Then the lanes are halved until one is left: lane `i` gets lane `i + n/2` for
//! `n` = 16, 8, 4, 2. So the order depends on the length alone.
//!
//! What is not a number stays one, but its sign and payload differ from one machine to the next; no such value ever
//! leaves a node.

pub(crate) mod exponential;
pub(crate) mod gates;
pub(crate) mod halves;
pub(crate) mod sums;

use neuro_model::HiddenActivation;

use super::instruction_set::InstructionSet;
pub use super::vectors::LANES;
use super::vectors::{Body, Portable, Vectors, run};

/// Makes a function that runs the body `$path` under an instruction set.
macro_rules! under_a_set {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*) $(-> $output:ty)? = $path:path;)*) => {$(
        $(#[$doc])*
        #[allow(clippy::missing_errors_doc)]
        pub fn $name<'a>(set: InstructionSet, $($argument: $kind),*) $(-> $output)? {
            struct Arguments<'a> {
                $($argument: $kind),*
            }
            impl Body for Arguments<'_> {
                type Output = under_a_set!(@output $($output)?);

                #[inline(always)]
                fn compute<V: Vectors>(self, vectors: V) -> Self::Output {
                    $path(vectors, $(self.$argument),*)
                }
            }
            run(set, Arguments { $($argument),* })
        }
    )*};
    (@output) => { () };
    (@output $output:ty) => { $output };
}

under_a_set! {
    /// Replaces each value (`[n]`, f32) by e to its power, within 1 ulp. From 88.72284 on it is infinite, and below
    /// -87.33654 (where it would be subnormal) zero; NaN stays NaN.
    fn exp_in_place(values: &'a mut [f32]) = exponential::exp_in_place;

    /// Replaces each score (`[n]`, f32) by exp(score − largest) and returns their sum: the numerators and the
    /// denominator of a softmax. A `sink` takes part in the search for the largest, and is added to the sum last.
    fn exponentiate(scores: &'a mut [f32], sink: Option<f32>) -> f32 = exponential::exponentiate;

    /// Replaces every gate value by the activation of it and `up`: what the down projection takes. Both `[n]`, f32.
    fn gate_into(activation: HiddenActivation, gate: &'a mut [f32], up: &'a [f32]) = gates::gate_into;

    /// The dot product of `left` and `right` (both `[n]`, f32); of the shorter length when they differ.
    fn dot(left: &'a [f32], right: &'a [f32]) -> f32 = sums::dot;

    /// The sum of `values` (`[n]`, f32).
    fn sum(values: &'a [f32]) -> f32 = sums::sum;

    /// `target += values`, element by element (both `[n]`, f32).
    fn add(target: &'a mut [f32], values: &'a [f32]) = sums::add;

    /// `target += factor × values`, element by element (both `[n]`, f32), each product fused with its addition.
    fn add_scaled(target: &'a mut [f32], factor: f32, values: &'a [f32]) = sums::add_scaled;

    /// Divides `vector` (`[n]`, f32) by the root of its mean square and of `epsilon`, times `weight` (`[n]`, f32):
    /// `x · (1 / sqrt(dot(x, x) / n + ε)) · w`, every operation rounded.
    fn rms_norm(vector: &'a mut [f32], weight: &'a [f32], epsilon: f32) = sums::rms_norm;

    /// f16 (`[n]`, bits) as f32 (`[n]`), exactly.
    fn widen(halves: &'a [u16], target: &'a mut [f32]) = halves::widen;

    /// f32 (`[n]`) as f16 (`[n]`, bits), rounded to the nearest, ties to even. A finite value beyond ±65504 becomes
    /// ±65504; what is infinite or no number stays so.
    fn narrow(values: &'a [f32], target: &'a mut [u16]) = halves::narrow;
}

/// e to the power of `x`, with the bits of [`exp_in_place`].
#[must_use]
pub fn exp(x: f32) -> f32 {
    exponential::exp(Portable, x)
}

/// `1 / (1 + e^-x)`, two roundings after the exponential.
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x · sigmoid(x)` as `x / (1 + e^-x)`, two roundings after the exponential.
#[must_use]
pub fn silu(x: f32) -> f32 {
    gates::silu(Portable, x)
}

/// gpt-oss: `gate · sigmoid(α · gate) · (up + 1)`, the gate at most `limit` and up within `±limit`.
#[must_use]
pub fn clamped_swiglu(gate: f32, up: f32, alpha: f32, limit: f32) -> f32 {
    gates::clamped_swiglu(Portable, gate, up, alpha, limit)
}

#[cfg(test)]
mod tests;
