//! Seeds between honest parties, and what is said of a party or client that lies.

use neuro_smpc::channel::Spent;
use neuro_smpc::memory::{Link, run_three};

use super::*;

/// The links of a party that lies to `to` in `step`.
struct Liar<'a> {
    link: &'a mut Link,
    step: u64,
    to: PartyId,
}

impl Channel for Liar<'_> {
    fn send(&mut self, to: PartyId, mut message: Message) -> Result<(), ChannelError> {
        if (message.step, to) == (self.step, self.to) {
            message.body[7] ^= 1;
        }
        self.link.send(to, message)
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        self.link.receive(from)
    }

    fn spent(&self) -> Spent {
        self.link.spent()
    }
}

/// Who lies to whom.
fn pairs() -> impl Iterator<Item = (PartyId, PartyId)> {
    PartyId::ALL.into_iter().flat_map(|liar| [(liar, liar.next()), (liar, liar.previous())])
}

/// What `deceived` has, where `liar` tells it something else in `step` than an honest party would.
fn exchanged(step: u64, liar: PartyId, deceived: PartyId) -> Option<SeedError> {
    let ends = run_three(|party, link| {
        if party == liar {
            return Seeds::exchange(party, &mut Liar { link, step, to: deceived }, Hash([1; 32])).err();
        }
        Seeds::exchange(party, link, Hash([1; 32])).err()
    });
    ends.into_iter().nth(deceived.index()).flatten()
}

#[test]
fn who_reveals_another_seed_than_it_committed_to_is_named() {
    for (liar, deceived) in pairs() {
        for step in [COMMIT, REVEAL] {
            let found = exchanged(step, liar, deceived);
            assert!(matches!(found, Some(SeedError::Commitment { peer }) if peer == liar), "{found:?}");
        }
    }
}

#[test]
fn who_confirms_another_seed_is_named() {
    for (liar, deceived) in pairs() {
        let found = exchanged(CONFIRM, liar, deceived);
        assert!(matches!(found, Some(SeedError::Confirmation { peer }) if peer == liar), "{found:?}");
    }
}

#[test]
fn a_party_that_tells_another_hash_of_inputs_does_not_make_it_the_client_s_fault() {
    for (liar, deceived) in pairs() {
        let found = run_three(|party, link| {
            let seeds = Seeds::exchange(party, link, Hash([1; 32])).unwrap();
            let inputs = Shares::public(party, &[1, 2, 3]);
            if party == liar {
                return seeds.compare_inputs(&mut Liar { link, step: INPUTS, to: deceived }, 0, &inputs).err();
            }
            seeds.compare_inputs(link, 0, &inputs).err()
        });
        let said = found[deceived.index()].as_ref().map(ToString::to_string).unwrap_or_default();
        let suspects = ["the client".to_owned(), format!("party {liar}"), format!("party {deceived}")];
        assert!(suspects.iter().all(|suspect| said.contains(suspect)), "{liar} to {deceived}: {said}");
    }
}

#[test]
fn the_two_holders_of_a_component_have_its_seed_and_nobody_else() {
    let run = || run_three(|party, link| Seeds::exchange(party, link, Hash([1; 32])).unwrap());
    let (seeds, others) = (run(), run());
    for at in 0..3 {
        assert!(seeds[at].parts[NEXT] == seeds[(at + 1) % 3].parts[OWN]);
        assert!(seeds[at].parts[OWN] != seeds[(at + 1) % 3].parts[OWN], "components differ");
        assert!(seeds[at].parts[OWN] != others[at].parts[OWN], "and so do sessions");
    }
}

#[test]
fn a_client_that_tells_two_parties_different_things_is_found() {
    for (liar, part) in (0..3).flat_map(|liar| [(liar, OWN), (liar, NEXT)]) {
        let found = run_three(|party, link| {
            let seeds = Seeds::exchange(party, link, Hash([1; 32])).unwrap();
            let mut inputs = Shares::public(party, &[1, 2, 3]);
            if party.index() == liar {
                inputs.parts[part][1] ^= 1;
            }
            seeds.compare_inputs(link, 0, &inputs)
        });
        let component = (liar + part) % 3;
        let holders = [component, (component + 2) % 3];
        for (at, found) in found.iter().enumerate() {
            match found {
                Err(SeedError::Inconsistent { component: named, .. }) => assert_eq!(named.index(), component),
                _ => assert!(!holders.contains(&at), "party {at} should have found it"),
            }
        }
    }
}

#[test]
fn parties_of_different_agreements_have_no_seeds() {
    let found = run_three(|party, link| {
        let agreement = Hash([u8::from(party.index() == 2); 32]);
        Seeds::exchange(party, link, agreement).is_ok()
    });
    assert!(!found[2] && !found[0] && !found[1], "{found:?}");
}
