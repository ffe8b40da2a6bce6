//! Who is in a cohort: keys, rosters, parameters, models.

use neuro_primitives::{Hash, NodeId, Untrusted};
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::floors::FloorRefused;
use neuro_secagg::group::{KeyPair, Scalar};
use neuro_secagg::kdf::{MaskContext, RoundSecret};
use neuro_secagg::masks::Generator;
use neuro_secagg::messages::{Cohort, Message, Row};
use neuro_secagg::participant::{PartEnd, Participant, Refused};

use super::support::forge::change_cohort;
use super::support::{JOIN, Mail, Plan, REVEAL, UPLOAD, World, message, silent_from};

/// Everybody is shown a cohort that was changed so; nobody reveals, and each end is as expected.
fn check_refused(plan: &Plan, change: impl FnMut(NodeId, &mut Cohort) + 'static, expected: impl Fn(&PartEnd) -> bool) {
    let mut world = World::new(plan);
    world.down = change_cohort(plan.aggregator_key(), change);
    world.run();
    assert_eq!(world.senders(REVEAL), 0, "nobody reveals");
    for person in &world.people {
        let end = person.end.as_ref().expect("the part ends");
        assert!(expected(end), "{end:?}");
        assert!(person.record.is_none(), "its secrets are wiped");
    }
}

fn is_refused(end: &PartEnd) -> bool {
    matches!(end, PartEnd::Refused(_))
}

#[test]
fn a_key_that_its_member_did_not_sign_ends_the_part() {
    let key = |of: u64| KeyPair::new(Scalar::from(of)).public();
    check_refused(
        &Plan::default(),
        move |_, cohort| cohort.rows[3].mask_key = key(77),
        |end| matches!(end, PartEnd::Refused(Refused::Signature(_) | Refused::NotMyJoin)),
    );
    check_refused(&Plan::default(), move |_, cohort| cohort.rows[3].seal_key = key(78), is_refused);
    check_refused(&Plan::default(), |_, cohort| cohort.rows[3].nonce_commitment = Hash([1; 32]), is_refused);
}

#[test]
fn strangers_and_small_cohorts_are_refused() {
    let plan = Plan::default();
    let stranger = Row::from(&stranger_join(&plan));
    check_refused(
        &plan,
        move |_, cohort| {
            cohort.rows.push(stranger.clone());
            cohort.rows.sort_by_key(|row| row.node);
            (cohort.k, cohort.t, cohort.q, cohort.modulus_bits) = (10, 7, 6, cohort.modulus_bits);
        },
        is_refused,
    );
    // The configuration would allow it; the floor of eight does not.
    let small = Plan { least_members: 2, members: 10, ..Plan::default() };
    let mut world = World::new(&small);
    let gone: Vec<NodeId> = world.ids().into_iter().take(3).collect();
    world.up = silent_from(JOIN, gone.clone());
    world.run();
    assert_eq!(world.senders(REVEAL), 0);
    let staying = world.people.iter().filter(|person| !gone.contains(&person.id()));
    assert!(staying.map(|person| &person.end).all(|end| matches!(end, Some(PartEnd::Refused(Refused::Floor(_))))));
}

/// A join that a node which the roster does not list has signed properly.
fn stranger_join(plan: &Plan) -> neuro_secagg::messages::Join {
    let mut larger = World::new(&Plan { members: plan.members + 1, ..plan.clone() });
    let known = World::new(plan).ids();
    let config = World::new(plan).config;
    let at = larger.people.iter().position(|person| !known.contains(&person.id())).expect("one more");
    let person = &mut larger.people[at];
    let secrets = RoundSecret::from_bytes(person.secret);
    let attempt = secrets.attempt(&config.config().hash(), 0);
    let statement = neuro_secagg::messages::JoinStatement {
        config: config.config().hash(),
        attempt: 0,
        member: person.id(),
        mask_key: attempt.mask_key().public(),
        seal_key: attempt.seal_key().public(),
        nonce_commitment: Hash([5; 32]),
    };
    neuro_secagg::messages::Join::sign(statement, &person.key)
}

#[test]
fn absent_honest_members_do_not_dilute_c() {
    // c = ⌈20 % of 20⌉ = 4, although of the 12 who come 20 % are 3.
    let plan = Plan { members: 20, corrupt_bps: 2_000, dropout_bps: 1_000, ..Plan::default() };
    let mut world = World::new(&plan);
    let absent: Vec<NodeId> = world.ids().into_iter().take(8).collect();
    world.up = silent_from(JOIN, absent.clone());
    let shown = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = shown.clone();
    world.down = change_cohort(plan.aggregator_key(), move |_, cohort| {
        seen.set(cohort.q);
        cohort.q = 8;
    });
    world.run();
    assert_eq!(shown.get(), 9, "the least q with 2q > 12 + 4");
    assert_eq!(world.senders(REVEAL), 0, "q = 8 is what the twelve alone would ask for");
    for person in world.people.iter().filter(|person| !absent.contains(&person.id())) {
        assert!(matches!(person.end, Some(PartEnd::Refused(Refused::Parameters(_)))), "{:?}", person.end);
    }
}

