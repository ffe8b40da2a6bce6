//! `cargo xtask compare smpc`: private inference beside SecretFlow SPU, the same calculations and run.
//!
//! The two take turns, case by case. Both count from plain inputs to the plain result, three parties in one process; ours
//! also as one of them may do anything. The peer needs a Python with spu (`--python`, or `NEURO_PEER_PYTHON`; how to get
//! one is in `tests/tools/peer_spu.py`) and is never a part of the tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{build, report};

/// How to call it, for people.
const USAGE: &str = "cargo xtask compare smpc [--python PYTHON] [--only TEXT] [--json]";

/// Cases that both have.
const CASES: [&str; 6] = ["matmul512", "mul1m", "compare1m", "softmax128", "silu64k", "rmsnorm"];

/// What to compare, and with what.
pub struct Comparison {
    python: String,
    only: String,
    json: bool,
}

impl Comparison {
    /// Reads the arguments after `compare smpc`.
    ///
    /// # Errors
    /// An argument that is unknown or incomplete.
    pub fn from_arguments(arguments: &[String]) -> Result<Self> {
        let python = std::env::var("NEURO_PEER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut comparison = Self { python, only: String::new(), json: false };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().cloned().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--python" => comparison.python = value()?,
                "--only" => comparison.only = value()?,
                "--json" => comparison.json = true,
                other => bail!("unknown argument {other}; {USAGE}"),
            }
        }
        Ok(comparison)
    }

    /// Builds `neuro`, measures both, and prints one line a figure.
    ///
    /// # Errors
    /// When a build or a measurement fails.
    pub fn run(&self, root: &Path) -> Result<()> {
        let neuro = build(root)?;
        let folder = std::env::temp_dir().join(format!("neuro-compare-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut figures = Vec::new();
        for case in CASES.into_iter().filter(|case| case.contains(&self.only)) {
            let measured = self.measure(root, &neuro, &folder, case)?;
            if !self.json {
                measured.iter().for_each(|figure| println!("{}", line(figure)));
            }
            figures.extend(measured);
        }
        fs::remove_dir_all(&folder)?;
        ensure!(!figures.is_empty(), "no case contains {:?}; {USAGE}", self.only);
        if self.json {
            println!("{:#}", json!({"bench": "smpc", "results": figures}));
        }
        Ok(())
    }

    /// Both programs on one case.
    fn measure(&self, root: &Path, neuro: &Path, folder: &Path, case: &str) -> Result<Vec<Value>> {
        let script = root.join("tests/tools/peer_spu.py");
        let output = Command::new(&self.python).arg(&script).args(["--only", case]).output();
        let output = output.with_context(|| format!("{} cannot be started", self.python))?;
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(output.status.success(), "the peer needs spu; see {}: {error}", script.display());
        // SPU writes its log to the same place.
        let lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(str::to_owned)
            .collect();
        let file = folder.join(format!("{case}.jsonl"));
        fs::write(&file, lines.join("\n"))?;
        let mut command = Command::new(neuro);
        command.args(["--json", "bench", "smpc", "--only", case, "--peer-results"]).arg(file);
        let ours = report(&mut command)?;
        Ok(ours["results"].as_array().cloned().unwrap_or_default())
    }
}

fn line(figure: &Value) -> String {
    let number = |field: &str| figure[field].as_f64().unwrap_or(f64::NAN);
    let (case, unit) = (figure["case"].as_str().unwrap_or("?"), figure["unit"].as_str().unwrap_or(""));
    if figure["peer"].is_null() {
        return format!("{case:<28} {:>14.6} {unit}", number("value"));
    }
    format!(
        "{case:<28} {:>14.6} {unit:<10} peer {:>12.6}  ratio {:.2}",
        number("value"),
        number("peer_value"),
        number("ratio")
    )
}
