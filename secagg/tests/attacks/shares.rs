//! Shares that are wrong, and complaints about shares that are not.

use neuro_primitives::{Hash, NodeId};
use neuro_secagg::aggregator::{Evidence, MessageRefused};
use neuro_secagg::feldman::Commitments;
use neuro_secagg::fields::Signed;
use neuro_secagg::group::{KeyPair, Scalar, decode_scalar};
use neuro_secagg::identity::Member;
use neuro_secagg::kdf::{MaskContext, RoundSecret};
use neuro_secagg::masks::{MaskJob, Sign};
use neuro_secagg::messages::{Answer, EndReason, Message, OutCause, ShareStatement, Shares};
use neuro_secagg::participant::{OutOfRound, PartEnd};
use neuro_secagg::seal::{SharePair, seal};
use neuro_secagg::shamir::{rebuild, split};
use neuro_secagg::share_tree::{Dealing, ShareKind, ShareTree, TreeError, check_path};

use super::support::{ANSWER, Plan, RECEIVED, SHARES, World, message, silent_from};

/// Has the third member answer with a wrong share; who that is.
pub fn answers_with_a_wrong_share(world: &mut World<'_>, plan: &Plan) -> NodeId {
    let (liar, key, shape) = (world.id(2), world.people[2].key.clone(), plan.shape());
    world.up = Box::new(move |from, bytes| {
        if bytes[0] != ANSWER || from != liar {
            return vec![bytes];
        }
        let Message::Answer(mut answer) = message(&bytes, Some(&shape)) else { panic!("an answer") };
        answer.shares[3].as_mut().expect("a share")[0] ^= 1;
        vec![Message::Answer(Answer::sign(answer.survivors, answer.shares, &key)).encode()]
    });
    liar
}

#[test]
fn a_wrong_share_names_the_responder_and_the_round_finishes() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    let liar = answers_with_a_wrong_share(&mut world, &plan);
    assert!(matches!(world.run(), EndReason::Done { .. }));
    assert_eq!(world.server.result, Some(world.plain_sum(&world.ids())));
    let [Evidence::WrongShare { responder, answer, dealer, statement, kind, leaves, path }] = world.evidence() else {
        panic!("{:?}", world.evidence())
    };
    // Anybody can check it: the dealer signed this root, the leaves lead to it, and the signed share is another's.
    assert_eq!(*responder, liar);
    statement.verify().expect("the dealer's root");
    let Message::Answer(answer) = message(answer, Some(&plan.shape())) else { panic!("an answer") };
    answer.verify(liar).expect("the liar's answer");
    check_path(leaves, 2, 9, path, &statement.statement.root).expect("in the root");
    let share = decode_scalar(&answer.shares[3].expect("a share")).expect("a scalar");
    let dealing = Dealing { cohort: statement.statement.cohort, seed: statement.statement.seed, dealer: *dealer };
    assert_ne!(dealing.leaf(liar, *kind, &share), leaves[usize::from(kind.byte())]);
}

/// What `dealer` sends if its shares are of another self-mask than it commits to, in a complete graph.
fn bad_shares(world: &World<'_>, plan: &Plan, dealer: usize, honest: &Shares) -> Vec<u8> {
    let person = &world.people[dealer];
    let config = world.config.config().hash();
    let secrets = RoundSecret::from_bytes(person.secret).attempt(&config, 0);
    let statement = honest.statement.statement.clone();
    let dealing = Dealing { cohort: statement.cohort, seed: statement.seed, dealer: person.id() };
    let holders: Vec<Member> = (0..10).filter(|&at| at != dealer as u16).map(Member).collect();
    let t = plan.shape().t;
    let mask = split(secrets.mask_key().secret(), &secrets.mask_coefficients(t), &holders);
    let other = split(&Scalar::from(12_345_u64), &secrets.self_coefficients(t), &holders);
    let pairs: Vec<SharePair> =
        mask.into_iter().zip(other).map(|(mask_key, self_mask)| SharePair { mask_key, self_mask }).collect();
    let node = |holder: &Member| world.id(holder.index());
    let leaves = pairs.iter().zip(&holders).map(|(pair, holder)| pair.leaves(&dealing, node(holder))).collect();
    let tree = ShareTree::new(leaves).expect("a tree");
    let peer = |holder: &Member| {
        RoundSecret::from_bytes(world.people[holder.index()].secret).attempt(&config, 0).seal_key().public()
    };
    let own = secrets.seal_key();
    let sealed = pairs.iter().zip(&holders);
    let boxes = sealed.map(|(pair, holder)| seal(&own, &peer(holder), &dealing, node(holder), &tree.root(), pair));
    let statement = Signed::sign(ShareStatement { root: tree.root(), ..statement }, &person.key);
    let shares = Shares { statement, leaves: tree.leaves().to_vec(), boxes: boxes.collect(), feldman: Vec::new() };
    Message::Shares(Box::new(shares)).encode()
}