#[test]
fn each_parameter_below_its_bound_is_refused() {
    let plan = Plan::default();
    check_refused(&plan, |_, cohort| cohort.q -= 1, is_refused);
    check_refused(&plan, |_, cohort| cohort.q = 8, is_refused);
    check_refused(&plan, |_, cohort| cohort.t = 1, is_refused);
    check_refused(&plan, |_, cohort| (cohort.k, cohort.t) = (8, 6), is_refused);
    check_refused(&plan, |_, cohort| cohort.modulus_bits -= 1, is_refused);
    check_refused(&plan, |_, cohort| cohort.modulus_bits += 1, is_refused);

    type Change = fn(&mut neuro_secagg::config::RoundConfig);
    let below: [Change; 6] = [
        |config| config.security_bits = 39,
        |config| config.corrupt_bps = 999,
        |config| config.dropout_bps = 4_500,
        |config| (config.entries, config.value_bits) = (1 << 28, 32),
        |config| config.most_members = 9,
        |config| config.roster_version += 1,
    ];
    for (at, change) in below.into_iter().enumerate() {
        let mut world = World::new(&plan);
        let mut config = world.config.config().clone();
        change(&mut config);
        config.vector_entries = config.entries + 1;
        let signed = config.sign(&plan.aggregator_key());
        let refused = join(&mut world, signed);
        let harmless = at == 4;
        assert_eq!(refused.is_err(), !harmless, "change {at}");
    }
}

/// A margin that depends on who is rostered, as one for n − d − c honest parts of the noise does.
fn margin(config: &RoundConfig, n: u16, rostered: u32) -> Option<u8> {
    let absent = rostered.checked_sub(n.into())?;
    Some(config.plain_modulus_bits(n) + 3 + u8::try_from(absent).ok()?)
}

#[test]
fn the_modulus_of_private_mode_is_what_the_participants_own_rule_gives() {
    let plan = Plan { members: 12, weight_cap: 1, private: Some(margin), ..Plan::default() };
    let mut world = World::new(&plan);
    let absent: Vec<NodeId> = world.ids().into_iter().take(2).collect();
    world.up = silent_from(JOIN, absent.clone());
    world.crashes = true;
    world.run();
    let numbers = world.server.numbers.expect("a cohort");
    assert_eq!((numbers.n, numbers.modulus_bits), (10, 9 + 4 + 3 + 2), "of twelve rostered");
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&absent))));

    let is_count = |end: &PartEnd| matches!(end, PartEnd::Refused(Refused::Count { least: 16, most: 16, .. }));
    let plan = Plan { members: 10, ..plan };
    check_refused(&plan, |_, cohort| cohort.modulus_bits -= 1, is_count);
    check_refused(&plan, |_, cohort| cohort.modulus_bits += 1, is_count);

    // Who has no rule for the noise takes no modulus for it.
    let mut world = World::new(&plan);
    world.people.iter_mut().for_each(|person| person.private = None);
    world.run();
    assert_eq!(world.senders(REVEAL), 0);
    let no_rule = Some(PartEnd::Refused(Refused::NoModulus { n: 10 }));
    assert!(world.people.iter().all(|person| person.end == no_rule));
}

fn join(world: &mut World<'_>, config: SignedConfig) -> Result<(), Refused> {
    let (registry, person) = (world.roster.clone(), &world.people[0]);
    let secret = RoundSecret::from_bytes(person.secret);
    Participant::join(Untrusted::new(config), registry, &person.floors, &person.past, person.key.clone(), secret)
        .map(|_| ())
}

#[test]
fn a_round_that_was_joined_before_is_refused() {
    let mut world = World::new(&Plan::default());
    world.people[0].past.newest_round = Some((1, [0].into()));
    let config = world.config.clone();
    assert!(matches!(join(&mut world, config), Err(Refused::Floor(FloorRefused::RoundSeen { .. }))));
}

#[test]
fn two_models_do_not_cancel() {
    // The masks of one pair under two base hashes are two masks.
    let (one, other) = (KeyPair::new(Scalar::from(5_u64)), KeyPair::new(Scalar::from(6_u64)));
    let seed = |base: &[u8]| {
        let context =
            MaskContext::new(&Hash([1; 32]), &Hash([2; 32]), &Hash([3; 32]), &Hash::of(base), Generator::Aes128Ctr);
        context.pair(&one.agree(&other.public()), NodeId([1; 32]), NodeId([2; 32]))
    };
    assert_eq!(seed(b"model"), seed(b"model"));
    assert_ne!(seed(b"model"), seed(b"another model"));

    // And members that were shown two models never stand in one cohort.
    let (plan, altered) = (Plan::default(), Plan { base: Hash::of(b"another model"), ..Plan::default() });
    let mut tricked = World::new(&altered);
    let config = tricked.config.clone();
    let registry = tricked.roster.clone();
    let Mail::ToServer { bytes, .. } = tricked.people[4].join(Untrusted::new(config), registry).remove(0) else {
        panic!("it joins the other model")
    };
    let Message::Join(elsewhere) = message(&bytes, None) else { panic!("a join") };
    check_refused(&plan, move |_, cohort| cohort.rows[4] = Row::from(&elsewhere), is_refused);
}

#[test]
fn yesterdays_announcements_do_nothing() {
    let mut yesterday = World::new(&Plan::default());
    yesterday.run();
    let old = yesterday.server.announced.clone();

    let today = Plan { round: 2, ..Plan::default() };
    let mut world = World::new(&today);
    world.down = Box::new(move |to, bytes| {
        let replayed = old.iter().filter(|(whom, _)| *whom == to).map(|(_, bytes)| bytes.clone());
        replayed.clone().chain([bytes]).chain(replayed.clone()).collect()
    });
    world.run();
    assert_eq!(world.server.result, Some(world.plain_sum(&world.ids())));
    for by in 0..10 {
        let kinds = world.kinds_sent(world.id(by));
        assert_eq!(kinds, [JOIN, REVEAL, 3, 4, UPLOAD, 6, 7], "one of each, for today");
    }
}
