//! The sections with many fields: cohort, strategy, update, privacy, selection, experts, early stop.

use super::read::tensors;
use super::section::Section;
use super::{CohortPlan, PlanError, PrivacyPlan, UpdatePlan};
use crate::early_stop::{EarlyStopSettings, Goal};
use crate::experts::{ExpertPlan, LEAST_CONTRIBUTORS};
use crate::selection::Selection;
use crate::strategy::{AdaptiveRule, StrategySettings};
use crate::update::NoiseBy;
use neuro_privacy::adaptive_clip::ClipRule;
use neuro_secagg::config::{Deadlines, MOST_MEMBERS, MOST_WEIGHT};
use neuro_secagg::masks::Generator;
use toml::de::DeTable;

/// An hour: training a large model takes most of it.
const UPLOAD_MS: u32 = 3_600_000;
/// Half a minute for everything that is only keys and signatures.
const PHASE_MS: u32 = 30_000;

/// Reads `section`, or the defaults where it is missing, with `read`, and refuses unknown fields.
fn filled<T>(
    section: Option<Section<'_>>,
    read: impl Fn(&Section<'_>) -> Result<T, PlanError>,
) -> Result<T, PlanError> {
    let nothing = DeTable::new();
    let section = section.unwrap_or_else(|| Section::root("", &nothing));
    let value = read(&section)?;
    section.finish()?;
    Ok(value)
}

pub(super) fn cohort(section: Option<Section<'_>>) -> Result<CohortPlan, PlanError> {
    filled(section, |section| {
        let most_members = u64::from(MOST_MEMBERS);
        let generators = [("aes-128-ctr", Generator::Aes128Ctr), ("chacha20", Generator::ChaCha20)];
        let plan = CohortPlan {
            least: section.whole("least", 3..=most_members, Some(8))?,
            most: section.whole("most", 3..=most_members, Some(512))?,
            corrupt_bps: section.bps("corrupt", 1000)?,
            dropout_bps: section.bps("dropout", 1000)?,
            security_bits: section.whole("security_bits", 20..=128, Some(40))?,
            correctness_bits: section.whole("correctness_bits", 5..=64, Some(20))?,
            generator: section.one_of("masks", &generators, Some(Generator::Aes128Ctr))?,
            feldman: section.flag("feldman", false)?,
            deadlines: filled(section.section("deadlines")?, deadlines)?,
        };
        if plan.least > plan.most {
            return Err(section.wrong("least", format!("of at most {}", plan.most), plan.least));
        }
        Ok(plan)
    })
}

fn deadlines(section: &Section<'_>) -> Result<Deadlines, PlanError> {
    let ms = |field, default| section.whole(field, 1..=u64::from(u32::MAX), Some(default));
    Ok(Deadlines {
        join_ms: ms("join_ms", PHASE_MS)?,
        reveal_ms: ms("reveal_ms", PHASE_MS)?,
        shares_ms: ms("shares_ms", PHASE_MS)?,
        received_ms: ms("received_ms", PHASE_MS)?,
        upload_ms: ms("upload_ms", UPLOAD_MS)?,
        vote_ms: ms("vote_ms", PHASE_MS)?,
        answer_ms: ms("answer_ms", PHASE_MS)?,
    })
}

#[derive(Clone, Copy)]
enum Name {
    Avg,
    Prox,
    Adaptive(AdaptiveRule),
    Scaffold,
    Buff,
    Ditto,
}

const STRATEGIES: [(&str, Name); 8] = [
    ("fed_avg", Name::Avg),
    ("fed_prox", Name::Prox),
    ("fed_adagrad", Name::Adaptive(AdaptiveRule::Adagrad)),
    ("fed_adam", Name::Adaptive(AdaptiveRule::Adam)),
    ("fed_yogi", Name::Adaptive(AdaptiveRule::Yogi)),
    ("scaffold", Name::Scaffold),
    ("fed_buff", Name::Buff),
    ("ditto", Name::Ditto),
];

pub(super) fn strategy(section: Option<Section<'_>>) -> Result<StrategySettings, PlanError> {
    filled(section, |section| {
        let name = section.one_of("name", &STRATEGIES, Some(Name::Avg))?;
        let adaptive = matches!(name, Name::Adaptive(_));
        let rate = section.positive("rate", Some(if adaptive { 0.1 } else { 1.0 }))?;
        let beta =
            |field, default| section.number(field, "from 0 to below 1", |n| (0.0..1.0).contains(&n), Some(default));
        Ok(match name {
            Name::Avg => StrategySettings::FedAvg { rate },
            Name::Prox => StrategySettings::FedProx { rate, mu: section.positive("mu", None)? },
            Name::Adaptive(rule) => StrategySettings::Adaptive {
                rule,
                rate,
                beta1: beta("beta1", 0.9)?,
                beta2: beta("beta2", 0.99)?,
                tau: section.positive("tau", Some(1e-3))?,
            },
            Name::Scaffold => StrategySettings::Scaffold { rate, rho: section.positive("rho", Some(1.0))? },
            Name::Buff => {
                StrategySettings::FedBuff { rate, most_staleness: section.whole("most_staleness", 0..=63, Some(10))? }
            }
            Name::Ditto => StrategySettings::Ditto { rate, lambda: section.positive("lambda", None)? },
        })
    })
}

/// `equal`: every weight is 1, because noise hides no other, or because c is the plain mean of all control variates.
pub(super) fn update(section: Option<Section<'_>>, equal: bool) -> Result<UpdatePlan, PlanError> {
    filled(section, |section| {
        let (most, default) = if equal { (1, 1) } else { (u64::from(MOST_WEIGHT), 1000) };
        Ok(UpdatePlan {
            value_bits: section.whole("value_bits", 2..=32, Some(16))?,
            range: section.positive("range", Some(1.0))?,
            weight_cap: section.whole("weight_cap", 1..=most, Some(default))?,
        })
    })
}

pub(super) fn privacy(section: Option<Section<'_>>) -> Result<Option<PrivacyPlan>, PlanError> {
    let Some(section) = section else { return Ok(None) };
    let modes = [("distributed", NoiseBy::Participants), ("central", NoiseBy::Aggregator)];
    let noise = section.one_of("mode", &modes, None)?;
    let has_bound = section.number("most_epsilon", "finite and above 0", |n| n > 0.0, Some(0.0))?;
    let plan = PrivacyPlan {
        noise,
        clip: section.positive("clip", None)?,
        scale: section.positive("scale", None)?,
        noise_multiplier: section.positive("noise_multiplier", None)?,
        delta: section.number("delta", "above 0 and below 1", |n| n > 0.0 && n < 1.0, None)?,
        most_epsilon: (has_bound > 0.0).then_some(has_bound),
        adaptive: section.section("adaptive")?.map(adaptive).transpose()?,
    };
    if plan.adaptive.is_some() && noise == NoiseBy::Aggregator {
        return Err(section.wrong("adaptive", "with distributed noise: the aggregator would see the bits", "central"));
    }
    section.finish()?;
    Ok(Some(plan))
}

fn adaptive(section: Section<'_>) -> Result<(ClipRule, f64), PlanError> {
    let quantile = section.number("quantile", "from 0 to 1", |n| (0.0..=1.0).contains(&n), Some(0.5))?;
    let rule = ClipRule { quantile, rate: section.positive("rate", Some(0.2))? };
    let deviation = section.positive("bit_noise", None)?;
    section.finish()?;
    Ok((rule, deviation))
}

pub(super) fn selection(section: Option<Section<'_>>) -> Result<Selection, PlanError> {
    filled(section, |section| {
        let batches = || section.whole("batches", 1..=65_535, None);
        Ok(match section.one_of("policy", &[("all", 0), ("random", 1), ("capability", 2)], Some(0))? {
            0 => Selection::All,
            1 => Selection::Random { batches: batches()? },
            _ => Selection::Capability { batches: batches()?, least: section.whole("least", 0..=u64::MAX, None)? },
        })
    })
}

pub(super) fn expert(section: Section<'_>) -> Result<ExpertPlan, PlanError> {
    let tensors = tensors(&section)?.ok_or_else(|| section.wrong("tensors", "as a list of names", "nothing"))?;
    let plan = ExpertPlan {
        name: section.text("name", 64, None)?,
        tensors,
        batches: section.batches("batches")?,
        least: section.whole("least", u64::from(LEAST_CONTRIBUTORS)..=u64::from(MOST_MEMBERS), Some(8))?,
    };
    if plan.batches.is_empty() {
        return Err(section.wrong("batches", "as a list of at least one batch number", "none"));
    }
    section.finish()?;
    Ok(plan)
}

pub(super) fn early_stop(section: Option<Section<'_>>) -> Result<Option<EarlyStopSettings>, PlanError> {
    let Some(section) = section else { return Ok(None) };
    let settings = EarlyStopSettings {
        metric: section.text("metric", 64, Some("loss"))?,
        goal: section.one_of("goal", &[("least", Goal::Least), ("greatest", Goal::Greatest)], Some(Goal::Least))?,
        patience: section.whole("patience", 1..=1_000_000, Some(5))?,
        least_gain: section.number("least_gain", "finite and at least 0", |n| n >= 0.0, Some(0.0))?,
    };
    section.finish()?;
    Ok(Some(settings))
}
