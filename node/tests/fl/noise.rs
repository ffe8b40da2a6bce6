//! Rounds with noise: sums decode near the clipped mean, and every participant keeps its own account.

use neuro_node::participant_role::{Noise, ParticipantEvent, RoundOffer};

use crate::federation::{Federation, Participant};

const TENSORS: &[(&str, &[usize])] = &[("w", &[4])];

/// Four values whose norm is 1.
const UPDATE: [f32; 4] = [0.5, -0.5, 0.5, -0.5];

fn plan(mode: &str, more: &str) -> String {
    format!(
        "[rounds]\ncount = 2\n[cohort]\nleast = 8\ndropout = 0.25\n[privacy]\nmode = \"{mode}\"\nclip = 1.0\nscale = 1000\n\
         noise_multiplier = 0.5\ndelta = 1e-5\n{more}"
    )
}

async fn offer(participant: &mut Participant) -> RoundOffer {
    participant.until(|event| if let ParticipantEvent::Offered(offer) = event { Some(offer) } else { None }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn private_sums_decode_near_the_mean_and_releases_compose() {
    let mut federation = Federation::start(&plan("distributed", ""), TENSORS, Some(8), 1).await;
    let mut participants =
        federation.join_all(8, |number| federation.trainer(number, &[("w", &[4], &UPDATE)], 1)).await;
    let (first, first_offer) = (federation.ended().await, offer(&mut participants[3]).await);
    assert!(first.done, "{}", first.outcome);
    // Noise of a deviation of some 630 units on a sum of eight times 500.
    for (value, expected) in federation.weights(&first.model).iter().zip(UPDATE) {
        assert!((value - expected).abs() < 0.4, "{value} against {expected}");
    }
    assert_eq!(first_offer.noise, Noise::Participants);
    assert!(first_offer.epsilon > 0.0 && first_offer.epsilon.is_finite());
    assert_eq!(first_offer.epsilon, first_offer.epsilon_after);
    let second = federation.ended().await;
    let second_offer = offer(&mut participants[3]).await;
    assert!(second_offer.epsilon_after > second_offer.epsilon, "the second round composes");
    let spent = second.record.unwrap().spent.unwrap();
    assert_eq!(spent.releases, 2);
    assert!(second.cohorts[0].epsilon.is_some_and(|epsilon| epsilon < spent.epsilon));
    participants[3].ended().await;
    let past = federation.past(3);
    assert_eq!(past["releases"].as_array().unwrap().len(), 2);
    let variance = past["releases"][1]["event"]["Skellam"]["variance"].as_f64();
    assert!(variance.is_some_and(|got| (got - 250_000.0).abs() < 1.0), "what was asked for: (0.5 · 1000 · 1)², {past}");
    // The aggregator's ledger counts the same releases; the participant's estimate is no lower.
    assert!(second_offer.epsilon_after >= spent.epsilon && second_offer.epsilon_after.is_finite());
}

#[tokio::test(flavor = "multi_thread")]
async fn central_noise_is_added_before_the_sum_is_used() {
    let mut federation = Federation::start(&plan("central", ""), TENSORS, Some(8), 1).await;
    let mut participants =
        federation.join_all(8, |number| federation.trainer(number, &[("w", &[4], &UPDATE)], 1)).await;
    let round = federation.ended().await;
    assert!(round.done, "{}", round.outcome);
    assert_eq!(round.weight, 8, "the weight has no noise");
    let exact = UPDATE.to_vec();
    let weights = federation.weights(&round.model);
    assert_ne!(weights, exact);
    assert!(weights.iter().zip(exact).all(|(value, expected)| (value - expected).abs() < 0.4), "{weights:?}");
    let offered = offer(&mut participants[0]).await;
    assert_eq!(offered.noise, Noise::Aggregator);
    assert!(round.record.unwrap().spent.unwrap().epsilon > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clip_follows_the_norms_and_its_bit_is_charged() {
    // All updates have a norm of 1, four times the clip.
    let plan =
        plan("distributed", "[privacy.adaptive]\nbit_noise = 0.25\nrate = 1.0\n").replace("clip = 1.0", "clip = 0.25");
    let mut federation = Federation::start(&plan, TENSORS, Some(8), 1).await;
    let _participants = federation.join_all(8, |number| federation.trainer(number, &[("w", &[4], &UPDATE)], 1)).await;
    let round = federation.ended().await;
    assert!(round.done, "{}", round.outcome);
    let clip = round.checkpoint.unwrap().clip;
    assert!(clip > 0.25, "all norms were beyond it, got {clip}");
    let events = &round.charges[0].event;
    assert!(format!("{events:?}").starts_with("Some(Composed("), "the sum and the count of bits: {events:?}");
    federation.ended().await;
    let past = federation.past(0);
    let charged = &past["releases"][0]["event"]["Composed"];
    assert_eq!(charged.as_array().unwrap().len(), 2, "{past}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aggregator_stops_before_it_spends_too_much() {
    let mut federation = Federation::start(&plan("distributed", "most_epsilon = 1\n"), TENSORS, Some(8), 1).await;
    let _participants = federation.join_all(8, |number| federation.trainer(number, &[("w", &[4], &UPDATE)], 1)).await;
    let reason = federation.task_ended().await;
    assert!(reason.contains("another round would bring ε to"), "{reason}");
}
