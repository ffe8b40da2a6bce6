//! Every gadget against the same thing on plain numbers.

use super::{Random, join, join_bits, prove, run, share};
use crate::computation::Security::{self, Malicious, SemiHonest};
use crate::conversion::Conversion;
use crate::lookup::Table;
use crate::ring::Shape;
use crate::ring::planes::to_planes;
use crate::share::{BitShares, NEXT, OWN, Shares};

const BOTH: [Security; 2] = [SemiHonest, Malicious];

fn words(n: usize, seed: u64) -> Vec<u64> {
    let mut random = Random(seed);
    (0..n).map(|_| random.word()).collect()
}

#[test]
fn products_are_products() {
    let (x, y) = (words(130, 1), words(130, 2));
    for security in BOTH {
        let trial = run(security, |party| {
            let (x, y) = (share(party.party(), &x), share(party.party(), &y));
            let products = party.products("test", &x, &y, 64)?;
            party.replicate(products)
        });
        let expected: Vec<u64> = x.iter().zip(&y).map(|(x, y)| x.wrapping_mul(*y)).collect();
        assert_eq!(join(&trial.results), expected);
        assert!(trial.traffic[1].bytes.iter().sum::<u64>() >= 8 * 130);
    }
}

#[test]
fn inner_products_have_one_element_a_sum() {
    let (x, y) = (words(60, 3), words(60, 4));
    let trial = run(Malicious, |party| {
        let (x, y) = (share(party.party(), &x), share(party.party(), &y));
        let products = party.inner_products("test", &x, &y, 20, 64)?;
        party.replicate(products)
    });
    let sum = |at: usize| (0..20).fold(0_u64, |sum, k| sum.wrapping_add(x[at * 20 + k].wrapping_mul(y[at * 20 + k])));
    assert_eq!(join(&trial.results), (0..3).map(sum).collect::<Vec<_>>());
}

#[test]
fn bits_become_numbers_of_any_ring() {
    let bits = words(3, 5);
    for k in [64, 17, 1] {
        let trial = run(Malicious, |party| {
            let planes = share_bits(party.party(), &bits);
            let numbers = party.to_numbers(&[Conversion { planes: &planes, n: 100, bits: k }])?;
            Ok(numbers.into_iter().next().unwrap_or_default())
        });
        // Three words are one plane of 192 values, of which the first hundred count.
        let expected: Vec<u64> = (0..100).map(|at| bits[at / 64] >> (at % 64) & 1).collect();
        let modulus = if k == 64 { u64::MAX } else { (1 << k) - 1 };
        assert_eq!(join(&trial.results).iter().map(|value| value & modulus).collect::<Vec<_>>(), expected, "k = {k}");
    }
}

/// One plane of these words.
fn share_bits(party: crate::party::PartyId, plane: &[u64]) -> BitShares {
    let mut random = Random(77);
    let parts: Vec<[u64; 3]> = plane
        .iter()
        .map(|word| {
            let (a, b) = (random.word(), random.word());
            [a, b, word ^ a ^ b]
        })
        .collect();
    let component = |at: usize| parts.iter().map(|part| part[at]).collect();
    BitShares { words: plane.len(), parts: [component(party.index()), component(party.next().index())] }
}

#[test]
fn random_numbers_have_the_bits_that_they_say() {
    for bits in [64, 33, 8, 3] {
        let trial = run(Malicious, |party| {
            let eda = party.eda_bits(200, bits)?;
            Ok((eda.mask.shares, eda.bits))
        });
        let [first, second, third] = trial.results;
        let modulus = u64::MAX >> (64 - bits);
        let numbers: Vec<u64> = join(&[first.0, second.0, third.0]).iter().map(|value| value & modulus).collect();
        assert_eq!(numbers, join_bits(&[first.1, second.1, third.1], 200), "{bits} bits");
    }
}

#[test]
fn masks_for_truncation_are_consistent() {
    for (bits, shift) in [(64, 16), (64, 1), (40, 13), (8, 3)] {
        let trial = run(Malicious, |party| {
            let masks = party.truncation_masks(300, bits, shift)?;
            Ok([masks.mask.shares, masks.high, masks.top])
        });
        let of = |at: usize| join(&[0, 1, 2].map(|party: usize| trial.results[party][at].clone()));
        let modulus = u64::MAX >> (64 - bits);
        let r: Vec<u64> = of(0).iter().map(|r| r & modulus).collect();
        assert_eq!(of(1), r.iter().map(|r| r >> shift).collect::<Vec<_>>(), "{bits} bits, {shift} off: high");
        let top = |r: &u64| (r >> (bits - 1)) << (bits - shift);
        assert_eq!(of(2), r.iter().map(top).collect::<Vec<_>>(), "{bits} bits, {shift} off: top");
    }
}

