//! `neuro smpc party`: one of the three.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use neuro_model::Checkpoint;
use neuro_node::data_dir::DataDir;
use neuro_node::smpc_role::blocks::BlockProgram;
use neuro_node::smpc_role::model::ModelFacts;
use neuro_node::smpc_role::parties::PartiesFile;
use neuro_node::smpc_role::party::{PartyError, PartyEvent, PartyOptions, serve_party};
use neuro_node::smpc_role::program::{HeadProgram, ProgramMaker};
use neuro_node::smpc_role::secret_weights::{QUERIES, QueryLedger, SecretBlockProgram};
use neuro_smpc::party::PartyId;
use serde_json::json;

use super::split::opened;
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style, bytes};
use crate::runtime;

/// Options of `neuro smpc party`.
#[derive(Debug, ClapArgs)]
pub struct PartyArgs {
    /// Which party this is: 0, 1 or 2
    #[arg(long, value_name = "I", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub index: u8,
    /// The parties file
    #[arg(long, value_name = "FILE")]
    pub parties: PathBuf,
    /// The model: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "DIR", required_unless_present = "secret_weights")]
    pub model: Option<PathBuf>,
    /// This party's folder of a private model, as its owner made it with neuro smpc split
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["model", "trial_head"])]
    pub secret_weights: Option<PathBuf>,
    /// Address to listen on, if not the one in the parties file
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// The longest wait for another party or a client
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub deadline: u64,
    /// The model's range profile, from neuro smpc calibrate; without one, it is made and kept in the data folder
    #[arg(long, value_name = "PROFILE")]
    pub ranges: Option<PathBuf>,
    /// Run the output matrix alone, which is no language model: to try links and sessions
    #[arg(long, hide = true)]
    pub trial_head: bool,
    /// Stop when standard input closes
    #[arg(long, hide = true)]
    pub stop_with_parent: bool,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// When the parties, the model or the address cannot be used.
pub fn run(global: &GlobalArgs, args: &PartyArgs, output: Output) -> CommandResult {
    super::parties(&args.parties)?;
    let party = PartyId::new(args.index).ok_or_else(|| Failure::message(Outcome::Usage, "a party is 0, 1 or 2"))?;
    let data_dir = runtime::data_dir(global)?;
    let programs = programs(args, party, &data_dir, output)?;
    let ranges = match &args.model {
        Some(model) if !args.trial_head => {
            Some(super::ranges::profile(&data_dir, model, programs.model(), args.ranges.as_deref())?)
        }
        _ => None,
    };
    let options = PartyOptions {
        data_dir,
        registry: Box::new(PartiesFile::at(&args.parties)),
        party,
        programs,
        ranges,
        listen: args.listen.clone(),
        deadline: Duration::from_secs(args.deadline),
    };
    let report = Arc::new(move |event: PartyEvent| drop(show(&event, output)));
    runtime::tokio()?.block_on(async {
        let stop = runtime::stop_token(args.stop_with_parent)?;
        serve_party(options, report, stop).await.map_err(failure)
    })
}

/// The model, public or this party's shares of it.
fn programs(
    args: &PartyArgs,
    party: PartyId,
    data_dir: &DataDir,
    output: Output,
) -> Result<Box<dyn ProgramMaker>, Failure> {
    if let Some(folder) = &args.secret_weights {
        let queries = QueryLedger::open(data_dir.folder(QUERIES)?);
        let refused = |error| Failure::new(Outcome::Refused, error);
        let program = SecretBlockProgram::load(folder, party, queries).map_err(refused)?;
        let manifest = program.manifest();
        if !output.json {
            output.line(format!("model      {}, of owner {}", manifest.hash(), manifest.owner))?;
            output.line(format!("opened     {}", opened(manifest)))?;
            output.line(format!("queries    {} tokens a client key", manifest.limits.queries))?;
        }
        return Ok(Box::new(program));
    }
    let Some(model) = &args.model else { return Err(Failure::message(Outcome::Usage, "name the model with --model")) };
    let checkpoint = Checkpoint::open(model)?;
    let facts = ModelFacts::of(&checkpoint)?;
    Ok(if args.trial_head {
        Box::new(HeadProgram::load(&checkpoint, facts)?)
    } else {
        Box::new(BlockProgram::load(&checkpoint, facts)?)
    })
}

fn failure(error: PartyError) -> Failure {
    match &error {
        PartyError::NotThisNode { .. } => {
            Failure::new(Outcome::Refused, error).hint("name the folder of that party's key with --data-dir")
        }
        _ => error.into(),
    }
}

fn show(event: &PartyEvent, output: Output) -> CommandResult {
    if output.json {
        return output.object(&as_json(event));
    }
    match event {
        PartyEvent::Ready { party, node, address } => {
            output.line(format!("party      {}", output.paint(Style::Strong, &party.to_string())))?;
            output.line(format!("node       {node}"))?;
            output.line(format!("listening  {address}"))
        }
        PartyEvent::Began { session, client } => {
            output.line(format!("session {session} of client {} began", client.short()))
        }
        PartyEvent::Agreed { session } => output.line(format!("session {session}: all three agree")),
        PartyEvent::Turn { .. } => Ok(()),
        PartyEvent::Ended { session, tokens, rounds, bytes: sent, failure } => {
            let how = failure
                .as_ref()
                .map_or_else(|| output.paint(Style::Good, "done"), |reason| output.paint(Style::Error, reason));
            output.line(format!(
                "session {session} ended: {how}; {tokens} tokens, {rounds} rounds, {} sent",
                bytes(*sent)
            ))
        }
    }
}

fn as_json(event: &PartyEvent) -> serde_json::Value {
    match event {
        PartyEvent::Ready { party, node, address } => {
            json!({"event": "ready", "party": party.index(), "node": node.to_string(), "address": address})
        }
        PartyEvent::Began { session, client } => {
            json!({"event": "began", "session": session.to_string(), "client": client.to_string()})
        }
        PartyEvent::Agreed { session } => json!({"event": "agreed", "session": session.to_string()}),
        PartyEvent::Turn { session, turn } => json!({"event": "turn", "session": session.to_string(), "turn": turn}),
        PartyEvent::Ended { session, tokens, rounds, bytes, failure } => json!({
            "event": "ended", "session": session.to_string(), "tokens": tokens, "rounds": rounds, "bytes": bytes,
            "failure": failure,
        }),
    }
}
