//! Three honest parties: what holds is proved, whatever its size.

use neuro_smpc::proof::ProofError;
use proptest::prelude::*;

use crate::deal::{Statement, Words, deal};
use crate::runner::run;

fn check(statement: &Statement, seed: u64) {
    let tapes = deal(statement, &mut Words::new(seed));
    let outcomes = run(&tapes, [None, None, None], seed);
    let costs = outcomes.map(|outcome| outcome.result.unwrap());
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{statement:?}");
}

fn statement() -> impl Strategy<Value = Statement> {
    let lengths = || prop::collection::vec(prop_oneof![Just(2usize), 0usize..5, 0usize..300], 0..100);
    let matrices = prop::collection::vec(prop::array::uniform3(0usize..80), 0..3);
    (lengths(), lengths(), matrices).prop_map(|(ring, bits, matrices)| Statement { ring, bits, matrices })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn honest_tapes_are_proved(statement in statement(), seed: u64) {
        check(&statement, seed);
    }
}

#[test]
fn the_edges_of_sizes_are_proved() {
    for n in [0, 1, 2, 31, 32, 33, 63, 64, 65, 1000] {
        check(&Statement { ring: vec![n], ..Statement::default() }, 1);
        check(&Statement { bits: vec![n], ..Statement::default() }, 2);
        check(&Statement { ring: vec![2; n], bits: vec![1; n], ..Statement::default() }, 3);
        check(&Statement { matrices: vec![[n.min(65), 3, 1]], ..Statement::default() }, 4);
    }
}

#[test]
fn a_long_relation_among_short_ones_is_proved() {
    let lengths: Vec<_> = (0..300).map(|i| if i % 7 == 3 { 5000 } else { i % 3 }).collect();
    check(&Statement { ring: lengths.clone(), bits: lengths, matrices: vec![[5, 200, 7]] }, 5);
}

/// All bytes of all messages of one proof: they change with the specification only.
#[test]
fn the_transcript_is_the_specified_one() {
    let statement = Statement { ring: vec![2, 3, 70, 0, 1], bits: vec![1; 66], matrices: vec![[3, 4, 5]] };
    let tapes = deal(&statement, &mut Words::new(6));
    let mut hasher = blake3::Hasher::new();
    for outcome in run(&tapes, [None, None, None], 6) {
        for (from, message) in &outcome.received {
            hasher.update(&[from.index() as u8]).update(message.name.as_bytes()).update(&message.body);
        }
    }
    assert_eq!(hasher.finalize().to_hex()[..32], *"83b37618a32dee45d8646cad584879ac");
}

#[test]
fn without_relations_nothing_is_sent() {
    let tapes = deal(&Statement::default(), &mut Words::new(1));
    for outcome in run(&tapes, [None, None, None], 1) {
        assert_eq!(outcome.result.unwrap(), Default::default());
        assert!(outcome.received.is_empty());
    }
}

/// What is wrong with a party's own tapes is an error before anything is sent.
#[test]
fn lengths_that_do_not_fit_are_errors() {
    let statement = Statement { ring: vec![2; 5], bits: vec![3; 4], matrices: vec![[2, 3, 4]] };
    let mends: [fn(&mut neuro_smpc::tape::Tapes); 8] = [
        |tapes| tapes.ring.proving.left.push(0),
        |tapes| tapes.ring.proving.right.push(0),
        |tapes| tapes.ring.left.target.push(0),
        |tapes| tapes.bits.right.known.push(0),
        |tapes| tapes.bits.left.ends.push(3),
        |tapes| tapes.matrices[0].x[1].push(0),
        |tapes| tapes.matrices[0].zero.truncate(1),
        |tapes| tapes.matrices[0].inner = usize::MAX,
    ];
    for mend in mends {
        let mut tapes = deal(&statement, &mut Words::new(3));
        mend(&mut tapes[1]);
        let outcomes = run(&tapes, [None, None, None], 3);
        assert!(matches!(outcomes[1].result, Err(ProofError::Tape { .. })), "{:?}", outcomes[1].result);
        assert!(outcomes[0].result.is_err() && outcomes[2].result.is_err());
    }
}
