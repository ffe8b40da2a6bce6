//! Numbers that look random and follow from a seed.

/// SplitMix64 (Steele, Lea & Flood 2014): one word of state, and every seed is as good as another.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// What follows from the seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound.max(1)
    }

    /// Whether a chance of so many in a hundred comes true.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, if there are any.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let place = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(place).copied()
    }

    /// A standard normal number (Box & Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let unit = |word: u64| ((word >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (radius, angle) = (unit(self.word()), unit(self.word()));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// A word that shows nothing of the one it was made from.
pub(crate) const fn mix(word: u64) -> u64 {
    let mut mixed = word;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_the_quantiles_of_the_bell() {
        let mut chance = Chance::new(7);
        let mut drawn: Vec<f64> = (0..20_000).map(|_| chance.normal()).collect();
        drawn.sort_by(f64::total_cmp);
        for (rank, expected) in [(10_000, 0.0), (18_000, 1.2816), (19_800, 2.3263)] {
            assert!((drawn[rank] - expected).abs() < 0.08, "{rank}: {}", drawn[rank]);
        }
    }
}
