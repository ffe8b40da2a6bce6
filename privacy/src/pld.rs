//! The accountant of privacy loss distributions (Sommer et al. 2019; Koskela et al. 2020; Doroshenko et al. 2022).
//!
//! For a pair of outputs P (a data set) and Q (its neighbour) the loss is ln P(x)/Q(x) with x drawn from P. Losses of
//! independent releases add, so their distributions convolve, and
//!
//! ```text
//! δ(ε) = p_∞ + Σ_{l>ε} (1 − e^(ε−l)) p_l
//! ```
//!
//! Only noise with one worst pair in one dimension has such a distribution: Gaussian noise on a vector (it is round) and
//! discrete Gaussian noise on one integer. Discrete Gaussian and Skellam noise on vectors are not round: which direction of
//! a vector of norm Δ₂ is the worst is not known, so the Rényi accountant alone counts them.
//!
//! Each step is pessimistic: dots are connected above the curve, tails go to infinity or are rounded up. What is left is the
//! rounding of f64 in the Fourier transforms, some 10^−13 in δ.

mod convolve;
mod discretise;

use std::sync::OnceLock;

use crate::accountant::{Accountant, Event, check_delta, check_epsilon};
use crate::error::{EventError, QueryError};
use convolve::convolve;
use discretise::Loss;

/// The grid of losses where nothing asks for a coarser one.
pub const GRID: f64 = 1e-4;

/// Mass that may be cut from the tails of all distributions together, and moved to infinity.
const TAIL: f64 = 1e-15;

/// Grid points of a composed distribution, 32 MB as complex numbers. Wider ones get a coarser grid: connecting the dots
/// raises the mean loss by at most about times·grid²/8, so 1,000 rounds on a grid of 10^−3 cost some 10^−4.
const MAX_POINTS: f64 = (1 << 21) as f64;

/// Adds up privacy losses.
#[derive(Debug, Clone, Default)]
pub struct PldAccountant {
    losses: Vec<(Loss, u64)>,
    composed: OnceLock<LossDistribution>,
}

impl PldAccountant {
    /// Nothing is spent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The distribution of the sum of all losses, made when it is first asked for.
    fn composed(&self) -> &LossDistribution {
        self.composed.get_or_init(|| {
            let releases: f64 = self.losses.iter().map(|(_, times)| *times as f64).sum();
            let grid = grid(&self.losses, TAIL / releases.max(1.0));
            let make = |(loss, times): &(Loss, u64)| (loss.discretise(grid, TAIL / releases), *times);
            convolve(&self.losses.iter().map(make).collect::<Vec<_>>(), grid, TAIL)
        })
    }
}

impl Accountant for PldAccountant {
    fn compose(&mut self, event: &Event, times: u32) -> Result<(), EventError> {
        let mut losses = self.losses.clone();
        event.visit(&mut |simple, each| {
            let loss = Loss::of(simple)?;
            let releases = each.saturating_mul(u64::from(times));
            match losses.iter_mut().find(|(known, _)| *known == loss) {
                Some((_, count)) => *count = count.saturating_add(releases),
                None => losses.push((loss, releases)),
            }
            Ok(())
        })?;
        losses.retain(|(_, count)| *count > 0);
        *self = Self { losses, composed: OnceLock::new() };
        Ok(())
    }

    fn epsilon(&self, delta: f64) -> Result<f64, QueryError> {
        check_delta(delta)?;
        Ok(self.composed().epsilon(delta))
    }

    fn delta(&self, epsilon: f64) -> Result<f64, QueryError> {
        check_epsilon(epsilon)?;
        Ok(self.composed().delta(epsilon))
    }
}

/// [`GRID`], or a coarser one on which the sum of all losses, some Gaussian's width, has [`MAX_POINTS`] points.
fn grid(losses: &[(Loss, u64)], tail: f64) -> f64 {
    let variance: f64 = losses.iter().map(|(loss, times)| loss.variance() * *times as f64).sum();
    let width = 2.0 * tail_quantile(tail) * variance.sqrt();
    GRID.max(width / MAX_POINTS)
}

/// t with P[N(0, 1) > t] ≤ `tail`.
fn tail_quantile(tail: f64) -> f64 {
    (-2.0 * tail.ln()).sqrt()
}

/// A distribution of losses: `mass[i]` at (`lowest` + i)·`grid`, and `infinity` at infinity.
#[derive(Debug, Clone, PartialEq)]
struct LossDistribution {
    grid: f64,
    lowest: i64,
    mass: Vec<f64>,
    infinity: f64,
}

impl LossDistribution {
    /// The loss of entry `i`.
    fn loss(&self, i: usize) -> f64 {
        (self.lowest + i as i64) as f64 * self.grid
    }

    /// δ(ε) = p_∞ + Σ_{l>ε} (1 − e^(ε−l)) p_l, at most 1.
    fn delta(&self, epsilon: f64) -> f64 {
        let losses = self.mass.iter().enumerate().rev().map(|(i, &mass)| (self.loss(i), mass));
        let above = losses.take_while(|(loss, _)| *loss > epsilon);
        let sum: f64 = above.map(|(loss, mass)| -(epsilon - loss).exp_m1() * mass).sum();
        (self.infinity + sum).min(1.0)
    }

    /// The least ε ≥ 0 with δ(ε) ≤ `delta`; infinite if the mass at infinity is more.
    ///
    /// From the highest loss downwards with A = Σ_{j>i} p_j and B = Σ_{j>i} p_j e^(l_i − l_j): δ at l_i is p_∞ + A − B, and
    /// at l_i + x, up to the next point, p_∞ + A − e^x·B.
    fn epsilon(&self, delta: f64) -> f64 {
        if self.infinity > delta {
            return f64::INFINITY;
        }
        let (mut above, mut weighted) = (0.0, 0.0);
        let decay = (-self.grid).exp();
        let step = |above: f64, weighted: f64| ((self.infinity + above - delta) / weighted).ln();
        for (i, &mass) in self.mass.iter().enumerate().rev() {
            if self.infinity + above - weighted > delta {
                return (self.loss(i) + step(above, weighted)).max(0.0);
            }
            above += mass;
            weighted = (weighted + mass) * decay;
        }
        // Below the lowest loss δ(ε) is this one curve, and a δ above all mass is met anywhere.
        if self.infinity + above <= delta {
            return 0.0;
        }
        ((self.lowest - 1) as f64 * self.grid + step(above, weighted)).max(0.0)
    }
}

#[cfg(test)]
mod tests;
