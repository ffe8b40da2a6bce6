//! What a participant is shown of a round before it is joined.

use neuro_fl_aggregator::SignedSettings;
use neuro_secagg::config::{PrivacyMode, RoundConfig};
use neuro_secagg::floors::Floors;
use neuro_secagg::roster::{Registry, Roster};

use super::past::Account;

/// What a round asks for and promises.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundOffer {
    /// Its number.
    pub round: u64,
    /// Which of its cohorts this is about.
    pub cohort: u16,
    /// How many it has.
    pub cohorts: u16,
    /// Whether the model is measured instead of trained.
    pub evaluates: bool,
    /// Members that are called.
    pub rostered: u32,
    /// The smallest cohort.
    pub least_members: u16,
    /// The largest.
    pub most_members: u16,
    /// γ.
    pub corrupt: f64,
    /// δ.
    pub dropout: f64,
    /// The least part of the cohort that a sum can be of, over all cohorts that the floors go on with.
    pub alpha: f64,
    /// The strategy's name.
    pub strategy: String,
    /// Model values in the vector, or metrics.
    pub entries: u32,
    /// Who adds noise.
    pub noise: Noise,
    /// ε that it costs by itself; infinite without noise.
    pub epsilon: f64,
    /// ε over the task after it, by this participant's own account.
    pub epsilon_after: f64,
    /// δ of both; 0 without noise.
    pub delta: f64,
}

/// Who hides a participant's part in the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Nobody: nothing is promised but that only sums are seen.
    None,
    /// Every participant: the aggregator is not trusted.
    Participants,
    /// The aggregator, who is trusted with the sum as it was before.
    Aggregator,
}

/// What a round asks for and promises, as it is shown before joining.
pub(super) fn offer(config: &RoundConfig, roster: &Roster, floors: &Floors, account: Account) -> RoundOffer {
    let rostered = roster.rostered(&config.batches);
    RoundOffer {
        round: config.round,
        cohort: config.cohort,
        cohorts: config.cohorts,
        evaluates: SignedSettings::decode(&config.strategy.settings).is_ok_and(|settings| settings.is_evaluation()),
        rostered,
        least_members: config.least_members,
        most_members: config.most_members,
        corrupt: f64::from(config.corrupt_bps) / 10_000.0,
        dropout: f64::from(config.dropout_bps) / 10_000.0,
        alpha: floors.alpha(config, rostered),
        strategy: config.strategy.name.clone(),
        entries: config.entries,
        noise: match config.privacy.mode {
            PrivacyMode::None => Noise::None,
            PrivacyMode::Distributed => Noise::Participants,
            PrivacyMode::Central => Noise::Aggregator,
        },
        epsilon: account.round,
        epsilon_after: account.after,
        delta: account.delta,
    }
}
