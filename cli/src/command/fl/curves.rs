//! `neuro fl curves`: a task's metrics over its rounds, in the terminal.

use clap::Args as ClapArgs;
use neuro_fl_aggregator::report::{Curve, curves, plot};
use serde_json::{Map, Value, json};

use super::task_history;
use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::{CommandResult, Failure};
use crate::output::Output;

/// Columns beside the grid: the values' labels and the frame.
const MARGIN: u16 = 16;

/// Columns where no terminal says how many there are.
const COLUMNS: u16 = 80;

/// Options of `neuro fl curves`.
#[derive(Debug, ClapArgs)]
pub struct CurvesArgs {
    /// The task's name, if there are several
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Draw this metric (repeatable: all in one plot); without it, each that there is in a plot of its own
    #[arg(long, value_name = "METRIC")]
    pub metric: Vec<String>,
    /// Rows of a plot
    #[arg(long, default_value_t = 12, value_name = "ROWS", value_parser = clap::value_parser!(u16).range(4..=200))]
    pub height: u16,
}

/// Draws the curves.
///
/// # Errors
/// When no round has ended, or there is no such metric.
pub fn run(global: &GlobalArgs, args: &CurvesArgs, output: Output) -> CommandResult {
    let all = curves(&task_history::read(global, args.task.as_deref())?.rounds);
    let chosen = chosen(all, &args.metric)?;
    if output.json {
        let curves: Map<String, Value> = chosen.into_iter().map(|curve| (curve.name, json!(curve.points))).collect();
        return output.object(&curves);
    }
    let height = usize::from(args.height);
    if args.metric.is_empty() {
        for curve in &chosen {
            output.line(draw(std::slice::from_ref(curve), height))?;
        }
        return Ok(());
    }
    output.text(&draw(&chosen, height))
}

/// Curves in one plot of `height` rows, as wide as the terminal.
pub fn draw(curves: &[Curve], height: usize) -> String {
    let columns = crossterm::terminal::size().map_or(COLUMNS, |(columns, _)| columns);
    plot(curves, usize::from(columns.saturating_sub(MARGIN)), height)
}

/// The metrics that were named, in that order; all without a name.
fn chosen(all: Vec<Curve>, names: &[String]) -> Result<Vec<Curve>, Failure> {
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let known: Vec<&str> = all.iter().map(|curve| curve.name.as_str()).collect();
        let missing =
            || Failure::message(Outcome::Usage, format!("no metric {name:?}; there are {}", known.join(", ")));
        all.iter().find(|curve| curve.name == *name).cloned().ok_or_else(missing)
    };
    names.iter().map(find).collect()
}
