//! `neuro bench decode`: one process, then worker processes with the same checkpoint.
//!
//! Everything is measured from outside, as a user would: tokens by their arrival, the orchestrator's memory by the
//! operating system's figures, the round trip by the orchestrator's own status.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args as ClapArgs;
use neuro_expert_runtime::input_format;
use neuro_model::{Checkpoint, ModelConfig, names};
use neuro_node::data_dir::DataDir;
use neuro_node::os::memory;
use neuro_protocol::traffic::LayerTraffic;

use super::Measurement;
use super::checkpoint::{self, Shape};
use super::single::SingleReport;
use crate::api_client::ApiClient;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::network_process::{NetworkPlan, NetworkProcess};
use crate::{dashboard, progress, runtime};

/// A Mixtral of 734 million parameters with `--full`; without, the same layers, fewer of them.
const SPEED: Shape = Shape { d_model: 1024, layers: 8, d_expert: 3584, experts: 8, top_k: 2, vocabulary: 4096 };

/// Layers without `--full`: the ratio of the two ways hardly depends on how many there are, the time to load does.
const QUICK_LAYERS: usize = 3;

/// One row of 1,024 f32 to one small expert: 4 KiB there and back, and next to nothing to compute.
const ROUND_TRIP: Shape = Shape { d_model: 1024, layers: 8, d_expert: 16, experts: 8, top_k: 1, vocabulary: 512 };

/// Tokens whose micro-tasks are measured, eight each: well above the window of the orchestrator's quantiles.
const ROUND_TRIP_TOKENS: usize = 200;

/// Prompt of every run: short, so that decoding is what is measured.
const PROMPT: [u32; 4] = [5, 17, 42, 7];

/// Bytes beside the trunk that an orchestrator may take.
const MEMORY_ALLOWANCE_BYTES: u64 = 100 << 20;

/// Options of `neuro bench decode`.
#[derive(Debug, ClapArgs)]
pub struct DecodeArgs {
    /// Measure with this model, a Hugging Face folder or a GGUF file, instead of a random one
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Lengths of the prompts to measure, in tokens
    #[arg(long, value_delimiter = ',', default_values_t = [128], value_name = "TOKENS")]
    pub prompts: Vec<usize>,
    /// Worker processes
    #[arg(long, default_value_t = 4)]
    pub workers: usize,
    /// Tokens to decode
    #[arg(long, default_value_t = 48)]
    pub tokens: usize,
    /// Use the full speed checkpoint (734 million parameters, needs 8 GiB of memory)
    #[arg(long)]
    pub full: bool,
}

/// Measures.
///
/// # Errors
/// When a checkpoint or a network cannot be made.
pub fn run(args: &DecodeArgs) -> Result<Vec<Measurement>, Failure> {
    let folder = tempfile::Builder::new().prefix("neuro-bench-").tempdir()?;
    let bar = progress::wait("making checkpoints");
    let shape = if args.full { SPEED } else { Shape { layers: QUICK_LAYERS, ..SPEED } };
    let model = match &args.model {
        Some(model) => model.clone(),
        None => made(&folder.path().join("speed"), shape)?,
    };
    let small = made(&folder.path().join("round-trip"), ROUND_TRIP)?;
    let results = runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        tokio::select! {
            results = measure(args, folder.path(), &model, &small, &bar) => results,
            () = stop.cancelled() => Err(Failure::message(Outcome::Interrupted, "interrupted")),
        }
    });
    bar.finish_and_clear();
    results
}

fn made(folder: &Path, shape: Shape) -> Result<PathBuf, Failure> {
    checkpoint::write(folder, shape)?;
    Ok(folder.to_owned())
}

