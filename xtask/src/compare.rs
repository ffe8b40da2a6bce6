//! `cargo xtask compare decode --model FILE.gguf`: `neuro` beside llama.cpp, the same file, threads and run.
//! `cargo xtask compare secagg` is in [`secagg`], `cargo xtask compare smpc` in [`smpc`].
//!
//! The two take turns, thread count by thread count, each in a fresh process, so that what else the machine does falls on
//! both. The peer is Python's llama-cpp-python (`--python`, or `NEURO_PEER_PYTHON`), never a part of the tests.

pub mod secagg;
pub mod smpc;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// What to compare, and with what.
pub struct Comparison {
    model: PathBuf,
    python: String,
    prompts: String,
    json: bool,
}

/// How to call it, for people.
pub const USAGE: &str = "cargo xtask compare decode --model FILE.gguf [--python PYTHON] [--prompts 128,512] [--json]";

impl Comparison {
    /// Reads the arguments after `compare decode`.
    ///
    /// # Errors
    /// An argument that is unknown or incomplete.
    pub fn from_arguments(arguments: &[String]) -> Result<Self> {
        let python = std::env::var("NEURO_PEER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut comparison = Self { model: PathBuf::new(), python, prompts: "128,512".to_owned(), json: false };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().cloned().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--model" => comparison.model = value()?.into(),
                "--python" => comparison.python = value()?,
                "--prompts" => comparison.prompts = value()?,
                "--json" => comparison.json = true,
                other => bail!("unknown argument {other}; {USAGE}"),
            }
        }
        ensure!(comparison.model.is_file(), "no GGUF file at {:?}; {USAGE}", comparison.model);
        Ok(comparison)
    }

    /// Builds `neuro`, measures both, and prints one line a case.
    ///
    /// # Errors
    /// When a build or a measurement fails.
    pub fn run(&self, root: &Path) -> Result<()> {
        let neuro = build(root)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut cases = Vec::new();
        for threads in if cores == 1 { vec![1] } else { vec![1, cores] } {
            let threads = threads.to_string();
            let common = ["--threads", &threads, "--prompts", &self.prompts];
            let single = ["--json", "bench", "single", "--model"];
            let ours = report(Command::new(&neuro).args(single).arg(&self.model).args(common))?;
            let script = root.join("tests/tools/peer_llama_cpp.py");
            let peer = report(Command::new(&self.python).arg(script).arg("time").arg(&self.model).args(common))
                .context("the peer needs llama-cpp-python; see tests/tools/peer_llama_cpp.py")?;
            cases.extend(side_by_side(&ours, &peer, &threads));
        }
        let document = json!({"bench": "decode", "model": self.model, "results": cases});
        if self.json {
            println!("{document:#}")
        } else {
            cases.iter().for_each(print_case)
        }
        Ok(())
    }
}

fn build(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo).args(["build", "--release", "--locked"]).current_dir(root).status()?;
    ensure!(status.success(), "neuro does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/neuro"))
}

fn report(command: &mut Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} printed no JSON"))
}

/// The cases of one thread count. Times and memory are better when smaller: their ratio is the peer's by ours.
fn side_by_side(ours: &Value, peer: &Value, threads: &str) -> Vec<Value> {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let case = |name: String, unit: &str, ours: f64, theirs: f64, ratio: f64| {
        json!({"case": name, "unit": unit, "value": ours, "peer": peer["peer"], "peer_version": peer["peer_version"],
               "peer_value": theirs, "ratio": ratio})
    };
    let mut cases = Vec::new();
    let pairs = ours["prompts"].as_array().into_iter().flatten().zip(peer["prompts"].as_array().into_iter().flatten());
    for (ours, theirs) in pairs {
        for (what, field) in [("prompt", "prompt_per_second"), ("decode_after", "decode_per_second")] {
            let (ours_value, theirs) = (number(&ours[field]), number(&theirs[field]));
            let name = format!("{what}{}_t{threads}", ours["tokens"]);
            cases.push(case(name, "tokens/s", ours_value, theirs, ours_value / theirs));
        }
    }
    for (what, field, unit, scale) in
        [("first_token", "load_ms", "ms", 1.0), ("peak_memory", "peak_bytes", "MiB", f64::from(1 << 20))]
    {
        let (ours, theirs) = (number(&ours[field]) / scale, number(&peer[field]) / scale);
        cases.push(case(format!("{what}_t{threads}"), unit, ours, theirs, theirs / ours));
    }
    cases
}

fn print_case(case: &Value) {
    let number = |field: &str| case[field].as_f64().unwrap_or(f64::NAN);
    let text = |field: &str| case[field].as_str().unwrap_or_default().to_owned();
    let (name, unit) = (text("case"), text("unit"));
    let (ours, theirs, ratio) = (number("value"), number("peer_value"), number("ratio"));
    println!("{name:<22} {ours:>9.1} {unit:<9} {} {theirs:>9.1}  ratio {ratio:.2}", text("peer"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_for_every_case() {
        let report = |rate: f64, load: f64| {
            json!({"load_ms": load, "peak_bytes": 1 << 20, "peer": "llama.cpp", "peer_version": "1",
                   "prompts": [{"tokens": 128, "prompt_per_second": rate, "decode_per_second": rate}]})
        };
        let cases = side_by_side(&report(30.0, 100.0), &report(20.0, 200.0), "2");
        let ratios: Vec<f64> = cases.iter().filter_map(|case| case["ratio"].as_f64()).collect();
        assert_eq!(ratios, [1.5, 1.5, 2.0, 1.0]);
        assert_eq!(cases[0]["case"], "prompt128_t2");
    }

    #[test]
    fn arguments_that_say_nothing_are_refused() {
        let of = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            Comparison::from_arguments(&arguments).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(of(&["--model"]).contains("--model needs a value"));
        assert!(of(&["--speed"]).contains("unknown argument --speed"));
        assert!(of(&["--model", "/nowhere.gguf"]).contains("no GGUF file at"));
    }
}
