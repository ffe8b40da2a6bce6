//! Sizes that the specification names.

use neuro_secagg::fields::Statement;
use neuro_secagg::messages::{Announcement, MOST_ANNOUNCEMENT_BYTES, Message, Shape};

use crate::samples;

#[test]
fn statements_have_the_specified_bytes() {
    assert_eq!(samples::join(0).statement.to_bytes().len(), 162);
    assert_eq!(samples::shares().statement.statement.to_bytes().len(), 192);
    assert_eq!(samples::upload(0).statement.to_bytes().len(), 136);
}

#[test]
fn a_cohort_takes_192_bytes_a_row() {
    let mut cohort = samples::cohort();
    let three = Announcement::Cohort(cohort.clone()).unsigned().len();
    cohort.rows.pop();
    assert_eq!(three - Announcement::Cohort(cohort).unsigned().len(), 192);
}

/// Section 17: n = 100 on the complete graph.
#[test]
fn one_hundred_members_exchange_the_specified_bytes() {
    let shape = Shape { n: 100, k: 99, t: 89, q: 56, feldman: false };
    assert_eq!(shape.inbox_bytes(), 1 + 32 + 4 + 99 * 467 + 64);
    let mut shares = samples::shares();
    shares.leaves = vec![[samples::hash(1); 2]; 99];
    shares.boxes = vec![[2; 80]; 99];
    shares.feldman.clear();
    let bytes = Message::Shares(Box::new(shares.clone())).encode();
    assert_eq!(bytes.len(), 1 + 256 + 99 * (64 + 80));
    assert_eq!(Message::decode(&bytes, Some(&shape)), Ok(Message::Shares(Box::new(shares))));
}

#[test]
fn the_largest_inbox_and_cohort_fit_an_announcement() {
    let largest = Shape { n: 4096, k: 1600, t: 1000, q: 2500, feldman: false };
    assert!(largest.inbox_bytes() < MOST_ANNOUNCEMENT_BYTES, "{}", largest.inbox_bytes());
    let cohort = Announcement::Cohort(samples::cohort()).unsigned().len() + (4096 - 3) * 192 + 64;
    assert!(cohort < MOST_ANNOUNCEMENT_BYTES, "{cohort}");
    let feldman = Shape { n: 129, k: 128, t: 115, q: 70, feldman: true };
    assert!(feldman.inbox_bytes() < MOST_ANNOUNCEMENT_BYTES, "{}", feldman.inbox_bytes());
    assert!(Shape { feldman: true, ..largest }.inbox_bytes() > MOST_ANNOUNCEMENT_BYTES);
}
