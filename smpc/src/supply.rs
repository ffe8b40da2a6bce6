//! Correlated randomness made before it is needed.
//!
//! A program takes its masks one after the other. A [`Supply`] hands out what was made for that request, and makes on the
//! spot what was not; it writes down what was asked for, so a first run of a program says what the next one needs. All
//! masks of one kind are made together: their circuits share rounds, and lanes fill whole words.

use std::collections::{BTreeMap, VecDeque};

use crate::arithmetic::Mask;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::digits::DigitMasks;
use crate::error::SmpcError;
use crate::lookup::powers::PowerShape;
use crate::lookup::{LookupMasks, PowerMasks};
use crate::party::PartyId;
use crate::random_bits::{DaBits, EdaBits, TruncationMasks};
use crate::rehearsal::Rehearsal;
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
    /// Masks for comparisons with few rounds.
    Digits {
        /// k.
        bits: u32,
        /// Bits below the lowest digit.
        skipped: u32,
    },
    /// Masks for functions with few rounds.
    Powers(PowerShape),
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
    Digits(DigitMasks),
    Powers(PowerMasks),
}

/// Bytes of a message in which masks are made: all of one kind share rounds up to here. Links carry 256 MiB, and masks for one
/// operation stay together, so some are longer. A third of it costs eight prompts at 50 ms twice the rounds.
const MESSAGE_BYTES: usize = 192 << 20;

/// Masks of a kind whose largest message tells that of more.
const SAMPLE: usize = 64;

/// So many masks are below [`MESSAGE_BYTES`] whatever their kind: none has 4 KiB in one message.
const FEW: usize = 1 << 14;

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

impl Kind {
    /// Places that `n` values take in a batch: what has planes of bits begins a word.
    const fn places(self, n: usize) -> usize {
        match self {
            Self::DaBits | Self::EdaBits { .. } | Self::Digits { .. } => n.div_ceil(64) * 64,
            Self::Truncation { .. } | Self::Lookup { .. } | Self::Powers(_) => n,
        }
    }
}

