//! Hypergeometric tails as logarithms to base 2 (section 11): how likely a random neighbourhood is a bad one.
//!
//! Only `libm` computes here, so every machine gets the same bits, and a participant that checks a parameter sees the
//! number that the aggregator saw.

use std::f64::consts::LN_2;

/// Draws without replacement: how many of the `drawn` are marked if `marked` of the `population` are. More marked or
/// drawn than there are count as all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hypergeometric {
    population: u32,
    marked: u32,
    drawn: u32,
}

impl Hypergeometric {
    /// The distribution of the marked among `drawn` out of `population`.
    #[must_use]
    pub fn new(population: u32, marked: u32, drawn: u32) -> Self {
        Self { population, marked: marked.min(population), drawn: drawn.min(population) }
    }

    /// log2 of the probability that at least `least` of the drawn are marked: `T(population, marked, drawn, least)`.
    /// Zero for the certain, −∞ for the impossible.
    ///
    /// The terms are summed as ratios to the largest of them, so the sum neither overflows nor loses its small terms.
    #[must_use]
    pub fn log2_at_least(&self, least: u32) -> f64 {
        if least <= self.fewest() {
            return 0.0;
        }
        if least > self.most() {
            return f64::NEG_INFINITY;
        }
        let peak = self.mode().clamp(least, self.most());
        let above = sum_of_products((peak..self.most()).map(|x| self.step(x)));
        let below = sum_of_products((least..peak).rev().map(|x| 1.0 / self.step(x)));
        (self.log2_of(peak) + libm::log2(1.0 + above + below)).min(0.0)
    }

    /// The fewest marked that can be drawn: what is left when all unmarked are drawn.
    fn fewest(&self) -> u32 {
        (self.marked + self.drawn).saturating_sub(self.population)
    }

    fn most(&self) -> u32 {
        self.marked.min(self.drawn)
    }

    /// The likeliest count: ⌊(s + 1)(K + 1)/(N + 2)⌋.
    fn mode(&self) -> u32 {
        let [population, marked, drawn] = [self.population, self.marked, self.drawn].map(u64::from);
        let mode = (drawn + 1) * (marked + 1) / (population + 2);
        u32::try_from(mode).unwrap_or(u32::MAX)
    }

    /// P(x + 1)/P(x) for fewest ≤ x < most: (K − x)(s − x)/((x + 1)(N − K − s + x + 1)).
    fn step(&self, x: u32) -> f64 {
        let unmarked_left =
            f64::from(self.population) + f64::from(x) + 1.0 - f64::from(self.marked) - f64::from(self.drawn);
        f64::from(self.marked - x) * f64::from(self.drawn - x) / ((f64::from(x) + 1.0) * unmarked_left)
    }

    /// log2 of P(x) = C(K, x)·C(N − K, s − x)/C(N, s).
    fn log2_of(&self, x: u32) -> f64 {
        let ways = ln_choose(self.marked, x) + ln_choose(self.population - self.marked, self.drawn - x);
        (ways - ln_choose(self.population, self.drawn)) / LN_2
    }
}

/// r₁ + r₁r₂ + r₁r₂r₃ + … of the given ratios.
fn sum_of_products(ratios: impl Iterator<Item = f64>) -> f64 {
    let mut term = 1.0;
    ratios
        .map(|ratio| {
            term *= ratio;
            term
        })
        .sum()
}

/// ln of the number of ways to choose `k` of `n`, from log-factorials. Off by less than 2^-32 for n ≤ 65,536.
fn ln_choose(n: u32, k: u32) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

fn ln_factorial(n: u32) -> f64 {
    libm::lgamma(f64::from(n) + 1.0)
}

#[cfg(test)]
mod tests;
