//! One party lies: an honest one must notice.

use neuro_smpc::party::PartyId;
use neuro_smpc::proof::ProofError;
use neuro_smpc::tape::Tapes;

use crate::deal::{Statement, Words, deal};
use crate::network::Tamper;
use crate::runner::{STEP, run};

fn statement() -> Statement {
    Statement {
        ring: [vec![2; 120], vec![90, 1, 3]].concat(),
        bits: [vec![2; 100], vec![70]].concat(),
        matrices: vec![[3, 20, 5]],
    }
}

/// Party 0 proves something else than what parties 1 and 2 hold: both must reject.
fn check(name: &str, statement: &Statement, mut change: impl FnMut(&mut [Tapes; 3])) {
    let mut tapes = deal(statement, &mut Words::new(11));
    change(&mut tapes);
    let outcomes = run(&tapes, [None, None, None], 12);
    for verifier in [1, 2] {
        let [prover, other] = [0, 3 - verifier].map(|at| PartyId::ALL[at]);
        let rejected = ProofError::Rejected { step: STEP, prover, verifier: other };
        assert_eq!(outcomes[verifier].result, Err(rejected.clone()), "{name} at party {verifier}");
        for suspect in [prover, other] {
            assert!(rejected.to_string().contains(&format!("party {suspect}")), "{rejected}");
        }
    }
    assert!(outcomes[0].result.is_ok(), "the others' proofs hold");
}

/// Party 0 is right about nothing that was changed in what its verifiers know of it: party 2 is the left one, 1 the
/// right one.
#[test]
fn a_wrong_target_is_rejected() {
    for relation in [0, 1, 31, 32, 119, 120, 121, 122] {
        for error in [1, 1 << 17, 1 << 63] {
            let add = |target: &mut u64| *target = target.wrapping_add(error);
            check("ring, left", &statement(), |tapes| add(&mut tapes[2].ring.left.target[relation]));
            check("ring, right", &statement(), |tapes| add(&mut tapes[1].ring.right.target[relation]));
        }
    }
    for relation in [0, 63, 64, 99, 100] {
        for bit in [0, 31, 63] {
            check("bits, left", &statement(), |tapes| tapes[2].bits.left.target[relation] ^= 1 << bit);
            check("bits, right", &statement(), |tapes| tapes[1].bits.right.target[relation] ^= 1 << bit);
        }
    }
}

#[test]
fn a_wrong_term_is_rejected() {
    for term in [0, 1, 239, 240, 329, 333] {
        check("ring, left", &statement(), |tapes| tapes[2].ring.left.known[term] ^= 1 << 5);
        check("ring, right", &statement(), |tapes| tapes[1].ring.right.known[term] ^= 1 << 63);
        check("ring, proving", &statement(), |tapes| tapes[0].ring.proving.left[term] ^= 1);
    }
    for term in [0, 127, 199, 200, 269] {
        check("bits, left", &statement(), |tapes| tapes[2].bits.left.known[term] = !tapes[2].bits.left.known[term]);
        check("bits, right", &statement(), |tapes| tapes[1].bits.right.known[term] = !tapes[1].bits.right.known[term]);
        check("bits, proving", &statement(), |tapes| {
            tapes[0].bits.proving.right[term] = !tapes[0].bits.proving.right[term];
        });
    }
}

#[test]
fn a_wrong_entry_of_a_matrix_is_rejected() {
    for entry in 0..15 {
        for error in [1, 1 << 63] {
            let add = |word: &mut u64| *word = word.wrapping_add(error);
            check("product", &statement(), |tapes| add(&mut tapes[2].matrices[0].product[entry]));
            check("zero", &statement(), |tapes| add(&mut tapes[1].matrices[0].zero[entry]));
        }
    }
}

/// All errors are 2^63, so random weights from Z_2^64 alone would miss every second one.
#[test]
fn errors_of_the_highest_bit_everywhere_are_rejected() {
    check("ring", &statement(), |tapes| tapes[2].ring.left.target.iter_mut().for_each(|target| *target ^= 1 << 63));
    check("matrix", &statement(), |tapes| tapes[2].matrices[0].product.iter_mut().for_each(|entry| *entry ^= 1 << 63));
}

