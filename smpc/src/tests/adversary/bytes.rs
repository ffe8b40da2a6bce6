//! One byte of every message of a lying party.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Work, attacked, expect_an_end, for_each};
use crate::channel::Message;
use crate::memory::Fate;
use crate::party::PartyId;

/// Files that do not belong to the malicious mode, or to no computation at all.
const OTHERS: [&str; 7] =
    ["lookup/query.rs", "memory", "ring", "tests", "tests.rs", "truncation/honest.rs", "workload"];

/// Steps without a message of their own: they draw randomness.
const SILENT: [&str; 4] = ["daBits", "random numbers", "proof", "truncate: mask"];

/// The names that a file gives to steps: of literals behind `self.…(`, and of constants.
fn names(source: &str) -> impl Iterator<Item = String> {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).filter_map(|line| {
        let (before, rest) = line.split_once('"')?;
        let is_name = before.ends_with('(') && before.contains("self.") || before.contains(": &str = ");
        is_name.then(|| rest.split('"').next().unwrap().to_owned())
    })
}

/// The names that all files below `folder` give to steps of the malicious mode.
fn names_below(root: &Path, folder: &Path) -> BTreeSet<String> {
    let of_entry = |path: &Path| {
        let relative = path.strip_prefix(root).unwrap();
        match () {
            () if OTHERS.iter().any(|other| Path::new(other) == relative) => BTreeSet::new(),
            () if path.is_dir() => names_below(root, path),
            () => names(&fs::read_to_string(path).unwrap()).collect(),
        }
    };
    fs::read_dir(folder).unwrap().flat_map(|entry| of_entry(&entry.unwrap().path())).collect()
}

#[test]
fn the_programs_under_attack_have_messages_of_every_name() {
    let sent: BTreeSet<&str> = Work::ALL.into_iter().flat_map(Work::messages).map(|(_, name, _)| name).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = names_below(&root, &root);
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<_> =
        named.iter().filter(|name| !SILENT.contains(&name.as_str()) && !sent.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let messages = Work::Gadgets.messages();
    let proofs =
        messages.iter().filter(|(from, name, _)| *from == PartyId::ALL[0] && *name == "proof seed").count() / 2;
    assert!(proofs > 2, "one is under way while another begins: {proofs}");
}

/// No byte is ignored: unused lanes of planes are proved or compared like all others, and padding must be zero.
#[test]
fn one_changed_byte_of_any_message_ends_the_session() {
    for work in Work::ALL {
        let honest = work.honest();
        assert!(honest.iter().all(|ending| ending.opened.is_ok()));
        for liar in PartyId::ALL {
            let targets = work.targets(liar, |_| true).into_iter();
            let cases: Vec<(usize, usize)> = targets.flat_map(|(at, _, length)| places(at, length)).collect();
            for_each(cases.len(), |case| {
                let ((at, place), mut sent) = (cases[case], 0);
                let ending = attacked(work.program(), 0, move |from: PartyId, _: PartyId, message: &mut Message| {
                    if from == liar {
                        if sent == at {
                            message.body[place] ^= 1 << ((at + place) % 8);
                        }
                        sent += 1;
                    }
                    Fate::Deliver
                });
                expect_an_end(&format!("{work:?}, party {liar}, message {at}, byte {place}"), &honest, liar, &ending);
            });
        }
    }
}

/// Of message `at`, which bytes are changed, each in a run of its own: the last, and some other one.
fn places(at: usize, length: usize) -> BTreeSet<(usize, usize)> {
    [length - 1, at * 7919 % length].map(|place| (at, place)).into()
}
