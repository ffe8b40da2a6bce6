//! Who is let in, remembered, forgotten and turned away.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn members(folder: &std::path::Path, key: &NodeKey) -> Members {
    Members::load(&DataDir::open(folder).unwrap(), key.node_id()).unwrap()
}

#[test]
fn a_ticket_admits_and_membership_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let (key, worker) = (NodeKey::from_secret(&[1; 32]), NodeKey::from_secret(&[2; 32]).node_id());
    let ticket = new_ticket(&key, &[], &[], HOUR).unwrap().to_text();
    let before = members(folder.path(), &key);
    before.admit(worker, &ticket, unix_now()).unwrap();
    before.attends(worker).unwrap();
    let later = UnixMillis(unix_now().0 + 2 * 3_600_000);
    let restarted = members(folder.path(), &key);
    assert!(restarted.knows(worker));
    restarted.admit(worker, &ticket, later).unwrap();
    let stranger = NodeKey::from_secret(&[3; 32]).node_id();
    assert!(matches!(
        restarted.admit(stranger, &ticket, later),
        Err(AdmissionError::Ticket(TicketError::Expired { .. }))
    ));
}

#[test]
fn who_broke_the_protocol_waits_ten_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let members = members(folder.path(), &NodeKey::from_secret(&[1; 32]));
    let (liar, honest, now) = (NodeId([2; 32]), NodeId([3; 32]), Instant::now());
    members.turn_away(liar, "it sent noise".to_owned(), now);
    let error = members.check_conduct(liar, now + Duration::from_secs(590)).unwrap_err().to_string();
    assert!(error.contains("for another 10 s") && error.contains("it sent noise"), "{error}");
    members.check_conduct(honest, now).unwrap();
    members.check_conduct(liar, now + TURNED_AWAY_FOR).unwrap();
}

#[test]
fn so_many_are_turned_away_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let members = members(folder.path(), &NodeKey::from_secret(&[1; 32]));
    let now = Instant::now();
    for number in 0..=MAX_TURNED_AWAY {
        members.turn_away(node(number), String::new(), now + Duration::from_millis(number as u64));
    }
    members.check_conduct(node(0), now).unwrap();
    assert!(members.check_conduct(node(1), now).is_err());
    assert!(members.check_conduct(node(MAX_TURNED_AWAY), now).is_err());
}

/// A node of its own for every number.
fn node(number: usize) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    NodeId(id)
}

#[test]
fn who_never_attends_is_forgotten_and_takes_nobodys_place() {
    let folder = tempfile::tempdir().unwrap();
    let key = NodeKey::from_secret(&[1; 32]);
    let (members, ticket) = (members(folder.path(), &key), new_ticket(&key, &[], &[], HOUR).unwrap().to_text());
    let now = unix_now();
    (0..=MAX_INVITED_A_TICKET)
        .for_each(|number| members.admit(node(number), &ticket, UnixMillis(now.0 + number as u64)).unwrap());
    assert!(!members.knows(node(0)) && members.knows(node(1)), "the first gave way");
    assert!(matches!(members.attends(node(0)), Err(AdmissionError::NotInvited(_))));
    members.admit(node(0), &ticket, UnixMillis(now.0 + INVITED_FOR_MS + 5_000)).unwrap();
    members.attends(node(0)).unwrap();
    assert!(!members.knows(node(1)), "its time was over");
    assert_eq!(DataDir::open(folder.path()).unwrap().lines(MEMBERS_FILE).unwrap().len(), 1);
}

#[test]
fn one_ticket_makes_so_many_members_and_another_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let key = NodeKey::from_secret(&[1; 32]);
    let [first, second] = [0, 1].map(|_| new_ticket(&key, &[], &[], HOUR).unwrap());
    let line = |number| format!("{} {}\n", node(number), HEXLOWER.encode(&first.verify_signature().unwrap().nonce));
    let lines: String = (1..MAX_MEMBERS_A_TICKET).map(line).collect();
    std::fs::write(folder.path().join(MEMBERS_FILE), format!("{}\n{lines}", node(0))).unwrap();
    let members = members(folder.path(), &key);
    let [first, second] = [first, second].map(|ticket| ticket.to_text());
    let (last, late) = (node(MAX_MEMBERS_A_TICKET), node(MAX_MEMBERS_A_TICKET + 1));
    members.admit(late, &first, unix_now()).unwrap();
    members.admit(last, &first, unix_now()).unwrap();
    members.attends(last).unwrap();
    assert!(matches!(members.attends(late), Err(AdmissionError::TicketSpent)));
    let refused = members.admit(node(MAX_MEMBERS), &first, unix_now()).unwrap_err();
    assert!(refused.to_string().contains("restarting the orchestrator"), "{refused}");
    members.admit(last, &first, unix_now()).unwrap();
    members.admit(node(MAX_MEMBERS), &second, unix_now()).unwrap();
    members.attends(node(MAX_MEMBERS)).unwrap();
    assert!(members.knows(node(0)), "of a list without tickets");
}

#[test]
fn a_full_list_says_what_its_owner_can_do() {
    let folder = tempfile::tempdir().unwrap();
    let key = NodeKey::from_secret(&[1; 32]);
    let lines: String = (0..MAX_MEMBERS).map(|number| format!("{}\n", node(number))).collect();
    std::fs::write(folder.path().join(MEMBERS_FILE), lines).unwrap();
    let members = members(folder.path(), &key);
    let ticket = new_ticket(&key, &[], &[], HOUR).unwrap().to_text();
    let full = members.admit(node(MAX_MEMBERS), &ticket, unix_now()).unwrap_err();
    assert!(matches!(full, AdmissionError::Full) && full.to_string().contains("`members`"), "{full}");
    members.admit(node(7), "", unix_now()).unwrap();
}

#[test]
fn tickets_of_others_and_no_tickets_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (key, other) = (NodeKey::from_secret(&[1; 32]), NodeKey::from_secret(&[9; 32]));
    let worker = NodeKey::from_secret(&[2; 32]).node_id();
    let members = members(folder.path(), &key);
    let ticket = new_ticket(&other, &[], &[], HOUR).unwrap().to_text();
    assert!(matches!(members.admit(worker, &ticket, unix_now()), Err(AdmissionError::Ticket(_))));
    assert!(matches!(members.admit(worker, "let me in", unix_now()), Err(AdmissionError::Ticket(_))));
    assert!(!members.knows(worker));
}