#[test]
fn truncation_is_off_by_less_than_one_at_the_edges_and_everywhere_in_eight_bits() {
    // |x| < 2^(k-2).
    let all_of_eight: Vec<u64> = (-64..64_i64).map(|x| x as u64).collect();
    let edge = 1_i64 << 62;
    let edges: Vec<u64> =
        [-edge, 1 - edge, -(1 << 16) - 1, -(1 << 16), -1, 0, 1, 65535, 65536, edge - 1].map(|x| x as u64).to_vec();
    for (bits, shift, values) in [(8, 3, &all_of_eight), (64, 16, &edges)] {
        for security in BOTH {
            let trial = run(security, |party| {
                let x = share(party.party(), values);
                party.truncate(&x, bits, shift)
            });
            for (x, y) in values.iter().zip(join(&trial.results)) {
                let difference = (y as i64) as f64 - (*x as i64) as f64 / f64::from(1 << shift);
                assert!(difference.abs() < 1.0, "{security:?}, {bits} bits: {} became {}", *x as i64, y as i64);
            }
        }
    }
}

/// As large as numbers become between norms, and as large as they may become: among so many, what fails where components
/// wrap would show.
#[test]
fn truncation_of_many_large_numbers_never_fails() {
    let x: Vec<u64> = words(1 << 14, 15).iter().map(|word| ((*word as i64) >> 1) as u64).collect();
    for (bits, shift) in [(64, 36), (64, 16), (58, 30), (40, 16)] {
        let x: Vec<u64> = x.iter().map(|x| (*x as i64 >> (65 - bits)) as u64).collect();
        for security in BOTH {
            let trial = run(security, |party| {
                let x = share(party.party(), &x);
                let ones = Shares::public(party.party(), &vec![1; x.len()]);
                let products = party.products("test", &x, &ones, bits)?;
                Ok([party.truncate_products(products, shift)?, party.truncate(&x, bits, shift)?])
            });
            for at in 0..2 {
                let truncated = join(&trial.results.each_ref().map(|both| both[at].clone()));
                for (x, y) in x.iter().zip(truncated) {
                    let floor = (*x as i64) >> shift;
                    let more = (y as i64).wrapping_sub(floor);
                    assert!((0..=1).contains(&more), "{security:?}, {bits} bits: {} became {y}", *x as i64);
                }
            }
        }
    }
}

#[test]
fn truncation_has_no_bias() {
    let n = 1 << 20;
    let values: Vec<u64> = words(n, 9).iter().map(|word| word >> 24).collect();
    for security in BOTH {
        let trial = run(security, |party| {
            let x = share(party.party(), &values);
            party.truncate(&x, 64, 16)
        });
        let errors = join(&trial.results).into_iter().zip(&values).map(|(y, x)| y as f64 - *x as f64 / 65536.0);
        let (sum, squares) = errors.fold((0.0, 0.0), |(sum, squares), error| (sum + error, squares + error * error));
        let (mean, deviation) = (sum / n as f64, (squares / n as f64).sqrt());
        assert!(mean.abs() < 3.0 * deviation / (n as f64).sqrt(), "{security:?}: {mean}, deviation {deviation}");
    }
}

#[test]
fn signs_are_right_everywhere_in_eight_bits_and_at_the_edges() {
    let all: Vec<u64> = (-128..128_i64).map(|x| x as u64).collect();
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX].map(|x| x as u64).to_vec();
    for (bits, values) in [(8, &all), (64, &edges)] {
        let trial = run(Malicious, |party| {
            let x = share(party.party(), values);
            let plane = party.is_negative(&x, bits)?;
            let numbers = party.plane_to_numbers(&plane, values.len())?;
            Ok((plane, numbers))
        });
        let expected: Vec<u64> = values.iter().map(|x| x >> 63).collect();
        let [first, second, third] = trial.results;
        assert_eq!(join_bits(&[first.0, second.0, third.0], values.len()), expected, "{bits} bits");
        assert_eq!(join(&[first.1, second.1, third.1]), expected, "{bits} bits, as numbers");
    }
}

#[test]
fn silu_is_looked_up() {
    let table = Table::of(|x| x / (1.0 + (-x).exp()), -(32 << 16), 22, 7, 16);
    // The last cell, from 31.5 on, is no part of the domain.
    let x: Vec<u64> = (0..2000).map(|at| ((-32.0 + at as f64 * 0.0317) * 65536.0) as i64 as u64).collect();
    let trial = run(Malicious, |party| {
        let x = share(party.party(), &x);
        party.look_up(&x, &table)
    });
    let mut worst = 0.0_f64;
    for (x, y) in x.iter().zip(join(&trial.results)) {
        let x = (*x as i64) as f64 / 65536.0;
        worst = worst.max(((y as i64) as f64 / 65536.0 - x / (1.0 + (-x).exp())).abs());
    }
    assert!(worst < 3.0e-4, "largest error {worst}");
}

#[test]
fn what_was_prepared_is_what_is_used() {
    let values = words(70, 11).iter().map(|word| word >> 20).collect::<Vec<_>>();
    let trial = run(Malicious, |party| {
        let x = share(party.party(), &values);
        let first = party.truncate(&x, 64, 16)?;
        let requests = std::mem::take(&mut party.supply.requests);
        party.prepare(&requests)?;
        let second = party.truncate(&x, 64, 16)?;
        Ok([first, second])
    });
    for at in 0..2 {
        let joined = join(&[0, 1, 2].map(|party: usize| trial.results[party][at].clone()));
        for (x, y) in values.iter().zip(joined) {
            assert!((y as f64 - *x as f64 / 65536.0).abs() < 1.0);
        }
    }
}

