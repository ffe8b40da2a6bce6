//! `neuro smpc invite` and `join`: a parties file, entry by entry.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use neuro_node::smpc_role::parties::{Draft, PartiesError, PartiesFile, PartyEntry};
use serde_json::json;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::{Output, Style};
use crate::runtime;

/// What an operator says of its party.
#[derive(Debug, ClapArgs)]
pub struct EntryArgs {
    /// The parties file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which party this node is: 0, 1 or 2
    #[arg(long, value_name = "I", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub index: u8,
    /// Address that clients and the other parties reach it by
    #[arg(long, value_name = "HOST:PORT")]
    pub address: String,
    /// Who runs it
    #[arg(long, value_name = "NAME")]
    pub operator: String,
    /// Network that it is in
    #[arg(long, value_name = "NAME")]
    pub network: String,
    /// Region that it is in
    #[arg(long, value_name = "NAME")]
    pub region: String,
}

/// Begins a file.
///
/// # Errors
/// A file that is there already, an entry that cannot be.
pub fn begin(global: &GlobalArgs, args: &EntryArgs, output: Output) -> CommandResult {
    if args.file.exists() {
        let message = format!("{} is there already", args.file.display());
        return Err(Failure::message(Outcome::Refused, message).hint("add this node to it with neuro smpc join"));
    }
    add(global, args, Draft::default(), output)
}

/// Adds to a file.
///
/// # Errors
/// A file that is not there or is none; a place or a key that is taken.
pub fn join(global: &GlobalArgs, args: &EntryArgs, output: Output) -> CommandResult {
    if !args.file.exists() {
        let message = format!("{} is not there", args.file.display());
        return Err(Failure::message(Outcome::Usage, message).hint("begin one with neuro smpc invite"));
    }
    let known = PartiesFile::at(&args.file).draft().map_err(refused)?;
    add(global, args, known, output)
}

fn add(global: &GlobalArgs, args: &EntryArgs, mut known: Draft, output: Output) -> CommandResult {
    let node = runtime::data_dir(global)?.node_key()?.node_id();
    let entry = PartyEntry {
        index: args.index,
        node,
        address: args.address.clone(),
        operator: args.operator.clone(),
        network: args.network.clone(),
        region: args.region.clone(),
    };
    known.add(entry).map_err(refused)?;
    PartiesFile::at(&args.file).write(&known).map_err(refused)?;
    let missing = known.missing();
    if output.json {
        return output.object(&json!({"index": args.index, "node": node.to_string(), "missing": missing}));
    }
    output.line(format!("party {} is node {node}", args.index))?;
    let file = args.file.display().to_string();
    if missing.is_empty() {
        output.line(format!(
            "{} names all three: give it to the other operators and to clients",
            output.paint(Style::Copy, &file)
        ))
    } else {
        let missing: Vec<String> = missing.iter().map(u8::to_string).collect();
        output.line(format!(
            "still missing: {}; send {} to their operators",
            missing.join(", "),
            output.paint(Style::Copy, &file)
        ))
    }
}

fn refused(error: PartiesError) -> Failure {
    Failure::new(Outcome::Refused, error)
}
