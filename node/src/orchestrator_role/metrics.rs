//! The orchestrator's figures under `/metrics`, read from the core when somebody asks.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::dispatch::Dispatch;

/// Reads the core's counters at each scrape.
pub struct CoreCollector(pub Arc<Dispatch>);

impl Collector for CoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (workers, coverage, counters, in_flight) =
            self.0.view(|core, _| (core.workers().len(), core.coverage(), core.counters(), core.in_flight()));
        let gauges = [
            ("neuro_workers", "Workers that attend now", workers),
            ("neuro_experts", "Experts of the model", coverage.experts),
            ("neuro_experts_covered", "Experts with at least one ready holder", coverage.covered),
            ("neuro_experts_replicated", "Experts with as many ready holders as wanted", coverage.replicated),
            ("neuro_micro_tasks_in_flight", "Micro-tasks sent and not answered", in_flight.tasks),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let totals = [
            ("neuro_micro_tasks", "Micro-tasks sent, those sent again included", counters.tasks),
            (
                "neuro_micro_tasks_reissued",
                "Micro-tasks sent again after a fault, a delay or a loss",
                counters.reissues,
            ),
            ("neuro_micro_tasks_late", "Micro-tasks that passed their deadline", counters.late),
            ("neuro_worker_faults", "Faults of workers: bad answers and refusals", counters.faults),
            (
                "neuro_results_retracted",
                "Results that were used and turned out wrong, those in streams that had ended included",
                counters.retracted,
            ),
            ("neuro_workers_expelled", "Workers turned away for their faults", counters.expelled),
        ];
        for (name, help, value) in totals {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for CoreCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CoreCollector")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_orchestrator::{ExpertSpec, Input, Settings};
    use neuro_primitives::{ExpertId, Hash, ModelId, NodeId};
    use prometheus_client::registry::Registry;

    #[test]
    fn figures_follow_the_core() {
        let specs = (0..3).map(|expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 1 }).collect();
        let dispatch = Arc::new(Dispatch::new(ModelId(Hash::of(b"model")), Vec::new(), Settings::new(specs)));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(CoreCollector(Arc::clone(&dispatch))));
        let scrape = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        assert!(scrape().contains("neuro_workers 0\n"), "{}", scrape());
        assert!(scrape().contains("neuro_experts 3\n"));
        dispatch.reported(Input::WorkerJoined { worker: NodeId([1; 32]), memory_limit_bytes: 100 });
        assert!(scrape().contains("neuro_micro_tasks_reissued_total 0\n"), "{}", scrape());
    }
}
