//! The values behind the vectors: a round of three members, on the complete graph, with Feldman commitments. They are
//! part of the specification: change none within a format, add new ones.

use neuro_primitives::{Hash, NodeId, NodeKey, UnixMillis};
use neuro_secagg::config::{Base, Deadlines, Privacy, PrivacyMode, RoundConfig, SignedConfig, Strategy};
use neuro_secagg::fields::Signed;
use neuro_secagg::group::{Point, Scalar};
use neuro_secagg::identity::{Bitmap, Member};
use neuro_secagg::masks::Generator;
use neuro_secagg::messages::{
    Announcement, Answer, Certificate, Cohort, Dealing, End, EndReason, Have, Inbox, Join, JoinStatement, Message,
    Nonces, OutCause, Received, Restart, Reveal, Row, Shape, ShareStatement, Sharers, Shares, Shortfall, ShownUpload,
    Survivors, Upload, UploadStatement, Vote, nonce_commitment,
};
use neuro_secagg::roster::{Registry, Roster, RosterFields, RosterMember, SignedRoster};

/// The owner's key.
pub fn owner() -> NodeKey {
    NodeKey::from_secret(&[0x42; 32])
}

/// The aggregator's key.
pub fn aggregator() -> NodeKey {
    NodeKey::from_secret(&[0x43; 32])
}

/// The members' keys, in the members' order.
pub fn keys() -> Vec<NodeKey> {
    let mut keys: Vec<NodeKey> = (1..=3).map(|secret| NodeKey::from_secret(&[secret; 32])).collect();
    keys.sort_by_key(NodeKey::node_id);
    keys
}

/// Recognisable bytes.
pub fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

pub fn roster() -> Roster {
    let member = |(batch, key): (usize, &NodeKey)| RosterMember { node: key.node_id(), batch: 7 + batch as u16 / 2 };
    Roster::new(RosterFields {
        task_name: "keyboard words".to_owned(),
        owner: owner().node_id(),
        aggregator: aggregator().node_id(),
        version: 3,
        issued: UnixMillis(1_790_000_000_000),
        expires: UnixMillis(1_800_000_000_000),
        members: keys().iter().enumerate().map(member).collect(),
    })
    .unwrap()
}

pub fn signed_roster() -> SignedRoster {
    roster().sign(&owner()).unwrap()
}

/// Without noise, weighted, AES, Feldman.
pub fn config() -> RoundConfig {
    RoundConfig {
        task: roster().task(),
        round: 12,
        cohort: 0,
        cohorts: 2,
        round_id: [0x1d; 32],
        roster_version: 3,
        roster_hash: roster().hash(),
        batches: vec![7, 8],
        base: Base::Weights(hash(0xb0)),
        layout: hash(0x1a),
        entries: 1000,
        vector_entries: 1001,
        strategy: Strategy { name: "fed-avg".to_owned(), settings: vec![1, 2, 3] },
        weight_cap: 1000,
        value_bits: 16,
        scale: 4096.0,
        privacy: Privacy { mode: PrivacyMode::None, settings: Vec::new() },
        generator: Generator::Aes128Ctr,
        corrupt_bps: 1000,
        dropout_bps: 3400,
        security_bits: 40,
        correctness_bits: 20,
        least_members: 2,
        most_members: 3,
        deadlines: Deadlines {
            join_ms: 60_000,
            reveal_ms: 10_000,
            shares_ms: 20_000,
            received_ms: 20_001,
            upload_ms: 600_000,
            vote_ms: 10_001,
            answer_ms: 10_002,
        },
        feldman: true,
    }
}

/// Everybody adds noise, a buffered base, ChaCha20.
pub fn private_config() -> RoundConfig {
    RoundConfig {
        cohort: 1,
        base: Base::Versions(hash(0xb1)),
        vector_entries: 2002,
        strategy: Strategy { name: "scaffold".to_owned(), settings: Vec::new() },
        weight_cap: 1,
        privacy: Privacy { mode: PrivacyMode::Distributed, settings: vec![9; 16] },
        generator: Generator::ChaCha20,
        feldman: false,
        ..config()
    }
}