async fn measure(
    args: &DecodeArgs,
    root: &Path,
    model: &Path,
    small: &Path,
    bar: &indicatif::ProgressBar,
) -> Result<Vec<Measurement>, Failure> {
    bar.set_message("measuring the round trip");
    let mut results = round_trip(&root.join("network-1"), small).await?;
    bar.set_message(format!("decoding over {} workers", args.workers));
    let over_workers = over_workers(args, &root.join("network-2"), model).await?;
    let (kind, traffic) = weights_and_traffic(model, args.workers)?;
    results.extend(traffic);
    let mut fastest = 0.0_f64;
    for threads in thread_counts() {
        bar.set_message(format!("decoding in one process with {threads} threads"));
        let report = in_one_process(args, model, threads).await?;
        fastest = report.prompts.iter().fold(fastest, |fastest, prompt| fastest.max(prompt.decode_per_second));
        results.extend(of_one_process(&report, &kind, threads));
    }
    let case = format!("decode_{kind}_{}workers", args.workers);
    let over = Measurement::new(&case, over_workers.tokens_per_second, "tokens/s");
    results.push(over.beside("single process", fastest));
    results.extend(over_workers.memory);
    Ok(results)
}

/// The type of the model's experts, and what a token costs on the wire in one layer, both ways, beside bf16.
fn weights_and_traffic(model: &Path, workers: usize) -> Result<(String, Vec<Measurement>), Failure> {
    let checkpoint = Checkpoint::open(model)?;
    let config = checkpoint.config();
    let Some(first) = names::experts(config).next() else { return Ok(("none".to_owned(), Vec::new())) };
    let expert = names::expert(config, first);
    let [gate, up] = [checkpoint.tensor(&expert.gate)?.tensor_type, checkpoint.tensor(&expert.up)?.tensor_type];
    let routes = config.router.top_k;
    let holders = workers.min(routes);
    let ours = LayerTraffic::of_token(config.d_model, input_format([gate, up]), routes, holders);
    let bf16 = LayerTraffic::of_token_in_bf16(config.d_model, routes, holders);
    let measurement = |case: &str, ours: usize, bf16: usize| {
        Measurement::new(case, ours as f64, "bytes").beside("bf16 both ways", bf16 as f64)
    };
    let traffic = vec![
        measurement("token_layer_to_workers", ours.task_bytes, bf16.task_bytes),
        measurement("token_layer_from_workers", ours.answer_bytes, bf16.answer_bytes),
    ];
    Ok((gate.to_string(), traffic))
}

/// One thread, and as many as the machine has.
fn thread_counts() -> Vec<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    if all == 1 { vec![1] } else { vec![1, all] }
}

