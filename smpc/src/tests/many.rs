//! What is done otherwise for many values than for few, and otherwise when all are honest.

use super::adversary::seeds;
use super::{Random, join, join_bits, run, share};
use crate::computation::Computation;
use crate::computation::Security::{Malicious, SemiHonest};
use crate::error::SmpcError;
use crate::lookup::Table;
use crate::memory::{NetworkModel, network, run_over};
use crate::share::Shares;
use crate::workload;

/// More than what is compared under masks.
const MANY: usize = 5000;

#[test]
fn signs_of_many_are_right_in_any_ring() {
    let mut random = Random(41);
    for bits in [2, 3, 8, 37, 64] {
        let values: Vec<u64> = (0..MANY).map(|_| ((random.word() as i64) >> (64 - bits)) as u64).collect();
        let expected: Vec<u64> = values.iter().map(|x| x >> 63).collect();
        for security in [SemiHonest, Malicious] {
            let trial = run(security, |party| {
                let plane = party.is_negative(&share(party.party(), &values), bits)?;
                let numbers = party.plane_to_numbers(&plane, MANY)?;
                Ok((plane, numbers))
            });
            let [first, second, third] = trial.results;
            assert_eq!(join_bits(&[first.0, second.0, third.0], MANY), expected, "{bits} bits");
            assert_eq!(join(&[first.1, second.1, third.1]), expected, "{bits} bits, as numbers");
        }
    }
}

#[test]
fn every_place_of_a_small_table_is_read() {
    // All of [-8, 8) at four fraction bits, but for the last cell.
    for (cell_bits, last) in [(3, 224), (4, 240), (7, 254)] {
        let table = Table::of(|x| x * x / 4.0 - x, -128, 8, cell_bits, 4);
        let x: Vec<u64> = (-128..last - 128).map(|x: i64| x as u64).collect();
        for security in [SemiHonest, Malicious] {
            let trial = run(security, |party| party.look_up(&share(party.party(), &x), &table));
            for (x, y) in x.iter().zip(join(&trial.results)) {
                let x = (*x as i64) as f64 / 16.0;
                let difference = (y as i64) as f64 / 16.0 - (x * x / 4.0 - x);
                assert!(difference.abs() <= 3.5 / 16.0, "{security:?}, {cell_bits}: {x} is off by {difference}");
            }
        }
    }
}

#[test]
fn truncation_to_a_smaller_ring_is_off_by_less_than_two_and_right_in_the_mean() {
    // Where all are honest two numbers are rounded, so it may be off by one whole; under a mask, four.
    let is_near = |security, off: f64| if security == SemiHonest { off <= 1.0 } else { off < 2.0 };
    let mut random = Random(47);
    for (bits, shift) in [(8, 1), (8, 3), (40, 13), (64, 16)] {
        let x: Vec<u64> = (0..300).map(|_| ((random.word() as i64) >> (64 - bits)) as u64).collect();
        for security in [SemiHonest, Malicious] {
            let trial = run(security, |party| {
                let ones = Shares::public(party.party(), &[1; 300]);
                let products = party.products("test", &share(party.party(), &x), &ones, bits)?;
                party.truncate_narrow(products, shift)
            });
            let ring = 64 - (bits - shift);
            let parts = trial.results.each_ref().map(|shares| &shares.parts[0]);
            let mut total = 0.0;
            for (at, x) in x.iter().enumerate() {
                let sum = parts.iter().fold(0_u64, |sum, part| sum.wrapping_add(part[at]));
                // On the circle of 2^(k-m), so that what is rounded up from the highest number is the lowest.
                let difference =
                    (sum << ring) as i64 as f64 / f64::from(ring).exp2() - (*x as i64) as f64 / f64::from(shift).exp2();
                let circle = f64::from(bits - shift).exp2();
                let difference = difference - (difference / circle).round() * circle;
                total += difference;
                assert!(
                    is_near(security, difference.abs()),
                    "{security:?}, {bits} bits, {shift} off: {x} is off by {difference}"
                );
            }
            // Under a mask, 0.58 / √300 is one standard deviation.
            assert!(total.abs() / 300.0 < 0.17, "{security:?}, {bits} bits, {shift} off: {total} in all");
        }
    }
}

#[test]
fn silu_takes_few_bytes_when_all_are_honest() {
    let x: Vec<u64> = (0..1024_u64).map(|at| (at << 11).wrapping_sub(1 << 20)).collect();
    let trial = run(SemiHonest, |party| party.silu(&share(party.party(), &x)));
    for (x, y) in x.iter().zip(join(&trial.results)) {
        let x = (*x as i64) as f64 / 65536.0;
        assert!(((y as i64) as f64 / 65536.0 - x / (1.0 + (-x).exp())).abs() < 3e-4);
    }
    let bytes: u64 = trial.traffic.iter().flat_map(|traffic| traffic.bytes).sum();
    assert!(bytes <= 300 * 1024, "{bytes} bytes");
}

#[test]
fn the_best_two_of_eight_take_few_rounds() {
    let mut random = Random(43);
    let x: Vec<u64> = (0..128 * 8).map(|_| ((random.word() as i64) >> 44) as u64).collect();
    let trial = run(Malicious, |party| party.largest(&share(party.party(), &x), 8, 2, 24));
    assert_eq!(join(&trial.results).iter().sum::<u64>(), 2 * 128);
    let rounds = trial.traffic.map(|traffic| traffic.rounds);
    assert!(rounds.iter().all(|rounds| *rounds <= 20), "{rounds:?}");
}

/// x^32, where a proof begins once `tape_words` wait for it. Rounds, what still waits at the end, and the result.
fn high_power(x: &[u64], tape_words: usize) -> [(u64, usize, Vec<u64>); 3] {
    let ran = run_over(network(NetworkModel::INSTANT), |party, link| {
        let mut computation = Computation::new(party, link, seeds(party, 0), Malicious);
        computation.tape_words = tape_words;
        let mut power = share(party, x);
        for _ in 0..5 {
            let products = computation.products("square", &power, &power, 64)?;
            power = computation.replicate(products)?;
        }
        let waiting = computation.tapes.words();
        Ok::<_, SmpcError>((waiting, computation.verify()?.open(&power)?))
    });
    ran.map(|(result, traffic)| {
        let (waiting, opened) = result.unwrap();
        (traffic.rounds, waiting, opened)
    })
}

#[test]
fn what_is_much_is_proved_on_the_way_in_the_rounds_of_the_program() {
    let x: Vec<u64> = (0..2_000).collect();
    let [on_the_way, at_the_end] = [1 << 12, usize::MAX].map(|tape_words| high_power(&x, tape_words));
    for ((rounds, waiting, result), (rounds_of_one, _, _)) in on_the_way.iter().zip(&at_the_end) {
        assert_eq!(*waiting, 0, "all was proved or is on the way");
        assert!(rounds <= rounds_of_one, "five proofs take {rounds} rounds, one {rounds_of_one}");
        assert!(result.iter().zip(&x).all(|(y, x)| *y == x.wrapping_pow(32)));
    }
}

#[test]
fn a_calculation_is_measured_and_right() {
    let norm = workload::all().into_iter().find(|workload| workload.name == "rmsnorm").unwrap();
    for security in [SemiHonest, Malicious] {
        let measured = norm.measure(security, NetworkModel::FAR).unwrap();
        assert!(measured.error < 1e-3, "{measured:?}");
        // Each round takes 25 ms at least.
        assert!(measured.virtual_seconds > 25e-3 * measured.rounds as f64 && measured.bytes > 0, "{measured:?}");
    }
}
