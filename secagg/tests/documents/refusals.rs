//! Bytes and signatures that are not taken, and why.

use neuro_primitives::codec::CodecError;
use neuro_primitives::{Domain, Hash, NodeKey, Signature};
use neuro_secagg::error::DocumentError;
use neuro_secagg::fields::{SignatureRefused, Statement};
use neuro_secagg::group::PointError;
use neuro_secagg::identity::Member;
use neuro_secagg::messages::{
    Announcement, AnnouncementRefused, Answer, End, EndReason, Have, MOST_ANNOUNCEMENT_BYTES, Message, NoncesRefused,
    Vote,
};
use neuro_secagg::tags;

use crate::samples;

/// What decoding `announcement` gives, whoever signs it.
fn refused(announcement: &Announcement) -> DocumentError {
    Announcement::decode(&announcement.unsigned(), Some(&samples::shape())).unwrap_err()
}

fn malformed(bytes: &[u8]) -> DocumentError {
    Message::decode(bytes, Some(&samples::shape())).unwrap_err()
}

#[test]
fn no_domain_or_tag_stands_for_two_things() {
    let mut names: Vec<&str> = tags::DOMAINS.iter().map(|domain| domain.0).collect();
    names.extend(tags::TAGS.iter().map(|tag| tag.0).filter(|name| *name != tags::TASK_HASH.0));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.iter().all(|name| !name.contains('\0')));
}

/// One message, signed for each purpose in turn: it holds for its own only.
#[test]
fn a_signature_for_one_purpose_proves_nothing_for_another() {
    let (key, signer) = (NodeKey::from_secret(&[9; 32]), NodeKey::from_secret(&[9; 32]).node_id());
    for made in tags::DOMAINS {
        let signature = key.sign(made, b"the same bytes");
        for asked in tags::DOMAINS {
            assert_eq!(signer.verifies(asked, b"the same bytes", &signature), made == asked, "{made:?} {asked:?}");
        }
    }
}

#[test]
fn statements_votes_and_answers_signed_in_another_domain_are_refused() {
    let key = &samples::keys()[0];
    let other = |bytes: &[u8]| key.sign(Domain("neuro/fl/other/1"), bytes);
    let refused = |what| Err(SignatureRefused { what, signer: key.node_id() });

    let mut join = samples::join(0);
    join.signature = other(&join.statement.to_bytes());
    assert_eq!(join.verify(), refused("a join"));
    let mut shares = samples::shares().statement;
    shares.signature = other(&shares.statement.to_bytes());
    assert_eq!(shares.verify(), refused("a share statement"));
    let mut upload = samples::upload(0);
    upload.signature = key.sign(tags::SHARES, &upload.statement.to_bytes());
    assert_eq!(upload.verify(), refused("an upload statement"));
    let z = samples::survivors().hash();
    let vote = Vote { survivors: z, signature: key.sign(tags::ANSWER, &z.0) };
    assert_eq!(vote.verify(key.node_id()), refused("a vote"));
    let answer = Answer { signature: key.sign(tags::VOTE, &z.0), ..samples::answer() };
    assert_eq!(answer.verify(key.node_id()), refused("an answer"));
}

#[test]
fn a_changed_statement_has_lost_its_signature() {
    let mut join = samples::join(0);
    join.statement.seal_key = samples::point(99);
    assert!(join.verify().is_err());
    let mut upload = samples::upload(0);
    upload.statement.payload = samples::hash(0);
    assert!(upload.verify().is_err());
    let mut answer = samples::answer();
    answer.shares.swap(0, 1);
    assert!(answer.verify(samples::keys()[0].node_id()).is_err());
    assert!(samples::vote(0).verify(samples::keys()[1].node_id()).is_err());
}

#[test]
fn only_the_aggregator_announces_and_it_is_blamed_for_what_it_signs() {
    let (aggregator, shape) = (samples::aggregator(), samples::shape());
    let id = aggregator.node_id();
    let sharers = Announcement::Sharers(samples::sharers());
    let open = |bytes: &[u8]| Announcement::open(bytes, id, Some(&shape));
    assert_eq!(open(&sharers.sign(&aggregator)), Ok(sharers.clone()));

    let signature = AnnouncementRefused::Signature { aggregator: id };
    assert_eq!(open(&sharers.sign(&samples::owner())), Err(signature.clone()));
    let config = samples::signed_config(&samples::config()).encode();
    assert_eq!(open(&config), Err(signature.clone()), "a configuration is no announcement");
    assert_eq!(open(&[4; 20]), Err(signature.clone()));
    assert_eq!(signature.blames(), None);

    let mut rubbish = vec![200, 1, 2];
    rubbish.extend(aggregator.sign(tags::ANNOUNCEMENT, &Hash::of(&rubbish).0).0);
    let refused = open(&rubbish).unwrap_err();
    assert_eq!(refused.blames(), Some(id));
    let source = DocumentError::Kind { what: "announcement", got: 200 };
    assert_eq!(refused, AnnouncementRefused::Malformed { aggregator: id, source });
}

