//! Rounds that measure: their vector, and what follows from the means.

use super::{TaskEnd, TaskServer};
use crate::early_stop::Verdict;
use crate::error::EncodeError;
use crate::strategy::{Parts, StrategySettings};
use crate::update::{EncodingMode, EncodingPlan};
use neuro_primitives::Hash;
use neuro_primitives::codec::Writer;
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

    /// What stands in the configuration for strategy and layout: averaging, and the hash of the metrics' names.
    pub(super) fn evaluation_layout(&self) -> (Strategy, Hash) {
        let mut names = Writer::new();
        names.raw(b"neuro/fl/metrics/1\0");
        names.count(self.metrics().len());
        self.metrics().iter().for_each(|name| names.text(name));
        let settings = StrategySettings::FedAvg { rate: 1.0 }.encode();
        (Strategy { name: EVALUATE.to_owned(), settings }, Hash::of(&names.finish()))
    }

    /// Whether the metric that is watched says that this is enough.
    pub(super) fn watch(&mut self, metrics: &std::collections::BTreeMap<String, f64>) -> Option<TaskEnd> {
        let watch = self.at.early_stop.as_mut()?;
        let value = *metrics.get(watch.metric())?;
        match watch.observe(value) {
            Verdict::Stop => Some(TaskEnd::EarlyStop { best: watch.best().unwrap_or(value) }),
            Verdict::Best | Verdict::Waiting { .. } => None,
        }
    }
}
