//! From Rényi divergences to (ε, δ): Canonne, Kamath, Steinke 2020, Prop. 12; the same as Balle et al. 2020, Thm 21.
//!
//! ```text
//! ε = min_α ε(α) + ln((α − 1)/α) − (ln δ + ln α)/(α − 1)
//! ln δ = min_α (α − 1)(ε(α) − ε + ln((α − 1)/α)) − ln α
//! ```
//!
//! And δ ≤ √(1 − e^(−ε(α))) at any ε (Bretagnolle and Huber 1979): a divergence so small that δ alone covers it gives ε = 0.

/// The least ε for `delta`, from pairs of α ≥ 2 and ε(α); infinite if there is none.
pub fn epsilon(divergences: impl Iterator<Item = (u32, f64)>, delta: f64) -> f64 {
    let at = |(order, divergence): (u32, f64)| {
        if covered(divergence) <= delta {
            return 0.0;
        }
        let alpha = f64::from(order);
        divergence + (-1.0 / alpha).ln_1p() - (delta.ln() + alpha.ln()) / (alpha - 1.0)
    };
    divergences.map(at).fold(f64::INFINITY, f64::min).max(0.0)
}

/// The least δ for `epsilon`, from pairs of α ≥ 2 and ε(α); at most 1.
pub fn delta(divergences: impl Iterator<Item = (u32, f64)>, epsilon: f64) -> f64 {
    let at = |(order, divergence): (u32, f64)| {
        let alpha = f64::from(order);
        let log = (alpha - 1.0) * (divergence - epsilon + (-1.0 / alpha).ln_1p()) - alpha.ln();
        log.exp().min(covered(divergence))
    };
    divergences.map(at).fold(1.0, f64::min)
}

/// √(1 − e^(−ε(α))): the statistical distance that the divergence allows.
fn covered(divergence: f64) -> f64 {
    (-(-divergence).exp_m1()).sqrt()
}

#[cfg(test)]
mod tests;
