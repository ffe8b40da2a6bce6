//! Rounds that measure: their vector, and what follows from the means.

use super::TaskServer;
use crate::error::EncodeError;
use crate::signed_settings::metrics_layout;
use crate::strategy::Parts;
use crate::update::{EncodingMode, EncodingPlan};
use neuro_primitives::Hash;
use neuro_secagg::config::Strategy;
use neuro_secagg::quantise::Grid;

/// The strategy's name in the configuration of an evaluation.
pub(super) const EVALUATE: &str = "evaluate";
/// Bits of a metric and units per 1.0: losses to ±8,191 in steps of a thousandth.
const METRIC_BITS: u8 = 24;
const METRIC_SCALE: f64 = 1024.0;

impl TaskServer {
    fn metrics(&self) -> &[String] {
        self.setup.plan.evaluation.as_ref().map_or(&[], |evaluation| &evaluation.metrics)
    }

    /// With noise the metrics are clipped to a norm of √(how many): those from 0 to 1 are never touched.
    pub(super) fn evaluation_encoding(&self, round_id: &[u8; 32]) -> Result<EncodingPlan, EncodeError> {
        let entries = self.metrics().len();
        let mode = match &self.setup.plan.privacy {
            None => {
                let grid = Grid::new(METRIC_BITS, METRIC_SCALE);
                let grid = grid.map_err(|error| EncodeError::Private { why: error.to_string() })?;
                EncodingMode::Plain { grid, weight_cap: self.setup.plan.update.weight_cap }
            }
            Some(privacy) => {
                let mut settings = privacy.settings((entries as f64).sqrt(), round_id);
                settings.bit_variance = None;
                EncodingMode::Private(settings)
            }
        };
        let plan = EncodingPlan { entries, parts: Parts::Model, mode };
        plan.check()?;
        Ok(plan)
    }

    /// What stands in the configuration for strategy and layout: averaging of metrics, and the hash of their names.
    pub(super) fn evaluation_layout(&self) -> (Strategy, Hash) {
        let settings = self.setup.plan.evaluation_settings().encode();
        (Strategy { name: EVALUATE.to_owned(), settings }, metrics_layout(self.metrics()))
    }

    /// The metric that is watched, if it is among these.
    pub(super) fn watch(&mut self, metrics: &std::collections::BTreeMap<String, f64>) {
        if let Some(watch) = self.at.early_stop.as_mut()
            && let Some(&value) = metrics.get(watch.metric())
        {
            watch.observe(value);
        }
    }
}
