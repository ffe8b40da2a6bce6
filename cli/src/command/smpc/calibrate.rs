//! `neuro smpc calibrate`: whether a model keeps to the ranges that functions on shares hold in.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use neuro_node::smpc_role::ranges::calibration::own_texts;
use neuro_node::smpc_role::ranges::{MOST_FAILURES, OperationRange, RangeProfile};
use serde_json::json;

use super::ranges::calibrate;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;

/// Operations that are shown: those with the most expected failures.
const SHOWN: usize = 10;

/// Options of `neuro smpc calibrate`.
#[derive(Debug, ClapArgs)]
pub struct CalibrateArgs {
    /// The model: a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Texts like those that will be asked, one a line; without it, those that come with this program
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    /// The longest session that the profile admits: tokens of all prompts, padding and answers included; without it,
    /// as many full contexts as it holds for, from one to eight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub longest: Option<u64>,
    /// The profile to write
    #[arg(long, value_name = "PROFILE")]
    pub out: PathBuf,
}

/// Runs the texts in the open, writes the profile and says what it expects.
///
/// # Errors
/// When the model or the texts cannot be read, or a party would refuse the profile. It is written all the same.
pub fn run(args: &CalibrateArgs, output: Output) -> CommandResult {
    let file = args.texts.as_ref().map(read).transpose()?;
    let texts: Vec<&str> = match &file {
        Some(text) => text.lines().filter(|line| !line.trim().is_empty()).collect(),
        None => own_texts().collect(),
    };
    let profile = calibrate(&args.model, &texts, args.longest)?;
    profile.write(&args.out)?;
    show(&profile, args, output)?;
    profile.check_failures().map_err(|error| {
        Failure::new(Outcome::Refused, error).hint("parties refuse this profile; --longest admits shorter sessions")
    })
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::message(Outcome::Usage, format!("cannot read {}: {error}", path.display())))
}

fn show(profile: &RangeProfile, args: &CalibrateArgs, output: Output) -> CommandResult {
    let (all, worst) = (profile.expected_failures(profile.longest_rows), profile.worst());
    if output.json {
        let worst: Vec<_> = worst.iter().take(SHOWN).map(|(range, expected)| as_json(range, *expected)).collect();
        return output.object(&json!({
            "hash": profile.hash().to_string(),
            "file": args.out.display().to_string(),
            "rows": profile.rows(),
            "longest_rows": profile.longest_rows,
            "expected_failures": all,
            "most_failures": MOST_FAILURES,
            "worst": worst,
        }));
    }
    let row = |(range, expected): &(&OperationRange, f64)| {
        let tail = &range.tail;
        vec![
            range.operation.name().to_owned(),
            range.layer.to_string(),
            format!("{:.4}", tail.largest),
            format!("{}", range.bound),
            format!("{expected:.1e}"),
        ]
    };
    let rows: Vec<Vec<String>> = worst.iter().take(SHOWN).map(row).collect();
    output.line(output.table(&["operation", "layer", "largest", "bound", "expected failures"], &rows))?;
    output.line(format!(
        "\n{all:.1e} values beyond their bounds are expected of a session of {} tokens, from {} in calibration",
        profile.longest_rows,
        profile.rows()
    ))?;
    output.line(format!("profile {}", profile.hash()))
}

fn as_json(range: &OperationRange, expected: f64) -> serde_json::Value {
    json!({
        "operation": range.operation.name(),
        "layer": range.layer,
        "largest": range.tail.largest,
        "bound": range.bound,
        "expected_failures": expected,
    })
}
