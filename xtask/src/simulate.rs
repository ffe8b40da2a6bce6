//! `cargo xtask simulate`: swarms around the orchestrator's core, from seeds.
//!
//! The program is one of `neuro-simulation`, built when it is asked for: these checks themselves need nothing of the
//! workspace.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;

/// Hands the arguments on, and the outcome back.
pub fn run(root: &Path, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let fixed = ["run", "--quiet", "--package", "neuro-simulation", "--bin", "neuro-swarm", "--"];
    let status = Command::new(cargo).current_dir(root).args(fixed).args(arguments).status();
    let status = status.context("cannot run cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
