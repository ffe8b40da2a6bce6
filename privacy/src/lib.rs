//! Differential privacy for sums: what bounds an update, what noise hides it, and what was spent.
//!
//! A participant's update goes through [`encode`]: rotate, clip, scale, round to integers under hard bounds, add its
//! share of Skellam noise. The aggregator of `secagg` sees the sum of such vectors alone. What that sum reveals is an
//! [`Event`], and an [`Accountant`] adds events up to a pair (ε, δ): two data sets that differ in one participant, whose
//! vector is zero in one of them, give sums that are (ε, δ)-indistinguishable.
//!
//! All sampling is exact integer arithmetic on ChaCha20 output, so that no gap between floats and reals leaks. Where a
//! sampler is not exact, its statistical distance is known, counted and added to δ.
//!
//! Nothing here protects against a participant that lies about its own vector, and no amplification by sampling is
//! claimed: the aggregator knows who takes part.

pub mod accountant;
pub mod adaptive_clip;
pub mod calibrate;
pub mod clip;
pub mod conversion;
pub mod discrete_gaussian;
pub mod encode;
pub mod error;
pub mod overflow;
pub mod pld;
pub mod poisson;
pub mod random;
pub mod rdp;
pub mod rotation;
pub mod rounding;
pub mod skellam;

#[cfg(test)]
mod testing;

pub use accountant::{Accountant, Event, Spent};
pub use adaptive_clip::next_clip;
pub use calibrate::{Target, least_noise};
pub use clip::{clip_l2, norm_l2};
pub use discrete_gaussian::{DiscreteGaussian, Rational};
pub use encode::{Encoded, Encoder, EncoderSettings};
pub use error::{
    CalibrationError, ClipError, ClipRuleError, EncodeError, EntropyError, EventError, OverflowError, QueryError,
    RoundingError, VarianceError,
};
pub use overflow::{OVERFLOW_LOG2, least_modulus_bits, overflow_log2};
pub use pld::PldAccountant;
pub use random::NoiseRng;
pub use rdp::RdpAccountant;
pub use rotation::Rotation;
pub use rounding::{BETA, IntegerBounds, integer_bounds, round_conditionally};
pub use skellam::{Skellam, Variance, local_variance};
