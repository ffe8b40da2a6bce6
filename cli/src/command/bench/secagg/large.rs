//! The cases of `--full`: a thousand members, and ten thousand in cohorts.

use std::path::PathBuf;
use std::process::Command;

use clap::Args as ClapArgs;
use indicatif::ProgressBar;
use neuro_secagg::masks::{self, Lanes, MaskJob, MaskSeed, Sign};
use neuro_simulation::{Losses, NormalUpdates, Simulation, SimulationPlan, cpu};
use serde::{Deserialize, Serialize};

use super::{SEED, one_cohort};
use crate::command::bench::Measurement;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;

/// The large round.
const MEMBERS: u16 = 1_000;
/// Its entries.
const ENTRIES: u32 = 1_000_000;
/// Percent that is lost before its upload.
const PERCENT: u16 = 10;

/// Members that are dealt to cohorts of [`COHORT`].
const MANY: [u32; 2] = [1_000, 10_000];
/// Members of such a cohort.
const COHORT: u32 = 100;
/// Entries of their vectors.
const MANY_ENTRIES: u32 = 100_000;

/// Participants of a cohort that work everything out by themselves, and whose cost is told. The others would do nothing
/// else, a thousand times over.
const ALONE: u16 = 8;

/// Settings of the system's allocator under which freed vectors go back to the system at once, so that resident memory
/// is what is held. Other allocators pass them over.
const RETURN_MEMORY: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "262144"), ("MALLOC_TRIM_THRESHOLD_", "262144")];

/// Masks of a pass in which reading the vector does not count.
const MANY_JOBS: usize = 100;
/// Masks that are timed of each kind of pass, before the round and after it.
const TIMED_MASKS: usize = 500;

/// Options of `neuro bench secagg-single`.
#[derive(Debug, Clone, ClapArgs)]
pub struct SecaggSingleArgs {
    /// Members
    #[arg(long, default_value_t = MEMBERS)]
    pub members: u16,
    /// Entries
    #[arg(long, default_value_t = ENTRIES)]
    pub entries: u32,
    /// Folder for the participants' records, so that this process holds the aggregator alone
    #[arg(long, value_name = "FOLDER")]
    pub park: PathBuf,
}

/// What one process showed.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    server_s: f64,
    participant_s: f64,
    expansions: usize,
    /// One fused expansion, alone on the same vector.
    expansion_s: f64,
    /// One of many in a pass over it.
    shared_expansion_s: f64,
    vector_bytes: u64,
    message_bytes: u64,
    resident_bytes: Option<u64>,
    /// Shares and answers of all members.
    share_bytes: u64,
    bytes: u64,
}

/// Runs one large round and prints a JSON object.
///
/// # Errors
/// When the round fails.
pub fn run_single(args: &SecaggSingleArgs, output: Output) -> CommandResult {
    let losses = Losses::before_upload(args.members, PERCENT);
    let park = Some(args.park.clone());
    let alone = Some(ALONE);
    let plan = SimulationPlan { losses, park, alone, ..SimulationPlan::new(args.members.into(), args.entries) };
    // Before and after the round, in which the machine is not the same all the time either.
    let expansions = || [1, MANY_JOBS].map(|jobs| expansion_s(args.entries, jobs));
    let before = expansions();
    let cohort = one_cohort(&plan)?;
    let after = expansions();
    let [expansion_s, shared_expansion_s] = [0, 1].map(|kind| f64::midpoint(before[kind], after[kind]));
    let sent = |kind: &str| cohort.bytes.up.get(kind).copied().unwrap_or_default();
    output.object(&Report {
        server_s: cohort.server.total_s(),
        participant_s: cohort.participant.total_s(),
        expansions: cohort.expansions,
        expansion_s,
        shared_expansion_s,
        vector_bytes: cohort.server.vector_bytes,
        message_bytes: cohort.server.message_bytes,
        resident_bytes: cohort.server.resident_bytes,
        share_bytes: u64::from(cohort.n) * (sent("shares") + sent("answer")),
        bytes: cohort.bytes.total(),
    })
}

/// The measurements of `--full`.
pub(super) fn measure(is_wanted: &dyn Fn(&str) -> bool, bar: &ProgressBar) -> Result<Vec<Measurement>, Failure> {
    let mut results = Vec::new();
    let name = super::case_name(MEMBERS.into(), ENTRIES, PERCENT);
    if is_wanted(&name) {
        bar.set_message(format!("measuring {name}"));
        results.extend(thousand(&name)?);
    }
    for members in MANY {
        let name = format!("cohorts_n{members}_m100k");
        if is_wanted(&name) {
            results.extend(in_cohorts(members, &name, bar)?);
        }
    }
    Ok(results)
}

