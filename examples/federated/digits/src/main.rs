//! Runs every strategy and writes the record.
//!
//! ```text
//! cargo run --release -p neuro-federated-digits -- [ROUNDS [FOLDER]]
//! ```

use anyhow::Context as _;
use neuro_federated_digits::record::Record;
use neuro_federated_digits::{Benchmark, strategies};
use std::fs;
use std::path::PathBuf;

/// Of the committed record.
const SEED: u64 = 1;
const ROUNDS: u32 = 60;
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/record");

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(Ok(ROUNDS), |text| text.parse()).context("expected a number of rounds")?;
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| FOLDER.to_owned()));
    let (benchmark, runs) = (Benchmark::new(SEED), strategies::all());
    let mut curves = Vec::new();
    for run in &runs {
        eprintln!("{}", run.name);
        curves.push(benchmark.run(run, rounds).with_context(|| run.name)?);
    }
    let record = Record::new(SEED, curves);
    let text = record.text();
    fs::create_dir_all(&folder)?;
    for (name, content) in [("curves.csv", record.csv()), ("curves.json", record.json()?), ("curves.txt", text.clone())]
    {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{text}");
    Ok(())
}