#[test]
fn a_bad_dealer_is_named_and_the_next_round_runs() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    let (bad, shape) = (world.id(2), plan.shape());
    let model = World::new(&plan);
    world.up = Box::new(move |from, bytes| {
        if bytes[0] != SHARES || from != bad {
            return vec![bytes];
        }
        let Message::Shares(honest) = message(&bytes, Some(&shape)) else { panic!("shares") };
        vec![bad_shares(&model, &Plan::default(), 2, &honest)]
    });
    assert_eq!(world.run(), EndReason::BadDealer { dealer: bad });
    assert_eq!(world.server.unmaskings, 0);
    let [Evidence::BadDealer { dealer, statement, kind: ShareKind::SelfMask, shares }] = world.evidence() else {
        panic!("{:?}", world.evidence())
    };
    assert_eq!((*dealer, shares.len()), (bad, usize::from(plan.shape().t)));
    let statement = statement.as_ref().expect("its statement");
    statement.verify().expect("the dealer's");
    let held: Vec<(Member, Scalar)> = shares
        .iter()
        .map(|(node, share)| (Member(world.at(*node) as u16), decode_scalar(share).expect("a scalar")))
        .collect();
    let dealing = Dealing { cohort: statement.statement.cohort, seed: statement.statement.seed, dealer: bad };
    let rebuilt = dealing.self_mask_commitment(&rebuild(&held).expect("t shares"));
    assert_ne!(rebuilt, statement.statement.self_mask_commitment);

    let mut next = World::new(&Plan { round: 2, ..plan });
    next.up = silent_from(1, vec![bad]);
    assert!(matches!(next.run(), EndReason::Done { .. }));
    assert_eq!(next.server.result, Some(next.plain_sum(&next.others(&[bad]))));
}

#[test]
fn a_dealer_whose_root_is_not_that_of_its_leaves_is_dropped() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    let (bad, key, shape) = (world.id(2), world.people[2].key.clone(), plan.shape());
    world.up = Box::new(move |from, bytes| {
        if bytes[0] != SHARES || from != bad {
            return vec![bytes];
        }
        let Message::Shares(honest) = message(&bytes, Some(&shape)) else { panic!("shares") };
        let statement = ShareStatement { root: Hash::of(b"another"), ..honest.statement.statement.clone() };
        vec![Message::Shares(Box::new(Shares { statement: Signed::sign(statement, &key), ..*honest })).encode()]
    });
    assert!(matches!(world.run(), EndReason::Done { .. }));
    let refused = world.server.refused.iter().filter(|(from, _)| *from == bad).map(|(_, why)| why);
    let refused: Vec<&MessageRefused> = refused.collect();
    assert!(matches!(refused[..], [MessageRefused::Leaves(TreeError::Root { .. })]), "{refused:?}");
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&[bad]))));
    assert_eq!(world.people[2].end, Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Late))));
}

/// The same shares under commitments to another polynomial: its constant terms are the dealer's, one coefficient is not.
fn with_bad_commitments(world: &World<'_>, plan: &Plan, dealer: usize, honest: Shares) -> Vec<u8> {
    let person = &world.people[dealer];
    let secrets = RoundSecret::from_bytes(person.secret).attempt(&world.config.config().hash(), 0);
    let t = plan.shape().t;
    let mut first = secrets.mask_coefficients(t);
    first[2] += Scalar::ONE;
    let feldman = Commitments::new(&first, &secrets.self_mask(), &secrets.self_coefficients(t)).encode();
    let statement = ShareStatement { feldman: Hash::of(feldman.as_flattened()), ..honest.statement.statement };
    let statement = Signed::sign(statement, &person.key);
    Message::Shares(Box::new(Shares { statement, feldman, ..honest })).encode()
}

/// A round with commitments in which member 2 commits to another polynomial than it deals.
fn round_with_bad_commitments(verifies: bool) -> World<'static> {
    let plan = Plan { feldman: true, verifies_on_receipt: verifies, ..Plan::default() };
    let mut world = World::new(&plan);
    let (bad, shape, model) = (world.id(2), plan.shape(), World::new(&plan));
    world.up = Box::new(move |from, bytes| {
        if bytes[0] != SHARES || from != bad {
            return vec![bytes];
        }
        let Message::Shares(honest) = message(&bytes, Some(&shape)) else { panic!("shares") };
        vec![with_bad_commitments(&model, &plan, 2, *honest)]
    });
    assert!(matches!(world.run(), EndReason::Done { .. }));
    world
}

