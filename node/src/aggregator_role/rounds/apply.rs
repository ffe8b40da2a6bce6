//! From a sum to the next weights.

use std::fs;
use std::path::Path;

use neuro_fl_aggregator::{EncodingPlan, Layout, Strategy, StrategySettings, decode_sum};
use neuro_primitives::Hash;
use neuro_secagg::config::RoundConfig;

use super::RoundError;
use crate::aggregator_role::cohort::CohortEnd;
use crate::aggregator_role::shared::Shared;
use crate::aggregator_role::summing::Unmasked;
use crate::os::private_file;

/// Takes the strategy's step from the round's base. Kept: the weights by their hash, and the strategy's state for the
/// next round. Doing it again gives the same.
pub(super) fn apply(
    shared: &Shared,
    folder: &Path,
    layout: &Layout,
    config: &RoundConfig,
    sum: &Unmasked,
    end: &CohortEnd,
) -> Result<Hash, RoundError> {
    let plan = EncodingPlan::of(config)?;
    let decoded = decode_sum(&sum.values, end.survivors.len() as u32, &plan)?;
    let mut global = layout.read(&shared.models.read(config.base.hash())?)?;
    let settings = StrategySettings::decode(&config.strategy.settings)?;
    let mut strategy = before(shared, folder, &settings, layout)?;
    strategy.apply(&mut global, &decoded)?;
    private_file::create_folder(&folder.join("strategy"))?;
    private_file::replace(&folder.join("strategy").join(config.round.to_string()), &strategy.state())?;
    Ok(shared.models.keep(&layout.write(&global)?)?)
}

/// The strategy as the last round that had a result left it.
fn before(
    shared: &Shared,
    folder: &Path,
    settings: &StrategySettings,
    layout: &Layout,
) -> Result<Box<dyn Strategy>, RoundError> {
    let last = shared.history().rounds().iter().rev().find(|round| round.done).map(|round| round.number);
    let population = shared.roster.roster().fields().members.len() as u32;
    match last {
        Some(number) => Ok(settings.restore(&fs::read(folder.join("strategy").join(number.to_string()))?)?),
        None => Ok(settings.begin(layout.entries(), population)?),
    }
}
