//! The `neuro` program.
//!
//! A command goes three steps: typed ([`args`]), resolved, run ([`command`]). Results go to stdout, progress and logs
//! to stderr; every command has `--json`.

mod answerer;
mod api_client;
mod args;
mod command;
mod dashboard;
mod exit_code;
mod failure;
mod network_process;
mod output;
mod owner;
mod progress;
mod runtime;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::exit_code::Outcome;
use crate::output::{Output, Style};

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::detect(args.global.json || args.global.json_lines, args.global.no_color);
    runtime::start_logging(args.global.verbose);
    match command::run(args, output) {
        Ok(()) => Outcome::Done.into(),
        Err(failure) if is_closed_pipe(&failure.cause) => Outcome::Done.into(),
        Err(failure) => {
            report(output, &failure);
            failure.outcome.into()
        }
    }
}

/// `neuro … | head` is no failure.
fn is_closed_pipe(cause: &anyhow::Error) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Says on stderr what went wrong; with `--json`, as an object.
fn report(output: Output, failure: &failure::Failure) {
    if output.json {
        let object = serde_json::json!({"error": {"message": failure.text(), "hint": failure.hint}});
        eprintln!("{object}");
    } else {
        eprintln!("{} {failure}", output.paint(Style::Error, "error:"));
    }
}
