//! What holds in a range only, and in which.

use crate::nn::ModelShape;
use crate::nn::attention::PADDING_PENALTY;

/// What scores of padding are lowered by.
const PADDING: f64 = PADDING_PENALTY as f64;

/// An operation whose values have to stay below a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Sum of squares of an embedding: of every token of the vocabulary.
    EmbeddingSum,
    /// How small that sum is: the negative of its logarithm to base 2.
    EmbeddingSmallness,
    /// Sum of squares in a norm.
    NormSum,
    /// How small that sum is: the negative of its logarithm to base 2.
    NormSmallness,
    /// Queries, keys and values.
    Projections,
    /// Scores of queries with keys.
    Scores,
    /// The largest score of a row. Padding has scores of 0, lowered by [`PADDING`].
    ScoreLevel,
    /// How low it is: padding must count nothing beside it.
    ScoreLowness,
    /// Largest less smallest score of a row: where the exponential holds.
    ScoreSpread,
    /// Sums of exponentials times values.
    AttentionSums,
    /// What attention adds to the hidden state.
    AttentionOutput,
    /// Logits of the router.
    RouterLogits,
    /// Largest less smallest of them.
    RouterSpread,
    /// The same of the chosen experts alone: where gates hold.
    GateSpread,
    /// What goes into SiLU.
    SiluInput,
    /// What SiLU is multiplied by.
    UpProjection,
    /// silu(gate) · up.
    ExpertHidden,
    /// Outputs of the chosen experts.
    ExpertOutputs,
    /// What experts add to the hidden state.
    ExpertSums,
    /// Logits.
    Logits,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::EmbeddingSum,
        Self::EmbeddingSmallness,
        Self::NormSum,
        Self::NormSmallness,
        Self::Projections,
        Self::Scores,
        Self::ScoreLevel,
        Self::ScoreLowness,
        Self::ScoreSpread,
        Self::AttentionSums,
        Self::AttentionOutput,
        Self::RouterLogits,
        Self::RouterSpread,
        Self::GateSpread,
        Self::SiluInput,
        Self::UpProjection,
        Self::ExpertHidden,
        Self::ExpertOutputs,
        Self::ExpertSums,
        Self::Logits,
    ];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmbeddingSum => "embedding: sum of squares",
            Self::EmbeddingSmallness => "embedding: smallness of the sum",
            Self::NormSum => "norm: sum of squares",
            Self::NormSmallness => "norm: smallness of the sum",
            Self::Projections => "attention: queries, keys, values",
            Self::Scores => "attention: scores",
            Self::ScoreLevel => "attention: largest score",
            Self::ScoreLowness => "attention: lowness of the largest score",
            Self::ScoreSpread => "attention: spread of scores",
            Self::AttentionSums => "attention: sums of values",
            Self::AttentionOutput => "attention: output",
            Self::RouterLogits => "router: logits",
            Self::RouterSpread => "router: spread",
            Self::GateSpread => "router: spread of the chosen",
            Self::SiluInput => "experts: input of SiLU",
            Self::UpProjection => "experts: up",
            Self::ExpertHidden => "experts: silu(gate) up",
            Self::ExpertOutputs => "experts: outputs",
            Self::ExpertSums => "experts: sum",
            Self::Logits => "logits",
        }
    }

    /// Its values must be smaller than this. Truncation of a number with b fraction bits over Z_2^64 holds below
    /// 2^(62-b); functions hold a little further than is said here, which leaves room for what fixed point adds.
    #[must_use]
    pub fn bound(self, shape: &ModelShape) -> f64 {
        let truncated_from = |bits: u8| (62.0 - f64::from(bits)).exp2();
        match self {
            // Steps from 4^10 to 4^28 at 32 fraction bits.
            Self::EmbeddingSum | Self::NormSum => 24.0_f64.exp2(),
            Self::EmbeddingSmallness | Self::NormSmallness => 12.0,
            // Weights, activations and turns.
            Self::Projections => truncated_from(46),
            Self::ScoreSpread => 63.0,
            // In few rounds, around the first score of the row: that of padding where there is some.
            Self::ScoreLevel => 63.0 - PADDING,
            // e^-12 is less than the last bit of an exponential.
            Self::ScoreLowness => PADDING - 12.0,
            Self::Scores
            | Self::AttentionOutput
            | Self::RouterLogits
            | Self::UpProjection
            | Self::ExpertHidden
            // Of one expert this is not truncated, but it may not wrap.
            | Self::ExpertOutputs
            // Opened to the client with 32 fraction bits and a sign.
            | Self::Logits => truncated_from(32),
            // In few rounds exponentials are up to e^2 times as large.
            Self::AttentionSums => truncated_from(35),
            Self::RouterSpread if shape.normalised => 127.0,
            Self::RouterSpread => 63.0,
            // Two gates are a logistic function, more a softmax.
            Self::GateSpread if shape.normalised && shape.top_k == 2 => 31.0,
            Self::GateSpread => 63.0,
            Self::SiluInput => 31.0,
            // Weights, activations and gates.
            Self::ExpertSums => truncated_from(48),
        }
    }
}
