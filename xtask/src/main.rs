//! The repository's own checks: `cargo xtask tidy`, and what is run by hand beside them.
//!
//! A rule that only a page states is soon broken; what this program checks stays true. It needs nothing but cargo and
//! git, builds in seconds and is a step of the continuous integration.

mod compare;
mod delay;
mod simulate;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy            check layers, licences, sizes, names, documents
       cargo xtask compare decode  measure neuro beside llama.cpp on one GGUF file
       cargo xtask compare secagg  measure secure aggregation beside Flower's
       cargo xtask compare smpc    measure private inference beside SPU
       cargo xtask simulate        run swarms of many seeds, or replay one
       cargo xtask delay           carry TCP connections on this machine as if they went far";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => run_tidy(),
        ["compare", "decode", ..] => run_compare(
            compare::Comparison::from_arguments(&arguments[2..]).and_then(|these| these.run(&repository_root())),
        ),
        ["compare", "secagg", ..] => {
            let these = compare::secagg::Comparison::from_arguments(&arguments[2..]);
            run_compare(these.and_then(|these| these.run(&repository_root())))
        }
        ["compare", "smpc", ..] => {
            let these = compare::smpc::Comparison::from_arguments(&arguments[2..]);
            run_compare(these.and_then(|these| these.run(&repository_root())))
        }
        ["delay", ..] => delay::run(&arguments[1..]).map_or_else(
            |error| {
                eprintln!("cannot carry on: {error:#}");
                ExitCode::from(2)
            },
            |()| ExitCode::SUCCESS,
        ),
        ["simulate", ..] => simulate::run(&repository_root(), &arguments[1..]).unwrap_or_else(|error| {
            eprintln!("cannot simulate: {error:#}");
            ExitCode::FAILURE
        }),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run_tidy() -> ExitCode {
    match tidy::run(&repository_root()) {
        Ok(report) => {
            report.findings.iter().for_each(|finding| println!("{finding}"));
            println!("{}", report.summary());
            ExitCode::from(u8::from(!report.findings.is_empty()))
        }
        Err(error) => {
            eprintln!("tidy could not look: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_compare(compared: anyhow::Result<()>) -> ExitCode {
    match compared {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder above this package, wherever the command was given.
fn repository_root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}
