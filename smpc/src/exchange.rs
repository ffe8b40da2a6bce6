//! What is independent in one round: products and values that open, are truncated or replicated together.

use crate::arithmetic::{Mask, Products};
use crate::channel::Channel;
use crate::computation::{Computation, Step};
use crate::error::SmpcError;
use crate::share::Shares;
use crate::truncation::Unmasking;

/// What happens to a vector.
pub enum Item {
    /// Products open under a mask.
    Open(Products, Mask),
    /// Values open under a mask: the step's name, x.
    OpenValues(&'static str, Shares, Mask),
    /// Products lose their last bits, under masks.
    Truncate(Products, u32),
    /// Products become replicated.
    Replicate(Products),
}

/// What became of it.
#[derive(Default)]
pub struct Exchanged {
    /// x + r, where it was opened.
    pub opened: Vec<u64>,
    /// The products.
    pub shares: Shares,
}

/// An item with its masks.
enum Masked {
    Open(Products, Mask),
    Values(&'static str, Shares, Mask),
    Truncate(Products, Mask, Unmasking),
    Replicate(Products),
}

/// An item whose messages are out.
enum Sent {
    Open(Products, Mask, Vec<u64>),
    Values(Step, Shares, u32),
    Truncate(Products, Mask, Unmasking, Vec<u64>),
    Replicate(Products),
}

impl<C: Channel> Computation<C> {
    /// All of `items` in one round. Truncation is under masks, so this is not for parties that are all honest.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn exchange<const N: usize>(&mut self, items: [Item; N]) -> Result<[Exchanged; N], SmpcError> {
        // Masks that are not there are made by messages, which must be through before those of the items begin.
        let (mut masked, mut sent) = (Vec::with_capacity(N), Vec::with_capacity(N));
        for item in items {
            masked.push(match item {
                Item::Truncate(products, shift) => {
                    let (mask, rest) = self.take_truncation(products.len(), products.bits(), shift)?.split();
                    Masked::Truncate(products.plus_constant(self.party(), 1 << (mask.bits - 2)), mask, rest)
                }
                Item::Open(products, mask) => Masked::Open(products, mask),
                Item::OpenValues(name, x, mask) => Masked::Values(name, x, mask),
                Item::Replicate(products) => Masked::Replicate(products),
            });
        }
        for masked in masked {
            sent.push(self.send_item(masked)?);
        }
        let mut exchanged = [(); N].map(|()| Exchanged::default());
        for (sent, exchanged) in sent.into_iter().zip(&mut exchanged) {
            *exchanged = self.receive_item(sent)?;
        }
        self.prove_if_many()?;
        Ok(exchanged)
    }

    fn send_item(&mut self, item: Masked) -> Result<Sent, SmpcError> {
        Ok(match item {
            Masked::Open(products, mask) => {
                let told = self.tell_products(&products, &mask)?;
                Sent::Open(products, mask, told)
            }
            Masked::Values(name, x, mask) => {
                let (step, bits) = (self.begin(name), mask.bits);
                Sent::Values(step, self.tell_masked(step, &x, mask)?, bits)
            }
            Masked::Truncate(products, mask, rest) => {
                let told = self.tell_products(&products, &mask)?;
                Sent::Truncate(products, mask, rest, told)
            }
            Masked::Replicate(products) => {
                self.hand_on(&products)?;
                Sent::Replicate(products)
            }
        })
    }

    fn receive_item(&mut self, sent: Sent) -> Result<Exchanged, SmpcError> {
        Ok(match sent {
            Sent::Open(products, mask, told) => {
                let (opened, shares) = self.hear_products(products, mask, &told)?;
                Exchanged { opened, shares }
            }
            Sent::Values(step, masked, bits) => {
                Exchanged { opened: self.hear_masked(step, &masked, bits)?, shares: Shares::default() }
            }
            Sent::Truncate(products, mask, rest, told) => {
                let (opened, _) = self.hear_products(products, mask, &told)?;
                Exchanged { opened: Vec::new(), shares: rest.cut_off(self.party(), &opened) }
            }
            Sent::Replicate(products) => Exchanged { opened: Vec::new(), shares: self.take_over(products)? },
        })
    }
}
