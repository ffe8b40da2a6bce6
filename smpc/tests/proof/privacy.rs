//! What a verifier sees is uniform, whatever the witness: it could have drawn it alone.

use crate::deal::{Statement, Words, deal};
use crate::runner::run;

/// Bytes of a ring element, and of one of the field.
const ELEMENTS: [usize; 2] = [512, 8];

/// Of all that party 1 receives in many proofs: the prover's messages, and the elements that the verifiers open. The
/// parts of the target that come with them are not looked at: they follow from all the rest.
fn received(words: &mut Words) -> Vec<Vec<u8>> {
    let statement = Statement { ring: vec![2; 40], bits: vec![2; 70], matrices: vec![[2, 20, 2]] };
    let tapes = deal(&statement, words);
    let mut streams = vec![Vec::new(); 4];
    for seed in 0..200 {
        let outcomes = run(&tapes, [None, None, None], seed);
        for (from, message) in &outcomes[1].received {
            match message.name {
                "proof fold" => streams[0].extend_from_slice(&message.body),
                "proof end" => {
                    let side = if from.index() == 0 { 1 } else { 2 };
                    streams[side].extend_from_slice(&message.body[..ELEMENTS[0]]);
                    streams[3].extend_from_slice(&message.body[2 * ELEMENTS[0]..][..ELEMENTS[1]]);
                }
                _ => {}
            }
        }
    }
    streams
}

/// Pearson's statistic of the bytes, with 255 degrees of freedom: mean 255, deviation 22.6.
fn chi_square(bytes: &[u8]) -> f64 {
    let mut counts = [0.0; 256];
    bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1.0);
    let expected = bytes.len() as f64 / 256.0;
    counts.iter().map(|count| (count - expected) * (count - expected) / expected).sum()
}

#[test]
fn what_a_verifier_receives_is_uniform_whatever_the_witness() {
    for mut words in [Words::zeros(), Words::new(5)] {
        for (stream, bytes) in received(&mut words).into_iter().enumerate() {
            assert!(bytes.len() > 256 * 8, "stream {stream} has {} bytes", bytes.len());
            let statistic = chi_square(&bytes);
            assert!(statistic < 255.0 + 6.0 * 22.6, "stream {stream}: {statistic}");
        }
    }
}

/// The same seeds and another witness: if the masks did not hide it, differences would show at once.
#[test]
fn no_seed_or_hash_depends_on_the_witness() {
    let statement = Statement { ring: vec![2; 5], ..Statement::default() };
    let views = [Words::zeros(), Words::new(5)].map(|mut words| {
        let [_, outcome, _] = run(&deal(&statement, &mut words), [None, None, None], 9);
        outcome.received
    });
    let [zeros, random] = views;
    assert_eq!(zeros.len(), random.len());
    for ((from, a), (other, b)) in zeros.iter().zip(&random) {
        assert!(from == other && a.name == b.name && a.body.len() == b.body.len());
        if matches!(a.name, "proof seed" | "proof challenge") {
            assert!(a.body == b.body);
        }
    }
}