pub fn signed_config(config: &RoundConfig) -> SignedConfig {
    config.sign(&aggregator())
}

pub fn point(scalar: u64) -> Point {
    Point::base_times(&Scalar::from(scalar))
}

fn nonce(member: usize) -> [u8; 32] {
    [0xa0 + member as u8; 32]
}

pub fn join(member: usize) -> Join {
    let key = &keys()[member];
    let (config, attempt) = (config().hash(), 1);
    let statement = JoinStatement {
        config,
        attempt,
        member: key.node_id(),
        mask_key: point(10 + member as u64),
        seal_key: point(20 + member as u64),
        nonce_commitment: nonce_commitment(&config, attempt, &key.node_id(), &nonce(member)),
    };
    Signed::sign(statement, key)
}

pub fn cohort() -> Cohort {
    let rows = (0..3).map(|member| Row::from(&join(member))).collect();
    Cohort { config: config().hash(), attempt: 1, k: 2, t: 2, q: 2, modulus_bits: 28, rows }
}

pub fn shape() -> Shape {
    cohort().shape(true)
}

pub fn nonces() -> Nonces {
    Nonces { cohort: cohort().hash(), nonces: (0..3).map(nonce).collect() }
}

pub fn seed() -> Hash {
    nonces().seed(&cohort(), &cohort().hash()).unwrap()
}

fn feldman() -> Vec<[u8; 32]> {
    (30..33).map(|scalar| point(scalar).encode()).collect()
}

fn share_statement(dealer: NodeId) -> ShareStatement {
    ShareStatement {
        cohort: cohort().hash(),
        seed: seed(),
        dealer,
        root: hash(0x40),
        self_mask_commitment: hash(0x41),
        feldman: Hash::of(feldman().as_flattened()),
    }
}

pub fn shares() -> Shares {
    let key = &keys()[0];
    Shares {
        statement: Signed::sign(share_statement(key.node_id()), key),
        leaves: vec![[hash(0x50), hash(0x51)], [hash(0x52), hash(0x53)]],
        boxes: vec![[0x60; 80], [0x61; 80]],
        feldman: feldman(),
    }
}

pub fn inbox() -> Inbox {
    let dealing = |dealer: u16| {
        let key = &keys()[usize::from(dealer)];
        let signed = Signed::sign(share_statement(key.node_id()), key);
        Dealing {
            dealer: Member(dealer),
            root: signed.statement.root,
            self_mask_commitment: signed.statement.self_mask_commitment,
            feldman_hash: signed.statement.feldman,
            signature: signed.signature,
            sealed: [0x60 + dealer as u8; 80],
            path: vec![hash(0x70)],
            feldman: feldman(),
        }
    };
    Inbox { cohort: cohort().hash(), dealings: vec![dealing(0), dealing(2)] }
}

pub fn sharers() -> Sharers {
    Sharers { cohort: cohort().hash(), sharers: Bitmap::full(3) }
}

pub fn upload(member: usize) -> Upload {
    let key = &keys()[member];
    let statement = UploadStatement {
        cohort: cohort().hash(),
        sharers: sharers().hash(&seed()),
        member: key.node_id(),
        bytes: config().payload_bytes(28),
        payload: hash(0x80 + member as u8),
    };
    Signed::sign(statement, key)
}

pub fn survivors() -> Survivors {
    let shown = upload(2);
    Survivors {
        cohort: cohort().hash(),
        sharers: sharers().hash(&seed()),
        survivors: Bitmap::of(3, [Member(0), Member(2)]),
        uploads: vec![ShownUpload { payload: shown.statement.payload, signature: shown.signature }],
    }
}