/// A thousand members, in a fresh process: its memory is then the aggregator's.
fn thousand(name: &str) -> Result<Vec<Measurement>, Failure> {
    let folder = tempfile::Builder::new().prefix("neuro-bench-").tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--json", "bench", "secagg-single", "--park"]).arg(folder.path()).envs(RETURN_MEMORY);
    let output = command.output()?;
    if !output.status.success() {
        return Err(Failure::message(Outcome::Failed, String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let report: Report = serde_json::from_slice(&output.stdout)?;
    let masks = |each_s: f64| report.expansions as f64 * each_s;
    let vector = 4.0 * f64::from(ENTRIES);
    let allowed = 3.0 * vector + report.share_bytes as f64;
    let mut results = vec![
        Measurement::new(&format!("server_{name}"), report.server_s, "CPU s")
            .beside("expansions, one at a time", masks(report.expansion_s)),
        Measurement::new(&format!("server_shared_{name}"), report.server_s, "CPU s")
            .beside("expansions, many in a pass", masks(report.shared_expansion_s)),
        Measurement::new(&format!("expansions_{name}"), report.expansions as f64, "masks"),
        Measurement::new(&format!("participant_{name}"), report.participant_s, "CPU s"),
        Measurement::new(&format!("bytes_{name}"), report.bytes as f64, "bytes"),
        Measurement::new(&format!("vectors_{name}"), report.vector_bytes as f64, "bytes").beside("vector", vector),
        Measurement::new(&format!("messages_{name}"), report.message_bytes as f64, "bytes"),
    ];
    let resident = report.resident_bytes.map(|bytes| bytes as f64);
    results.extend(resident.map(|bytes| {
        Measurement::new(&format!("memory_{name}"), bytes, "bytes").beside("3 vectors + shares", allowed)
    }));
    Ok(results)
}

/// CPU seconds of one mask on one vector, in passes of `jobs`: the mean, as a round's is one of all its masks.
fn expansion_s(entries: u32, jobs: usize) -> f64 {
    let seed = |number: usize| MaskSeed::Aes128Ctr([number as u8; 16]);
    let jobs: Vec<MaskJob> = (0..jobs).map(|at| MaskJob { seed: seed(at), sign: Sign::Minus }).collect();
    let mut vector = vec![0_u32; entries as usize + 1];
    let (mut seconds, passes) = (0.0, TIMED_MASKS / jobs.len());
    for _ in 0..passes {
        cpu::timed(&mut seconds, || masks::apply(Lanes::Narrow(&mut vector), 0, &jobs));
    }
    seconds / (passes * jobs.len()) as f64
}

/// Many members in cohorts of a hundred: what one costs must not depend on how many there are.
fn in_cohorts(members: u32, name: &str, bar: &ProgressBar) -> Result<Vec<Measurement>, Failure> {
    // At most a hundred cohorts.
    let cohorts = (members / COHORT) as u16;
    let losses = Losses::before_upload(COHORT as u16, PERCENT);
    let plan = SimulationPlan { cohorts, losses, alone: Some(ALONE), ..SimulationPlan::new(members, MANY_ENTRIES) };
    let report = Simulation::run_with(&plan, SEED, &NormalUpdates::new(&plan, SEED), &mut |cohort| {
        bar.set_message(format!("measuring {name}: cohort {} of {cohorts}", cohort.cohort + 1));
    })?;
    let sum = |figure: fn(&neuro_simulation::CohortReport) -> f64| report.cohorts.iter().map(figure).sum::<f64>();
    let finished = sum(|cohort| f64::from(u8::from(cohort.weight.is_some())));
    let each = 1.0 / f64::from(cohorts);
    Ok(vec![
        Measurement::new(&format!("finished_{name}"), finished, "cohorts"),
        Measurement::new(&format!("server_{name}"), sum(|c| c.server.total_s()) / f64::from(members), "CPU s a member"),
        Measurement::new(&format!("participant_{name}"), sum(|c| c.participant.total_s()) * each, "CPU s"),
        Measurement::new(&format!("bytes_{name}"), sum(|c| c.bytes.total() as f64) * each, "bytes"),
    ])
}
