//! `cargo xtask compare secagg`: secure aggregation beside Flower's SecAgg+, the same cases and run.
//!
//! The two take turns, case by case: Flower with everybody everybody's neighbour (`--shares all`, as our graph is up to 128
//! members), Flower with its usual few neighbours (`--shares log`, for which there is no aim: its masks then protect from
//! less), and ours. Both count CPU seconds. The peer needs a Python with flwr (`--python`, or `NEURO_PEER_PYTHON`; how to
//! get one is in `tests/tools/peer_flower_secagg.py`) and is never a part of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{build, report};

/// How to call it, for people.
const USAGE: &str = "cargo xtask compare secagg [--python PYTHON] [--only TEXT] [--json]";

/// What to compare, and with what.
pub struct Comparison {
    python: String,
    only: String,
    json: bool,
}

/// One case: members, entries, percent that drops out.
#[derive(Debug, Clone, Copy)]
struct Case {
    members: u32,
    entries: u32,
    percent: u32,
}

impl Comparison {
    /// Reads the arguments after `compare secagg`.
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
        for case in cases().filter(|case| case.name().contains(&self.only)) {
            let measured = self.measure(root, &neuro, &folder, case)?;
            if !self.json {
                measured.iter().for_each(|figure| println!("{}", line(figure)));
            }
            figures.extend(measured);
        }
        fs::remove_dir_all(&folder)?;
        ensure!(!figures.is_empty(), "no case contains {:?}; {USAGE}", self.only);
        if self.json {
            println!("{:#}", json!({"bench": "secagg", "results": figures}));
        }
        Ok(())
    }

    /// Both programs on one case.
    fn measure(&self, root: &Path, neuro: &Path, folder: &Path, case: Case) -> Result<Vec<Value>> {
        let peer_results = self.measure_peer(root, folder, case)?;
        let name = case.name();
        let mut command = Command::new(neuro);
        command.args(["--json", "bench", "secagg", "--full", "--only", &name, "--peer-results"]).arg(peer_results);
        let ours = report(&mut command)?;
        let results = ours["results"].as_array().cloned().unwrap_or_default();
        let results: Vec<Value> = results.into_iter().filter(|result| !result["peer"].is_null()).collect();
        ensure!(!results.is_empty(), "neither program has a figure for {name}");
        Ok(results.into_iter().map(|result| judged(result, case)).collect())
    }

    /// The peer with all neighbours and with few: a file of JSON lines.
    fn measure_peer(&self, root: &Path, folder: &Path, case: Case) -> Result<PathBuf> {
        let script = root.join("tests/tools/peer_flower_secagg.py");
        let (members, entries) = (case.members.to_string(), case.entries.to_string());
        let dropout = format!("{:.2}", f64::from(case.percent) / 100.0);
        let mut lines = Vec::new();
        for shares in ["all", "log"] {
            let mut command = Command::new(&self.python);
            command.arg(&script).args(["--clients", &members, "--dims", &entries, "--dropout", &dropout]);
            let output = command.args(["--shares", shares]).output();
            let output = output.with_context(|| format!("{} cannot be started", self.python))?;
            let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            ensure!(output.status.success(), "the peer needs flwr; see {}: {error}", script.display());
            lines.extend(output.stdout);
        }
        let file = folder.join(format!("{}.jsonl", case.name()));
        fs::write(&file, lines)?;
        Ok(file)
    }
}

impl Case {
    /// The case's name in `neuro bench secagg`.
    fn name(self) -> String {
        let Self { members, entries, percent } = self;
        let entries = if entries == 1_000_000 { "1m".to_owned() } else { format!("{}k", entries / 1_000) };
        format!("n{members}_m{entries}_d{percent}")
    }
}

/// All cases, the small ones first.
fn cases() -> impl Iterator<Item = Case> {
    let sizes = [100_000, 1_000_000].into_iter().flat_map(|entries| [50, 100].map(|members| (entries, members)));
    sizes.flat_map(|(entries, members)| [0, 10].map(|percent| Case { members, entries, percent }))
}

