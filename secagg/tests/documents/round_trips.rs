//! Whatever is written is read again, and only so.

use std::convert::Infallible;

use neuro_primitives::{Hash, NodeId, Signature, UnixMillis, Untrusted};
use neuro_secagg::config::{Base, Privacy, PrivacyMode, RoundConfig, Strategy as FlStrategy};
use neuro_secagg::fields::Signed;
use neuro_secagg::identity::{Bitmap, Member};
use neuro_secagg::masks::Generator;
use neuro_secagg::messages::{
    Announcement, Answer, Certificate, Cohort, Dealing, Inbox, JoinStatement, Message, Nonces, Received, Row, Shape,
    ShareStatement, Shares, ShownUpload, Survivors,
};
use neuro_secagg::roster::{Roster, RosterFields, RosterMember, SignedRoster};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::samples;

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn signature() -> impl Strategy<Value = Signature> {
    (hash(), hash()).prop_map(|(a, b)| Signature(*[a.0, b.0].as_flattened().first_chunk().unwrap()))
}

fn sealed() -> impl Strategy<Value = [u8; 80]> {
    any::<u8>().prop_map(|byte| [byte; 80])
}

fn shape() -> impl Strategy<Value = Shape> {
    (2_u16..40).prop_flat_map(|n| {
        (1..n).prop_flat_map(move |k| {
            (1..=k, 1..=n, any::<bool>()).prop_map(move |(t, q, feldman)| Shape { n, k, t, q, feldman })
        })
    })
}

fn roster() -> impl Strategy<Value = Roster> {
    let members = btree_map(any::<[u8; 32]>(), any::<u16>(), 0..20);
    ("[ -~]{1,64}", hash(), 1..=u64::MAX, 0..u64::MAX, members).prop_map(
        |(task_name, key, version, issued, members)| {
            let member = |(node, batch)| RosterMember { node: NodeId(node), batch };
            Roster::new(RosterFields {
                task_name,
                owner: samples::owner().node_id(),
                aggregator: NodeId(key.0),
                version,
                issued: UnixMillis(issued),
                expires: UnixMillis(issued + 1),
                members: members.into_iter().map(member).collect(),
            })
            .unwrap()
        },
    )
}

prop_compose! {
    fn config()(
        (cohort, more) in (0..1000_u16, 1..1000_u16),
        batches in btree_set(any::<u16>(), 1..30),
        base in prop_oneof![hash().prop_map(Base::Weights), hash().prop_map(Base::Versions)],
        entries in 1..=1_u32 << 28,
        control in any::<bool>(),
        (name, settings) in ("[ -~]{1,32}", vec(any::<u8>(), 0..100)),
        mode in prop_oneof![Just(PrivacyMode::None), Just(PrivacyMode::Distributed), Just(PrivacyMode::Central)],
        weight_cap in 1..=1_u32 << 20,
        value_bits in 2..=32_u8,
        scale in f64::MIN_POSITIVE..1e300,
        generator in prop_oneof![Just(Generator::Aes128Ctr), Just(Generator::ChaCha20)],
        (corrupt_bps, dropout_bps) in (0..=10_000_u16, 0..=10_000_u16),
        (security_bits, correctness_bits) in (1..=u8::MAX, 1..=u8::MAX),
        (least_members, most_members) in (2..=100_u16, 100..=4096_u16),
        (round, round_id, feldman) in (any::<u64>(), any::<[u8; 32]>(), any::<bool>()),
    ) -> RoundConfig {
        let noisy = mode != PrivacyMode::None;
        let privacy = Privacy { mode, settings: if noisy { settings.clone() } else { Vec::new() } };
        RoundConfig {
            round, cohort, cohorts: cohort + more, round_id, base, entries, privacy, value_bits, scale, generator,
            corrupt_bps, dropout_bps, security_bits, correctness_bits, least_members, most_members, feldman,
            batches: batches.into_iter().collect(),
            vector_entries: if control { 2 * entries + 2 } else { entries + 1 },
            strategy: FlStrategy { name, settings },
            weight_cap: if noisy { 1 } else { weight_cap },
            ..samples::config()
        }
    }
}

fn shares(shape: Shape) -> impl Strategy<Value = Shares> {
    let k = usize::from(shape.k);
    let statement = (hash(), hash(), hash(), hash(), signature());
    (statement, vec([hash(), hash()], k), vec(sealed(), k), vec(any::<[u8; 32]>(), shape.feldman_points())).prop_map(
        |((cohort, dealer, root, feldman, signature), leaves, boxes, points)| Shares {
            statement: Signed {
                statement: ShareStatement {
                    cohort,
                    seed: root,
                    dealer: NodeId(dealer.0),
                    root,
                    self_mask_commitment: dealer,
                    feldman,
                },
                signature,
            },
            leaves,
            boxes,
            feldman: points,
        },
    )
}

