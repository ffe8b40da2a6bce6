//! All of 16 bits through every gadget that has so small a ring, and encodings at which gadgets go wrong: 0, -1, 2^63,
//! 2^63 - 1, and what lies just beside an integer.
//!
//! Outside of these ranges a result is of no meaning, and none is tested: `truncate` and `truncate_products` take
//! |x| < 2^(k-2), `truncate_narrow` and signs all of k bits, comparisons differences of all of k bits, a lookup its domain
//! but for the last cell, exponentials rows that differ by less than 63, roots sums of squares from 2^-12 to below 2^24.

use super::adversary::for_each;
use super::{Party, join, join_bits, run, share};
use crate::computation::Security::{self, Malicious, SemiHonest};
use crate::conversion::Conversion;
use crate::error::SmpcError;
use crate::lookup::curve::Cells;
use crate::lookup::{Curve, Table};
use crate::ring::Shape;
use crate::share::{BitShares, Shares};

/// Every integer of 16 bits.
fn all_of_sixteen() -> Vec<u64> {
    (-(1 << 15)..1 << 15).map(|x: i64| x as u64).collect()
}

/// What the parties have together of one gadget on `values`.
fn joined(
    security: Security,
    values: &[u64],
    gadget: impl Fn(&mut Party<'_>, &Shares) -> Result<Shares, SmpcError> + Sync,
) -> Vec<u64> {
    join(&run(security, |party| gadget(party, &share(party.party(), values))).results)
}

/// How far y is from x / 2^m.
fn off(x: u64, y: u64, shift: u32) -> f64 {
    (y as i64) as f64 - (x as i64) as f64 / f64::from(shift).exp2()
}

#[test]
fn every_number_of_sixteen_bits_is_truncated() {
    let values: Vec<u64> = (-(1 << 14)..1 << 14).map(|x: i64| x as u64).collect();
    for_each(14, |at| {
        let shift = at as u32 + 1;
        let ones = vec![1; values.len()];
        for security in [SemiHonest, Malicious] {
            let masked = joined(security, &values, |party, x| party.truncate(x, 16, shift));
            let products = joined(security, &values, |party, x| {
                let products = party.products("test", x, &Shares::public(party.party(), &ones), 16)?;
                party.truncate_products(products, shift)
            });
            for (x, y) in values.iter().zip(masked).chain(values.iter().zip(products)) {
                assert!(off(*x, y, shift).abs() < 1.0, "{security:?}: {} without {shift} bits is {y}", *x as i64);
            }
        }
    });
}

/// 2^15 pairs of a number in range and a mask of 8 bits, each drawn eight times on average.
#[test]
fn numbers_of_eight_bits_are_truncated_without_bias_under_all_masks() {
    let values: Vec<u64> = (0..1 << 18).map(|at: i64| (at % 128 - 64) as u64).collect();
    for security in [SemiHonest, Malicious] {
        let truncated = joined(security, &values, |party, x| party.truncate(x, 8, 3));
        let mut seen = [[0_u32; 2]; 128];
        for (x, y) in values.iter().zip(truncated) {
            assert!(off(*x, y, 3).abs() < 1.0, "{security:?}: {} became {}", *x as i64, y as i64);
            seen[(*x as i64 + 64) as usize][usize::from(off(*x, y, 3) > 0.0)] += 1;
        }
        for (x, [down, up]) in (-64..).zip(seen) {
            // Rounded up as often as the part that is cut off is large: 2^11 draws, within six deviations.
            let (expected, draws) = (f64::from(i32::rem_euclid(x, 8)) / 8.0, f64::from(down + up));
            let deviation = (expected * (1.0 - expected) / draws).sqrt();
            let is_fair = (f64::from(up) / draws - expected).abs() <= 6.0 * deviation;
            assert!(is_fair, "{security:?}, {x}: {up} of {draws} up");
        }
    }
}

#[test]
fn every_number_of_sixteen_bits_is_truncated_to_a_smaller_ring() {
    let values = all_of_sixteen();
    for_each(15, |at| {
        let shift = at as u32 + 1;
        for security in [SemiHonest, Malicious] {
            let narrow = joined(security, &values, |party, x| {
                let ones = Shares::public(party.party(), &vec![1; x.len()]);
                let products = party.products("test", x, &ones, 16)?;
                // What is above 16 - m bits is of no meaning.
                Ok(party.truncate_narrow(products, shift)?.times(1 << (48 + shift)))
            });
            for (x, y) in values.iter().zip(narrow) {
                // On the circle: what is rounded up from the highest number is the lowest.
                let difference = off(*x, ((y as i64) >> (48 + shift)) as u64, shift).abs();
                let around = difference.min(f64::from(16 - shift).exp2() - difference);
                assert!(around < 2.0, "{security:?}: {} without {shift} bits is off by {around}", *x as i64);
            }
        }
    });
}

#[test]
fn the_sign_of_every_number_of_sixteen_bits_is_right() {
    let values = all_of_sixteen();
    // Few are compared under masks, many are not.
    let mut chunks: Vec<&[u64]> = values.chunks(4096).collect();
    chunks.push(&values);
    for_each(chunks.len(), |at| {
        let values = chunks[at];
        let trial = run(Malicious, |party| {
            let plane = party.is_negative(&share(party.party(), values), 16)?;
            let numbers = party.plane_to_numbers(&plane, values.len())?;
            Ok((plane, numbers))
        });
        let expected: Vec<u64> = values.iter().map(|x| x >> 63).collect();
        let [first, second, third] = trial.results;
        assert_eq!(join_bits(&[first.0, second.0, third.0], values.len()), expected);
        assert_eq!(join(&[first.1, second.1, third.1]), expected);
    });
}

/// All pairs of numbers of seven bits: their difference has eight.
#[test]
fn every_pair_of_numbers_of_seven_bits_is_compared() {
    let pairs: Vec<[u64; 2]> =
        (-64..64_i64).flat_map(|one| (-64..64_i64).map(move |other| [one as u64, other as u64])).collect();
    let values: Vec<u64> = pairs.iter().flatten().copied().collect();
    let maxima = joined(Malicious, &values, |party, x| party.maximum(x, 2, 8));
    let chosen = joined(Malicious, &values, |party, x| party.largest(x, 2, 2, 8));
    for (at, [one, other]) in pairs.iter().enumerate() {
        let second_wins = u64::from(*other as i64 > *one as i64);
        assert_eq!(maxima[at] as i64, (*one as i64).max(*other as i64));
        let got = [chosen[2 * at], chosen[2 * at + 1]];
        assert_eq!(got, [1 - second_wins, second_wins], "{}, {}", *one as i64, *other as i64);
        let lower = values.len() + 2 * at;
        assert_eq!([chosen[lower], chosen[lower + 1]], [second_wins, 1 - second_wins]);
    }
}

#[test]
fn every_place_of_a_table_of_sixteen_bits_is_read() {
    // (-128, 128) at eight fraction bits, but for the last cell.
    let cases = [(3, Malicious), (8, Malicious), (3, SemiHonest), (8, SemiHonest)];
    for_each(cases.len(), |at| {
        let (cell_bits, security) = cases[at];
        // Its cubics have coefficients of eight fraction bits, so all that is off is off by rounding.
        let plain = |x: f64| x * x / 256.0 - x / 4.0;
        let table = Table::of(plain, -(1 << 15), 16, cell_bits, 8);
        let x: Vec<u64> = (-(1 << 15)..(1 << 15) - (1 << (16 - cell_bits))).map(|x: i64| x as u64).collect();
        let found = joined(security, &x, |party, x| party.look_up(x, &table));
        for (x, y) in x.iter().zip(found) {
            let x = (*x as i64) as f64 / 256.0;
            let difference = ((y as i64) as f64 / 256.0 - plain(x)).abs();
            // By the last truncation, less than one, and by what the powers' guard bits leave.
            assert!(difference < 2.0 / 256.0, "{cell_bits}, {security:?}: {x} is off by {difference}");
        }
    });
}

#[test]
fn every_number_of_sixteen_bits_is_compared_by_its_digits() {
    let values = all_of_sixteen();
    // |x - t| < 2^15.
    let sixteen: Vec<u64> = values.iter().map(|x| ((*x as i64) >> 1) as u64).collect();
    for (values, threshold) in [(&values, 0_u64), (&sixteen, 5), (&sixteen, 5_u64.wrapping_neg())] {
        let got = joined(Malicious, values, |party, x| {
            let mut masks = party.take_digits(x.len(), 16, 0)?;
            let mask = masks.take_mask();
            let opened = party.open_masked("test", x, mask)?;
            party.below(&opened, &masks, &[threshold])
        });
        let below = |x: &u64| u64::from((*x as i64) < threshold as i64);
        assert!(values.iter().map(below).eq(got), "threshold {}", threshold as i64);
    }
}

#[test]
fn every_place_of_a_curve_of_sixteen_bits_is_read() {
    // [-128, 128) at eight fraction bits, but for the last cell.
    for bits in [3, 6] {
        let plain = |x: f64| x * x / 256.0 - x / 4.0;
        let curve = Curve::of(plain, Cells { low: -128, width_log: 8 - bits as i32, bits, fraction: 8 }, 8);
        let x: Vec<u64> = (-(1 << 15)..(1 << 15) - (1 << (16 - bits))).map(|x: i64| x as u64).collect();
        let found = joined(Malicious, &x, |party, x| party.read_curve(&curve, x, 8));
        for (x, y) in x.iter().zip(found) {
            let x = (*x as i64) as f64 / 256.0;
            let difference = ((y as i64) as f64 / 256.0 - plain(x)).abs();
            assert!(difference < 1.01 / 256.0, "{bits} bits: {x} is off by {difference}");
        }
    }
}

/// At which encodings go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    u64::MAX,
    1 << 63,
    (1 << 63) - 1,
    (1 << 63) + 1,
    1 << 62,
    (1 << 62) - 1,
    // Just above and just below -5, and 5 - 2^-16.
    (5_u64 << 16).wrapping_neg() + 1,
    (5_u64 << 16).wrapping_neg() - 1,
    (5 << 16) - 1,
    0xAAAA_AAAA_AAAA_AAAA,
];

