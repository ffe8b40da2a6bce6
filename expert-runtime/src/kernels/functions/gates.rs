//! The activations of feed-forward networks.

use neuro_model::HiddenActivation;

use super::exponential::exp;
use crate::kernels::vectors::{LANES, Vectors};

#[inline(always)]
pub(crate) fn silu<V: Vectors>(vectors: V, x: f32) -> f32 {
    x / (1.0 + exp(vectors, -x))
}

/// The comparisons leave NaN what it is.
#[inline(always)]
pub(crate) fn clamped_swiglu<V: Vectors>(vectors: V, gate: f32, up: f32, alpha: f32, limit: f32) -> f32 {
    let gate = if gate > limit { limit } else { gate };
    let up = if up > limit { limit } else { up };
    let up = if up < -limit { -limit } else { up };
    gate / (1.0 + exp(vectors, -(gate * alpha))) * (up + 1.0)
}

#[inline(always)]
pub(crate) fn gate_into<V: Vectors>(vectors: V, activation: HiddenActivation, gate: &mut [f32], up: &[f32]) {
    match activation {
        HiddenActivation::Silu => each_pair(gate, up, |gate, up| silu(vectors, gate) * up),
        HiddenActivation::ClampedSwiglu { alpha, limit } => {
            each_pair(gate, up, |gate, up| clamped_swiglu(vectors, gate, up, alpha, limit));
        }
    }
}

#[inline(always)]
fn each_pair(gate: &mut [f32], up: &[f32], function: impl Fn(f32, f32) -> f32) {
    let (gates, gate_rest) = gate.as_chunks_mut::<LANES>();
    let (ups, up_rest) = up.as_chunks::<LANES>();
    for (gates, ups) in gates.iter_mut().zip(ups) {
        for lane in 0..LANES {
            gates[lane] = function(gates[lane], ups[lane]);
        }
    }
    for (gate, up) in gate_rest.iter_mut().zip(up_rest) {
        *gate = function(*gate, *up);
    }
}