/// Runs `neuro bench single` as a process of its own.
async fn in_one_process(args: &DecodeArgs, model: &Path, threads: usize) -> Result<SingleReport, Failure> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args(["--json", "bench", "single", "--model"]).arg(model);
    command.args(["--threads", &threads.to_string(), "--tokens", &args.tokens.to_string()]);
    command.args(["--prompts", &args.prompts.iter().map(usize::to_string).collect::<Vec<_>>().join(",")]);
    let output = command.kill_on_drop(true).output().await?;
    if !output.status.success() {
        return Err(Failure::message(Outcome::Failed, String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The figures of one process under their names: `decode_q8_0_t2`, `prompt128_q8_0_t2`, …
fn of_one_process(report: &SingleReport, kind: &str, threads: usize) -> Vec<Measurement> {
    let mut results = Vec::new();
    for (index, prompt) in report.prompts.iter().enumerate() {
        if index == 0 {
            let case = format!("decode_{kind}_t{threads}");
            results.push(Measurement::new(&case, prompt.decode_per_second, "tokens/s"));
        }
        let case = format!("prompt{}_{kind}_t{threads}", prompt.tokens);
        results.push(Measurement::new(&case, prompt.prompt_per_second, "tokens/s"));
    }
    results.push(Measurement::new(&format!("first_token_{kind}_t{threads}"), report.load_ms, "ms"));
    let peak = report.peak_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
    results.extend(peak.map(|peak| Measurement::new(&format!("peak_memory_{kind}_t{threads}"), peak, "MiB")));
    results
}

/// The median time from a micro-task's departure to its answer, as the orchestrator's status has it, and the same
/// without what the worker says it computed: the way there and back.
async fn round_trip(root: &Path, model: &Path) -> Result<Vec<Measurement>, Failure> {
    let network = NetworkProcess::start(&plan(root, model, 1), &mut |_| {}).await?;
    let client = ApiClient::new(&network.ready.api, None)?;
    let run = client.decode(&PROMPT, ROUND_TRIP_TOKENS).await;
    let status = dashboard::status_once(DataDir::open(&network.data_dir)?).await;
    network.stop().await;
    let shares = run?.explain.map(|explain| explain.shares).unwrap_or_default();
    let (tasks, compute_us) = shares.iter().fold((0, 0), |sum, share| (sum.0 + share.tasks, sum.1 + share.compute_us));
    let computing = compute_us as f64 / tasks.max(1) as f64;
    let worker = status?.workers.into_iter().next().unwrap_or_default();
    let (p50, p95) = (worker.rtt_us_p50.unwrap_or(0) as f64, worker.rtt_us_p95.unwrap_or(0) as f64);
    Ok(vec![
        Measurement::new("micro_task_4kib_round_trip_p50", p50 - computing, "µs"),
        Measurement::new("micro_task_4kib_with_compute_p50", p50, "µs"),
        Measurement::new("micro_task_4kib_with_compute_p95", p95, "µs"),
    ])
}

/// What a run over worker processes showed.
struct OverWorkers {
    tokens_per_second: f64,
    memory: Option<Measurement>,
}

async fn over_workers(args: &DecodeArgs, root: &Path, model: &Path) -> Result<OverWorkers, Failure> {
    let network = NetworkProcess::start(&plan(root, model, args.workers), &mut |_| {}).await?;
    let client = ApiClient::new(&network.ready.api, None)?;
    let warmed = client.decode(&PROMPT, 8).await;
    let run = client.decode(&PROMPT, args.tokens).await;
    let orchestrator = network.process_ids().first().copied();
    let anonymous = orchestrator.and_then(memory::anonymous_bytes_of);
    network.stop().await;
    warmed?;
    Ok(OverWorkers { tokens_per_second: run?.tokens_per_second, memory: memory_beside_trunk(model, anonymous)? })
}

/// The orchestrator's anonymous memory beside what it may take: the trunk as f32, and 100 MiB.
fn memory_beside_trunk(model: &Path, anonymous: Option<u64>) -> Result<Option<Measurement>, Failure> {
    let checkpoint = Checkpoint::open(model)?;
    let trunk_f32 = 4 * trunk_parameters(checkpoint.config());
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(anonymous.map(|bytes| {
        Measurement::new("orchestrator_anonymous_memory", mebibytes(bytes), "MiB")
            .beside("trunk as f32 + 100 MiB", mebibytes(trunk_f32 + MEMORY_ALLOWANCE_BYTES))
    }))
}

/// Values of all trunk tensors.
fn trunk_parameters(config: &ModelConfig) -> u64 {
    let count = |shape: &[usize]| shape.iter().map(|&length| length as u64).product::<u64>();
    names::trunk(config).iter().map(|tensor| count(&tensor.shape)).sum()
}

fn plan(root: &Path, model: &Path, workers: usize) -> NetworkPlan {
    let threads = (std::thread::available_parallelism().map_or(1, usize::from) / workers).max(1);
    let (root, model) = (root.to_owned(), model.to_owned());
    NetworkPlan { root, model, workers, threads, api: "127.0.0.1:0".to_owned(), reachable: false, store: None }
}

/// Tokens per second after the first token.
#[must_use]
pub fn rate_of(arrivals: &[Instant]) -> f64 {
    match (arrivals.first(), arrivals.last()) {
        (Some(first), Some(last)) if arrivals.len() > 1 => (arrivals.len() - 1) as f64 / (*last - *first).as_secs_f64(),
        _ => 0.0,
    }
}
