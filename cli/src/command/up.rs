//! `neuro up`: a whole local network in one terminal.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::json;
use tempfile::TempDir;

use crate::api_client::{ApiClient, ChatRequest, Explain, Message, Reply};
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::network_process::{NetworkEvent, NetworkPlan, NetworkProcess};
use crate::output::{Output, Style, microseconds};
use crate::{progress, runtime};

/// Options of `neuro up`.
#[derive(Debug, ClapArgs)]
pub struct UpArgs {
    /// Ask this question, print the answer and who computed it, and stop
    #[arg(long, value_name = "TEXT")]
    pub ask: Option<String>,
    /// How many worker processes to start
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// A Hugging Face folder; without it, the small model that comes with the program
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Where workers and credit are kept: a file, or postgres://USER@HOST/DATABASE; without it, a file in the data
    /// folder
    #[arg(long, env = "NEURO_STORE", value_name = "URL")]
    pub store: Option<String>,
    /// Address of the API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub api: String,
}

/// Starts the network, then answers one question or waits for Ctrl-C.
///
/// # Errors
/// When the network does not start, the question fails, or the user interrupts before it is answered.
pub fn run(global: &GlobalArgs, args: &UpArgs, output: Output) -> CommandResult {
    let home = Home::new(global)?;
    let model = model_folder(args.model.as_deref(), home.path())?;
    let workers = usize::from(args.workers);
    let threads = (std::thread::available_parallelism().map_or(1, usize::from) / workers).max(1);
    let (root, reachable) = (home.path().to_owned(), args.ask.is_none());
    let (api, store) = (args.api.clone(), args.store.clone());
    let plan = NetworkPlan { root, model, workers, threads, api, reachable, store };
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(false)?;
        let mut network = tokio::select! {
            network = start(&plan) => network?,
            () = stop.cancelled() => return Err(interrupted()),
        };
        let outcome = match &args.ask {
            Some(question) => tokio::select! {
                answered = answer(&network, question, output) => answered,
                () = stop.cancelled() => Err(interrupted()),
            },
            None => stay(&mut network, output, &stop).await,
        };
        network.stop().await;
        outcome
    })
}

/// The folder with the data folders of all nodes: the named one, or a temporary one that goes away at the end.
enum Home {
    Named(PathBuf),
    Temporary(TempDir),
}

impl Home {
    fn new(global: &GlobalArgs) -> Result<Self, Failure> {
        match &global.data_dir {
            Some(path) => Ok(Self::Named(path.clone())),
            None => Ok(Self::Temporary(tempfile::Builder::new().prefix("neuro-up-").tempdir()?)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// The folder of the model to run: `named`, or the model that the program carries, written under `home`.
///
/// # Errors
/// When the carried model cannot be written.
pub fn model_folder(named: Option<&Path>, home: &Path) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let folder = home.join("models").join("skills");
    std::fs::create_dir_all(&folder)?;
    neuro_skills_model::write_to(&folder)?;
    Ok(folder)
}

async fn start(plan: &NetworkPlan) -> Result<NetworkProcess, Failure> {
    let bar = progress::wait("starting the orchestrator");
    let workers = plan.workers;
    let report = |event| match event {
        NetworkEvent::Loading { bytes_done, bytes_total } => {
            let percent = bytes_done * 100 / bytes_total.max(1);
            bar.set_message(format!("loading the model: {percent} %"));
        }
        NetworkEvent::Placing => bar.set_message(format!("placing experts on {workers} workers")),
        NetworkEvent::Serving => bar.finish_and_clear(),
    };
    let mut report = report;
    let network = NetworkProcess::start(plan, &mut report).await;
    bar.finish_and_clear();
    network
}

async fn answer(network: &NetworkProcess, question: &str, output: Output) -> CommandResult {
    let client = ApiClient::new(&network.ready.api, None)?;
    let message = Message { role: "user".to_owned(), content: question.to_owned() };
    let request = ChatRequest { messages: vec![message], max_tokens: None, temperature: 0.0, seed: None };
    if output.json {
        let reply = client.chat(&request, &mut |_| Ok(())).await?;
        return output.object(&answer_object(question, &reply));
    }
    let reply = client.chat(&request, &mut |text| output.text(text)).await?;
    output.line("")?;
    if let Some(explain) = &reply.explain {
        output.line(format!("\n{}", who_computed(explain, output)))?;
    }
    Ok(())
}

/// The `--json` form of an answer.
#[must_use]
pub fn answer_object(question: &str, reply: &Reply) -> serde_json::Value {
    json!({
        "event": "answer", "question": question, "answer": reply.text, "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens, "explain": reply.explain,
    })
}

/// A table of who computed what.
#[must_use]
pub fn who_computed(explain: &Explain, output: Output) -> String {
    let rows: Vec<Vec<String>> = explain
        .shares
        .iter()
        .map(|share| {
            let name = if share.name.is_empty() { share.worker.chars().take(8).collect() } else { share.name.clone() };
            let counts = [share.experts_held, share.tasks, share.expert_rows].map(|count| count.to_string());
            [vec![name], counts.to_vec(), vec![microseconds(share.compute_us)]].concat()
        })
        .collect();
    output.table(&["worker", "experts held", "micro-tasks", "rows × experts", "computing"], &rows)
}

/// Shows where the network is and waits for Ctrl-C.
async fn stay(
    network: &mut NetworkProcess,
    output: Output,
    stop: &tokio_util::sync::CancellationToken,
) -> CommandResult {
    if output.json {
        output.object(&json!({
            "event": "ready", "api": network.ready.api, "join": network.ready.join, "data_dir": network.data_dir,
            "workers": network.process_ids().len() - 1, "processes": network.process_ids(),
        }))?;
    } else {
        let copy = |text: &str| output.paint(Style::Copy, text);
        let ready = &network.ready;
        output.line(format!("API        {}", copy(&format!("{}/v1", ready.api))))?;
        output.line(format!("ask        {}", copy(&format!("neuro ask --url {} \"What is 12+35?\"", ready.api))))?;
        let watch = format!("neuro dashboard --data-dir {}", network.data_dir.display());
        output.line(format!("watch      {}", copy(&watch)))?;
        output.line(format!("join       {}", copy(&ready.join)))?;
        output.line("Ctrl-C stops everything.")?;
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            ended = network.first_to_end() => {
                if !network.lose_ended() {
                    return Err(Failure::message(Outcome::Failed, ended));
                }
                eprintln!("{} {ended}; the others go on", output.paint(Style::Error, "lost:"));
            }
        }
    }
}

fn interrupted() -> Failure {
    Failure::message(Outcome::Interrupted, "interrupted")
}
