//! What is done in few rounds for few values.

use super::{Party, Random, join, run, share};
use crate::channel::Nobody;
use crate::computation::Computation;
use crate::computation::Security::Malicious;
use crate::error::SmpcError;
use crate::functions::few::{LOGISTIC, SILU};
use crate::lookup::Curve;
use crate::lookup::curve::Cells;
use crate::party::PartyId;
use crate::rehearsal::Forecast;
use crate::share::Shares;

fn fixed(value: f64, fraction: u32) -> u64 {
    (value * f64::from(fraction).exp2()).round() as i64 as u64
}

fn real(value: u64, fraction: u32) -> f64 {
    (value as i64) as f64 / f64::from(fraction).exp2()
}

#[test]
fn digits_compare_with_every_threshold_and_at_the_edges() {
    let all: Vec<u64> = (-64..64_i64).map(|x| x as u64).collect();
    let edges = [-(1 << 38), -1, 0, 1, 2, (1 << 38) - 1].map(|x: i64| x as u64).to_vec();
    for (bits, values, thresholds) in [(8, &all, vec![0, 5, u64::MAX]), (40, &edges, vec![0, 1, 1 << 20])] {
        let trial = run(Malicious, |party| {
            let x = share(party.party(), values);
            let mut masks = party.take_digits(values.len(), bits, 0)?;
            let mask = masks.take_mask();
            let opened = party.open_masked("test", &x, mask)?;
            party.below(&opened, &masks, &thresholds)
        });
        let below = |t: &u64| values.iter().map(|x| u64::from((*x as i64) < *t as i64)).collect::<Vec<_>>();
        assert_eq!(join(&trial.results), thresholds.iter().flat_map(below).collect::<Vec<_>>(), "{bits} bits");
    }
}

#[test]
fn digits_that_skip_bits_are_wrong_near_thresholds_alone() {
    let mut random = Random(8);
    let x: Vec<u64> = (0..500).map(|_| random.word() >> 16).collect();
    let thresholds: Vec<u64> = (30..48).map(|power| 1 << power).collect();
    let trial = run(Malicious, |party| {
        let mut masks = party.take_digits(x.len(), 50, 20)?;
        let mask = masks.take_mask();
        let opened = party.open_masked("test", &share(party.party(), &x), mask)?;
        party.below(&opened, &masks, &thresholds)
    });
    let places = thresholds.iter().flat_map(|t| x.iter().map(move |x| (t, x)));
    for ((t, x), below) in places.zip(join(&trial.results)) {
        assert!(below == u64::from(x < t) || x.abs_diff(*t) < 1 << 20, "{x} beside {t}");
    }
}

/// Largest error of `curve` over `x` with 16 and with 32 fraction bits.
fn errors(curve: &Curve, plain: impl Fn(f64) -> f64, x: &[f64]) -> [f64; 2] {
    [16, 32].map(|fraction| {
        let shared: Vec<u64> = x.iter().map(|x| fixed(*x, fraction)).collect();
        let trial = run(Malicious, |party| party.read_curve(curve, &share(party.party(), &shared), fraction));
        let error = |(x, y): (&f64, u64)| (real(y, 16) - plain(*x)).abs();
        x.iter().zip(join(&trial.results)).map(error).fold(0.0, f64::max)
    })
}

#[test]
fn curves_are_read_in_two_rounds() {
    let x: Vec<f64> = (0..1000).map(|at| -31.9 + f64::from(at) * 0.0633).collect();
    for error in errors(&SILU, |x| x / (1.0 + (-x).exp()), &x) {
        assert!(error < 3e-4, "silu is off by {error}");
    }
    for error in errors(&LOGISTIC, |x| 1.0 / (1.0 + (-x).exp()), &x) {
        assert!(error < 3e-4, "the logistic function is off by {error}");
    }
    for bits in [1, 2, 5] {
        let curve =
            Curve::of(|x| x * x / 4.0 - x, Cells { low: 0, width_log: 1 - bits as i32, bits, fraction: 16 }, 16);
        let x: Vec<f64> = (0..200).map(|at| f64::from(at) / 200.0 * (2.0 - (2.0_f64).powi(1 - bits as i32))).collect();
        for error in errors(&curve, |x| x * x / 4.0 - x, &x) {
            assert!(error < 1e-4, "{bits} bits: a square is off by {error}");
        }
    }
}

