//! One byte of every message of a lying party.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::{attacked, expect_an_end, for_each, gadgets};
use crate::channel::Message;
use crate::memory::Fate;
use crate::party::PartyId;

/// Files in which messages are named, and that belong to the malicious mode.
const GADGETS: [&str; 15] = [
    include_str!("../../arithmetic.rs"),
    include_str!("../../boolean.rs"),
    include_str!("../../comparison.rs"),
    include_str!("../../computation.rs"),
    include_str!("../../conversion.rs"),
    include_str!("../../digits.rs"),
    include_str!("../../exchange.rs"),
    include_str!("../../lookup.rs"),
    include_str!("../../lookup/curve.rs"),
    include_str!("../../lookup/masks.rs"),
    include_str!("../../lookup/powers.rs"),
    include_str!("../../proof/session.rs"),
    include_str!("../../random_bits.rs"),
    include_str!("../../selection.rs"),
    include_str!("../../truncation.rs"),
];

/// Steps without a message of their own: they draw randomness.
const SILENT: [&str; 4] = ["daBits", "random numbers", "proof", "truncate: mask"];

/// Sender, name and length of every message of an honest run.
pub fn messages() -> Vec<(PartyId, &'static str, usize)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = Arc::clone(&seen);
    attacked(gadgets, 0, move |from: PartyId, _: PartyId, message: &mut Message| {
        seeing.lock().unwrap().push((from, message.name, message.body.len()));
        Fate::Deliver
    });
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// The names that a file gives to steps: of literals behind `self.…(`, and of constants.
fn names(source: &'static str) -> impl Iterator<Item = &'static str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).filter_map(|line| {
        let (before, rest) = line.split_once('"')?;
        let is_name = before.ends_with('(') && before.contains("self.") || before.contains(": &str = ");
        is_name.then(|| rest.split('"').next().unwrap())
    })
}

#[test]
fn the_program_under_attack_has_messages_of_every_name() {
    let sent: BTreeSet<&str> = messages().into_iter().map(|(_, name, _)| name).collect();
    let named: BTreeSet<&str> = GADGETS.into_iter().flat_map(names).collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !SILENT.contains(name) && !sent.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let proofs =
        messages().iter().filter(|(from, name, _)| *from == PartyId::ALL[0] && *name == "proof seed").count() / 2;
    assert!(proofs > 2, "one is under way while another begins: {proofs}");
}

/// No byte is ignored: unused lanes of planes are proved or compared like all others, and padding must be zero.
#[test]
fn one_changed_byte_of_any_message_ends_the_session() {
    let honest = attacked(gadgets, 0, |_: PartyId, _: PartyId, _: &mut Message| Fate::Deliver);
    assert!(honest.iter().all(|ending| ending.opened.is_ok()));
    let all = messages();
    for liar in PartyId::ALL {
        let lengths: Vec<usize> =
            all.iter().filter(|(from, _, _)| *from == liar).map(|(_, _, length)| *length).collect();
        let cases: Vec<(usize, usize)> =
            lengths.iter().enumerate().flat_map(|(at, length)| places(at, *length)).collect();
        for_each(cases.len(), |case| {
            let ((at, place), mut sent) = (cases[case], 0);
            let ending = attacked(gadgets, 0, move |from: PartyId, _: PartyId, message: &mut Message| {
                if from == liar {
                    if sent == at {
                        message.body[place] ^= 1 << ((at + place) % 8);
                    }
                    sent += 1;
                }
                Fate::Deliver
            });
            expect_an_end(&format!("party {liar}, message {at}, byte {place}"), &honest, liar, &ending);
        });
    }
}

/// Of message `at`, which bytes are changed, each in a run of its own: the last, and some other one.
fn places(at: usize, length: usize) -> BTreeSet<(usize, usize)> {
    [length - 1, at * 7919 % length].map(|place| (at, place)).into()
}