#[test]
fn what_needs_a_cohort_is_refused_before_there_is_one() {
    for (name, _, message) in samples::messages() {
        let outcome = Message::decode(&message.encode(), None);
        let needs = ["shares", "received", "answer"].contains(&name);
        assert_eq!(matches!(outcome, Err(DocumentError::NoCohort { .. })), needs, "{name}");
        assert_eq!(outcome.is_ok(), !needs, "{name}");
    }
    for (name, _, announcement) in samples::announcements() {
        let outcome = Announcement::decode(&announcement.unsigned(), None);
        let needs = ["nonces", "inbox", "sharers", "survivors", "certificate"].contains(&name);
        assert_eq!(matches!(outcome, Err(DocumentError::NoCohort { .. })), needs, "{name}");
        assert_eq!(outcome.is_ok(), !needs, "{name}");
    }
}

#[test]
fn messages_of_another_cohorts_size_are_refused() {
    let larger = neuro_secagg::messages::Shape { n: 30, k: 20, ..samples::shape() };
    for (name, _, message) in samples::messages() {
        if ["shares", "received"].contains(&name) {
            assert!(Message::decode(&message.encode(), Some(&larger)).is_err(), "{name}");
        }
    }
    for (name, _, announcement) in samples::announcements() {
        if ["nonces", "sharers", "survivors"].contains(&name) {
            assert!(Announcement::decode(&announcement.unsigned(), Some(&larger)).is_err(), "{name}");
        }
    }
}

#[test]
fn lists_out_of_order_or_with_an_entry_twice_are_refused() {
    let mut cohort = samples::cohort();
    cohort.rows.swap(0, 1);
    let unsorted = DocumentError::NotAscending { what: "members of the cohort", at: 1 };
    assert_eq!(refused(&Announcement::Cohort(cohort.clone())), unsorted);
    cohort.rows[0] = cohort.rows[1].clone();
    assert_eq!(refused(&Announcement::Cohort(cohort)), unsorted);

    let mut certificate = samples::certificate();
    certificate.votes[1] = certificate.votes[0];
    let twice = DocumentError::NotAscending { what: "voters", at: 1 };
    assert_eq!(refused(&Announcement::Certificate(certificate)), twice);

    let mut inbox = samples::inbox();
    inbox.dealings.swap(0, 1);
    assert_eq!(refused(&Announcement::Inbox(inbox)), DocumentError::NotAscending { what: "dealers", at: 1 });
}

#[test]
fn numbers_beyond_the_cohort_are_refused() {
    let range = |what, least, most, got| DocumentError::Range { what, least, most, got };
    let mut certificate = samples::certificate();
    certificate.votes[1].0 = Member(3);
    assert_eq!(refused(&Announcement::Certificate(certificate)), range("a voter's number", 0, 2, 3));
    let mut inbox = samples::inbox();
    inbox.dealings[1].dealer = Member(3);
    assert_eq!(refused(&Announcement::Inbox(inbox)), range("a dealer's number", 0, 2, 3));
    let mut inbox = samples::inbox();
    inbox.dealings[0].path.push(samples::hash(0));
    assert_eq!(refused(&Announcement::Inbox(inbox)), range("hashes of a path", 0, 1, 2));
    let mut answer = samples::answer();
    answer.shares.push(None);
    let too_many = CodecError::TooMany { what: "shares", limit: 2, got: 3 };
    assert_eq!(malformed(&Message::Answer(answer).encode()), DocumentError::Codec(too_many));
}

#[test]
fn each_number_of_a_cohort_outside_its_bounds_is_refused() {
    type Change = fn(&mut neuro_secagg::messages::Cohort);
    let changes: [(&str, Change); 9] = [
        ("the attempt", |cohort| cohort.attempt = 3),
        ("neighbours k", |cohort| cohort.k = 0),
        ("neighbours k", |cohort| cohort.k = 3),
        ("threshold t", |cohort| cohort.t = 0),
        ("threshold t", |cohort| cohort.t = 3),
        ("votes q", |cohort| cohort.q = 4),
        ("bits of the modulus", |cohort| cohort.modulus_bits = 1),
        ("bits of the modulus", |cohort| cohort.modulus_bits = 65),
        ("members of the cohort", |cohort| cohort.rows.truncate(1)),
    ];
    for (expected, change) in changes {
        let mut cohort = samples::cohort();
        change(&mut cohort);
        let error = refused(&Announcement::Cohort(cohort));
        assert!(matches!(error, DocumentError::Range { what, .. } if what == expected), "{expected}: {error}");
    }
}

