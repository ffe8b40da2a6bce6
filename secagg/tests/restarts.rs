//! Both sides die and start again in every phase: what is sent has the same bytes, and the sum is the same.

#[cfg(test)]
mod support;

use std::collections::BTreeSet;

use neuro_primitives::NodeId;
use neuro_secagg::aggregator::{Aggregator, EntryError, Phase, ReplayError, replay};
use neuro_secagg::messages::EndReason;
use neuro_secagg::participant::{OutOfRound, PartInput, Participant, Record};
use support::{ANSWER, HAVE, Plan, UPLOAD, World, silent_from};

type Announced = BTreeSet<(NodeId, Vec<u8>)>;

/// What was announced to anybody, and what each member sent, as sets; questions for the current announcement aside.
fn said(world: &World<'_>) -> (Announced, Vec<BTreeSet<Vec<u8>>>) {
    let sent = |person: &support::Person| person.sent.iter().filter(|bytes| bytes[0] != HAVE).cloned().collect();
    (world.server.announced.iter().cloned().collect(), world.people.iter().map(sent).collect())
}

fn check_same_bytes(lost: usize) {
    let run = |crashes| {
        let mut world = World::new(&Plan::default());
        let gone: Vec<NodeId> = world.ids().into_iter().take(lost).collect();
        world.up = silent_from(UPLOAD, gone);
        world.crashes = crashes;
        let end = world.run();
        assert!(matches!(end, EndReason::Done { .. }), "{end:?}");
        (end, world.server.result.clone(), said(&world))
    };
    let (calm, crashed) = (run(false), run(true));
    assert_eq!(calm.0, crashed.0);
    assert_eq!(calm.1, crashed.1);
    assert_eq!(calm.2.1, crashed.2.1, "every member sends the same bytes");
    assert_eq!(calm.2.0, crashed.2.0, "the aggregator announces the same bytes");
}

#[test]
fn a_restart_before_every_input_changes_no_byte() {
    check_same_bytes(0);
}

#[test]
fn a_restart_before_every_input_changes_no_byte_with_dropouts() {
    check_same_bytes(3);
}

/// A journal of a whole round, entry by entry.
fn journal() -> (World<'static>, Vec<Vec<u8>>) {
    let mut world = World::new(&Plan::default());
    world.run();
    let journal = world.server.journal.clone();
    (world, journal)
}

fn replayed(world: &World<'_>, journal: Vec<Vec<u8>>) -> Result<Aggregator, ReplayError> {
    replay(world.config.clone(), world.roster.clone(), world.server.key.clone(), journal.into_iter())
}

#[test]
fn every_beginning_of_a_journal_gives_the_round_as_it_was() {
    let (world, journal) = journal();
    let mut phases = BTreeSet::new();
    for length in 0..=journal.len() {
        let core = replayed(&world, journal[..length].to_vec()).expect("a round");
        assert_eq!(core.journal_entries(), length as u64);
        phases.insert(core.view().phase);
    }
    use Phase::{Answer, Ended, Idle, Join, Received, Reveal, Shares, Unmask, Upload, Vote};
    let all = [Idle, Join, Reveal, Shares, Received, Upload, Vote, Answer, Unmask, Ended];
    assert_eq!(phases, BTreeSet::from(all), "the journal leads through every phase");
}

#[test]
fn a_torn_last_entry_counts_for_nothing() {
    let (world, journal) = journal();
    let last = journal.len() - 1;
    for kept in 0..journal[last].len() {
        let mut torn = journal.clone();
        torn[last].truncate(kept);
        let core = replayed(&world, torn).expect("a round");
        assert_eq!(core.journal_entries(), last as u64);
    }
}

#[test]
fn a_changed_missing_or_moved_entry_is_refused() {
    let (world, journal) = journal();
    let broken = |journal| match replayed(&world, journal).map(|_| ()) {
        Err(ReplayError::Entry { at, source: EntryError::Link { .. } }) => at,
        other => panic!("{other:?}"),
    };
    let mut changed = journal.clone();
    let byte = changed[7].len() - 40;
    changed[7][byte] ^= 1;
    assert_eq!(broken(changed), 7);
    let mut missing = journal.clone();
    missing.remove(5);
    assert_eq!(broken(missing), 5);
    let mut moved = journal;
    moved.swap(3, 4);
    assert_eq!(broken(moved), 3);
}

#[test]
fn a_member_that_was_away_during_the_vote_votes_late_and_answers() {
    let mut world = World::new(&Plan::default());
    let away = world.id(3);
    world.down = Box::new(move |to, bytes| {
        let lost = to == away && (5..7).contains(&bytes[0]);
        if lost { Vec::new() } else { vec![bytes] }
    });
    // Nobody answers yet.
    let held = std::rc::Rc::new(std::cell::Cell::new(true));
    let holding = held.clone();
    world.up = Box::new(move |_, bytes| if bytes[0] == ANSWER && holding.get() { Vec::new() } else { vec![bytes] });
    world.start();
    world.settle();
    assert_eq!(world.server.core.view().phase, Phase::Answer);
    (world.down, world.up) = (Box::new(|_, bytes| vec![bytes]), Box::new(|_, bytes| vec![bytes]));
    let mail = world.person(away).step(PartInput::Reconnected);
    world.post_up(mail);
    world.settle();
    assert_eq!(world.sent(3, 6).len(), 1);
    assert_eq!(world.sent(3, ANSWER).len(), 1);
    assert!(!world.server.refused.is_empty(), "its vote came after the quorum, and its statement again");
    assert!(world.server.refused.iter().all(|(_, why)| why.is_expected()), "{:?}", world.server.refused);
}

#[test]
fn a_record_of_another_member_is_refused() {
    let mut world = World::new(&Plan::default());
    world.until_uploaded();
    let record = Record::decode(world.people[0].record.as_ref().expect("a record")).expect("a record");
    let resumed = Participant::resume(record, world.roster.clone(), world.people[1].key.clone());
    assert!(matches!(resumed.map(|_| ()), Err(OutOfRound::OtherRecord)));
}

#[test]
fn a_record_shows_logs_where_it_stands_and_nothing_else() {
    let mut world = World::new(&Plan::default());
    let shown = std::cell::RefCell::new(BTreeSet::new());
    world.down = Box::new(|_, bytes| if bytes[0] == 7 { Vec::new() } else { vec![bytes] });
    world.run();
    for person in &world.people {
        let record = Record::decode(person.record.as_ref().expect("a record")).expect("its own");
        shown.borrow_mut().insert(format!("{record:?}").replace(&person.id().short(), "ID"));
    }
    assert_eq!(shown.into_inner(), BTreeSet::from(["Record(of ID, attempt 0, answer)".to_owned()]));
}
