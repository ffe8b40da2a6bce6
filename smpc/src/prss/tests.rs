//! Words against AES block by block, holders against each other, and the refusal of what was drawn.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use proptest::prelude::*;

use super::*;

fn parties() -> [Prss; 3] {
    let seeds: [[u8; SEED_BYTES]; 3] = [1, 2, 3].map(|byte| [byte; SEED_BYTES]);
    [0, 1, 2].map(|i| Prss::new(&seeds[i], &seeds[(i + 1) % 3]))
}

/// Word `index` of `step`, block by block, as the module page says it.
fn word(seed: u8, context: &str, step: u64, index: usize) -> u64 {
    let key: [u8; 16] = blake3::derive_key(context, &[seed; SEED_BYTES])[..16].try_into().unwrap();
    let mut block = [0; 16];
    block[..8].copy_from_slice(&step.to_le_bytes());
    block[8..].copy_from_slice(&(index as u64 / 2).to_le_bytes());
    let mut block = block.into();
    Aes128::new(&key.into()).encrypt_block(&mut block);
    let half = 8 * (index % 2);
    u64::from_le_bytes(block[half..half + 8].try_into().unwrap())
}

#[test]
fn words_are_aes_of_the_counter() {
    for n in [0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 130, 255, 1001] {
        let [mut first, ..] = parties();
        let step = 7 + ((n as u64) << 40);
        let [own, next] = first.words(step, n).unwrap();
        let common = first.common_next(step, n).unwrap();
        assert_eq!((own.len(), next.len(), common.len()), (n, n, n));
        for index in 0..n {
            assert_eq!(own[index], word(1, "neuro smpc prss v1 shares", step, index));
            assert_eq!(next[index], word(2, "neuro smpc prss v1 shares", step, index));
            assert_eq!(common[index], word(2, "neuro smpc prss v1 common words", step, index));
        }
    }
}

#[test]
fn a_step_is_drawn_from_once_and_steps_go_up() {
    let [mut party, ..] = parties();
    party.words(5, 1).unwrap();
    for step in [5, 4, 0] {
        assert_eq!(party.words(step, 1), Err(StepReused { step, last: 5 }));
        assert_eq!(party.fill(step, &mut [], &mut []), Err(StepReused { step, last: 5 }));
        assert_eq!(party.zeros(step, 1), Err(StepReused { step, last: 5 }));
        assert_eq!(party.bit_zeros(step, 1), Err(StepReused { step, last: 5 }));
    }
    assert!(party.zeros(6, 1).is_ok());
    // Each of the three streams counts alone.
    assert!(party.common_own(5, 1).is_ok() && party.common_next(5, 1).is_ok());
    assert_eq!(party.common_own(5, 1), Err(StepReused { step: 5, last: 5 }));
    assert_eq!(party.common_next(3, 1), Err(StepReused { step: 3, last: 5 }));
    assert!(party.words(u64::MAX, 0).is_ok());
    assert!(party.words(u64::MAX, 0).is_err());
}

#[test]
fn uses_seeds_and_steps_have_nothing_in_common() {
    let [mut party, ..] = parties();
    let [a, b] = party.words(0, 500).unwrap();
    let [c, d] = party.words(1, 500).unwrap();
    let (e, f) = (party.common_own(0, 500).unwrap(), party.common_next(0, 500).unwrap());
    let mut all: Vec<u64> = [a, b, c, d, e, f].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 3000);
}

#[test]
fn words_look_uniform() {
    let [mut party, ..] = parties();
    let [words, _] = party.words(3, 1 << 17).unwrap();
    let bits = words.len() as f64 * 64.0;
    let ones: u32 = words.iter().map(|word| word.count_ones()).sum();
    // Six standard deviations of a fair coin.
    assert!((f64::from(ones) - bits / 2.0).abs() < 3.0 * bits.sqrt());
    let mut counts = [0_u32; 256];
    words.iter().flat_map(|word| word.to_le_bytes()).for_each(|byte| counts[usize::from(byte)] += 1);
    let expected = words.len() as f64 / 32.0;
    let chi: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
    // 255 degrees of freedom: mean 255, deviation 22.6.
    assert!((130.0..400.0).contains(&chi), "{chi}");
    for bit in 0..64 {
        let ones = words.iter().filter(|&&word| word >> bit & 1 == 1).count() as f64;
        assert!((ones - words.len() as f64 / 2.0).abs() < 3.0 * (words.len() as f64).sqrt(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn holders_agree_and_zeros_vanish(step in 0..u64::MAX, n in 0..300_usize) {
        let mut parties = parties();
        let [a, b, c] = parties.each_mut().map(|party| party.words(step, n).unwrap());
        prop_assert!(a[1] == b[0] && b[1] == c[0] && c[1] == a[0]);
        let own = parties.each_mut().map(|party| party.common_own(step, n).unwrap());
        let next = parties.each_mut().map(|party| party.common_next(step, n).unwrap());
        prop_assert!((0..3).all(|i| next[i] == own[(i + 1) % 3]));
        let [a, b, c] = parties.each_mut().map(|party| party.zeros(step + 1, n).unwrap());
        prop_assert!((0..n).all(|i| a[i].wrapping_add(b[i]).wrapping_add(c[i]) == 0));
        let mut parties = self::parties();
        let [a, b, c] = parties.each_mut().map(|party| party.bit_zeros(step, n).unwrap());
        prop_assert!((0..n).all(|i| a[i] ^ b[i] ^ c[i] == 0));
    }
}