/// A figure of ours beside the peer's, with how many times better it is, and the aim if there is one.
fn judged(mut result: Value, case: Case) -> Value {
    let ratio = result["ratio"].as_f64().unwrap_or(f64::NAN);
    let all = result["peer"].as_str().is_some_and(|peer| peer.ends_with("shares all"));
    // At most this part of the peer's figure.
    let aim = match result["case"].as_str().unwrap_or_default().split('_').next() {
        Some("server") => Some(1.0 / 5.0),
        Some("participant") => Some(1.0 / 1.5),
        Some("bytes") if case.entries >= 1_000_000 => Some(0.5),
        Some("bytes") => Some(0.6),
        Some("error") => Some(1.0),
        _ => None,
    };
    let aim = aim.filter(|_| all);
    result["aim"] = json!(aim);
    result["met"] = json!(aim.map(|aim| ratio <= aim));
    result
}

fn line(figure: &Value) -> String {
    let number = |field: &str| figure[field].as_f64().unwrap_or(f64::NAN);
    let text = |field: &str| figure[field].as_str().unwrap_or_default().to_owned();
    let aim = match (figure["aim"].as_f64(), figure["met"].as_bool()) {
        (Some(aim), Some(met)) => format!("aim {aim:.2} {}", if met { "met" } else { "missed" }),
        _ => "no aim".to_owned(),
    };
    let (ours, theirs, ratio) = (number("value"), number("peer_value"), number("ratio"));
    format!(
        "{:<28} {ours:>14.6} {:<9} {} {}: {theirs:>14.6}  ratio {ratio:.3} ({:.1} times less), {aim}",
        text("case"),
        text("unit"),
        text("peer"),
        text("peer_version"),
        1.0 / ratio
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(case: &str, peer: &str, ratio: f64) -> Value {
        json!({"case": case, "unit": "CPU s", "value": ratio, "peer": peer, "peer_version": "1", "peer_value": 1.0,
               "ratio": ratio})
    }

    #[test]
    fn aims_are_those_of_the_same_number_of_neighbours() {
        let case = Case { members: 50, entries: 100_000, percent: 10 };
        let met = |name: &str, peer: &str, ratio: f64| judged(figure(name, peer, ratio), case)["met"].as_bool();
        assert_eq!(met("server_n50_m100k_d10", "flower, shares all", 0.19), Some(true));
        assert_eq!(met("server_n50_m100k_d10", "flower, shares all", 0.21), Some(false));
        assert_eq!(met("server_n50_m100k_d10", "flower, shares 13", 2.0), None);
        assert_eq!(met("participant_n50_m100k_d10", "flower, shares all", 0.66), Some(true));
        assert_eq!(met("bytes_n50_m100k", "flower, shares all", 0.55), Some(true));
        assert_eq!(met("bytes_n50_m100k", "flower, shares all", f64::NAN), Some(false), "no figure is no success");
        let large = judged(figure("bytes_n50_m1m", "flower, shares all", 0.55), Case { entries: 1_000_000, ..case });
        assert_eq!(large["met"].as_bool(), Some(false));
        assert!(line(&large).contains("aim 0.50 missed"), "{}", line(&large));
    }

    #[test]
    fn cases_have_the_names_of_the_bench() {
        let names: Vec<String> = cases().map(Case::name).collect();
        assert_eq!((names.len(), names[0].as_str(), names[7].as_str()), (8, "n50_m100k_d0", "n100_m1m_d10"));
    }

    #[test]
    fn arguments_that_say_nothing_are_refused() {
        let of = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            Comparison::from_arguments(&arguments).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(of(&["--python"]).contains("--python needs a value"));
        assert!(of(&["--speed"]).contains("unknown argument --speed"));
        assert_eq!(of(&["--json", "--only", "n50"]), "");
    }
}
