//! The Rényi accountant: ε(α) of each release on a grid of orders, added up (Mironov 2017), and turned into (ε, δ).

mod discrete_gaussian;
mod gaussian;
mod skellam;

pub use discrete_gaussian::discrete_gaussian;
pub use gaussian::gaussian;
pub use skellam::skellam;

use crate::accountant::{Accountant, Event, check_delta, check_epsilon};
use crate::conversion;
use crate::error::{EventError, QueryError};

/// The orders α: integers, as the bound for Skellam noise asks; every one up to 128, then a few for little noise spent.
pub const ORDERS: [u32; 132] = orders();

const fn orders() -> [u32; 132] {
    let tail = [160, 192, 256, 512, 1024];
    let mut orders = [0; 132];
    let mut i = 0;
    while i < orders.len() {
        orders[i] = if i < 127 { i as u32 + 2 } else { tail[i - 127] };
        i += 1;
    }
    orders
}

/// Adds up Rényi divergences, and the distances of samplers from what they sample.
#[derive(Debug, Clone, PartialEq)]
pub struct RdpAccountant {
    /// ε(α), one for each of [`ORDERS`].
    divergences: [f64; ORDERS.len()],
    /// τ: how far in all the real noise may lie from the noise that was counted.
    distance: f64,
}

impl RdpAccountant {
    /// Nothing is spent.
    #[must_use]
    pub fn new() -> Self {
        Self { divergences: [0.0; ORDERS.len()], distance: 0.0 }
    }

    /// Each order α with the ε(α) spent at it.
    pub fn divergences(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        ORDERS.iter().copied().zip(self.divergences.iter().copied())
    }

    /// What τ adds to δ at `epsilon`: a set's probability moves by τ on either side of P ≤ e^ε·Q + δ.
    fn distance_delta(&self, epsilon: f64) -> f64 {
        if self.distance == 0.0 { 0.0 } else { (1.0 + epsilon.exp()) * self.distance }
    }

    /// The least ε with δ(ε) + (1 + e^ε)τ ≤ δ. The second term leaves less of δ to the first, which costs ε, which makes the
    /// term grow: the sequence rises to the least fixed point.
    fn epsilon_with_distance(&self, delta: f64) -> f64 {
        let mut epsilon = 0.0;
        for _ in 0..STEPS {
            let left = delta - self.distance_delta(epsilon);
            if left <= 0.0 {
                return f64::INFINITY;
            }
            // A hair more than the conversion says, so that the sequence ends at or above the fixed point.
            let next = conversion::epsilon(self.divergences(), left) * (1.0 + 1e-9);
            if next <= epsilon {
                return epsilon;
            }
            epsilon = next;
        }
        f64::INFINITY
    }
}

/// Steps until the sequence has to stand still; where τ is small against δ it takes three or four.
const STEPS: u32 = 1000;

impl Default for RdpAccountant {
    fn default() -> Self {
        Self::new()
    }
}

impl Accountant for RdpAccountant {
    fn compose(&mut self, event: &Event, times: u32) -> Result<(), EventError> {
        let mut sum = self.clone();
        event.visit(&mut |simple, each| {
            let releases = each as f64 * f64::from(times);
            for (divergence, order) in sum.divergences.iter_mut().zip(ORDERS) {
                *divergence += releases * divergence_of(simple, order);
            }
            sum.distance += releases * distance_of(simple);
            Ok(())
        })?;
        *self = sum;
        Ok(())
    }

    fn epsilon(&self, delta: f64) -> Result<f64, QueryError> {
        check_delta(delta)?;
        Ok(self.epsilon_with_distance(delta))
    }

    fn delta(&self, epsilon: f64) -> Result<f64, QueryError> {
        check_epsilon(epsilon)?;
        Ok((conversion::delta(self.divergences(), epsilon) + self.distance_delta(epsilon)).min(1.0))
    }
}

/// ε(α) of one release.
fn divergence_of(event: &Event, order: u32) -> f64 {
    match *event {
        Event::Gaussian { noise_multiplier } => gaussian(order, noise_multiplier),
        Event::DiscreteGaussian { sigma2, l2 } => discrete_gaussian(order, sigma2, l2),
        Event::DiscreteGaussianScalar { sigma2, sensitivity } => {
            discrete_gaussian(order, sigma2, f64::from(sensitivity))
        }
        Event::Skellam { variance, bounds, .. } => skellam(order, variance, &bounds),
        // `visit` hands over simple events alone.
        Event::Composed(_) => f64::INFINITY,
    }
}

fn distance_of(event: &Event) -> f64 {
    match *event {
        Event::Skellam { distance_log2, .. } => libm::exp2(distance_log2),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;
