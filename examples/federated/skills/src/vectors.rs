//! The vectors of one round, as a round over the network has them: integers, packed payloads, a sum, numbers again.

use neuro_fl_aggregator::update::{NoiseBy, PrivateSettings};
use neuro_fl_aggregator::{DecodedSum, EncodingMode, EncodingPlan, Flat, Parts, decode_sum, encode_update};
use neuro_primitives::Hash;
use neuro_privacy::{BETA, Event, NoiseRng, integer_bounds};
use neuro_secagg::packing::Modulus;
use neuro_secagg::parameters::Demand;
use neuro_secagg::quantise::Grid;
use neuro_secagg::sum::Accumulator;

use crate::plan::{DELTA, Phase};

/// b: bits of a value without noise.
pub const VALUE_BITS: u8 = 20;

/// A value without noise is clamped to ± this. Updates are some ten-thousandths.
const RANGE: f64 = 0.1;

/// Units of the clipping norm where there is noise: then rounding 393,216 entries adds 1 % to the sensitivity.
const CLIP_UNITS: f64 = 2048.0;

/// γ and δ of the cohorts, in 1/10,000: the noise is shared out among the honest who are left.
const TOLERATED_BPS: u16 = 1000;

/// Secrets of the simulated participants. It is published, so that the record can be made again; what protects real
/// participants is that theirs comes from their system.
const SEED: &str = "neuro/examples/skills";

/// How the vectors of one cohort's round are made.
pub struct Vectors {
    plan: EncodingPlan,
    modulus: Modulus,
    members: u16,
    honest: u16,
    round_id: Hash,
}

impl Vectors {
    /// Those of round `round` of cohort `name`, of `members` members with `entries` values each.
    ///
    /// # Errors
    /// Figures of a phase that no round can have.
    pub fn new(name: &str, phase: &Phase, round: u32, members: usize, entries: usize) -> anyhow::Result<Self> {
        let members = u16::try_from(members)?;
        let round_id = Hash::of(format!("{SEED} {name} {} {round}", phase.stream).as_bytes());
        let mode = match phase.noise {
            None => EncodingMode::Plain { grid: grid()?, weight_cap: 1 },
            Some(multiplier) => EncodingMode::Private(private(phase, multiplier, entries, &round_id)),
        };
        let plan = EncodingPlan { entries, parts: Parts::Model, mode };
        let honest = demand(members).honest_at_least();
        let modulus = plan.modulus(members, honest, 1)?;
        Ok(Self { plan, modulus, members, honest, round_id })
    }

    /// The sum before any payload.
    #[must_use]
    pub fn nothing(&self) -> Accumulator {
        Accumulator::new(self.plan.vector_entries(), self.modulus)
    }

    /// What member `member` uploads (before masks, which cancel in the sum), and min(1, c/‖update‖).
    ///
    /// # Errors
    /// An update that cannot be encoded.
    pub fn payload(&self, member: usize, update: &Flat) -> anyhow::Result<(Vec<u8>, f64)> {
        let seed = Hash::of(&[&self.round_id.0[..], &(member as u64).to_le_bytes()].concat());
        let mut rng = NoiseRng::from_seed(&seed.0);
        let mut encoded = encode_update(update, None, 1, &self.plan, self.honest, self.modulus, &mut rng)?;
        Ok((encoded.vector.to_packed(), encoded.clip_factor))
    }

    /// The numbers in a sum over all members.
    ///
    /// # Errors
    /// A sum that is none of these vectors.
    pub fn read(&self, sum: Accumulator) -> anyhow::Result<DecodedSum> {
        Ok(decode_sum(&sum.finish(), self.members.into(), &self.plan)?)
    }

    /// What the sum reveals about one member; none without noise.
    ///
    /// # Errors
    /// Settings for which there is no noise.
    pub fn release(&self) -> anyhow::Result<Option<Event>> {
        Ok(self.plan.release(self.members, self.honest)?)
    }
}

/// The grid of values without noise.
///
/// # Errors
/// None for these constants.
pub fn grid() -> anyhow::Result<Grid> {
    Ok(Grid::new(VALUE_BITS, scale())?)
}

/// Units per 1.0 without noise.
#[must_use]
pub fn scale() -> f64 {
    f64::from((1_u32 << (VALUE_BITS - 1)) - 1) / RANGE
}

/// What a cohort of `members` tolerates.
const fn demand(members: u16) -> Demand {
    Demand {
        n: members,
        rostered: members as u32,
        corrupt_bps: TOLERATED_BPS,
        dropout_bps: TOLERATED_BPS,
        security_bits: 40,
        correctness_bits: 20,
    }
}

fn private(phase: &Phase, multiplier: f64, entries: usize, round_id: &Hash) -> PrivateSettings {
    let clip = phase.longest_update();
    let l2 = integer_bounds(CLIP_UNITS, entries, BETA).l2;
    PrivateSettings {
        noise: NoiseBy::Participants,
        clip,
        scale: CLIP_UNITS / clip,
        variance: (multiplier * l2).powi(2),
        bit_variance: None,
        delta: DELTA,
        rotation: PrivateSettings::rotation_seed(&round_id.0),
    }
}
