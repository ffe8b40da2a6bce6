//! How rows choose experts.

use crate::config::defaults::Defaults;
use crate::config::fields::{Fields, wrong};
use crate::config::{Architecture, ConfigError, MAX_EXPERTS, MAX_WIDTH};

/// How a row chooses its experts: logits to scores, the best `top_k` by score (plus selection bias), ties to the lowest
/// id, and scores to gates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterRule {
    /// Experts in a layer.
    pub experts: usize,
    /// Experts that a row goes to.
    pub top_k: usize,
    /// From logits to scores.
    pub scores: ScoreFunction,
    /// The chosen gates are divided by their sum.
    pub renormalise: bool,
    /// What the gates are multiplied by at the end (`routed_scaling_factor`); 1 where models have none.
    pub scale: f32,
    /// Only experts of the best groups may be chosen.
    pub groups: Option<GroupRule>,
    /// The router has a bias that is added to the logits (gpt-oss).
    pub bias: bool,
    /// There is a bias that is added to the scores for the choice alone, not for the gates (DeepSeek-V3).
    pub selection_bias: bool,
}

impl RouterRule {
    /// Softmax over all `experts`, the best `top_k`.
    #[must_use]
    pub const fn softmax(experts: usize, top_k: usize, renormalise: bool) -> Self {
        let scores = ScoreFunction::Softmax;
        Self { experts, top_k, scores, renormalise, scale: 1.0, groups: None, bias: false, selection_bias: false }
    }
}

/// From a router's logits to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreFunction {
    /// Softmax over all experts.
    Softmax,
    /// The choice by logits, then softmax over the chosen alone (gpt-oss).
    SoftmaxOfChosen,
    /// The sigmoid of each (DeepSeek-V3).
    Sigmoid,
}

/// Experts lie in equal groups, neighbours together; only the best groups take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRule {
    /// Groups of a layer; divides the experts.
    pub groups: usize,
    /// Groups that take part.
    pub kept: usize,
    /// What makes a group good.
    pub score: GroupScore,
}

/// The score of a group of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScore {
    /// Its best expert's (DeepSeek-V2).
    Best,
    /// The sum of its two best experts' (DeepSeek-V3).
    BestTwo,
}

/// Reads the rule of `architecture`.
pub(super) fn read(architecture: Architecture, fields: &Fields) -> Result<RouterRule, ConfigError> {
    let defaults = Defaults::of(architecture);
    let experts = experts(fields, defaults)?;
    let top_k = fields.count("num_experts_per_tok", defaults.top_k, 1..=MAX_EXPERTS)?;
    if top_k == 0 {
        return Err(ConfigError::MissingField { field: "num_experts_per_tok" });
    }
    match architecture {
        Architecture::Mixtral => Ok(RouterRule::softmax(experts, top_k, true)),
        Architecture::Qwen3Moe | Architecture::Olmoe | Architecture::Qwen2Moe => {
            Ok(RouterRule::softmax(experts, top_k, fields.flag("norm_topk_prob", false)?))
        }
        Architecture::GptOss => {
            let scores = ScoreFunction::SoftmaxOfChosen;
            Ok(RouterRule { scores, bias: true, ..RouterRule::softmax(experts, top_k, false) })
        }
        Architecture::DeepseekV2 => deepseek_v2(fields, RouterRule::softmax(experts, top_k, false)),
        Architecture::DeepseekV3 => deepseek_v3(fields, RouterRule::softmax(experts, top_k, true)),
    }
}

/// Families name the field differently, and `transformers` takes each name for each family.
fn experts(fields: &Fields, defaults: &Defaults) -> Result<usize, ConfigError> {
    let mut given = ["n_routed_experts", "num_local_experts", "num_experts"]
        .into_iter()
        .filter(|field| fields.get(field).is_some());
    let named = given.next();
    let experts = fields.count(named.unwrap_or("num_experts"), defaults.experts, 0..=MAX_EXPERTS)?;
    if experts == 0 {
        return Err(ConfigError::NoExperts {
            layers: fields.count("num_hidden_layers", defaults.layers, 0..=MAX_WIDTH)?,
        });
    }
    for other in given {
        if fields.count(other, experts, 0..=MAX_EXPERTS)? != experts {
            return Err(ConfigError::contradiction(named.unwrap_or_default(), other));
        }
    }
    Ok(experts)
}

/// V2 never divides gates by their sum. Its first implementation had that as a setting (and then did not scale
/// them), later ones ignore the setting; no released model has it on.
fn deepseek_v2(fields: &Fields, rule: RouterRule) -> Result<RouterRule, ConfigError> {
    only(fields, "scoring_func", &["softmax"])?;
    let method = only(fields, "topk_method", &["greedy", "group_limited_greedy"])?;
    if let (true, Some(value)) = (fields.flag("norm_topk_prob", false)?, fields.get("norm_topk_prob")) {
        return Err(wrong("norm_topk_prob", "false for DeepSeek-V2", value));
    }
    let groups = match method {
        Some("group_limited_greedy") => groups(fields, [None, None], GroupScore::Best, &rule)?,
        _ => None,
    };
    Ok(RouterRule { scale: scale(fields, 1.0)?, groups, ..rule })
}

fn deepseek_v3(fields: &Fields, rule: RouterRule) -> Result<RouterRule, ConfigError> {
    only(fields, "scoring_func", &["sigmoid"])?;
    only(fields, "topk_method", &["noaux_tc"])?;
    Ok(RouterRule {
        scores: ScoreFunction::Sigmoid,
        renormalise: fields.flag("norm_topk_prob", true)?,
        scale: scale(fields, 2.5)?,
        groups: groups(fields, [Some(8), Some(4)], GroupScore::BestTwo, &rule)?,
        selection_bias: true,
        ..rule
    })
}

fn scale(fields: &Fields, default: f64) -> Result<f32, ConfigError> {
    Ok(fields.positive("routed_scaling_factor", default)? as f32)
}

/// The groups, `None` where there is one or all take part.
fn groups(
    fields: &Fields,
    [groups, kept]: [Option<usize>; 2],
    score: GroupScore,
    rule: &RouterRule,
) -> Result<Option<GroupRule>, ConfigError> {
    let groups = required(fields, "n_group", groups)?;
    let kept = required(fields, "topk_group", kept)?;
    let size = rule.experts / groups;
    let least = if score == GroupScore::BestTwo && groups > 1 { 2 } else { 1 };
    if !rule.experts.is_multiple_of(groups) || kept > groups || size < least || rule.top_k > kept * size {
        return Err(ConfigError::Groups { experts: rule.experts, groups, kept, top_k: rule.top_k });
    }
    Ok((kept < groups).then_some(GroupRule { groups, kept, score }))
}

fn required(fields: &Fields, field: &'static str, default: Option<usize>) -> Result<usize, ConfigError> {
    let default = default.filter(|_| !fields.is_null(field));
    match fields.count(field, default.unwrap_or(0), 1..=MAX_EXPERTS)? {
        0 => Err(ConfigError::MissingField { field }),
        number => Ok(number),
    }
}

/// A text field that may have no other values than `known`.
fn only<'a>(fields: &'a Fields, field: &str, known: &[&str]) -> Result<Option<&'a str>, ConfigError> {
    match (fields.text(field)?, fields.get(field)) {
        (Some(text), Some(value)) if !known.contains(&text) => Err(wrong(field, known.join(" or "), value)),
        (text, _) => Ok(text),
    }
}