#[test]
fn keys_that_are_no_points_are_refused_and_named() {
    let bytes = Message::Join(samples::join(0)).encode();
    let (mask_key, seal_key) = (1 + 1 + 32 + 1 + 32, 1 + 1 + 32 + 1 + 32 + 32);
    let with = |at: usize, point: [u8; 32]| {
        let mut bytes = bytes.clone();
        bytes[at..at + 32].copy_from_slice(&point);
        malformed(&bytes)
    };
    let identity = |what| DocumentError::Point { what, source: PointError::Identity };
    assert_eq!(with(mask_key, [0; 32]), identity("the mask key"));
    assert_eq!(with(seal_key, [0; 32]), identity("the seal key"));
    let not_canonical = DocumentError::Point { what: "the mask key", source: PointError::NotCanonical };
    assert_eq!(with(mask_key, [0xff; 32]), not_canonical);
}

#[test]
fn other_formats_and_bytes_left_over_are_refused() {
    let mut bytes = Message::Join(samples::join(0)).encode();
    bytes[1] = 2;
    assert_eq!(malformed(&bytes), DocumentError::Format { what: "a join", expected: 1, got: 2 });
    assert_eq!(malformed(&[0]), DocumentError::Kind { what: "message", got: 0 });
    assert_eq!(malformed(&[9]), DocumentError::Kind { what: "message", got: 9 });
    for (name, _, message) in samples::messages() {
        let mut bytes = message.encode();
        bytes.push(0);
        assert!(Message::decode(&bytes, Some(&samples::shape())).is_err(), "{name}");
        bytes.truncate(bytes.len() - 2);
        assert!(Message::decode(&bytes, Some(&samples::shape())).is_err(), "{name}");
    }
    let have = Have { config: samples::hash(0), attempt: 0, announcement: 8 };
    assert!(Message::decode(&Message::Have(have).encode(), None).is_err());
}

#[test]
fn an_end_with_an_epsilon_that_is_no_number_is_refused() {
    for epsilon in [f64::NAN, -1.0, -0.0, f64::NEG_INFINITY] {
        let hash = samples::hash(0);
        let reason = EndReason::Done { sum: hash, weight: 1, survivors: hash, epsilon };
        let error = refused(&Announcement::End(End { config: hash, reason }));
        assert!(matches!(error, DocumentError::Float { what: "ε", .. }), "{error}");
    }
}

#[test]
fn nonces_give_a_seed_only_if_each_opens_its_commitment() {
    let (cohort, r) = (samples::cohort(), samples::cohort().hash());
    let mut wrong = samples::nonces();
    wrong.nonces[1][0] ^= 1;
    let member = cohort.rows[1].node;
    assert_eq!(wrong.seed(&cohort, &r), Err(NoncesRefused::Opening { member }));
    let mut swapped = samples::nonces();
    swapped.nonces.swap(0, 2);
    assert_eq!(swapped.seed(&cohort, &r), Err(NoncesRefused::Opening { member: cohort.rows[0].node }));
    let other = samples::hash(1);
    assert_eq!(samples::nonces().seed(&cohort, &other), Err(NoncesRefused::Cohort { expected: other, got: r }));
    let mut fewer = samples::nonces();
    fewer.nonces.pop();
    assert_eq!(fewer.seed(&cohort, &r), Err(NoncesRefused::Count { expected: 3, got: 2 }));
}

#[test]
fn the_cohort_hash_depends_on_every_number_in_it() {
    type Change = fn(&mut neuro_secagg::messages::Cohort);
    let changes: [Change; 7] = [
        |cohort| cohort.config = samples::hash(1),
        |cohort| cohort.attempt = 2,
        |cohort| cohort.k = 1,
        |cohort| cohort.t = 1,
        |cohort| cohort.q = 3,
        |cohort| cohort.modulus_bits = 29,
        |cohort| cohort.rows[2].signature = Signature([0; 64]),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut cohort = samples::cohort();
        change(&mut cohort);
        assert_ne!(cohort.hash(), samples::cohort().hash(), "change {number}");
    }
}

#[test]
fn an_announcement_longer_than_any_is_not_looked_at() {
    let open = |bytes: usize| Announcement::open(&vec![1; bytes], samples::aggregator().node_id(), None);
    let (most, got) = (MOST_ANNOUNCEMENT_BYTES, MOST_ANNOUNCEMENT_BYTES + 1);
    assert_eq!(open(got), Err(AnnouncementRefused::TooLong { most, got }));
    assert!(matches!(open(most), Err(AnnouncementRefused::Signature { .. })));
}
