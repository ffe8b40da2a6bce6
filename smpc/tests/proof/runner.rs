//! One proof with all three parties.

use neuro_smpc::channel::Message;
use neuro_smpc::party::PartyId;
use neuro_smpc::proof::{Cost, ProofError, verify};
use neuro_smpc::tape::Tapes;

use crate::network::{Tamper, TestCoins, wires};

/// The step of the proof.
pub const STEP: u64 = 7;

/// What one party has at the end.
pub struct Outcome {
    pub result: Result<Cost, ProofError>,
    pub received: Vec<(PartyId, Message)>,
}

/// Runs one proof with all three.
pub fn run(tapes: &[Tapes; 3], tampers: [Option<Tamper>; 3], seed: u64) -> [Outcome; 3] {
    let mut wires = wires(tampers).into_iter();
    std::thread::scope(|scope| {
        let threads = PartyId::ALL.map(|party| {
            let mut wire = wires.next().unwrap();
            let tapes = &tapes[party.index()];
            scope.spawn(move || {
                let result = verify(party, tapes, &mut wire, &mut TestCoins { party, seed }, STEP);
                Outcome { result, received: std::mem::take(&mut wire.received) }
            })
        });
        threads.map(|thread| thread.join().unwrap())
    })
}
