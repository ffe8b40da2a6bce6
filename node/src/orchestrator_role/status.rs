//! The status value: what the dashboard, `--json` and other programs read.

use neuro_orchestrator::{Orchestrator, Standing, WorkerState as CoreState, WorkerView};
use neuro_primitives::{Moment, NodeId};
use neuro_protocol::control::{
    JobState, JobStatus, LayerCounts, ModelStatus, NodeStatus, PathKind, Status, Totals, WorkerState, WorkerStatus,
};

use super::roster::Facts;
use super::shared::Shared;
use crate::jobs::{self, JobView};

/// Everything about the node at this moment.
#[must_use]
pub fn read(shared: &Shared) -> Status {
    let layers = u16::try_from(shared.trunk.config().layers).unwrap_or(u16::MAX);
    let (views, expert_use, holders, counters) = shared.dispatch.view(|core, _: Moment| {
        (core.workers(), per_layer(layers, |layer| core.expert_use(layer)), holders(core, layers), core.counters())
    });
    let (jobs, totals, load) = (shared.runner.jobs(), shared.runner.totals(), shared.runner.load());
    Status {
        node: Some(node(shared)),
        model: Some(model(shared)),
        workers: shared.roster.all().iter().map(|(id, facts)| worker(shared, *id, facts, &views)).collect(),
        expert_use,
        holders,
        totals: Some(Totals {
            tokens: totals.completion_tokens,
            jobs_done: totals.done,
            jobs_failed: totals.failed,
            tasks: counters.tasks,
            reissues: counters.reissues,
            queue_depth: count(load.waiting),
            slots: count(load.slots),
            tokens_per_second: jobs.iter().any(is_decoding).then_some(totals.tokens_per_second),
            preempted: count(load.batch.preempted),
            cache_bytes: load.batch.pages.used as u64 * load.batch.pages.page_bytes,
            cache_limit_bytes: (load.batch.pages.capacity as u64).saturating_mul(load.batch.pages.page_bytes),
            reused_tokens: load.batch.pages.reused_tokens,
            checks: counters.checks,
            liars: counters.liars,
        }),
        jobs: jobs.iter().map(job).collect(),
        join_command: shared.addresses.join_command(),
        store: Some(shared.recorder.status()),
    }
}

fn node(shared: &Shared) -> NodeStatus {
    NodeStatus {
        id: shared.key.node_id().to_string(),
        role: "orchestrator".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms: shared.started.0,
        api: shared.addresses.api.clone(),
        control: shared.addresses.control.clone(),
        p2p: shared.addresses.p2p.clone(),
    }
}

fn model(shared: &Shared) -> ModelStatus {
    let (config, checkpoint) = (shared.trunk.config(), shared.publication.checkpoint());
    let manifest = shared.publication.manifest();
    ModelStatus {
        id: manifest.model_id().to_string(),
        name: manifest.manifest().name.clone(),
        architecture: config.architecture.to_string(),
        layers: count(config.layers),
        experts: count(config.router.experts),
        top_k: count(config.router.top_k),
        d_model: count(config.d_model),
        parameters: checkpoint.parameters(),
        trunk_bytes: checkpoint.trunk_bytes(),
        expert_bytes: checkpoint.expert_bytes(),
        context: config.context as u64,
    }
}

