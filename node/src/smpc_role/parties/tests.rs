//! Parties files: complete, incomplete, and such as cannot be.

use super::*;

fn entry(index: u8, key: u8) -> PartyEntry {
    let text = |what: &str| format!("{what} {index}");
    PartyEntry {
        index,
        node: NodeId([key; 32]),
        address: text("address"),
        operator: text("operator"),
        network: text("network"),
        region: text("region"),
    }
}

fn draft(entries: &[(u8, u8)]) -> Draft {
    Draft { entries: entries.iter().map(|(index, key)| entry(*index, *key)).collect() }
}

#[test]
fn a_file_grows_entry_by_entry_and_reads_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = PartiesFile::at(&folder.path().join("parties.toml"));
    for (index, missing) in [(2, vec![0, 1]), (0, vec![1]), (1, vec![])] {
        let mut known = file.draft().unwrap();
        known.add(entry(index, index + 1)).unwrap();
        file.write(&known).unwrap();
        assert_eq!(file.draft().unwrap().missing(), missing);
        assert_eq!(file.parties().is_ok(), missing.is_empty());
    }
    let parties = file.parties().unwrap();
    assert_eq!(parties.party_of(NodeId([2; 32])), PartyId::new(1));
    assert_eq!(parties.party_of(NodeId([9; 32])), None);
    assert!(parties.doubts().is_empty());
}

#[test]
fn what_cannot_be_three_parties_is_refused() {
    let refused = |entries: &[(u8, u8)]| Parties::try_from(draft(entries)).unwrap_err();
    assert!(matches!(refused(&[(0, 1), (1, 2), (2, 1)]), PartiesError::OneKey { first: 0, second: 2 }));
    assert!(matches!(refused(&[(0, 1), (1, 2), (1, 3)]), PartiesError::IndexTwice { index: 1 }));
    assert!(matches!(refused(&[(0, 1), (1, 2), (3, 3)]), PartiesError::Index { got: 3 }));
    assert!(matches!(refused(&[(0, 1), (2, 2)]), PartiesError::Missing { got: 2, .. }));
    let mut spoilt = draft(&[(0, 1), (1, 2), (2, 3)]);
    spoilt.entries[1].operator = "a\u{1b}[2J".into();
    assert!(matches!(Parties::try_from(spoilt), Err(PartiesError::Text { index: 1, what: "operator" })));
}

#[test]
fn one_operator_for_two_parties_is_said() {
    let mut known = draft(&[(0, 1), (1, 2), (2, 3)]);
    known.entries[2].operator = known.entries[0].operator.clone();
    let parties = Parties::try_from(known).unwrap();
    assert_eq!(parties.doubts(), ["parties 0 and 2 have the same operator: operator 0"]);
}