/// Errors that cancel in any sum with the same weights: of two relations, of two rows and columns of a matrix, of two
/// bits of a word and of two words.
#[test]
fn errors_that_cancel_are_rejected() {
    for (a, b) in [(0, 1), (0, 32), (5, 122), (120, 121)] {
        check("ring", &statement(), |tapes| {
            let target = &mut tapes[2].ring.left.target;
            target[a] = target[a].wrapping_add(77);
            target[b] = target[b].wrapping_sub(77);
        });
    }
    for (a, b) in [(0, 1), (0, 64), (3, 100)] {
        check("bits", &statement(), |tapes| {
            let target = &mut tapes[2].bits.left.target;
            target[a] ^= 3;
            target[b] ^= 3;
        });
    }
    check("matrix", &statement(), |tapes| {
        let product = &mut tapes[2].matrices[0].product;
        for (entry, error) in [(0, 9u64), (1, 9u64.wrapping_neg()), (5, 9u64.wrapping_neg()), (6, 9)] {
            product[entry] = product[entry].wrapping_add(error);
        }
    });
    check("ring and matrix", &statement(), |tapes| {
        tapes[2].ring.left.target[0] ^= 1 << 63;
        tapes[2].matrices[0].product[0] ^= 1 << 63;
    });
}

/// Messages that every party sends of a proof of `statement`, and their lengths.
fn messages(statement: &Statement) -> Vec<usize> {
    let tapes = deal(statement, &mut Words::new(11));
    let (sender, receiver) = std::sync::mpsc::channel();
    let record: Tamper = Box::new(move |_, _, message| sender.send(message.body.len()).unwrap());
    run(&tapes, [Some(record), None, None], 12);
    receiver.iter().collect()
}

/// One bit of each element of each message of party 0, as prover and as both verifiers, and one byte of each challenge.
#[test]
fn a_lie_in_any_message_is_noticed() {
    let statement = Statement { ring: vec![2; 40], bits: vec![2; 70], matrices: vec![[2, 20, 2]] };
    let tapes = deal(&statement, &mut Words::new(11));
    for (number, length) in messages(&statement).into_iter().enumerate() {
        // Every element of a ring has a byte at a multiple of 504, every one of the field at a multiple of 8; those of
        // the field, 126 at most, come last.
        let fields = length.saturating_sub(126 * 8);
        for at in (0..fields).step_by(504).chain((fields..length).step_by(8)) {
            let lie: Tamper = Box::new(move |sent, _, message| {
                if sent == number {
                    message.body[at] ^= 0x80;
                }
            });
            let outcomes = run(&tapes, [Some(lie), None, None], 12);
            assert!(outcomes[1..].iter().any(|o| o.result.is_err()), "message {number}, byte {at}");
        }
    }
}

#[test]
fn messages_of_other_lengths_and_steps_are_errors() {
    let statement = Statement { ring: vec![2; 3], bits: vec![2], matrices: Vec::new() };
    let tapes = deal(&statement, &mut Words::new(11));
    for number in 0..messages(&statement).len() {
        for kind in 0..4 {
            let lie: Tamper = Box::new(move |sent, _, message| match kind {
                _ if sent != number => {}
                0 => message.body.push(0),
                1 => message.body.clear(),
                2 => message.step += 1,
                _ => message.part += 1,
            });
            let outcomes = run(&tapes, [Some(lie), None, None], 12);
            let found = outcomes[1..].iter().any(|outcome| match &outcome.result {
                Err(ProofError::Length { peer, .. }) => kind < 2 && peer.index() == 0,
                Err(ProofError::Step { peer, .. }) => kind > 1 && peer.index() == 0,
                _ => false,
            });
            assert!(found, "message {number}, kind {kind}");
        }
    }
}

#[test]
fn a_verifier_that_tells_another_challenge_is_noticed_by_the_prover() {
    let tapes = deal(&statement(), &mut Words::new(11));
    for name in ["proof seed", "proof challenge"] {
        // To party 2 goes what party 0 says as right verifier of it.
        let lie: Tamper = Box::new(move |_, to, message| {
            if message.name == name && to.index() == 2 {
                message.body[0] ^= 1;
            }
        });
        let outcomes = run(&tapes, [Some(lie), None, None], 12);
        let found = outcomes[2].result.as_ref().unwrap_err();
        assert_eq!(
            *found,
            ProofError::Challenge { step: STEP, left: PartyId::ALL[1], right: PartyId::ALL[0] },
            "{name}"
        );
        assert!(found.to_string().contains("party 1 lied, or party 0"), "{found}");
    }
}
