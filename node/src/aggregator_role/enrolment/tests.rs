//! Listing, inviting, revoking, and two processes on one roster.

use neuro_protocol::federated::{Invitation, InvitationError};

use super::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

fn identity() -> TaskIdentity {
    TaskIdentity { name: "skills".into(), owner: key(1).node_id(), aggregator: key(2).node_id(), batches: 4 }
}

fn keeper(folder: &Path) -> RosterKeeper {
    RosterKeeper::open(folder, identity(), Some(&key(1)), NOW).unwrap()
}

fn invitation(uses: u32) -> String {
    let invitation = Invitation {
        owner: key(1).node_id(),
        task: "skills".into(),
        aggregator: key(2).node_id(),
        addresses: vec!["127.0.0.1:1".into()],
        expires: UnixMillis(NOW.0 + 1_000),
        uses,
        nonce: [6; 16],
    };
    invitation.sign(&key(1)).unwrap().to_text()
}

#[test]
fn an_invitation_enrols_as_many_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(folder.path());
    for seed in 10..12 {
        keeper.enrol(Some(&key(1)), key(seed).node_id(), &invitation(2), NOW).unwrap();
        // Again, as after a lost answer: it counts once.
        keeper.enrol(Some(&key(1)), key(seed).node_id(), &invitation(2), NOW).unwrap();
    }
    let refused = keeper.enrol(Some(&key(1)), key(12).node_id(), &invitation(2), NOW);
    assert!(matches!(refused, Err(EnrolError::UsedUp { uses: 2 })));
    let roster = keeper.roster();
    assert_eq!((roster.fields().members.len(), roster.fields().version), (2, 3));
    assert!(roster.fields().members.iter().all(|member| member.batch < 4));
}

#[test]
fn what_is_no_good_invitation_enrols_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(folder.path());
    let peer = key(10).node_id();
    let enrol = |text: &str, now| keeper.enrol(Some(&key(1)), peer, text, now);
    assert!(matches!(enrol("", NOW), Err(EnrolError::NotInvited(_))));
    assert!(matches!(enrol("letmein", NOW), Err(EnrolError::Invitation(InvitationError::Malformed { .. }))));
    let late = UnixMillis(NOW.0 + 1_000);
    assert!(matches!(enrol(&invitation(2), late), Err(EnrolError::Invitation(InvitationError::Expired { .. }))));
    assert!(matches!(enrol(&invitation(0), NOW), Err(EnrolError::OwnerAway(_))));
    let away = keeper.enrol(None, peer, &invitation(2), NOW);
    assert!(matches!(away, Err(EnrolError::OwnerAway(_))));
    assert!(!keeper.lists(peer));
}

#[test]
fn a_revoked_node_comes_back_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(folder.path());
    let peer = key(10).node_id();
    keeper.enrol(Some(&key(1)), peer, &invitation(5), NOW).unwrap();
    keeper.change(&key(1), &[RosterChange::Revoke(peer)], NOW).unwrap();
    assert!(!keeper.lists(peer));
    assert!(matches!(keeper.enrol(Some(&key(1)), peer, &invitation(5), NOW), Err(EnrolError::Revoked(_))));
    keeper.change(&key(1), &[RosterChange::List(peer)], NOW).unwrap();
    assert!(keeper.lists(peer));
}

#[test]
fn only_the_owner_changes_the_roster_and_others_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, inviting) = (keeper(folder.path()), keeper(folder.path()));
    let peer = key(10).node_id();
    assert!(serving.change(&key(2), &[RosterChange::List(peer)], NOW).is_err());
    inviting.change(&key(1), &[RosterChange::List(peer)], NOW).unwrap();
    assert!(!serving.lists(peer));
    assert!(serving.refresh(NOW).unwrap());
    assert!(serving.lists(peer) && !serving.refresh(NOW).unwrap());
    let pin = Pin { owner: key(1).node_id(), task: identity().id(), newest: None };
    let sent = SignedRoster::decode(&serving.encoded()).unwrap();
    assert_eq!(sent.verify(|signed| signed.check(&pin, NOW)).unwrap(), *serving.roster());
}

#[test]
fn without_the_owners_key_there_is_no_first_roster() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(RosterKeeper::open(folder.path(), identity(), None, NOW), Err(EnrolError::NoRoster { .. })));
    fs::write(folder.path().join("roster"), b"rubbish").unwrap();
    assert!(RosterKeeper::open(folder.path(), identity(), None, NOW).is_err());
}
