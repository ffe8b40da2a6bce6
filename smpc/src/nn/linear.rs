//! Linear layers: local with public weights, a product of two shared matrices with secret ones.

use super::weights::{Matrix, Values, WEIGHT_FRACTION};
use crate::arithmetic::Products;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::ring::replicated::public_product;
use crate::ring::{PublicWeights, Shape};
use crate::share::{NEXT, OWN, Shares};

/// x Wᵀ before anything was sent.
enum Begun {
    Local(Shares),
    Products(Products),
}

impl<C: Channel> Computation<C> {
    /// x Wᵀ: `[rows, inputs]` to `[rows, outputs]`, with 2^[`WEIGHT_FRACTION`] times the scale of x. No message with public
    /// weights, which are not even multiplied in a rehearsal; one round with shared ones.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn linear(&mut self, matrix: &Matrix, x: &Shares) -> Result<Shares, SmpcError> {
        let [product] = self.linears([matrix], x)?;
        Ok(product)
    }

    /// As [`Computation::linear`], of one x and several matrices: one round for all.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn linears<const N: usize>(&mut self, matrices: [&Matrix; N], x: &Shares) -> Result<[Shares; N], SmpcError> {
        let (mut products, mut local) = (Vec::new(), Vec::with_capacity(N));
        for matrix in matrices {
            match self.begin_linear(matrix, x)? {
                Begun::Local(product) => local.push(Some(product)),
                Begun::Products(product) => {
                    products.push(product);
                    local.push(None);
                }
            }
        }
        let mut replicated = self.replicate_all(products)?.into_iter();
        let mut local = local.into_iter();
        Ok(matrices.map(|_| local.next().flatten().or_else(|| replicated.next()).unwrap_or_default()))
    }

    /// x Wᵀ: `[rows, inputs]` to `[rows, outputs]`, with the scale of x: one round with either kind of weights.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn linear_truncated(&mut self, matrix: &Matrix, x: &Shares) -> Result<Shares, SmpcError> {
        match self.begin_linear(matrix, x)? {
            Begun::Local(product) => self.truncate(&product, 64, WEIGHT_FRACTION),
            Begun::Products(products) => self.truncate_products(products, WEIGHT_FRACTION),
        }
    }

    fn begin_linear(&mut self, matrix: &Matrix, x: &Shares) -> Result<Begun, SmpcError> {
        let shape = Shape { rows: x.len() / matrix.inputs(), inner: matrix.inputs(), columns: matrix.outputs() };
        Ok(match &matrix.values {
            Values::Public(_) if self.rehearsal().is_some() => Begun::Local(Shares::zeros(shape.rows * shape.columns)),
            Values::Public(values) => {
                let sides = [&x.parts[OWN][..], &x.parts[NEXT][..]];
                Begun::Local(Shares { parts: public_product(shape, sides, PublicWeights::I32(values)) })
            }
            Values::Shared(values) => Begun::Products(self.matrix_products("secret weights", x, values, &[shape])?),
        })
    }
}