fn inbox(shape: Shape) -> impl Strategy<Value = Inbox> {
    let points = vec(any::<[u8; 32]>(), shape.feldman_points());
    let dealing = (hash(), hash(), signature(), sealed(), vec(hash(), 0..=shape.most_path()), points);
    (hash(), btree_map(0..shape.n, dealing, 0..=usize::from(shape.k))).prop_map(|(cohort, dealings)| Inbox {
        cohort,
        dealings: dealings
            .into_iter()
            .map(|(dealer, (root, other, signature, sealed, path, feldman))| Dealing {
                dealer: Member(dealer),
                root,
                self_mask_commitment: other,
                feldman_hash: root,
                signature,
                sealed,
                path,
                feldman,
            })
            .collect(),
    })
}

fn bitmap(n: u16) -> impl Strategy<Value = Bitmap> {
    btree_set(0..n, 0..=usize::from(n)).prop_map(move |members| Bitmap::of(n, members.into_iter().map(Member)))
}

fn inside<T>(untrusted: Untrusted<T>) -> T {
    untrusted.verify(Ok::<_, Infallible>).unwrap()
}

fn announced(announcement: Announcement, shape: &Shape) -> Result<(), TestCaseError> {
    let decoded = Announcement::decode(&announcement.unsigned(), Some(shape));
    prop_assert_eq!(decoded.map(inside), Ok(announcement));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rosters_come_back(roster in roster()) {
        let signed = roster.sign(&samples::owner()).unwrap();
        prop_assert_eq!(inside(SignedRoster::decode(&signed.encode()).unwrap()), signed);
    }

    #[test]
    fn configurations_come_back(config in config()) {
        prop_assert_eq!(config.check(), Ok(()));
        prop_assert_eq!(RoundConfig::decode(&config.encode()), Ok(config));
    }

    #[test]
    fn joins_and_cohorts_come_back(
        scalars in btree_map(any::<[u8; 32]>(), (1..u64::MAX, 1..u64::MAX, hash(), signature()), 2..6),
        config in hash(), attempt in 0..=2_u8, modulus_bits in 2..=64_u8,
    ) {
        let row = |(node, (mask, seal, nonce_commitment, signature))| Row {
            node: NodeId(node),
            mask_key: samples::point(mask),
            seal_key: samples::point(seal),
            nonce_commitment,
            signature,
        };
        let rows = scalars.into_iter().map(row).collect();
        let cohort = Cohort { config, attempt, k: 1, t: 1, q: 2, modulus_bits, rows };
        let join = cohort.join(&cohort.rows[0]);
        let JoinStatement { member, .. } = join.statement;
        prop_assert_eq!(cohort.member(member), Some(Member(0)));
        prop_assert_eq!(&Row::from(&join), &cohort.rows[0]);
        prop_assert_eq!(Message::decode(&Message::Join(join.clone()).encode(), None), Ok(Message::Join(join)));
        let shape = cohort.shape(false);
        announced(Announcement::Cohort(cohort), &shape)?;
    }

    #[test]
    fn shares_come_back((shape, shares) in shape().prop_flat_map(|shape| (Just(shape), shares(shape)))) {
        let message = Message::Shares(Box::new(shares));
        prop_assert_eq!(Message::decode(&message.encode(), Some(&shape)), Ok(message));
    }

    #[test]
    fn inboxes_come_back((shape, inbox) in shape().prop_flat_map(|shape| (Just(shape), inbox(shape)))) {
        let announcement = Announcement::Inbox(inbox);
        prop_assert!(announcement.unsigned().len() + 64 <= shape.inbox_bytes());
        announced(announcement, &shape)?;
    }

    #[test]
    fn sets_nonces_and_votes_come_back(
        (shape, bad, nonces, uploads, voters) in shape().prop_flat_map(|shape| (
            Just(shape),
            bitmap(shape.n),
            vec(any::<[u8; 32]>(), usize::from(shape.n)),
            vec((hash(), signature()), 0..=usize::from(shape.k)),
            subsequence((0..shape.n).collect::<Vec<_>>(), usize::from(shape.q)),
        )),
        (cohort, signature) in (hash(), signature()),
    ) {
        let received = Message::Received(Received { cohort, bad: bad.clone() });
        prop_assert_eq!(Message::decode(&received.encode(), Some(&shape)), Ok(received));
        announced(Announcement::Nonces(Nonces { cohort, nonces }), &shape)?;
        let uploads = uploads.into_iter().map(|(payload, signature)| ShownUpload { payload, signature }).collect();
        announced(Announcement::Survivors(Survivors { cohort, sharers: cohort, survivors: bad, uploads }), &shape)?;
        let votes = voters.into_iter().map(|member| (Member(member), signature)).collect();
        announced(Announcement::Certificate(Certificate { survivors: cohort, votes }), &shape)?;
    }

    #[test]
    fn answers_come_back(
        (shape, shares) in shape().prop_flat_map(|shape| {
            (Just(shape), vec(option::of(any::<[u8; 32]>()), 0..=usize::from(shape.k)))
        }),
        survivors in hash(),
    ) {
        let answer = Answer::sign(survivors, shares, &samples::owner());
        prop_assert_eq!(answer.verify(samples::owner().node_id()), Ok(()));
        let message = Message::Answer(answer);
        prop_assert_eq!(Message::decode(&message.encode(), Some(&shape)), Ok(message));
    }
}
