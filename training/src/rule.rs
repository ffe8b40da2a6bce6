//! What a strategy asks of the local steps.

/// A vector of all that is trained: `[entries]`, f32, in the order of the layout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flat(pub Vec<f32>);

/// How a participant trains.
#[derive(Debug, Clone, PartialEq)]
pub enum LocalRule {
    /// Plain steps on its own examples (FedAvg and its adaptive kin).
    Plain,
    /// FedProx (Li et al. 2020): the loss gains `(mu / 2) ‖y − x‖²`.
    Proximal {
        /// How strongly the global model holds.
        mu: f32,
    },
    /// SCAFFOLD (Karimireddy et al. 2020, option II): steps along `g − cᵢ + c`.
    Scaffold {
        /// The server's control variate `c`: `[entries]`.
        control: Flat,
    },
    /// Ditto (Li et al. 2021): besides, a personal model that never leaves, held to the global one by `lambda`.
    Personal {
        /// How strongly the global model holds the personal one.
        lambda: f32,
    },
}
