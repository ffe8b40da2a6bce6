//! Invitations as they are handed out, and the ways in which one may be wrong.

use super::*;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn owner() -> NodeKey {
    NodeKey::from_secret(&[3; 32])
}

fn invitation() -> Invitation {
    Invitation {
        owner: owner().node_id(),
        task: "skills".into(),
        aggregator: NodeKey::from_secret(&[4; 32]).node_id(),
        addresses: vec!["127.0.0.1:11714".into()],
        expires: UnixMillis(NOW.0 + 5_000),
        uses: 8,
        nonce: [9; 16],
    }
}

#[test]
fn an_invitation_survives_its_text_however_it_was_wrapped() {
    let signed = invitation().sign(&owner()).unwrap();
    let text = signed.to_text();
    let wrapped = format!(" {}\n{} ", &text[..40], text[40..].to_ascii_uppercase());
    let read = SignedInvitation::from_text(&wrapped).unwrap();
    assert_eq!(read.verify_for(owner().node_id(), "skills", NOW), Ok(&invitation()));
}

#[test]
fn only_its_own_owner_task_and_time_are_good() {
    let signed = invitation().sign(&owner()).unwrap();
    let stranger = NodeKey::from_secret(&[5; 32]).node_id();
    assert_eq!(signed.verify_for(stranger, "skills", NOW), Err(InvitationError::Forged { owner: stranger }));
    assert!(matches!(signed.verify_for(owner().node_id(), "digits", NOW), Err(InvitationError::OtherTask { .. })));
    let late = UnixMillis(NOW.0 + 5_000);
    assert!(matches!(signed.verify_for(owner().node_id(), "skills", late), Err(InvitationError::Expired { .. })));
    assert!(signed.verify_signature().is_ok(), "it still says where the task is");
}

#[test]
fn one_changed_letter_is_noticed() {
    let text = invitation().sign(&owner()).unwrap().to_text();
    for at in (PREFIX.len()..text.len() - 1).step_by(7) {
        let mut letters = text.clone().into_bytes();
        letters[at] = if letters[at] == b'a' { b'b' } else { b'a' };
        let changed = SignedInvitation::from_text(&String::from_utf8(letters).unwrap());
        assert!(changed.is_err() || changed.unwrap().verify_signature().is_err(), "letter {at}");
    }
    assert!(SignedInvitation::from_text(&text[..text.len() / 2]).is_err());
    assert!(SignedInvitation::from_text("letmein").is_err());
}

#[test]
fn what_no_reader_accepts_is_not_signed() {
    for wrong in [
        Invitation { task: "two words".into(), ..invitation() },
        Invitation { task: "x".repeat(65), ..invitation() },
        Invitation { addresses: vec![], ..invitation() },
        Invitation { addresses: vec![String::new()], ..invitation() },
    ] {
        assert!(matches!(wrong.sign(&owner()), Err(InvitationError::Malformed { .. })));
    }
}
