//! RMS norm.

use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::functions::{FINE, FRACTION};
use crate::share::Shares;

impl<C: Channel> Computation<C> {
    /// x / √(mean x² + ε) of each row: `[rows, d]`. Squares are summed with all their bits, since ε is far below 2^-13.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn rms_norm(&mut self, x: &Shares, d: usize, eps: f64) -> Result<Shares, SmpcError> {
        let party = self.party();
        let eps = (eps * d as f64 * f64::from(2 * FRACTION).exp2()).round() as u64;
        if self.saves_rounds(x.len() / d) {
            return self.rms_norm_of_few(x, d, eps);
        }
        let squares = self.inner_products("norm: squares", x, x, d, 64)?;
        let sums = self.replicate(squares)?.plus_constant(party, eps);
        let roots = self.reciprocal_root(&sums, (d as f64).sqrt())?;
        let rows: Vec<usize> = (0..x.len()).map(|at| at / d).collect();
        let products = self.products("norm: scale", x, &roots.gather(&rows), 64)?;
        self.truncate_products(products, FINE)
    }
}
