//! The figures of the recorded runs.

use super::{Phase, Plan};

/// Without noise: eight participants for each new skill. In the mixing, an old skill has the more the more it suffers when
/// the new experts come in.
pub const FEDERATED: Plan = Plan {
    name: "federated",
    opening: Phase { rounds: 120, rate: 2e-2, tokens: 0.0, routing: 1.0, look_every: 40, stream: 1, ..EVERYONE },
    expert: Phase {
        rounds: 700,
        steps: 2,
        questions: 2,
        rate: 3e-3,
        of_old: [0; 8],
        look_every: 100,
        stream: 2,
        ..EVERYONE
    },
    mixing: Some(Phase {
        rounds: 800,
        rate: 1.5e-3,
        of_old: [8, 16, 4, 4, 3, 2, 8, 2],
        look_every: 100,
        stream: 3,
        ..EVERYONE
    }),
    router: Phase { rounds: 20, rate: 1e-3, look_every: 20, stream: 4, ..EVERYONE },
};

/// Rounds of all without noise.
const EVERYONE: Phase = Phase {
    rounds: 0,
    steps: 1,
    questions: 1,
    rate: 0.0,
    tokens: 1.0,
    routing: 0.0,
    longest: 1.0,
    of_new: 8,
    of_old: [2; 8],
    batches: 1,
    rank: None,
    noise: None,
    look_every: 10,
    stream: 0,
};

/// With noise: many more participants, in batches that are called once in each phase, so that each pays for few rounds.
pub const PRIVATE: Plan = Plan {
    name: "private",
    opening: Phase {
        rounds: 60,
        rate: 2e-2,
        tokens: 0.0,
        routing: 1.0,
        batches: 60,
        noise: Some(2.0),
        look_every: 60,
        stream: 5,
        ..NOISY
    },
    expert: Phase {
        rounds: 300,
        rate: 6e-3,
        of_new: 192,
        of_old: [0; 8],
        batches: 300,
        rank: Some(8),
        noise: Some(0.75),
        look_every: 50,
        stream: 6,
        ..NOISY
    },
    mixing: None,
    router: Phase { rounds: 30, rate: 2e-3, batches: 30, noise: Some(2.0), look_every: 30, stream: 8, ..NOISY },
};

/// Rounds of all with noise.
const NOISY: Phase = Phase { longest: 0.25, of_new: 12, of_old: [3; 8], ..EVERYONE };
