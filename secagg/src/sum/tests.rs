//! The arithmetic of a whole round without its messages: what is masked, packed, added and unmasked is the plain sum.

use neuro_primitives::{Hash, NodeId};

use super::*;
use crate::group::{KeyPair, Scalar};
use crate::identity::Member;
use crate::kdf::{MaskContext, RoundSecret};
use crate::masks::{Generator, Sign, apply_parallel};
use crate::shamir::{rebuild, split};

const COHORT: u16 = 8;
const THRESHOLD: u16 = 4;
const ENTRIES: usize = 1_003;

struct Participant {
    id: NodeId,
    mask_key: KeyPair,
    self_mask: Scalar,
    /// What everybody else holds of the two secrets.
    held: Vec<(Member, Scalar, Scalar)>,
}

fn participants() -> Vec<Participant> {
    let participant = |index: u16| {
        let secret = RoundSecret::from_bytes([index as u8; 32]).attempt(&Hash([9; 32]), 0);
        let holders: Vec<Member> = (0..COHORT).filter(|other| *other != index).map(Member).collect();
        let (mask_key, self_mask) = (secret.mask_key(), secret.self_mask());
        let first = split(mask_key.secret(), &secret.mask_coefficients(THRESHOLD), &holders);
        let second = split(&self_mask, &secret.self_coefficients(THRESHOLD), &holders);
        let held =
            holders.into_iter().zip(first).zip(second).map(|((holder, one), other)| (holder, one, other)).collect();
        Participant { id: NodeId([index as u8; 32]), mask_key, self_mask: *self_mask, held }
    };
    (0..COHORT).map(participant).collect()
}

/// +1 for the lower index of a pair, −1 for the higher.
fn sign(of: usize, with: usize) -> Sign {
    if of < with { Sign::Plus } else { Sign::Minus }
}

/// What participant `own` does to its vector (section 8).
fn mask_jobs(all: &[Participant], own: usize, context: &MaskContext) -> Vec<MaskJob> {
    let me = &all[own];
    let pair = |(other, them): (usize, &Participant)| MaskJob {
        seed: context.pair(&me.mask_key.agree(&them.mask_key.public()), me.id, them.id),
        sign: sign(own, other),
    };
    let mut jobs: Vec<MaskJob> = all.iter().enumerate().filter(|(other, _)| *other != own).map(pair).collect();
    jobs.push(MaskJob { seed: context.own(&me.self_mask, me.id), sign: Sign::Plus });
    jobs
}

/// What the aggregator does to the sum when `dead` have not uploaded (section 9.3), from t survivors' shares.
fn unmask_jobs(all: &[Participant], dead: &[usize], context: &MaskContext) -> Vec<MaskJob> {
    let alive = |member: usize| !dead.contains(&member);
    let mut jobs = Vec::new();
    for (index, them) in all.iter().enumerate() {
        let held = them.held.iter().filter(|(holder, ..)| alive(holder.index())).take(THRESHOLD.into());
        if alive(index) {
            let shares: Vec<_> = held.map(|(holder, _, share)| (*holder, *share)).collect();
            jobs.push(MaskJob { seed: context.own(&rebuild(&shares).unwrap(), them.id), sign: Sign::Minus });
            continue;
        }
        let shares: Vec<_> = held.map(|(holder, share, _)| (*holder, *share)).collect();
        let key = KeyPair::new(rebuild(&shares).unwrap());
        assert_eq!(key.public(), them.mask_key.public());
        for (other, survivor) in all.iter().enumerate().filter(|(other, _)| alive(*other)) {
            let seed = context.pair(&key.agree(&survivor.mask_key.public()), them.id, survivor.id);
            jobs.push(MaskJob { seed, sign: sign(other, index).opposite() });
        }
    }
    jobs
}

/// A vector of participant `index` whose entries stay within a share of the modulus.
fn vector(index: usize, modulus: Modulus) -> Vec<i64> {
    let most = (i64::MAX >> (64 - u32::from(modulus.bits()))) / i64::from(COHORT);
    let word = |entry: usize| Hash::of(&[index.to_le_bytes(), entry.to_le_bytes()].concat()).0;
    let number = |entry| i64::from_le_bytes(word(entry)[..8].try_into().unwrap());
    (0..ENTRIES).map(|entry| if most == 0 { 0 } else { number(entry) % most }).collect()
}

fn payload(vector: &[i64], modulus: Modulus, jobs: &[MaskJob]) -> Vec<u8> {
    let mut own = Accumulator::new(ENTRIES, modulus);
    match own.lanes() {
        Lanes::Narrow(words) => words.iter_mut().zip(vector).for_each(|(word, value)| *word = *value as u32),
        Lanes::Wide(words) => words.iter_mut().zip(vector).for_each(|(word, value)| *word = value.cast_unsigned()),
    }
    apply_parallel(own.lanes(), jobs, 2);
    own.to_packed()
}