#[test]
fn the_largest_of_few_are_those_of_many() {
    let rows = [[3, 1, 3, -2, 7], [0; 5], [-1, -2, -3, -4, -1], [5, 4, 3, 2, 1]];
    let x: Vec<u64> = rows.iter().flatten().map(|value: &i64| *value as u64).collect();
    let trial = run(Malicious, |party| party.largest_of_few(&share(party.party(), &x), 5, 2, 24));
    let places = [4, 0, 0, 1, 0, 4, 0, 1];
    let expected = places.iter().flat_map(|place| (0..5).map(move |at| u64::from(at == *place)));
    assert_eq!(join(&trial.results), expected.collect::<Vec<_>>());
}

#[test]
fn softmax_of_few_is_within_a_thousandth_wherever_the_largest_is() {
    let (rows, n) = (12, 37);
    let mut random = Random(31);
    let mut x: Vec<f64> = (0..rows * n).map(|_| (random.word() >> 40) as f64 / f64::from(1 << 24) * 12.0).collect();
    for row in 0..rows {
        let spread = row as f64 * 5.0;
        x[row * n] = 0.0;
        x[row * n + 1..row * n + 9].iter_mut().for_each(|x| *x = (*x + spread).min(62.9));
        x[row * n + 9..(row + 1) * n].iter_mut().for_each(|x| *x -= 12.0);
        if row == 0 {
            x[1..n].iter_mut().for_each(|x| *x = -*x - 40.0);
        }
    }
    let attended: Vec<bool> = (0..x.len()).map(|at| at % n <= 3 * (at / n) + 3).collect();
    let shared: Vec<u64> = x.iter().map(|value| fixed(*value, 32)).collect();
    let trial = run(Malicious, |party| softmax(party, &shared, n, &attended));
    let got = join(&trial.results);
    for row in 0..rows {
        let range = row * n..(row + 1) * n;
        let powers: Vec<f64> = range.clone().map(|at| if attended[at] { x[at].exp() } else { 0.0 }).collect();
        let sum: f64 = powers.iter().sum();
        for (at, expected) in range.zip(powers) {
            let difference = real(got[at], 36) - expected / sum;
            assert!(difference.abs() < 3e-4, "row {row}: off by {difference}, expected {}", expected / sum);
        }
    }
}

fn softmax(party: &mut Party<'_>, x: &[u64], n: usize, attended: &[bool]) -> Result<Shares, SmpcError> {
    let ones = Shares::public(party.party(), &vec![1; x.len()]);
    let scores = party.products("test", &share(party.party(), x), &ones, 64)?;
    let powers = party.exponentials_of_few(scores, n, attended)?;
    let (item, digits, curve) = party.sums_to_open(&powers, n)?;
    let [sums] = party.exchange([item])?;
    let reciprocals = party.curve_products(curve, &sums.opened, &digits, 16)?;
    let reciprocals = party.truncate_products(reciprocals, curve.shift())?;
    let rows: Vec<usize> = (0..x.len()).map(|at| at / n).collect();
    let products = party.products("test", &powers, &reciprocals.gather(&rows), 64)?;
    party.replicate(products)
}

#[test]
fn norms_of_few_are_right_over_six_orders_of_magnitude() {
    let (rows, d) = (40, 24);
    let mut random = Random(5);
    let mut value = || (random.word() >> 40) as f64 / f64::from(1 << 23) - 1.0;
    let sizes: Vec<f64> = (0..rows).map(|row| 10.0_f64.powf(-3.0 + row as f64 * 0.15)).collect();
    let x: Vec<f64> = (0..rows * d).map(|at| value() * sizes[at / d]).collect();
    let shared: Vec<u64> = x.iter().map(|x| fixed(*x, 16)).collect();
    let trial = run(Malicious, |party| party.rms_norm(&share(party.party(), &shared), d, 1e-5));
    let got = join(&trial.results);
    for row in 0..rows {
        let of = &x[row * d..(row + 1) * d];
        let root = (of.iter().map(|x| x * x).sum::<f64>() / d as f64 + 1e-5).sqrt();
        // What the last fraction bit of x becomes.
        let last = 2.0_f64.powi(-16) / root;
        for (x, y) in of.iter().zip(&got[row * d..]) {
            let difference = real(*y, 16) - x / root;
            assert!(difference.abs() < 3e-4 + last, "row {row}: {x} / {root} is off by {difference}");
        }
    }
}

#[test]
fn the_best_two_of_eight_take_five_rounds_once_there_are_masks() {
    let of = |_: PartyId, computation: &mut Computation<Nobody>| {
        computation.largest_of_few(&Shares::zeros(128 * 8), 8, 2, 40).map(|_| ())
    };
    let Forecast { online, preprocessing, .. } = Forecast::of(Malicious, of).unwrap();
    assert!(online.rounds <= 5, "{} rounds", online.rounds);
    assert!(preprocessing.rounds <= 30, "{} rounds for masks", preprocessing.rounds);
}
