//! The file section by section, and what the sections must agree on.

use super::parts;
use super::section::{MOST_BYTES, Section, line_of};
use super::{EvaluationPlan, PlanError, RobustPlan, RoundPlan, RouterPlan};
use crate::layout::TensorChoice;
use crate::robust::RobustSettings;
use crate::strategy::StrategySettings;
use neuro_primitives::Hash;
use neuro_secagg::config::MOST_STRATEGY_BYTES;
use toml::de::DeTable;

/// The longest name of a metric: what a trainer's line may hold.
const MOST_NAME_BYTES: usize = crate::trainer_contract::MOST_METRICS;
/// The most rounds of a task.
const MOST_ROUNDS: u64 = 1_000_000;

pub(super) fn plan(text: &str) -> Result<RoundPlan, PlanError> {
    if text.len() > MOST_BYTES {
        let (expected, got) = (format!("of at most {MOST_BYTES} bytes"), format!("{} bytes", text.len()));
        return Err(PlanError { line: 1, field: "the file".into(), expected, got });
    }
    let table = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    let root = Section::root(text, table.get_ref());
    let model = required(&root, "model")?;
    let rounds = required(&root, "rounds")?;
    let privacy = parts::privacy(root.section("privacy")?)?;
    let strategy = parts::strategy(root.section("strategy")?)?;
    let plan = RoundPlan {
        task: root.text("task", 64, None)?,
        weights: model.text("weights", 4096, None)?,
        tensors: tensors(&model)?.unwrap_or_default(),
        rounds: rounds.whole("count", 1..=MOST_ROUNDS, None)?,
        failures: rounds.whole("failures", 1..=1000, Some(3))?,
        cohort: parts::cohort(root.section("cohort")?)?,
        update: parts::update(root.section("update")?, privacy.is_some() || is_scaffold(&strategy))?,
        strategy,
        privacy,
        selection: parts::selection(root.section("selection")?)?,
        robust: robust(root.section("robust")?)?,
        experts: root.sections("experts")?.into_iter().map(parts::expert).collect::<Result<_, _>>()?,
        router: router(root.section("router")?)?,
        evaluation: evaluation(root.section("evaluation")?)?,
        early_stop: parts::early_stop(root.section("early_stop")?)?,
        training: root.section("training")?.map(|section| section.handed_on()).transpose()?.unwrap_or_default(),
    };
    check(&root, &plan)?;
    model.finish()?;
    rounds.finish()?;
    root.finish()?;
    Ok(plan)
}

fn syntax(text: &str, error: &toml::de::Error) -> PlanError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    PlanError { line, field: "the file".into(), expected: "in TOML".into(), got: error.message().to_owned() }
}

fn required<'a>(root: &Section<'a>, field: &'static str) -> Result<Section<'a>, PlanError> {
    root.section(field)?.ok_or_else(|| root.wrong(field, "as a section", "nothing"))
}

fn is_scaffold(strategy: &StrategySettings) -> bool {
    matches!(strategy, StrategySettings::Scaffold { .. })
}

/// What no single section can know.
fn check(root: &Section<'_>, plan: &RoundPlan) -> Result<(), PlanError> {
    let wrong = |field: &str, expected: &str, got: &str| Err(root.wrong(field, expected, got));
    if plan.robust.is_some() && is_scaffold(&plan.strategy) {
        return wrong("robust", "with a strategy without control variates", "scaffold");
    }
    if plan.robust.is_some() && !plan.experts.is_empty() {
        return wrong("robust", "or experts: a shard of an expert's cohort is too small", "both");
    }
    if plan.router.is_some() && plan.experts.is_empty() {
        return wrong("router", "after [[experts]]", "no experts");
    }
    let mut names: Vec<&str> = plan.experts.iter().map(|expert| expert.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return wrong("experts", "with different names", pair[0]);
    }
    if let (Some(stop), Some(evaluation)) = (&plan.early_stop, &plan.evaluation)
        && !evaluation.metrics.contains(&stop.metric)
    {
        return wrong("early_stop", "to watch one of evaluation.metrics", &stop.metric);
    }
    if plan.early_stop.is_some() && plan.evaluation.is_none() {
        return wrong("early_stop", "beside [evaluation]", "no evaluation");
    }
    check_settings(root, plan)
}

/// What trainers are told is signed with every configuration and has a bounded place in it.
fn check_settings(root: &Section<'_>, plan: &RoundPlan) -> Result<(), PlanError> {
    let trained = plan.settings(Some(Hash([0; 32]))).encode().len();
    let got = trained.max(plan.evaluation_settings().encode().len());
    if got <= MOST_STRATEGY_BYTES {
        return Ok(());
    }
    let field = if plan.training.is_empty() { "evaluation" } else { "training" };
    let expected = format!("of at most {MOST_STRATEGY_BYTES} bytes together with strategy and metrics");
    Err(root.wrong(field, expected, format!("{got} bytes")))
}

/// `tensors` of a section.
pub(super) fn tensors(section: &Section<'_>) -> Result<Option<TensorChoice>, PlanError> {
    let Some(patterns) = section.texts("tensors")? else { return Ok(None) };
    let choice = TensorChoice::parse(patterns.iter().map(String::as_str));
    choice.map(Some).map_err(|error| section.wrong("tensors", "as names with * and [rows]", error))
}

fn robust(section: Option<Section<'_>>) -> Result<Option<RobustPlan>, PlanError> {
    let Some(section) = section else { return Ok(None) };
    let name = section.one_of("rule", &[("median", 0), ("trimmed_mean", 1), ("filter_l2", 2)], None)?;
    let rule = match name {
        0 => RobustSettings::Median,
        1 => RobustSettings::TrimmedMean {
            share: section.number("share", "above 0 and below 0.5", |n| n > 0.0 && n < 0.5, None)?,
        },
        _ => RobustSettings::FilterL2 { spectral_bound: section.positive("spectral_bound", None)? },
    };
    let least = crate::shards::LEAST_SHARDS as u64;
    let plan = RobustPlan {
        rule,
        shards: section.whole("shards", least..=1024, None)?,
        norm_bound: section.positive("norm_bound", None)?,
    };
    section.finish()?;
    Ok(Some(plan))
}

fn router(section: Option<Section<'_>>) -> Result<Option<RouterPlan>, PlanError> {
    let Some(section) = section else { return Ok(None) };
    let tensors = tensors(&section)?.ok_or_else(|| section.wrong("tensors", "as a list of names", "nothing"))?;
    let plan = RouterPlan { tensors, rounds: section.whole("rounds", 1..=MOST_ROUNDS, Some(1))? };
    section.finish()?;
    Ok(Some(plan))
}

fn evaluation(section: Option<Section<'_>>) -> Result<Option<EvaluationPlan>, PlanError> {
    let Some(section) = section else { return Ok(None) };
    let mut metrics = section.texts("metrics")?.unwrap_or_else(|| vec!["loss".to_owned()]);
    metrics.sort_unstable();
    metrics.dedup();
    if metrics.len() > crate::evaluation::MOST_METRICS {
        let expected = format!("as at most {} names", crate::evaluation::MOST_METRICS);
        return Err(section.wrong("metrics", expected, metrics.len()));
    }
    if let Some(name) = metrics.iter().find(|name| name.len() > MOST_NAME_BYTES) {
        return Err(section.wrong("metrics", format!("as names of at most {MOST_NAME_BYTES} bytes"), name));
    }
    let plan = EvaluationPlan { every: section.whole("every", 1..=MOST_ROUNDS, Some(1))?, metrics };
    section.finish()?;
    Ok(Some(plan))
}