pub fn vote(member: usize) -> Vote {
    Vote::sign(survivors().hash(), &keys()[member])
}

pub fn certificate() -> Certificate {
    let votes = [0_u16, 2].map(|member| (Member(member), vote(usize::from(member)).signature));
    Certificate { survivors: survivors().hash(), votes: votes.to_vec() }
}

pub fn answer() -> Answer {
    Answer::sign(survivors().hash(), vec![None, Some([0x90; 32])], &keys()[0])
}

fn end(reason: EndReason) -> Announcement {
    Announcement::End(End { config: config().hash(), reason })
}

/// Every message of a participant with the name and the explanation of its vector.
pub fn messages() -> Vec<(&'static str, &'static str, Message)> {
    let config = config().hash();
    let reveal = Reveal { config, attempt: 1, cohort: cohort().hash(), nonce: nonce(0) };
    let received = Received { cohort: cohort().hash(), bad: Bitmap::of(3, [Member(1)]) };
    let have = Have { config, attempt: 1, announcement: 4 };
    vec![
        ("join", "member 0 of cohort.hex", Message::Join(join(0))),
        ("reveal", "member 0 of cohort.hex", Message::Reveal(reveal)),
        ("shares", "member 0 deals to 1 and 2, with 3 Feldman points", Message::Shares(Box::new(shares()))),
        ("received", "dealer 1 is bad", Message::Received(received)),
        ("upload", "member 0, 28 bits", Message::Upload(upload(0))),
        ("vote", "member 0 for survivors.hex", Message::Vote(vote(0))),
        ("answer", "member 0: nothing of 1, a share of 2", Message::Answer(answer())),
        ("have", "sharers.hex, attempt 1", Message::Have(have)),
    ]
}

/// Every announcement with the name and the explanation of its vector.
pub fn announcements() -> Vec<(&'static str, String, Announcement)> {
    let few = Shortfall { expected: 2, got: 1 };
    let done = EndReason::Done { sum: hash(0xe0), weight: 1234, survivors: survivors().hash(), epsilon: f64::INFINITY };
    let silent = vec![keys()[1].node_id()];
    let restart = Restart { config: config().hash(), attempt: 1, silent: silent.clone() };
    let named = [
        ("cohort", format!("config.hex, attempt 1, 3 members; R {}", cohort().hash()), Announcement::Cohort(cohort())),
        ("nonces", format!("cohort.hex; seed {}", seed()), Announcement::Nonces(nonces())),
        ("inbox", "of member 1, from 0 and 2".to_owned(), Announcement::Inbox(inbox())),
        ("sharers", format!("all 3; V {}", sharers().hash(&seed())), Announcement::Sharers(sharers())),
        ("survivors", format!("0 and 2, to 0; Z {}", survivors().hash()), Announcement::Survivors(survivors())),
        ("certificate", "votes of 0 and 2".to_owned(), Announcement::Certificate(certificate())),
        ("restart", "attempt 1 without member 1".to_owned(), Announcement::Restart(restart)),
        ("end-done", "weight 1,234, no noise".to_owned(), end(done)),
    ];
    let ends = [
        ("end-joined", EndReason::TooFewJoined(few)),
        ("end-shared", EndReason::TooFewShared(few)),
        ("end-uploaded", EndReason::TooFewUploaded(few)),
        ("end-voted", EndReason::TooFewVoted(few)),
        ("end-answered", EndReason::TooFewAnswered(few)),
        ("end-reveals", EndReason::RevealsMissing { silent }),
        ("end-parameters", EndReason::NoParameters),
        ("end-dealer", EndReason::BadDealer { dealer: keys()[1].node_id() }),
        ("end-stopped", EndReason::Stopped),
        ("end-out", EndReason::OutOfRound(OutCause::Late)),
    ];
    named.into_iter().chain(ends.map(|(name, reason)| (name, format!("{reason:?}"), end(reason)))).collect()
}