#[test]
fn products_of_edges_wrap() {
    let (x, y): (Vec<u64>, Vec<u64>) = EDGES.iter().flat_map(|x| EDGES.map(|y| (*x, y))).unzip();
    for security in [SemiHonest, Malicious] {
        let got = joined(security, &x, |party, x| {
            let products = party.products("test", x, &share(party.party(), &y), 64)?;
            party.replicate(products)
        });
        assert!(x.iter().zip(&y).zip(got).all(|((x, y), got)| x.wrapping_mul(*y) == got));
        let shape = Shape { rows: 12, inner: 12, columns: 12 };
        let got = joined(security, &x, |party, x| {
            let products = party.matrix_products("test", x, &share(party.party(), &y), &[shape])?;
            party.replicate(products)
        });
        assert!(got == crate::ring::multiply(shape, &x, &y));
    }
}

#[test]
fn bits_and_signs_of_edges_are_right() {
    let trial = run(Malicious, |party| {
        let x = share(party.party(), &EDGES);
        let zeros = BitShares::zeros(64, 1);
        // Every bit of every edge, as the parties would have them: x + 0 in a circuit is x again.
        let eda = party.eda_bits(EDGES.len(), 64)?;
        let opened = party.open_masked("test", &x, eda.mask)?;
        let signs = party.is_negative(&x, 64)?;
        let numbers = party.to_numbers(&[Conversion { planes: &signs, n: EDGES.len(), bits: 64 }])?;
        let masked = party.and("test", &eda.bits, &zeros)?;
        Ok((opened, numbers[0].clone(), eda.bits, masked))
    });
    let [first, second, third] = trial.results;
    let expected: Vec<u64> = EDGES.iter().map(|x| x >> 63).collect();
    assert_eq!(join(&[first.1, second.1, third.1]), expected);
    let masks = join_bits(&[first.2, second.2, third.2], EDGES.len());
    assert!(first.0.iter().zip(&masks).zip(EDGES).all(|((c, r), x)| c.wrapping_sub(*r) == x), "c - r is x");
    assert!(first.0 == second.0 && second.0 == third.0);
    assert_eq!(join_bits(&[first.3, second.3, third.3], EDGES.len()), vec![0; EDGES.len()]);
}

