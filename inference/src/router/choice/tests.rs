//! The rules of every family, by hand.

use super::*;

fn rule(experts: usize, top_k: usize, renormalise: bool) -> RouterRule {
    RouterRule::softmax(experts, top_k, renormalise)
}

fn check(rule: &RouterRule, logits: &[f32], bias: Option<&[f32]>, expected: &[(u16, f32)]) {
    let routes = choose(rule, logits, bias).expect("finite logits");
    assert_eq!(routes.len(), expected.len(), "{routes:?}");
    for (route, (expert, gate)) in routes.iter().zip(expected) {
        assert_eq!(route.expert, *expert, "{routes:?}");
        assert!((route.gate - gate).abs() < 1e-6, "{routes:?}");
    }
}

/// Logits whose sigmoids are `scores`.
fn logits_of<const N: usize>(scores: [f32; N]) -> [f32; N] {
    scores.map(|score| libm::logf(score / (1.0 - score)))
}

#[test]
fn gates_are_a_softmax_over_all_experts_or_over_the_chosen() {
    // softmax of ln(1, 2, 3, 4) is (0.1, 0.2, 0.3, 0.4)
    let logits = [1.0_f32, 2.0, 3.0, 4.0].map(libm::logf);
    check(&rule(4, 2, false), &logits, None, &[(3, 0.4), (2, 0.3)]);
    check(&rule(4, 2, true), &logits, None, &[(3, 4.0 / 7.0), (2, 3.0 / 7.0)]);
    check(&rule(4, 4, false), &logits, None, &[(3, 0.4), (2, 0.3), (1, 0.2), (0, 0.1)]);
    let of_chosen = RouterRule { scores: ScoreFunction::SoftmaxOfChosen, ..rule(4, 2, false) };
    check(&of_chosen, &logits, None, &[(3, 4.0 / 7.0), (2, 3.0 / 7.0)]);
}

#[test]
fn sigmoids_are_renormalised_and_scaled() {
    let sigmoid = RouterRule { scores: ScoreFunction::Sigmoid, scale: 2.5, ..rule(4, 2, true) };
    let logits = logits_of([0.2, 0.6, 0.1, 0.4]);
    check(&sigmoid, &logits, None, &[(1, 1.5), (3, 1.0)]);
    let plain = RouterRule { renormalise: false, scale: 1.0, ..sigmoid };
    check(&plain, &logits, None, &[(1, 0.6), (3, 0.4)]);
    // Sigmoids that vanish leave no zero to divide by.
    check(&sigmoid, &[-3e38; 4], None, &[(0, 0.0), (1, 0.0)]);
}

#[test]
fn a_selection_bias_chooses_and_does_not_weigh() {
    let sigmoid = RouterRule { scores: ScoreFunction::Sigmoid, selection_bias: true, ..rule(4, 2, false) };
    let logits = logits_of([0.2, 0.6, 0.1, 0.4]);
    check(&sigmoid, &logits, Some(&[0.0, 0.0, 0.9, 0.0]), &[(2, 0.1), (1, 0.6)]);
    check(&sigmoid, &logits, Some(&[0.0, -9.0, 0.0, 0.0]), &[(3, 0.4), (0, 0.2)]);
}

#[test]
fn experts_outside_the_best_groups_are_out_of_the_choice() {
    let groups = |score, kept| Some(GroupRule { groups: 3, kept, score });
    // Groups: (0.1, 0.9), (0.6, 0.7), (0.5, 0.2).
    let logits = logits_of([0.1, 0.9, 0.6, 0.7, 0.5, 0.2]);
    let base = RouterRule { scores: ScoreFunction::Sigmoid, ..rule(6, 2, false) };
    let best = RouterRule { groups: groups(GroupScore::Best, 1), ..base };
    check(&best, &logits, None, &[(1, 0.9), (0, 0.1)]);
    let best_two = RouterRule { groups: groups(GroupScore::BestTwo, 1), ..base };
    check(&best_two, &logits, None, &[(3, 0.7), (2, 0.6)]);
    let two_groups = RouterRule { groups: groups(GroupScore::BestTwo, 2), top_k: 3, ..base };
    check(&two_groups, &logits, None, &[(1, 0.9), (3, 0.7), (2, 0.6)]);
    // The bias counts for groups too, and below zero nobody outside them is better.
    let biased = RouterRule { groups: groups(GroupScore::BestTwo, 1), ..base };
    check(&biased, &logits, Some(&[-5.0, -5.0, -5.0, -5.0, -1.0, -1.0]), &[(4, 0.5), (5, 0.2)]);
}

#[test]
fn ties_go_to_the_lowest_index() {
    check(&rule(4, 2, true), &[1.0, 5.0, 5.0, 5.0], None, &[(1, 0.5), (2, 0.5)]);
    check(&rule(4, 1, true), &[-0.0, 0.0, 0.0, 0.0], None, &[(0, 1.0)]);
    let of_chosen = RouterRule { scores: ScoreFunction::SoftmaxOfChosen, ..rule(4, 1, false) };
    check(&of_chosen, &[-0.0, 0.0, 0.0, 0.0], None, &[(0, 1.0)]);
    let groups = Some(GroupRule { groups: 2, kept: 1, score: GroupScore::Best });
    check(&RouterRule { groups, ..rule(4, 1, true) }, &[1.0, 2.0, 2.0, 1.0], None, &[(1, 1.0)]);
}

#[test]
fn far_apart_logits_stay_finite() {
    check(&rule(4, 2, true), &[-3e38, 3e38, 0.0, 1.0], None, &[(1, 1.0), (0, 0.0)]);
}

#[test]
fn a_logit_that_is_no_number_is_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(choose(&rule(4, 2, true), &[0.0, bad, 1.0, 2.0], None), None);
    }
}
