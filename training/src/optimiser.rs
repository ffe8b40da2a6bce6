//! From a gradient to a step.

/// Which steps are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimiser {
    /// `x ← x − rate · g`.
    Sgd {
        /// Step size.
        rate: f32,
    },
    /// "Adam", Kingma and Ba, arXiv 1412.6980, algorithm 1.
    Adam {
        /// Step size.
        rate: f32,
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
    },
}

/// Keeps a quotient by a vanishing second moment finite; the paper's value.
const EPSILON: f32 = 1e-8;

impl Optimiser {
    /// The step size.
    #[must_use]
    pub const fn rate(&self) -> f32 {
        match self {
            Self::Sgd { rate } | Self::Adam { rate, .. } => *rate,
        }
    }
}

/// An optimiser at work on one vector.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    optimiser: Optimiser,
    /// `[entries]`; empty with SGD.
    first: Vec<f32>,
    /// `[entries]`; empty with SGD.
    second: Vec<f32>,
    done: i32,
}

impl Steps {
    /// Nothing done yet.
    pub(crate) fn new(optimiser: Optimiser, entries: usize) -> Self {
        let moments = if matches!(optimiser, Optimiser::Adam { .. }) { entries } else { 0 };
        Self { optimiser, first: vec![0.0; moments], second: vec![0.0; moments], done: 0 }
    }

    /// What kind of steps these are.
    pub(crate) const fn optimiser(&self) -> Optimiser {
        self.optimiser
    }

    /// Moves `vector` against `gradient` (`[entries]` both), `scale` times as far as the optimiser's rate says.
    pub(crate) fn step(&mut self, vector: &mut [f32], gradient: &[f32], scale: f32) {
        self.done = self.done.saturating_add(1);
        match self.optimiser {
            Optimiser::Sgd { rate } => {
                vector.iter_mut().zip(gradient).for_each(|(value, slope)| *value -= scale * rate * slope);
            }
            Optimiser::Adam { rate, beta1, beta2 } => {
                let corrections = [beta1, beta2].map(|beta| 1.0 - beta.powi(self.done));
                let moments = self.first.iter_mut().zip(&mut self.second);
                for ((value, slope), (first, second)) in vector.iter_mut().zip(gradient).zip(moments) {
                    *first = beta1 * *first + (1.0 - beta1) * slope;
                    *second = beta2 * *second + (1.0 - beta2) * slope * slope;
                    let (mean, square) = (*first / corrections[0], *second / corrections[1]);
                    *value -= scale * rate * mean / (square.sqrt() + EPSILON);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
