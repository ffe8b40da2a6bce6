//! Every strategy's step by hand on three numbers, and what of it survives being kept.

use super::*;

/// Three participants of weights 1, 1 and 2 whose updates have this weighted sum: the mean is a quarter of it.
fn sum(values: &[f64]) -> DecodedSum {
    DecodedSum { values: values.to_vec(), weight: 4.0, survivors: 3 }
}

fn global() -> Flat {
    Flat(vec![1.0, 2.0, 3.0])
}

#[track_caller]
fn near(got: &Flat, expected: [f64; 3]) {
    for (got, expected) in got.0.iter().zip(expected) {
        assert!((f64::from(*got) - expected).abs() < 1e-6, "expected {expected}, got {got}");
    }
}

#[track_caller]
fn after(strategy: &mut dyn Strategy, sums: &[DecodedSum]) -> Flat {
    let mut model = global();
    sums.iter().for_each(|sum| strategy.apply(&mut model, sum).unwrap());
    model
}

#[test]
fn averaging_strategies_add_the_rate_times_the_weighted_mean() {
    // Δ̄ = (1, −0.5, 0.25), η = 0.5.
    let all: [Box<dyn Strategy>; 4] = [
        Box::new(FedAvg::new(0.5).unwrap()),
        Box::new(FedProx::new(0.5, 0.1).unwrap()),
        Box::new(FedBuff::new(0.5, 4).unwrap()),
        Box::new(Ditto::new(0.5, 0.1).unwrap()),
    ];
    for mut strategy in all {
        near(&after(strategy.as_mut(), &[sum(&[4.0, -2.0, 1.0])]), [1.5, 1.75, 3.125]);
    }
}

fn adaptive(rule: AdaptiveRule) -> Adaptive {
    Adaptive::new(rule, AdaptiveSettings { rate: 0.1, beta1: 0.5, beta2: 0.75, tau: 0.5 }).unwrap()
}

#[test]
fn fed_adagrad_adds_up_squares() {
    // Δ̄ = (1, −2, 0): m = (0.5, −1, 0), v = 0.25 + (1, 4, 0).
    let expected = [1.0 + 0.05 / (1.25_f64.sqrt() + 0.5), 2.0 - 0.1 / (4.25_f64.sqrt() + 0.5), 3.0];
    near(&after(&mut adaptive(AdaptiveRule::Adagrad), &[sum(&[4.0, -8.0, 0.0])]), expected);
}

#[test]
fn fed_adam_averages_squares() {
    // v = 0.75·0.25 + 0.25·(1, 4, 0) = (0.4375, 1.1875, 0.1875).
    let expected = [1.0 + 0.05 / (0.4375_f64.sqrt() + 0.5), 2.0 - 0.1 / (1.1875_f64.sqrt() + 0.5), 3.0];
    near(&after(&mut adaptive(AdaptiveRule::Adam), &[sum(&[4.0, -8.0, 0.0])]), expected);
}

#[test]
fn fed_yogi_moves_by_the_sign_of_the_difference() {
    // v − Δ̄² = 0.25 − (1, 4, 0): v = (0.25 + 0.25, 0.25 + 1, 0.25 − 0).
    let expected = [1.0 + 0.05 / (0.5_f64.sqrt() + 0.5), 2.0 - 0.1 / (1.25_f64.sqrt() + 0.5), 3.0];
    near(&after(&mut adaptive(AdaptiveRule::Yogi), &[sum(&[4.0, -8.0, 0.0])]), expected);
    // Where v > Δ̄² it falls: Δ̄² = 0.04, v = 0.25 − 0.25·0.04 = 0.24.
    let expected = [1.0 + 0.01 / (0.24_f64.sqrt() + 0.5), 2.0, 3.0];
    near(&after(&mut adaptive(AdaptiveRule::Yogi), &[sum(&[0.8, 0.0, 0.0])]), expected);
}

#[test]
fn the_second_adaptive_step_remembers_the_first() {
    // m = 0.5·0.5 + 0.5·1 = 0.75 and v = 2.25 after two steps with Δ̄ = 1 and Adagrad.
    let expected = 1.0 + 0.05 / (1.25_f64.sqrt() + 0.5) + 0.075 / (2.25_f64.sqrt() + 0.5);
    near(
        &after(&mut adaptive(AdaptiveRule::Adagrad), &[sum(&[4.0, 0.0, 0.0]), sum(&[4.0, 0.0, 0.0])]),
        [expected, 2.0, 3.0],
    );
}

#[test]
fn another_rate_keeps_the_moments() {
    let mut strategy = adaptive(AdaptiveRule::Adagrad);
    let mut model = global();
    strategy.apply(&mut model, &sum(&[4.0, 0.0, 0.0])).unwrap();
    assert!(strategy.set_rate(0.0).is_err() && strategy.set_rate(f64::NAN).is_err());
    strategy.set_rate(0.01).unwrap();
    strategy.apply(&mut model, &sum(&[4.0, 0.0, 0.0])).unwrap();
    // As in the test above, with a second step a tenth as long.
    near(&model, [1.0 + 0.05 / (1.25_f64.sqrt() + 0.5) + 0.0075 / (2.25_f64.sqrt() + 0.5), 2.0, 3.0]);
}

