//! Who is listed, and which rosters a participant takes.

use neuro_primitives::NodeKey;

use super::*;

fn key(secret: u8) -> NodeKey {
    NodeKey::from_secret(&[secret; 32])
}

fn node(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

fn fields() -> RosterFields {
    let member = |(byte, batch)| RosterMember { node: node(byte), batch };
    RosterFields {
        task_name: "words".to_owned(),
        owner: key(1).node_id(),
        aggregator: key(2).node_id(),
        version: 5,
        issued: UnixMillis(1_000),
        expires: UnixMillis(2_000),
        members: [(10, 0), (11, 1), (12, 0), (13, 4)].map(member).to_vec(),
    }
}

fn roster() -> Roster {
    Roster::new(fields()).unwrap()
}

fn changed(change: impl FnOnce(&mut RosterFields)) -> Result<Roster, DocumentError> {
    let mut fields = fields();
    change(&mut fields);
    Roster::new(fields)
}

fn pin() -> Pin {
    Pin { owner: key(1).node_id(), task: task_id(key(1).node_id(), "words"), newest: None }
}

/// What a participant with `pin` makes of `roster`, signed by its owner and sent, at `now`.
fn receive_at(roster: Roster, pin: &Pin, now: u64) -> Result<Roster, RosterRefused> {
    let sent = roster.sign(&key(1)).unwrap().encode();
    SignedRoster::decode(&sent).unwrap().verify(|signed| signed.check(pin, UnixMillis(now)))
}

fn receive(roster: Roster, pin: &Pin) -> Result<Roster, RosterRefused> {
    receive_at(roster, pin, 1_500)
}

#[test]
fn a_roster_says_who_is_in_which_batch() {
    let roster = roster();
    assert_eq!(roster.batch_of(node(11)), Some(1));
    assert_eq!(roster.batch_of(node(9)), None);
    assert_eq!([&[][..], &[0], &[0, 4], &[2, 3], &[0, 1, 4]].map(|batches| roster.rostered(batches)), [0, 2, 3, 0, 4]);
    assert_eq!(roster.version(), (5, Hash::of(&roster.encode())));
}

#[test]
fn a_task_is_its_owner_and_its_name() {
    let tasks = [task_id(node(1), "a"), task_id(node(1), "b"), task_id(node(2), "a")];
    assert!(tasks[0] != tasks[1] && tasks[0] != tasks[2] && tasks[1] != tasks[2]);
}

#[test]
fn the_pinned_owners_roster_is_taken_and_again() {
    let mut pin = pin();
    let taken = receive(roster(), &pin).unwrap();
    pin.advance(&taken);
    assert_eq!(pin.newest, Some((5, roster().hash())));
    assert_eq!(receive(roster(), &pin), Ok(roster()));
}

#[test]
fn an_older_version_is_refused() {
    let mut pin = pin();
    pin.advance(&roster());
    let older = changed(|fields| fields.version = 4).unwrap();
    assert_eq!(receive(older.clone(), &pin), Err(RosterRefused::Older { seen: 5, got: 4 }));
    pin.advance(&older);
    assert_eq!(pin.newest, Some((5, roster().hash())), "a pin does not go back");
}

#[test]
fn other_content_under_the_same_version_blames_the_owner() {
    let mut pin = pin();
    pin.advance(&roster());
    let other = changed(|fields| fields.members[0].batch = 4).unwrap();
    let (owner, got) = (pin.owner, other.hash());
    let refused = receive(other, &pin).unwrap_err();
    assert_eq!(refused, RosterRefused::Changed { owner, version: 5, expected: roster().hash(), got });
    assert_eq!(refused.blames(), Some(owner));
}

#[test]
fn a_revoked_member_is_out_from_the_next_version_on() {
    let mut pin = pin();
    pin.advance(&roster());
    let next = changed(|fields| {
        fields.version = 6;
        fields.members.remove(1);
    });
    let next = receive(next.unwrap(), &pin).unwrap();
    assert_eq!(next.batch_of(node(11)), None);
    assert_eq!(next.rostered(&[0, 1, 4]), 3);
    pin.advance(&next);
    assert_eq!(receive(roster(), &pin), Err(RosterRefused::Older { seen: 6, got: 5 }));
}

#[test]
fn a_clock_that_is_behind_costs_nothing_and_one_past_the_expiry_refuses() {
    for early in [0, 1, 999, 1_999] {
        assert!(receive_at(roster(), &pin(), early).is_ok(), "at {early}");
    }
    for late in [2_000, u64::MAX] {
        let expired = RosterRefused::Expired { expires: UnixMillis(2_000), now: UnixMillis(late) };
        assert_eq!(receive_at(roster(), &pin(), late), Err(expired));
    }
}

#[test]
fn another_owner_task_or_signature_is_refused() {
    let pinned = Pin { owner: key(3).node_id(), ..pin() };
    let owner = RosterRefused::Owner { expected: key(3).node_id(), got: key(1).node_id() };
    assert_eq!(receive(roster(), &pinned), Err(owner));
    let pinned = Pin { task: Hash([0; 32]), ..pin() };
    let task = RosterRefused::Task { expected: Hash([0; 32]), got: pin().task };
    assert_eq!(receive(roster(), &pinned), Err(task));

    let good = roster().sign(&key(1)).unwrap().encode();
    let body = roster().encode();
    let for_another = key(1).sign(crate::tags::CONFIG, &body);
    let by_another = key(3).sign(crate::tags::ROSTER, &body);
    for signature in [for_another, by_another] {
        let mut sent = good.clone();
        let at = body.len();
        sent[at..].copy_from_slice(&signature.0);
        let checked = SignedRoster::decode(&sent).unwrap().verify(|signed| signed.check(&pin(), UnixMillis(1_500)));
        assert_eq!(checked, Err(RosterRefused::Signature { owner: key(1).node_id() }));
    }
}

#[test]
fn only_the_owners_key_signs() {
    let refused = roster().sign(&key(3)).unwrap_err();
    assert_eq!(refused, RosterRefused::Owner { expected: key(1).node_id(), got: key(3).node_id() });
}

#[test]
fn members_twice_or_out_of_order_are_refused_by_writer_and_reader() {
    let not_ascending = |at| Err(DocumentError::NotAscending { what: "members of the roster", at });
    assert_eq!(changed(|fields| fields.members.swap(1, 2)), not_ascending(2));
    assert_eq!(changed(|fields| fields.members[1].node = node(10)), not_ascending(1));

    let mut bytes = roster().sign(&key(1)).unwrap().encode();
    let first = bytes.len() - 64 - 4 * 34;
    let (left, right) = bytes.split_at_mut(first + 34);
    left[first..].swap_with_slice(&mut right[..34]);
    assert_eq!(SignedRoster::decode(&bytes).map(|_| ()), not_ascending(1).map(|_: Roster| ()));
}

#[test]
fn names_versions_and_times_have_bounds() {
    let what = |outcome: Result<Roster, DocumentError>| match outcome {
        Err(DocumentError::Range { what, .. } | DocumentError::NotPrintable { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(changed(|fields| fields.task_name = String::new())), "bytes of the task's name");
    assert_eq!(what(changed(|fields| fields.task_name = "x".repeat(65))), "bytes of the task's name");
    assert_eq!(what(changed(|fields| fields.task_name = "wörds".to_owned())), "bytes of the task's name");
    assert_eq!(what(changed(|fields| fields.version = 0)), "the roster's version");
    assert_eq!(what(changed(|fields| fields.expires = fields.issued)), "the roster's expiry");
    assert!(changed(|fields| fields.task_name = "x".repeat(64)).is_ok());
    assert!(changed(|fields| fields.members.clear()).is_ok());
}
