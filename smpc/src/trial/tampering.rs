//! One byte of every message of a lying party: whoever is honest aborts, and never has a wrong answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Party, prss, share};
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::memory::{Fate, NetworkModel, run_over, tampered_network};
use crate::party::PartyId;
use crate::ring::Shape;
use crate::share::Shares;

type Outcome = [Result<Vec<u64>, SmpcError>; 3];

/// Some of every gadget.
fn program(party: &mut Party<'_>) -> Result<Shares, SmpcError> {
    let fixed: Vec<u64> = (0..8).map(|at| ((f64::from(at) * 0.7 - 2.3) * 65536.0) as i64 as u64).collect();
    let x = share(party.party(), &fixed);
    let normal = party.rms_norm(&x, 4, 1e-5)?;
    let weights = party.softmax(&normal, 4, &[true; 8])?;
    let activated = party.silu(&x)?;
    let shape = Shape { rows: 2, inner: 4, columns: 2 };
    let products = party.matrix_products("mix", &weights, &activated, &[shape])?;
    let mixed = party.truncate_products(products, 16)?;
    let largest = party.largest(&x, 4, 2, 24)?;
    Ok(Shares::concat(&[&mixed, &largest]))
}

/// A run in which message `at` of party `liar` has another byte; none beyond its last message.
fn run(liar: PartyId, at: usize) -> (Outcome, usize) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let tampering = move |from: PartyId, _: PartyId, message: &mut crate::channel::Message| {
        if from == liar && counter.fetch_add(1, Ordering::Relaxed) == at {
            let place = (at * 7919) % message.body.len().max(1);
            if let Some(byte) = message.body.get_mut(place) {
                *byte ^= 1 << (at % 8);
            }
        }
        Fate::Deliver
    };
    let ran = run_over(tampered_network(NetworkModel::INSTANT, tampering), |party, link| {
        let mut computation = Computation::new(party, link, prss(party), Security::Malicious);
        let result = program(&mut computation)?;
        computation.verify()?.open(&result)
    });
    (ran.map(|(result, _)| result), sent.load(Ordering::Relaxed))
}

#[test]
fn a_changed_byte_ends_the_session_and_never_changes_an_answer() {
    let (honest, _) = run(PartyId::ALL[0], usize::MAX);
    let right = honest[0].clone().unwrap();
    for liar in PartyId::ALL {
        let messages = run(liar, usize::MAX).1;
        // Each message of a party at some liar: every third of each, another third each time.
        for at in (liar.index()..messages).step_by(3) {
            let (outcome, _) = run(liar, at);
            let mut aborted = 0;
            for party in PartyId::ALL.into_iter().filter(|party| *party != liar) {
                match &outcome[party.index()] {
                    Ok(answer) => {
                        assert!(*answer == right, "party {liar}, message {at}: party {party} has a wrong answer")
                    }
                    Err(_) => aborted += 1,
                }
            }
            assert!(aborted > 0, "party {liar}, message {at}: nobody noticed");
        }
    }
}
