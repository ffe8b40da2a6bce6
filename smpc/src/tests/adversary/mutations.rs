//! A seeded mutator over the messages of a session: whatever comes in the place of a message, nobody panics, and nobody has
//! a wrong answer. What has other bytes than the message that is due is noticed.

use std::sync::{Arc, Mutex};
use std::time::Instant;

#[path = "../../../../tests/shared/mutator.rs"]
mod mutator;

use super::{attacked, expect_an_end, for_each, gadgets};
use crate::channel::Message;
use crate::memory::Fate;
use crate::party::PartyId;

use mutator::{INPUTS, Random, TIME, mutated};

const SEED: u64 = 0x736d_7063;

/// Numbers of steps and parts that are hardly ever due.
const EXTREMES: [u64; 5] = [0, 1, u32::MAX as u64, 1 << 63, u64::MAX];

#[test]
fn mutated_messages_end_the_session() {
    let log: Arc<Mutex<[Vec<Message>; 3]>> = Arc::default();
    let seen = Arc::clone(&log);
    let honest = attacked(gadgets, 0, move |from: PartyId, _: PartyId, message: &mut Message| {
        seen.lock().unwrap()[from.index()].push(message.clone());
        Fate::Deliver
    });
    let sent = log.lock().unwrap().clone();
    let start = Instant::now();
    for_each(INPUTS, |number| {
        if start.elapsed() > TIME / 2 {
            return;
        }
        let mut random = Random(SEED + number as u64);
        let liar = PartyId::ALL[random.below(3)];
        let sent = &sent[liar.index()];
        let at = random.below(sent.len());
        // Bodies nearby are of the same length now and then.
        let corpus: Vec<Vec<u8>> = sent[at..].iter().take(4).map(|message| message.body.clone()).collect();
        let mut instead = Message { body: mutated(&corpus, usize::MAX, &mut random), ..sent[at].clone() };
        match random.below(16) {
            0 => instead.step = EXTREMES[random.below(EXTREMES.len())],
            1 => instead.part = EXTREMES[random.below(EXTREMES.len())] as u32,
            _ => {}
        }
        if instead == sent[at] {
            return;
        }
        let (case, mut count) = (format!("seed {SEED:#x}, input {number}: {} of party {liar}", sent[at].name), 0);
        let ending = attacked(gadgets, 0, move |from: PartyId, _: PartyId, message: &mut Message| {
            if from == liar {
                if count == at {
                    *message = instead.clone();
                }
                count += 1;
            }
            Fate::Deliver
        });
        expect_an_end(&case, &honest, liar, &ending);
    });
}