impl<C: Channel> Computation<C> {
    /// Makes what `requests` ask for: all of one kind together, unless their messages become too large.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn prepare(&mut self, requests: &[Request]) -> Result<(), SmpcError> {
        self.prepare_within(requests, MESSAGE_BYTES)
    }

    /// The same with messages of `message_bytes`, but for those of one request.
    fn prepare_within(&mut self, requests: &[Request], message_bytes: usize) -> Result<(), SmpcError> {
        let mut of_kind: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
        for request in requests {
            of_kind.entry(request.kind).or_default().push(request.n);
        }
        for (kind, sizes) in of_kind {
            let all: usize = sizes.iter().map(|n| kind.places(*n)).sum();
            let most = if all > FEW { message_bytes / self.bytes_of_one(kind)? } else { FEW };
            let mut rest = &sizes[..];
            while !rest.is_empty() {
                let mut taken = 0;
                let fits = rest.iter().take_while(|n| {
                    taken += kind.places(**n);
                    taken <= most
                });
                let (portion, later) = rest.split_at(fits.count().max(1));
                self.make_portion(kind, portion)?;
                rest = later;
            }
        }
        Ok(())
    }

    /// Makes masks for some requests of one kind together.
    fn make_portion(&mut self, kind: Kind, sizes: &[usize]) -> Result<(), SmpcError> {
        let batch = self.make(kind, sizes.iter().map(|n| kind.places(*n)).sum())?;
        let mut from = 0;
        for n in sizes {
            let made = batch.cut(from, *n);
            from += kind.places(*n);
            self.supply.ready.entry(kind).or_default().push_back((*n, made));
        }
        Ok(())
    }

    /// Bytes of one mask in the largest message, at one and the same party wherever this is asked.
    fn bytes_of_one(&self, kind: Kind) -> Result<usize, SmpcError> {
        let mut alone = Computation::rehearsing(PartyId::ALL[0], self.security, Rehearsal::default());
        alone.make(kind, SAMPLE)?;
        Ok(alone.counted().0.largest.div_ceil(SAMPLE).max(1))
    }

    fn make(&mut self, kind: Kind, n: usize) -> Result<Made, SmpcError> {
        Ok(match kind {
            Kind::DaBits => Made::DaBits(self.da_bits(n)?),
            Kind::EdaBits { bits } => Made::EdaBits(self.eda_bits(n, bits)?),
            Kind::Truncation { bits, shift } => Made::Truncation(self.truncation_masks(n, bits, shift)?),
            Kind::Lookup { domain_bits, cell_bits } => Made::Lookup(self.lookup_masks(n, domain_bits, cell_bits)?),
            Kind::Digits { bits, skipped } => Made::Digits(self.digit_masks(n, bits, skipped)?),
            Kind::Powers(shape) => Made::Powers(self.power_masks(n, shape)?),
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

    /// Masks for `n` comparisons with few rounds.
    pub(crate) fn take_digits(&mut self, n: usize, bits: u32, skipped: u32) -> Result<DigitMasks, SmpcError> {
        match self.supplied(Kind::Digits { bits, skipped }, n)? {
            Made::Digits(made) => Ok(made),
            _ => self.digit_masks(n, bits, skipped),
        }
    }

    /// Masks for `n` functions with few rounds.
    pub(crate) fn take_powers(&mut self, n: usize, shape: PowerShape) -> Result<PowerMasks, SmpcError> {
        match self.supplied(Kind::Powers(shape), n)? {
            Made::Powers(made) => Ok(made),
            _ => self.power_masks(n, shape),
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
            Kind::Lookup { domain_bits, cell_bits } => Self::Lookup(LookupMasks::zeros(n, domain_bits, cell_bits)),
            Kind::Digits { bits, skipped } => Self::Digits(DigitMasks::zeros(n, bits, skipped)),
            Kind::Powers(shape) => Self::Powers(PowerMasks::zeros(n, shape)),
        }
    }

    /// The masks of `n` values from value `from` on, which begins a word where there are planes of bits.
    fn cut(&self, from: usize, n: usize) -> Self {
        match self {
            Self::DaBits(made) => Self::DaBits(made.cut(from, n)),
            Self::EdaBits(made) => Self::EdaBits(made.cut(from, n)),
            Self::Truncation(made) => Self::Truncation(made.cut(from, n)),
            Self::Lookup(made) => Self::Lookup(made.cut(from, n)),
            Self::Digits(made) => Self::Digits(made.cut(from, n)),
            Self::Powers(made) => Self::Powers(made.cut(from, n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::computation::Security;

    #[test]
    fn masks_of_a_large_program_are_made_in_messages_that_links_carry() {
        let kind = Kind::Lookup { domain_bits: 20, cell_bits: 6 };
        let requests = vec![Request { kind, n: 1 << 13 }; 40];
        let mut alone = Computation::rehearsing(PartyId::ALL[1], Security::Malicious, Rehearsal::default());
        let message_bytes = 16 << 20;
        alone.prepare_within(&requests, message_bytes).unwrap();
        let (counted, supply) = alone.counted();
        assert!(counted.largest <= message_bytes, "{} bytes", counted.largest);
        assert!(2 * counted.largest > message_bytes, "as many as fit go together: {} bytes", counted.largest);
        assert_eq!(supply.ready[&kind].len(), requests.len());
    }

    #[test]
    fn few_masks_need_no_measuring() {
        let powers = PowerShape { ring_bits: 48, dropped: 2, width: 14, cell_bits: 8, low_bits: 4, degree: 3 };
        let kinds = [
            Kind::DaBits,
            Kind::EdaBits { bits: 64 },
            Kind::Truncation { bits: 62, shift: 32 },
            Kind::Lookup { domain_bits: 24, cell_bits: 8 },
            Kind::Digits { bits: 63, skipped: 0 },
            Kind::Powers(powers),
        ];
        for kind in kinds {
            let mut alone = Computation::rehearsing(PartyId::ALL[0], Security::Malicious, Rehearsal::default());
            alone.make(kind, SAMPLE).unwrap();
            assert!(alone.counted().0.largest / SAMPLE * FEW <= MESSAGE_BYTES, "{kind:?}");
        }
    }
}