#[test]
fn scaffold_moves_the_control_by_the_share_that_took_part() {
    let mut scaffold = Scaffold::new(1.0, 0.5, 12, 3).unwrap();
    let model = after(&mut scaffold, &[sum(&[4.0, -2.0, 0.0, 2.0, 4.0, -8.0])]);
    near(&model, [2.0, 1.5, 3.0]);
    // Mean of the second part (0.5, 1, −2), over ρ (1, 2, −4), times 3/12.
    let LocalRule::Scaffold { control } = scaffold.local_rule() else { panic!("another rule") };
    near(&control, [0.25, 0.5, -1.0]);
    let too_many = DecodedSum { survivors: 13, ..sum(&[0.0; 6]) };
    assert_eq!(scaffold.apply(&mut global(), &too_many), Err(StrategyError::Population { expected: 12, got: 13 }));
}

const ALL: [StrategySettings; 8] = [
    StrategySettings::FedAvg { rate: 0.7 },
    StrategySettings::FedProx { rate: 0.7, mu: 0.01 },
    StrategySettings::Adaptive { rule: AdaptiveRule::Adagrad, rate: 0.1, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
    StrategySettings::Adaptive { rule: AdaptiveRule::Adam, rate: 0.1, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
    StrategySettings::Adaptive { rule: AdaptiveRule::Yogi, rate: 0.1, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
    StrategySettings::Scaffold { rate: 1.0, rho: 0.1 },
    StrategySettings::FedBuff { rate: 1.0, most_staleness: 7 },
    StrategySettings::Ditto { rate: 1.0, lambda: 0.5 },
];

fn sum_for(strategy: &dyn Strategy, step: f64) -> DecodedSum {
    let entries = strategy.vector_parts().vector_entries(3);
    sum(&(0..entries).map(|entry| (step + entry as f64).sin()).collect::<Vec<_>>())
}

#[test]
fn a_restored_strategy_goes_on_to_the_bit() {
    for settings in ALL {
        let (mut model, mut strategy) = (global(), settings.begin(3, 100).unwrap());
        for step in 0..3 {
            strategy.apply(&mut model, &sum_for(strategy.as_ref(), f64::from(step))).unwrap();
        }
        let mut restored = settings.restore(&strategy.state()).unwrap();
        assert_eq!(restored.state(), strategy.state(), "{}", settings.name());
        let mut other = model.clone();
        for step in 3..6 {
            let sum = sum_for(strategy.as_ref(), f64::from(step));
            strategy.apply(&mut model, &sum).unwrap();
            restored.apply(&mut other, &sum).unwrap();
        }
        assert_eq!(other, model, "{}", settings.name());
        assert_eq!(restored.local_rule(), strategy.local_rule());
    }
}

#[test]
fn a_torn_or_foreign_state_is_refused() {
    for settings in ALL {
        let mut strategy = settings.begin(3, 100).unwrap();
        let sum = sum_for(strategy.as_ref(), 1.0);
        strategy.apply(&mut global(), &sum).unwrap();
        let state = strategy.state();
        assert!((0..state.len()).all(|length| settings.restore(&state[..length]).is_err()), "{}", settings.name());
        let mut foreign = state;
        foreign[0] = 99;
        assert!(matches!(settings.restore(&foreign), Err(StrategyError::Kind { got: 99, .. })));
    }
}

#[test]
fn settings_survive_their_canonical_form() {
    for settings in ALL {
        let bytes = settings.encode();
        assert_eq!(StrategySettings::decode(&bytes), Ok(settings));
        assert!((0..bytes.len()).all(|length| StrategySettings::decode(&bytes[..length]).is_err()));
        assert!(StrategySettings::decode(&[bytes, vec![0]].concat()).is_err());
    }
    let negative = StrategySettings::FedAvg { rate: -1.0 }.encode();
    assert!(matches!(StrategySettings::decode(&negative), Err(StrategyError::Setting { field: "rate", .. })));
}

#[test]
fn a_bad_sum_changes_nothing() {
    for settings in ALL {
        let mut strategy = settings.begin(3, 100).unwrap();
        let (mut model, before) = (global(), strategy.state());
        let good = sum_for(strategy.as_ref(), 1.0);
        let mut bad = vec![DecodedSum { weight: 0.0, ..good.clone() }, DecodedSum { weight: f64::NAN, ..good.clone() }];
        bad.push(DecodedSum { values: good.values[1..].to_vec(), ..good.clone() });
        for wrong in [f64::NAN, f64::INFINITY] {
            let mut values = good.values.clone();
            values[1] = wrong;
            bad.push(DecodedSum { values, ..good.clone() });
        }
        for bad in bad {
            assert!(strategy.apply(&mut model, &bad).is_err(), "{}: {bad:?}", settings.name());
            assert_eq!((&model, &strategy.state()), (&global(), &before));
        }
    }
}

#[test]
fn a_model_that_would_overflow_is_refused() {
    let mut model = global();
    let error = FedAvg::new(1.0).unwrap().apply(&mut model, &sum(&[0.0, 1e40, 0.0])).unwrap_err();
    assert!(matches!(error, StrategyError::NotFinite { what: "the model", entry: 1, .. }));
    assert_eq!(model, global());
}