#[test]
fn a_bad_commitment_is_found_on_receipt_and_the_round_finishes_without_its_dealer() {
    let world = round_with_bad_commitments(true);
    let bad = world.id(2);
    let view = world.server.core.view();
    assert_eq!((view.left_out, view.suspected), (vec![(bad, OutCause::ComplainedOf)], vec![bad]));
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&[bad]))));
    let told = Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::ComplainedOf)));
    assert_eq!(world.people[2].end, told, "it is told why");

    // Who does not look at commitments gets the sum all the same, since the shares are those of the signed root.
    let world = round_with_bad_commitments(false);
    assert_eq!(world.server.result, Some(world.plain_sum(&world.ids())));
    assert!(world.server.core.view().suspected.is_empty());
}

/// Runs a round in which the given members complain about the given ones, and says who was left out.
fn left_out_after(complaints: Vec<(usize, Vec<u16>)>) -> (World<'static>, Vec<usize>) {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    let (ids, shape) = (world.ids(), plan.shape());
    world.up = Box::new(move |from, bytes| {
        let complaint = complaints.iter().find(|(by, _)| ids[*by] == from);
        let Some((_, about)) = complaint.filter(|_| bytes[0] == RECEIVED) else { return vec![bytes] };
        let Message::Received(mut received) = message(&bytes, Some(&shape)) else { panic!("complaints") };
        about.iter().for_each(|&dealer| received.bad.insert(Member(dealer)));
        vec![Message::Received(received).encode()]
    });
    assert!(matches!(world.run(), EndReason::Done { .. }));
    let out = world.server.core.view().suspected;
    let at = out.into_iter().map(|node| world.at(node)).collect();
    (world, at)
}

#[test]
fn complaints_cannot_name_anyone() {
    // L = max(1, ⌊(9 − 6)/4⌋) = 1. Who complains alone about two is left out itself.
    let (world, out) = left_out_after(vec![(3, vec![0, 1])]);
    assert_eq!(out, [3]);
    assert_eq!(world.people[3].end, Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Complaints))));
    // A lone complaint about one changes nothing but that one share.
    let (alone, out) = left_out_after(vec![(3, vec![0])]);
    assert_eq!(out, [0_usize; 0]);
    assert_eq!(alone.server.result, Some(alone.plain_sum(&alone.ids())));
    // Two that agree on one have it left out: a dropout, and still nobody is blamed.
    let (agreed, out) = left_out_after(vec![(3, vec![0]), (4, vec![0])]);
    assert_eq!(out, [0]);
    assert_eq!(agreed.people[0].end, Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::ComplainedOf))));
    for world in [world, alone, agreed] {
        assert!(world.evidence().is_empty());
    }
}

#[test]
fn a_late_upload_stays_masked() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    let (late, shape) = (world.id(0), plan.shape());
    world.up = silent_from(5, vec![late]);
    // It uploads, but its statement comes after the set was fixed.
    let payload_before_end = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let kept = payload_before_end.clone();
    world.start();
    world.settle();
    *kept.borrow_mut() = world.people[0].payload.clone().expect("it masked");
    let upload = world.upload(0).statement;
    assert!(matches!(world.go_on(), EndReason::Done { .. }));

    // All that honest members gave for the late one are shares of its mask key.
    let given: Vec<(Member, Scalar)> = (1..10)
        .map(|by| {
            let Message::Answer(answer) = message(&world.sent(by, ANSWER)[0], Some(&shape)) else {
                panic!("an answer")
            };
            (Member(by as u16), decode_scalar(&answer.shares[0].expect("a share")).expect("a scalar"))
        })
        .collect();
    let config = world.config.config();
    let secrets = |of: usize| RoundSecret::from_bytes(world.people[of].secret).attempt(&config.hash(), 0);
    let rebuilt = KeyPair::new(rebuild(&given[..usize::from(shape.t)]).expect("t shares"));
    assert_eq!(rebuilt.public(), secrets(0).mask_key().public(), "so that key is known now");

    // With it every pair mask comes off the payload, and the self-mask is left.
    let context =
        MaskContext::new(&upload.cohort, &upload.sharers, &config.hash(), &config.base.hash(), config.generator);
    let pair = |other: usize| MaskJob {
        seed: context.pair(&rebuilt.agree(&secrets(other).mask_key().public()), world.id(0), world.id(other)),
        sign: Sign::Minus,
    };
    let mut jobs: Vec<MaskJob> = (1..10).map(pair).collect();
    world.server.payloads.insert(late, payload_before_end.borrow().clone());
    assert_ne!(world.server.open(&[late], &jobs), world.people[0].vector);
    jobs.push(MaskJob { seed: context.own(&secrets(0).self_mask(), late), sign: Sign::Minus });
    assert_eq!(world.server.open(&[late], &jobs), world.people[0].vector, "nothing but the self-mask hid it");
}
