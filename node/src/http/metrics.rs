//! Counts and times of the API, in the OpenMetrics text that Prometheus reads; names as vLLM's, with our prefix.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use neuro_inference::{BatchFigures, Generated};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::choices::finish_reason;
use crate::completer::Load;

/// Buckets of whole requests and first tokens, seconds: doubling, as OpenTelemetry's conventions for model servers.
const REQUEST_BUCKETS_S: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Buckets of the time between two tokens, seconds, from the same conventions.
const TOKEN_BUCKETS_S: [f64; 12] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 2.5];

type Labels<const N: usize> = [(&'static str, String); N];

/// All of the API's metrics; clones count into the same.
#[derive(Clone)]
pub(super) struct Metrics(Arc<Families>);

struct Families {
    running: Gauge,
    waiting: Gauge,
    slots: Gauge,
    preempted: Gauge,
    pages: Gauge,
    pages_used: Gauge,
    pages_idle: Gauge,
    preemptions: Counter,
    passes: Counter,
    reused_tokens: Counter,
    first_token: Histogram,
    per_token: Histogram,
    duration: Histogram,
    prompt_tokens: Counter,
    generation_tokens: Counter,
    success: Family<Labels<1>, Counter>,
    failure: Family<Labels<1>, Counter>,
    http: Family<Labels<3>, Counter>,
}

impl Metrics {
    /// Registers the metrics in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Families {
            running: Gauge::default(),
            waiting: Gauge::default(),
            slots: Gauge::default(),
            preempted: Gauge::default(),
            pages: Gauge::default(),
            pages_used: Gauge::default(),
            pages_idle: Gauge::default(),
            preemptions: Counter::default(),
            passes: Counter::default(),
            reused_tokens: Counter::default(),
            first_token: Histogram::new(REQUEST_BUCKETS_S),
            per_token: Histogram::new(TOKEN_BUCKETS_S),
            duration: Histogram::new(REQUEST_BUCKETS_S),
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            success: Family::default(),
            failure: Family::default(),
            http: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("neuro");
        families.register_gauges(registry);
        families.register_batch(registry);
        families.register_times(registry);
        families.register_counters(registry);
        Self(Arc::new(families))
    }

    /// All that `registry` holds, as text, with the gauges as of now.
    ///
    /// # Errors
    /// When a metric cannot be written, which is a bug of ours.
    pub(super) fn text(&self, registry: &Registry, load: Load) -> Result<String, fmt::Error> {
        self.0.running.set(load.running as i64);
        self.0.waiting.set(load.waiting as i64);
        self.0.slots.set(load.slots as i64);
        self.0.note_batch(load.batch);
        let mut text = String::new();
        encode(&mut text, registry)?;
        Ok(text)
    }

    /// Counts an answered HTTP request. `route` is one of the router's, never the client's text.
    pub(super) fn answered(&self, method: &'static str, route: &'static str, status: u16) {
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        self.0.http.get_or_create(&labels).inc();
    }

    /// Follows a request's `choices` jobs from their submission.
    pub(super) fn meter(&self, arrived: Instant, choices: usize) -> Meter {
        Meter { metrics: self.clone(), arrived, last_token: vec![None; choices], open: choices }
    }
}

impl Families {
    fn register_gauges(&self, registry: &mut Registry) {
        registry.register("requests_running", "Jobs that run", self.running.clone());
        registry.register("requests_waiting", "Jobs that wait for a slot", self.waiting.clone());
        registry.register("slots", "Jobs that can run at once", self.slots.clone());
    }

    fn register_batch(&self, registry: &mut Registry) {
        registry.register("requests_preempted", "Jobs that wait for pages of keys and values", self.preempted.clone());
        registry.register("kv_pages", "Pages of keys and values there may be", self.pages.clone());
        registry.register("kv_pages_used", "Pages of keys and values, kept ones included", self.pages_used.clone());
        registry.register("kv_pages_idle", "Pages kept for prompts with the same beginning", self.pages_idle.clone());
        registry.register("preemptions", "Times that a job lost its pages", self.preemptions.clone());
        registry.register("passes", "Passes over rows of all running jobs", self.passes.clone());
        registry.register(
            "prefix_hit_tokens",
            "Prompt tokens that were not computed again",
            self.reused_tokens.clone(),
        );
    }

    /// The gauges and counters of a batch, as of now.
    fn note_batch(&self, batch: BatchFigures) {
        self.preempted.set(batch.preempted as i64);
        self.pages.set(i64::try_from(batch.pages.capacity).unwrap_or(i64::MAX));
        self.pages_used.set(batch.pages.used as i64);
        self.pages_idle.set(batch.pages.idle as i64);
        let counters = [
            (&self.preemptions, batch.preemptions),
            (&self.passes, batch.passes),
            (&self.reused_tokens, batch.pages.reused_tokens),
        ];
        for (counter, total) in counters {
            // The batch counts; a scrape beside this one may have noted more already.
            counter.inner().fetch_max(total, Ordering::Relaxed);
        }
    }

    fn register_times(&self, registry: &mut Registry) {
        let mut time = |name: &str, help: &str, histogram: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        };
        time("time_to_first_token", "From a request's arrival to a choice's first token", &self.first_token);
        time("time_per_output_token", "Between two tokens of a choice", &self.per_token);
        time("e2e_request_latency", "From a request's arrival to the end of its last choice", &self.duration);
    }

    fn register_counters(&self, registry: &mut Registry) {
        registry.register("prompt_tokens", "Prompt tokens of answered jobs", self.prompt_tokens.clone());
        registry.register("generation_tokens", "Tokens generated", self.generation_tokens.clone());
        registry.register("request_success", "Jobs answered, by how they ended", self.success.clone());
        registry.register("request_failure", "Jobs not answered, by reason", self.failure.clone());
        registry.register("http_requests", "HTTP requests answered", self.http.clone());
    }
}

/// Follows one request. Dropped before all its choices ended, it counts the others as left by the client.
pub(super) struct Meter {
    metrics: Metrics,
    arrived: Instant,
    last_token: Vec<Option<Instant>>,
    open: usize,
}

impl Meter {
    /// A token of choice `index` came.
    pub(super) fn token(&mut self, index: usize) {
        let (families, now) = (&self.metrics.0, Instant::now());
        families.generation_tokens.inc();
        match self.last_token[index].replace(now) {
            None => families.first_token.observe((now - self.arrived).as_secs_f64()),
            Some(last) => families.per_token.observe((now - last).as_secs_f64()),
        }
    }

    /// A choice was answered.
    pub(super) fn done(&mut self, generated: &Generated) {
        let families = &self.metrics.0;
        families.prompt_tokens.inc_by(generated.usage.prompt_tokens as u64);
        families.success.get_or_create(&[("finish_reason", finish_reason(generated.finish).to_owned())]).inc();
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            families.duration.observe(self.arrived.elapsed().as_secs_f64());
        }
    }

    /// A choice failed, and with it the request.
    pub(super) fn failed(&mut self) {
        self.end_open("failed");
    }

    fn end_open(&mut self, reason: &str) {
        let open = std::mem::take(&mut self.open);
        if open > 0 {
            self.metrics.0.failure.get_or_create(&[("reason", reason.to_owned())]).inc_by(open as u64);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end_open("client_left");
    }
}