fn worker(shared: &Shared, id: NodeId, facts: &Facts, views: &[WorkerView]) -> WorkerStatus {
    let view = views.iter().find(|view| view.id == id);
    let (standing, now) = shared.dispatch.view(|core, now| (core.standing(id).cloned(), now));
    // The core knows those who came in this run.
    let standing = standing.or_else(|| shared.recorder.worker(id).map(|record| record.standing));
    let path = shared.network.path(id).filter(|_| facts.present);
    let excluded = shared.dispatch.excluded(id);
    let microseconds = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    WorkerStatus {
        id: id.to_string(),
        name: facts.name.clone(),
        state: state(facts, view).into(),
        threads: facts.threads,
        experts_held: view.map_or(0, |view| count(view.experts_ready)),
        resident_bytes: if facts.present { facts.resident_bytes } else { 0 },
        memory_limit_bytes: facts.memory_limit_bytes,
        rtt_us_p50: view.and_then(|view| view.latency_p50).map(microseconds),
        rtt_us_p95: view.and_then(|view| view.latency_p95).map(microseconds),
        in_flight: view.map_or(0, |view| count(view.in_flight)),
        tasks_done: view.map_or(0, |view| view.tasks_done),
        faults: shared.dispatch.faults(id),
        tasks_late: view.map_or(0, |view| view.tasks_late),
        connected_unix_ms: facts.connected.0,
        path: path.as_ref().map_or(PathKind::Unknown, path_kind).into(),
        transport: path.map(|path| path.transport.to_string()).unwrap_or_default(),
        evidence: evidence(shared, id, excluded.is_some()),
        excluded: excluded.unwrap_or_default(),
        correctness: standing.as_ref().filter(|standing| standing.valid + standing.invalid > 0.0).map(Standing::score),
        streak: standing.as_ref().map_or(0, |standing| standing.streak),
        timeliness: standing
            .as_ref()
            .filter(|standing| standing.timely + standing.late > 0.0)
            .map(Standing::timeliness),
        hardware: facts.hardware.clone(),
        engine: facts.engine.clone(),
        version: facts.version.clone(),
        calibration: facts.calibration.clone(),
        row_us: view.and_then(|view| view.row_expert_time).map(microseconds),
        link_us: view.and_then(|view| view.overhead.or(facts.greeted)).map(microseconds),
        fetch_bytes_per_s: facts.fetched.bytes_per_s(),
        uptime_s: uptime_s(standing.as_ref(), view, now),
    }
}

/// Connected time of all runs, that of the connection under way included.
fn uptime_s(standing: Option<&Standing>, view: Option<&WorkerView>, now: Moment) -> u64 {
    let before = standing.map_or(0.0, |standing| standing.uptime_s);
    before as u64 + view.map_or(0, |view| now.since(view.joined).as_secs())
}

/// The file against a worker; only of one that is excluded, so that a status looks at few.
fn evidence(shared: &Shared, worker: NodeId, is_excluded: bool) -> String {
    let file = is_excluded.then(|| shared.cases.file(worker)).flatten();
    file.map(|file| file.display().to_string()).unwrap_or_default()
}

fn path_kind(path: &neuro_network::peer_to_peer::PathInfo) -> PathKind {
    if path.direct { PathKind::Direct } else { PathKind::Relayed }
}

fn state(facts: &Facts, view: Option<&WorkerView>) -> WorkerState {
    match view {
        _ if !facts.present => WorkerState::Gone,
        None => WorkerState::Joining,
        Some(view) => match view.state {
            CoreState::Joining => WorkerState::Joining,
            CoreState::Loading => WorkerState::Loading,
            CoreState::Ready => WorkerState::Ready,
        },
    }
}

fn holders(core: &Orchestrator, layers: u16) -> Vec<LayerCounts> {
    per_layer(layers, |layer| core.holders(layer).into_iter().map(u64::from).collect())
}

/// The counts of every layer that has experts.
fn per_layer(layers: u16, read: impl Fn(u16) -> Vec<u64>) -> Vec<LayerCounts> {
    let counts = (0..layers).map(|layer| LayerCounts { layer: u32::from(layer), counts: read(layer) });
    counts.filter(|layer| !layer.counts.is_empty()).collect()
}

fn is_decoding(job: &JobView) -> bool {
    job.state == jobs::JobState::Decode
}

fn job(view: &JobView) -> JobStatus {
    let state = match view.state {
        jobs::JobState::Queued => JobState::Queued,
        jobs::JobState::Prefill => JobState::Prefill,
        jobs::JobState::Decode => JobState::Decode,
    };
    JobStatus {
        id: view.id.0,
        state: state.into(),
        prompt_tokens: view.prompt_tokens as u64,
        completion_tokens: view.completion_tokens as u64,
        tokens_per_second: (view.completion_tokens > 1).then_some(view.tokens_per_second),
        age_ms: u64::try_from(view.age.as_millis()).unwrap_or(u64::MAX),
        endpoint: view.endpoint.to_owned(),
    }
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
