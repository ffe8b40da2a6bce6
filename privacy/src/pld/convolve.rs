//! Composition: the distribution of a sum of independent losses, by Fourier transforms on a window.
//!
//! The window is where the sum lies but for a little mass, by Chernoff's bound from the distributions' own moments. What
//! would fall outside comes round to the other end: from below that is pessimistic; what lies above is bounded and put at
//! infinity besides.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use super::{LossDistribution, tail_quantile};

/// The distribution of the sum of all losses, each as often as its number says.
pub(super) fn convolve(parts: &[(LossDistribution, u64)], grid: f64, tail: f64) -> LossDistribution {
    if let [(only, 1)] = parts {
        return only.clone();
    }
    if parts.is_empty() {
        return LossDistribution { grid, lowest: 0, mass: vec![1.0], infinity: 0.0 };
    }
    let window = Window::of(parts, grid, tail);
    let finite: f64 = parts.iter().map(|(part, times)| *times as f64 * (-part.infinity).ln_1p()).sum();
    LossDistribution { grid, lowest: window.lowest, mass: sum_within(parts, &window), infinity: tail - finite.exp_m1() }
}

/// Grid points of the sum that are kept.
struct Window {
    lowest: i64,
    points: usize,
}

impl Window {
    fn of(parts: &[(LossDistribution, u64)], grid: f64, tail: f64) -> Self {
        let total = |end: fn(&LossDistribution) -> i64| -> f64 {
            parts.iter().map(|(part, times)| end(part) as f64 * *times as f64).sum()
        };
        let least = total(|part| part.lowest) * grid;
        let most = total(|part| part.lowest + part.mass.len() as i64 - 1) * grid;
        let low = -chernoff(parts, tail, -1.0);
        let high = chernoff(parts, tail, 1.0);
        let lowest = (low.max(least) / grid).floor() as i64;
        let highest = (high.min(most) / grid).ceil() as i64;
        Self { lowest, points: (highest - lowest).max(0) as usize + 1 }
    }
}

/// x with P[side·loss > x] ≤ `tail`: the least of (K(t) + ln 1/tail)/t over a few t near the one that is best for a Gaussian,
/// K the log-moment of side·loss. Any t gives a bound.
fn chernoff(parts: &[(LossDistribution, u64)], tail: f64, side: f64) -> f64 {
    let variance: f64 = parts.iter().map(|(part, times)| part.variance() * *times as f64).sum();
    let best = tail_quantile(tail) / variance.sqrt().max(1e-9);
    let bound = |factor: f64| {
        let t = best * factor;
        let moment: f64 = parts.iter().map(|(part, times)| part.log_moment(side * t) * *times as f64).sum();
        (moment - tail.ln()) / t
    };
    [0.5, 0.75, 1.0, 1.5, 2.0].map(bound).into_iter().fold(f64::INFINITY, f64::min)
}

impl LossDistribution {
    /// Of the finite losses.
    fn variance(&self) -> f64 {
        let losses = || self.mass.iter().enumerate().map(|(i, mass)| (self.loss(i), mass));
        let mean: f64 = losses().map(|(loss, mass)| loss * mass).sum();
        losses().map(|(loss, mass)| (loss - mean).powi(2) * mass).sum()
    }

    /// ln Σ p_l e^(t·l), stepping from one grid point to the next by one factor.
    fn log_moment(&self, t: f64) -> f64 {
        let peak = t * if t > 0.0 { self.loss(self.mass.len() - 1) } else { self.loss(0) };
        let terms = self.mass.iter().enumerate().map(|(i, mass)| (t * self.loss(i) - peak).exp() * mass);
        peak + terms.sum::<f64>().ln()
    }
}

/// The sum's mass on the window: transform, raise to the number of times, multiply, transform back.
fn sum_within(parts: &[(LossDistribution, u64)], window: &Window) -> Vec<f64> {
    let size = window.points.next_power_of_two();
    let mut planner = FftPlanner::new();
    let forward = planner.plan_fft_forward(size);
    let mut product = vec![Complex::new(1.0, 0.0); size];
    for (part, times) in parts {
        let mut spectrum = wrapped(part, size);
        forward.process(&mut spectrum);
        product.iter_mut().zip(&spectrum).for_each(|(all, one)| *all *= power(*one, *times));
    }
    planner.plan_fft_inverse(size).process(&mut product);
    let scale = 1.0 / size as f64;
    let place = |point: usize| (window.lowest + point as i64).rem_euclid(size as i64) as usize;
    // All `size` places are read, so that what came round from below is still there, at the top.
    (0..size).map(|point| (product[place(point)].re * scale).max(0.0)).collect()
}

/// Each grid point's mass at its place modulo `size`.
fn wrapped(part: &LossDistribution, size: usize) -> Vec<Complex<f64>> {
    let mut places = vec![Complex::new(0.0, 0.0); size];
    for (i, mass) in part.mass.iter().enumerate() {
        places[(part.lowest + i as i64).rem_euclid(size as i64) as usize].re += mass;
    }
    places
}

/// `base` to the power `times`, by squaring.
fn power(mut base: Complex<f64>, mut times: u64) -> Complex<f64> {
    let mut result = Complex::new(1.0, 0.0);
    while times > 0 {
        if times & 1 == 1 {
            result *= base;
        }
        base *= base;
        times >>= 1;
    }
    result
}

#[cfg(test)]
mod tests;