#[test]
fn edges_are_truncated() {
    // |x| < 2^62 for what stays over 64 bits.
    let inside: Vec<u64> = EDGES.into_iter().filter(|x| (*x as i64).unsigned_abs() < 1 << 62).collect();
    assert_eq!(inside.len(), 7);
    for security in [SemiHonest, Malicious] {
        for shift in [1, 16, 40, 61] {
            let got = joined(security, &inside, |party, x| party.truncate(x, 64, shift));
            assert!(inside.iter().zip(got).all(|(x, y)| off(*x, y, shift).abs() < 1.0), "{security:?}, {shift} bits");
        }
        let narrow = joined(security, &EDGES, |party, x| {
            let ones = Shares::public(party.party(), &[1; EDGES.len()]);
            let products = party.products("test", x, &ones, 64)?;
            Ok(party.truncate_narrow(products, 16)?.times(1 << 16))
        });
        for (x, y) in EDGES.iter().zip(narrow) {
            // Less than two units away, on the circle of 2^48.
            let more = y.wrapping_sub(x & !0xFFFF) as i64 >> 16;
            let highest = if x & 0xFFFF == 0 { 1 } else { 2 };
            assert!((-1..=highest).contains(&more), "{security:?}, {x:#x}: {more} more than its floor");
        }
    }
}

