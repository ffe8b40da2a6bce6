//! Correlated randomness made before it is needed.
//!
//! A program takes its masks one after the other. A [`Supply`] hands out what was made for that request, and makes on the
//! spot what was not; it writes down what was asked for, so a first run of a program says what the next one needs. All
//! masks of one kind are made together: their circuits share rounds, and lanes fill whole words.

use std::collections::{BTreeMap, VecDeque};

use crate::arithmetic::Mask;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::lookup::LookupMasks;
use crate::random_bits::{DaBits, EdaBits, TruncationMasks};
use crate::share::{BitShares, Shares};

/// A kind of correlated randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Random bits, as bits and as numbers.
    DaBits,
    /// Random numbers of so many bits, with their bits.
    EdaBits {
        /// k.
        bits: u32,
    },
    /// Masks for truncation.
    Truncation {
        /// k.
        bits: u32,
        /// m.
        shift: u32,
    },
    /// Masks for lookups.
    Lookup {
        /// k.
        domain_bits: u32,
        /// t.
        cell_bits: u32,
    },
}

/// What a program asked for: a kind and a number of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub kind: Kind,
    /// How many values.
    pub n: usize,
}

/// One batch of masks.
enum Made {
    DaBits(DaBits),
    EdaBits(EdaBits),
    Truncation(TruncationMasks),
    Lookup(LookupMasks),
}

/// What was made and not yet used.
#[derive(Default)]
pub struct Supply {
    ready: BTreeMap<Kind, VecDeque<(usize, Made)>>,
    /// Everything that was asked for, in order.
    pub requests: Vec<Request>,
}

impl Supply {
    /// The batch for `request`, if it is the next of its kind that was made.
    fn take(&mut self, request: Request) -> Option<Made> {
        self.requests.push(request);
        let queue = self.ready.get_mut(&request.kind)?;
        if queue.front()?.0 != request.n {
            return None;
        }
        queue.pop_front().map(|(_, made)| made)
    }
}

/// Values of a request, rounded up to whole words of planes.
const fn lanes(n: usize) -> usize {
    n.div_ceil(64) * 64
}

impl<C: Channel> Computation<C> {
    /// Makes what `requests` ask for, all of one kind together.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn prepare(&mut self, requests: &[Request]) -> Result<(), SmpcError> {
        let mut of_kind: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
        for request in requests {
            of_kind.entry(request.kind).or_default().push(request.n);
        }
        for (kind, sizes) in of_kind {
            let batch = self.make(kind, sizes.iter().map(|n| lanes(*n)).sum())?;
            let mut from = 0;
            for n in sizes {
                let made = batch.cut(from, n);
                from += lanes(n);
                self.supply.ready.entry(kind).or_default().push_back((n, made));
            }
        }
        Ok(())
    }

    fn make(&mut self, kind: Kind, n: usize) -> Result<Made, SmpcError> {
        Ok(match kind {
            Kind::DaBits => Made::DaBits(self.da_bits(n)?),
            Kind::EdaBits { bits } => Made::EdaBits(self.eda_bits(n, bits)?),
            Kind::Truncation { bits, shift } => Made::Truncation(self.truncation_masks(n, bits, shift)?),
            Kind::Lookup { domain_bits, cell_bits } => Made::Lookup(self.lookup_masks(n, domain_bits, cell_bits)?),
        })
    }

    fn supplied(&mut self, kind: Kind, n: usize) -> Result<Made, SmpcError> {
        match self.supply.take(Request { kind, n }) {
            Some(made) => Ok(made),
            None if self.rehearsal().is_some() => Ok(Made::zeros(kind, n)),
            None => self.make(kind, n),
        }
    }

    /// `n` daBits.
    pub(crate) fn take_da_bits(&mut self, n: usize) -> Result<DaBits, SmpcError> {
        match self.supplied(Kind::DaBits, n)? {
            Made::DaBits(made) => Ok(made),
            _ => self.da_bits(n),
        }
    }

    /// `n` edaBits.
    pub(crate) fn take_eda_bits(&mut self, n: usize, bits: u32) -> Result<EdaBits, SmpcError> {
        match self.supplied(Kind::EdaBits { bits }, n)? {
            Made::EdaBits(made) => Ok(made),
            _ => self.eda_bits(n, bits),
        }
    }

    /// Masks for `n` truncations.
    pub(crate) fn take_truncation(&mut self, n: usize, bits: u32, shift: u32) -> Result<TruncationMasks, SmpcError> {
        match self.supplied(Kind::Truncation { bits, shift }, n)? {
            Made::Truncation(made) => Ok(made),
            _ => self.truncation_masks(n, bits, shift),
        }
    }

    /// Masks for `n` lookups.
    pub(crate) fn take_lookup(&mut self, n: usize, domain_bits: u32, cell_bits: u32) -> Result<LookupMasks, SmpcError> {
        match self.supplied(Kind::Lookup { domain_bits, cell_bits }, n)? {
            Made::Lookup(made) => Ok(made),
            _ => self.lookup_masks(n, domain_bits, cell_bits),
        }
    }
}

impl Made {
    /// Masks of zeros, for a rehearsal.
    fn zeros(kind: Kind, n: usize) -> Self {
        let planes = |width: u32| BitShares::zeros(width as usize, n.div_ceil(64));
        let mask = |bits: u32| Mask { shares: Shares::zeros(n), bits };
        match kind {
            Kind::DaBits => Self::DaBits(DaBits { plane: planes(1), numbers: Shares::zeros(n) }),
            Kind::EdaBits { bits } => Self::EdaBits(EdaBits { mask: mask(bits), bits: planes(bits) }),
            Kind::Truncation { bits, shift } => {
                let (high, top) = (Shares::zeros(n), Shares::zeros(n));
                Self::Truncation(TruncationMasks { mask: mask(bits), high, top, shift })
            }
            Kind::Lookup { domain_bits, cell_bits } => {
                let digit = |bits: u32| Shares::zeros(n << bits);
                let (high, low) = (digit(cell_bits - cell_bits / 2), digit(cell_bits / 2));
                Self::Lookup(LookupMasks { mask: mask(domain_bits), high, low })
            }
        }
    }

    /// The masks of `n` values from value `from` on, which begins a word.
    fn cut(&self, from: usize, n: usize) -> Self {
        match self {
            Self::DaBits(made) => Self::DaBits(made.cut(from, n)),
            Self::EdaBits(made) => Self::EdaBits(made.cut(from, n)),
            Self::Truncation(made) => Self::Truncation(made.cut(from, n)),
            Self::Lookup(made) => Self::Lookup(made.cut(from, n)),
        }
    }
}