fn check(bits: u8, generator: Generator, dead: &[usize]) {
    let all = participants();
    let modulus = Modulus::new(bits).unwrap();
    let hash = |byte| Hash([byte; 32]);
    let context = MaskContext::new(&hash(1), &hash(2), &hash(3), &hash(4), generator);
    let mut sum = Accumulator::new(ENTRIES, modulus);
    let mut plain = vec![0; ENTRIES];
    for own in (0..all.len()).filter(|own| !dead.contains(own)) {
        let vector = vector(own, modulus);
        plain.iter_mut().zip(&vector).for_each(|(sum, value)| *sum += value);
        sum.add(&payload(&vector, modulus, &mask_jobs(&all, own, &context))).unwrap();
    }
    assert!(sum.clone().finish() != plain, "still masked");
    sum.unmask(&unmask_jobs(&all, dead, &context), 2);
    assert!(sum.finish() == plain, "{modulus:?}, {generator:?}, dead {dead:?}");
}

#[test]
fn the_unmasked_sum_is_the_plain_sum_to_the_bit() {
    for bits in [5, 26, 32, 33, 47, 64] {
        check(bits, Generator::Aes128Ctr, &[]);
        check(bits, Generator::Aes128Ctr, &[0, 4, 6]);
    }
    check(26, Generator::ChaCha20, &[3]);
    check(40, Generator::ChaCha20, &[3]);
}

#[test]
fn a_payload_that_is_taken_away_leaves_no_trace() {
    let modulus = Modulus::new(26).unwrap();
    let payloads: Vec<Vec<u8>> = (0..3).map(|index| payload(&vector(index, modulus), modulus, &[])).collect();
    let mut sum = Accumulator::new(ENTRIES, modulus);
    sum.add(&payloads[0]).unwrap();
    let mut expected = sum.clone();
    sum.add(&payloads[1]).unwrap();
    sum.add(&payloads[2]).unwrap();
    sum.subtract(&payloads[1]).unwrap();
    expected.add(&payloads[2]).unwrap();
    assert_eq!(sum.finish(), expected.finish());
}

#[test]
fn a_checkpoint_gives_the_sum_back() {
    for bits in [7, 33] {
        let modulus = Modulus::new(bits).unwrap();
        let mut sum = Accumulator::new(ENTRIES, modulus);
        for index in 0..3 {
            sum.add(&payload(&vector(index, modulus), modulus, &[])).unwrap();
        }
        let restored = Accumulator::from_packed(ENTRIES, modulus, &sum.to_packed()).unwrap();
        assert_eq!(restored.finish(), sum.finish());
    }
}

#[test]
fn payloads_of_another_length_or_with_bits_left_over_are_refused_and_change_nothing() {
    let modulus = Modulus::new(26).unwrap();
    let good = payload(&vector(0, modulus), modulus, &[]);
    let mut sum = Accumulator::new(ENTRIES, modulus);
    sum.add(&good).unwrap();
    let before = sum.clone();
    for length in [0, good.len() - 1] {
        let error = PayloadError::Length { entries: ENTRIES, bits: 26, expected: good.len(), got: length };
        assert_eq!(sum.add(&good[..length]), Err(error));
        assert_eq!(sum.subtract(&good[..length]), Err(error));
    }
    let mut long = good.clone();
    long.push(0);
    assert!(matches!(sum.add(&long), Err(PayloadError::Length { .. })));
    let mut ones = good.clone();
    *ones.last_mut().unwrap() |= 0x80;
    assert_eq!(sum.add(&ones), Err(PayloadError::TrailingBits), "1003 entries of 26 bits end within a byte");
    assert_eq!(sum.subtract(&ones), Err(PayloadError::TrailingBits));
    assert_eq!(sum, before);
}

#[test]
fn adding_and_hashing_in_one_pass_is_adding_and_hashing() {
    // Of one piece, of several with an end within a group, and of words of either size.
    for (entries, bits) in [(ENTRIES, 29), (170_001, 29), (200_003, 40)] {
        let modulus = Modulus::new(bits).unwrap();
        let mut payload: Vec<u8> = (0..modulus.payload_bytes(entries)).map(|at| (at * 31 % 251) as u8).collect();
        *payload.last_mut().unwrap() = 0;
        let (mut apart, mut together) = (Accumulator::new(entries, modulus), Accumulator::new(entries, modulus));
        apart.add(&payload).unwrap();
        assert_eq!(together.add_and_hash(&payload), Ok(Hash::of(&payload)), "{entries} of {bits} bits");
        assert!(apart == together, "{entries} of {bits} bits");
        assert!(together.add_and_hash(&payload[1..]).is_err() && apart == together, "a short one changes nothing");
    }
}
