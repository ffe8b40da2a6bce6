//! `neuro smpc`: ask a model without any party reading the question.

mod ask;
mod calibrate;
mod estimate;
mod eval;
mod extraction;
mod generation;
mod invite;
mod pace;
mod party;
mod prompts;
mod ranges;
mod show;
mod split;

use std::path::Path;

use clap::Subcommand;
use neuro_node::data_dir::DataDir;
use neuro_node::smpc_role::blocks::BlockProgram;
use neuro_node::smpc_role::model::ClientModel;
use neuro_node::smpc_role::parties::{Parties, PartiesFile, PartyRegistry};
use neuro_node::smpc_role::program::HeadProgram;
use neuro_node::smpc_role::secret_weights::SecretBlockProgram;
use neuro_primitives::{Hash, NodeKey};

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;

/// What private inference can be told.
#[derive(Debug, Subcommand)]
pub enum SmpcCommand {
    /// Begin a parties file with this node's entry
    Invite(invite::EntryArgs),
    /// Add this node's entry to a parties file
    Join(invite::EntryArgs),
    /// Run one of the three parties until Ctrl-C
    Party(party::PartyArgs),
    /// Say beforehand what a question will take: rounds, bytes and time
    Estimate(estimate::EstimateArgs),
    /// Ask a question; no single party learns it, nor the answer
    Ask(ask::AskArgs),
    /// Split a private model's weights for three parties, of whom none sees them
    Split(split::SplitArgs),
    /// Find how large a model's values become, and whether computing on shares holds for them
    Calibrate(calibrate::CalibrateArgs),
    /// Ask questions on shares and in the open, and record whether the answers are the same
    Eval(eval::EvalArgs),
    /// Check and explain a session's signed transcript
    Show(show::ShowArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever the command reports.
pub fn run(global: &GlobalArgs, command: &SmpcCommand, output: Output) -> CommandResult {
    match command {
        SmpcCommand::Invite(args) => invite::begin(global, args, output),
        SmpcCommand::Join(args) => invite::join(global, args, output),
        SmpcCommand::Party(args) => party::run(global, args, output),
        SmpcCommand::Estimate(args) => estimate::run(args, output),
        SmpcCommand::Ask(args) => ask::run(global, args, output),
        SmpcCommand::Split(args) => split::run(global, args, output),
        SmpcCommand::Calibrate(args) => calibrate::run(args, output),
        SmpcCommand::Eval(args) => eval::run(global, args, output),
        SmpcCommand::Show(args) => show::run(args, output),
    }
}

/// The three parties in the file at `path`.
fn parties(path: &Path) -> Result<Parties, Failure> {
    let refused = |error| {
        let hint = "each operator adds an entry: neuro smpc invite on the first machine, neuro smpc join on the others";
        Failure::new(Outcome::Refused, error).hint(hint)
    };
    PartiesFile::at(path).parties().map_err(refused)
}

/// The client's key. A party takes the calls of another party's key for that party's.
fn client_key(data_dir: &DataDir, parties: &Parties) -> Result<NodeKey, Failure> {
    let key = data_dir.node_key()?;
    match parties.party_of(key.node_id()) {
        None => Ok(key),
        Some(party) => {
            let message = format!("the key in this data folder is party {party}'s; who asks needs a key of its own");
            Err(Failure::message(Outcome::Refused, message).hint("name another folder with --data-dir"))
        }
    }
}

/// The program that clients and parties must have in common.
fn program(trial_head: bool, model: &ClientModel) -> Hash {
    match model.secret() {
        Some(_) => SecretBlockProgram::hash(),
        None if trial_head => HeadProgram::hash(),
        None => BlockProgram::hash(),
    }
}
