//! From one row's logits to its experts and gates.

use neuro_expert_runtime::kernels::functions::sigmoid;
use neuro_model::{GroupRule, GroupScore, RouterRule, ScoreFunction};
use neuro_primitives::Route;

use crate::sums;

/// The routes of one row of logits (`[experts]`, f32), best first; `None` when a logit is not finite.
///
/// `selection_bias` (`[experts]`, f32, finite) is added to the scores for the choice and not for the gates.
#[must_use]
pub fn choose(rule: &RouterRule, logits: &[f32], selection_bias: Option<&[f32]>) -> Option<Vec<Route>> {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    let scores = scores(rule.scores, logits);
    let mut merits = scores.clone();
    if let Some(bias) = selection_bias {
        merits.iter_mut().zip(bias).for_each(|(merit, bias)| *merit += bias);
    }
    if let Some(groups) = rule.groups {
        exclude_groups(groups, &mut merits);
    }
    let chosen = best(&merits, rule.top_k);
    let gates = gates(rule, chosen.iter().map(|&expert| scores[expert]).collect());
    // The configuration keeps experts far below 2^16.
    Some(chosen.iter().zip(gates).map(|(&expert, gate)| Route { expert: expert as u16, gate }).collect())
}

/// What experts are compared by, before any bias.
fn scores(function: ScoreFunction, logits: &[f32]) -> Vec<f32> {
    let mut scores = logits.to_vec();
    match function {
        ScoreFunction::Softmax => softmax(&mut scores),
        ScoreFunction::SoftmaxOfChosen => {}
        ScoreFunction::Sigmoid => scores.iter_mut().for_each(|score| *score = sigmoid(*score)),
    }
    scores
}

/// From the scores of the chosen, best first, to their gates.
fn gates(rule: &RouterRule, mut gates: Vec<f32>) -> Vec<f32> {
    if rule.scores == ScoreFunction::SoftmaxOfChosen {
        softmax(&mut gates);
    }
    if rule.renormalise {
        // Best first, one after another: the order in which the reference implementations add them.
        let sum = gates.iter().sum::<f32>() + LEAST_SUM;
        gates.iter_mut().for_each(|gate| *gate /= sum);
    }
    gates.iter_mut().for_each(|gate| *gate *= rule.scale);
    gates
}

/// Keeps a sum of vanishing sigmoids from being a zero that gates are divided by; no other sum feels it.
const LEAST_SUM: f32 = 1e-20;

/// Makes the experts outside the best groups worse than any other, so that none of them is chosen.
fn exclude_groups(rule: GroupRule, merits: &mut [f32]) {
    let size = (merits.len() / rule.groups).max(1);
    let group_merits: Vec<f32> = merits.chunks(size).map(|group| group_merit(rule.score, group)).collect();
    let kept = best(&group_merits, rule.kept);
    for (index, group) in merits.chunks_mut(size).enumerate() {
        if !kept.contains(&index) {
            group.fill(f32::NEG_INFINITY);
        }
    }
}

fn group_merit(score: GroupScore, group: &[f32]) -> f32 {
    let taken = match score {
        GroupScore::Best => 1,
        GroupScore::BestTwo => 2,
    };
    best(group, taken).iter().map(|&index| group[index]).sum()
}

/// The indices of the `count` largest merits, best first, equal ones by index; none that is excluded.
fn best(merits: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..merits.len()).filter(|&index| merits[index] > f32::NEG_INFINITY).collect();
    // A stable sort keeps equal merits in the order of their index; a negative zero equals a positive one.
    order.sort_by(|&left, &right| (merits[right] + 0.0).total_cmp(&(merits[left] + 0.0)));
    order.truncate(count);
    order
}

fn softmax(values: &mut [f32]) {
    let total = sums::exponentiate(values);
    values.iter_mut().for_each(|value| *value /= total);
}

#[cfg(test)]
mod tests;