#[test]
fn planes_and_shares_have_their_shapes() {
    let planes = to_planes(&[1, 2, 3], 2);
    assert_eq!(planes, [0b101, 0b110]);
    assert_eq!(Shares::zeros(3).parts[OWN].len() + Shares::zeros(3).parts[NEXT].len(), 6);
}

fn fixed(value: f64) -> u64 {
    (value * 65536.0).round() as i64 as u64
}

fn real(value: u64, fraction: u32) -> f64 {
    (value as i64) as f64 / f64::from(fraction).exp2()
}

#[test]
fn the_largest_are_found_and_equal_ones_in_their_order() {
    let rows = [[3.0, 1.0, 3.0, -2.0, 7.5], [0.0; 5], [-1.0, -2.0, -3.0, -4.0, -0.5], [5.0, 4.0, 3.0, 2.0, 1.0]];
    let x: Vec<u64> = rows.iter().flatten().map(|value| fixed(*value)).collect();
    let trial = run(Malicious, |party| {
        let x = share(party.party(), &x);
        party.largest(&x, 5, 2, 24)
    });
    let one_hot = |places: [usize; 4]| {
        places.iter().flat_map(|place| (0..5).map(move |at| u64::from(at == *place))).collect::<Vec<_>>()
    };
    assert_eq!(join(&trial.results), [one_hot([4, 0, 4, 0]), one_hot([0, 1, 0, 1])].concat());
}

#[test]
fn the_maximum_of_many_goes_over_groups() {
    let x: Vec<u64> = words(300, 21).iter().map(|word| ((*word as i64) >> 44) as u64).collect();
    let trial = run(Malicious, |party| {
        let x = share(party.party(), &x);
        party.maximum(&x, 100, 24)
    });
    let expected: Vec<u64> = x.chunks(100).map(|row| row.iter().map(|x| *x as i64).max().unwrap_or(0) as u64).collect();
    assert_eq!(join(&trial.results), expected);
}

#[test]
fn softmax_is_within_a_thousandth() {
    let mut random = Random(31);
    let x: Vec<f64> = (0..8 * 33).map(|_| (random.word() >> 40) as f64 / f64::from(1 << 24) * 24.0 - 12.0).collect();
    let attended: Vec<bool> = (0..x.len()).map(|at| at % 33 <= 4 * (at / 33)).collect();
    let shared: Vec<u64> = x.iter().map(|value| fixed(*value)).collect();
    for security in BOTH {
        let trial = run(security, |party| {
            let x = share(party.party(), &shared);
            party.softmax(&x, 33, &attended)
        });
        let got = join(&trial.results);
        for row in 0..8 {
            let range = row * 33..(row + 1) * 33;
            let exponentials: Vec<f64> = range.clone().map(|at| if attended[at] { x[at].exp() } else { 0.0 }).collect();
            let sum: f64 = exponentials.iter().sum();
            for (at, expected) in range.zip(exponentials) {
                let difference = real(got[at], 16) - expected / sum;
                assert!(difference.abs() < 3e-4, "{security:?}, row {row}: off by {difference}");
            }
        }
    }
}

#[test]
fn reciprocal_roots_are_right_over_nine_orders_of_magnitude() {
    let x: Vec<f64> = (0..200).map(|at| 10.0_f64.powf(-3.6 + at as f64 * 0.042)).collect();
    let shared: Vec<u64> = x.iter().map(|value| (value * 4_294_967_296.0) as u64).collect();
    let trial = run(Malicious, |party| {
        let x = share(party.party(), &shared);
        party.reciprocal_root(&x, 11.3)
    });
    for (x, y) in x.iter().zip(join(&trial.results)) {
        let expected = 11.3 / x.sqrt();
        let difference = (real(y, 20) / expected - 1.0).abs();
        assert!(difference < 2e-4, "1/√{x}: {} in the place of {expected}", real(y, 20));
    }
}

#[test]
fn what_is_proved_is_opened_to_all() {
    let x: Vec<u64> = (0..40).map(|at| fixed(f64::from(at) / 4.0 - 5.0)).collect();
    let opened = prove(|party| {
        let x = share(party.party(), &x);
        let activated = party.silu(&x)?;
        let shape = Shape { rows: 4, inner: 10, columns: 4 };
        let products = party.matrix_products("square", &activated, &activated, &[shape])?;
        party.truncate_products(products, 16)
    });
    let activated: Vec<f64> = x.iter().map(|x| real(*x, 16)).map(|x| x / (1.0 + (-x).exp())).collect();
    for result in opened {
        let got = result.unwrap();
        for (row, column) in (0..4).flat_map(|row| (0..4).map(move |column| (row, column))) {
            let expected: f64 = (0..10).map(|k| activated[row * 10 + k] * activated[k * 4 + column]).sum();
            assert!((real(got[row * 4 + column], 16) - expected).abs() < 1e-2, "row {row}, column {column}");
        }
    }
}
