//! Pinning, and what is refused under a pin.

use neuro_primitives::NodeKey;
use neuro_secagg::roster::RosterFields;

use super::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

fn invitation(owner: u8) -> String {
    let invitation = Invitation {
        owner: key(owner).node_id(),
        task: "skills".into(),
        aggregator: key(2).node_id(),
        addresses: vec!["127.0.0.1:1".into()],
        expires: NOW,
        uses: 1,
        nonce: [0; 16],
    };
    invitation.sign(&key(owner)).unwrap().to_text()
}

fn roster(owner: u8, version: u64) -> Vec<u8> {
    let fields = RosterFields {
        task_name: "skills".into(),
        owner: key(owner).node_id(),
        aggregator: key(2).node_id(),
        version,
        issued: NOW,
        expires: UnixMillis(NOW.0 + 1_000),
        members: Vec::new(),
    };
    Roster::new(fields).unwrap().sign(&key(owner)).unwrap().encode()
}

fn data_dir() -> (tempfile::TempDir, DataDir) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(folder.path()).unwrap();
    (folder, data_dir)
}

#[test]
fn the_newest_roster_is_remembered_across_starts() {
    let (_folder, data_dir) = data_dir();
    let mut task = TaskFolder::by_invitation(&data_dir, &invitation(1)).unwrap();
    task.take_roster(&roster(1, 5), NOW).unwrap();
    drop(task);
    let mut task = TaskFolder::by_name(&data_dir, "skills").unwrap();
    assert!(matches!(task.take_roster(&roster(1, 4), NOW), Err(TaskFolderError::Roster(RosterRefused::Older { .. }))));
    task.take_roster(&roster(1, 5), NOW).unwrap();
    task.take_roster(&roster(1, 6), NOW).unwrap();
    drop(task);
    // The same invitation again forgets nothing.
    let mut task = TaskFolder::by_invitation(&data_dir, &invitation(1)).unwrap();
    assert!(task.take_roster(&roster(1, 5), NOW).is_err());
}

#[test]
fn another_owner_is_another_task() {
    let (_folder, data_dir) = data_dir();
    let mut task = TaskFolder::by_invitation(&data_dir, &invitation(1)).unwrap();
    assert!(matches!(task.take_roster(&roster(3, 9), NOW), Err(TaskFolderError::Roster(RosterRefused::Owner { .. }))));
    let other = TaskFolder::by_invitation(&data_dir, &invitation(3)).unwrap();
    assert_ne!(other.path(), task.path());
}

#[test]
fn one_folder_takes_part_once() {
    let (_folder, data_dir) = data_dir();
    let first = TaskFolder::by_invitation(&data_dir, &invitation(1)).unwrap();
    assert!(matches!(TaskFolder::by_invitation(&data_dir, &invitation(1)), Err(TaskFolderError::Taken { .. })));
    assert!(matches!(TaskFolder::by_name(&data_dir, "skills"), Err(TaskFolderError::Taken { .. })));
    drop(first);
    assert!(TaskFolder::by_name(&data_dir, "skills").is_ok());
    assert!(matches!(TaskFolder::by_name(&data_dir, "digits"), Err(TaskFolderError::Unknown { .. })));
}

#[test]
fn a_clock_that_is_wrong_changes_nothing_that_a_right_one_cannot_go_on_from() {
    let (_folder, data_dir) = data_dir();
    let mut task = TaskFolder::by_invitation(&data_dir, &invitation(1)).unwrap();
    let (fast, slow) = (UnixMillis(NOW.0 + 86_400_000), UnixMillis(NOW.0 - 86_400_000));
    let error = task.take_roster(&roster(1, 5), fast).unwrap_err();
    assert!(error.to_string().contains("got one that expired at 2023-11-14T22:13:21Z"), "{error}");
    task.take_roster(&roster(1, 5), NOW).unwrap();
    // A clock that is set back brings no older roster back.
    assert!(matches!(task.take_roster(&roster(1, 4), slow), Err(TaskFolderError::Roster(RosterRefused::Older { .. }))));
    task.take_roster(&roster(1, 5), slow).unwrap();
}