/// Largest of numbers whose differences just fit.
#[test]
fn numbers_far_apart_are_ordered() {
    let quarter = 1_u64 << 62;
    let rows = [
        [quarter.wrapping_neg(), quarter - 1, 0, u64::MAX],
        [quarter - 1, quarter.wrapping_neg(), u64::MAX, 0],
        [u64::MAX, u64::MAX, u64::MAX, u64::MAX],
        [0, u64::MAX, 1, u64::MAX - 1],
    ];
    let got = joined(Malicious, rows.as_flattened(), |party, x| party.maximum(x, 4, 64));
    assert_eq!(got, [quarter - 1, quarter - 1, u64::MAX, 1]);
}

/// Just below, at and just above every integer of a function's range.
fn beside_integers(range: std::ops::RangeInclusive<i64>) -> Vec<u64> {
    range.flat_map(|integer| [-1, 0, 1].map(|step| ((integer << 16) + step) as u64)).collect()
}

/// What is called so on shares, and the same on numbers.
type Function = (&'static str, fn(&mut Party<'_>, &Shares) -> Result<Shares, SmpcError>, fn(f64) -> f64);

#[test]
fn functions_are_right_beside_every_integer() {
    let cases: [Function; 2] = [
        ("silu", |party, x| party.silu(x), |x| x / (1.0 + (-x).exp())),
        ("logistic", |party, x| party.logistic(x), |x| 1.0 / (1.0 + (-x).exp())),
    ];
    let mut x = beside_integers(-31..=31);
    x.extend([-(32_i64 << 16), (31 << 16) + (1 << 15) - 1].map(|x| x as u64));
    for (name, function, plain) in cases {
        for security in [SemiHonest, Malicious] {
            for (x, y) in x.iter().zip(joined(security, &x, function)) {
                let x = (*x as i64) as f64 / 65536.0;
                let difference = ((y as i64) as f64 / 65536.0 - plain(x)).abs();
                assert!(difference < 3e-4, "{name}, {security:?}: {x} is off by {difference}");
            }
        }
    }
}

/// Rows of two: a number and the largest, which is up to 63 above it.
#[test]
fn softmax_is_right_where_scores_are_alike_and_where_they_are_far_apart() {
    let mut rows: Vec<[i64; 2]> = (0..63)
        .flat_map(|apart| [(apart << 16) + 1, apart << 16, (apart << 16) - 1])
        .map(|apart| [-apart, 0])
        .collect();
    rows.push([-(63 << 16) + 1, 0]);
    let values: Vec<u64> = rows.as_flattened().iter().map(|x| *x as u64).collect();
    let got = joined(Malicious, &values, |party, x| party.softmax(x, 2, &vec![true; x.len()]));
    for (row, got) in rows.iter().zip(got.chunks_exact(2)) {
        let exponentials = row.map(|x| (x as f64 / 65536.0).exp());
        for (got, e) in got.iter().zip(exponentials) {
            let difference = ((*got as i64) as f64 / 65536.0 - e / exponentials.iter().sum::<f64>()).abs();
            assert!(difference < 3e-4, "{row:?} is off by {difference}");
        }
    }
}

/// Powers of four, where the interval of a root changes, from the lowest sum of squares to the highest.
#[test]
fn roots_are_right_at_the_ends_of_every_interval() {
    let powers = (10..28).map(|power| 1_u64 << (2 * power));
    let x: Vec<u64> =
        powers.flat_map(|square| [square.max((1 << 20) + 1) - 1, square, square + 1]).chain([(1 << 56) - 1]).collect();
    for security in [SemiHonest, Malicious] {
        let got = joined(security, &x, |party, x| party.reciprocal_root(x, 1000.0));
        for (x, y) in x.iter().zip(got) {
            let expected = 1000.0 / (*x as f64 / 32.0_f64.exp2()).sqrt();
            let difference = (y as i64) as f64 / 20.0_f64.exp2() / expected - 1.0;
            assert!(difference.abs() < 2e-4, "{security:?}, 1/√{x}: off by {difference}");
        }
    }
}
