//! The record is what anybody gets, and in every round the masked sum is the plain one.

use neuro_federated_digits::{Benchmark, record, strategies};

const RECORD: &str = include_str!("../record/curves.csv");
const ROUNDS: u32 = 2;

/// The fields of the record's rows about `name`.
fn rows_of(name: &str) -> Vec<Vec<&'static str>> {
    let rows = RECORD.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    rows.filter(|fields| fields[0] == name).collect()
}

#[test]
fn masked_sums_are_plain_sums_and_the_first_rounds_are_those_of_the_record() {
    let benchmark = Benchmark::new(1);
    for run in strategies::all() {
        // The run itself ends with an error at the first entry in which the two sums differ.
        let curve = benchmark.run(&run, ROUNDS).unwrap();
        let got: String = record::rows(&curve).collect();
        let recorded = RECORD.lines().filter(|line| line.starts_with(&format!("{},", run.name)));
        let expected: String = recorded.take(ROUNDS as usize + 1).map(|line| format!("{line}\n")).collect();
        assert_eq!(got, expected, "{}", run.name);
    }
}

#[test]
fn every_strategy_learns_and_noise_has_its_price() {
    for run in strategies::all() {
        let rows = rows_of(run.name);
        let last = rows.last().unwrap();
        let accuracy: f64 = last[3].parse().unwrap();
        let (least, epsilon) = if run.noise.is_some() { (0.75, true) } else { (0.93, false) };
        assert!(accuracy >= least, "{}: {accuracy}", run.name);
        assert_eq!(!last[4].is_empty(), epsilon, "{}", run.name);
    }
}
