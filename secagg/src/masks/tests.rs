//! Published vectors, and every way of masking against masks made word by word.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::masks::fused::KeyStream;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

fn plus(seed: MaskSeed) -> MaskJob {
    MaskJob { seed, sign: Sign::Plus }
}

/// The masks of `entries` entries from `first_entry` on.
fn masks(seed: MaskSeed, first_entry: usize, entries: usize) -> Vec<u32> {
    let mut target = vec![0; entries];
    apply(Lanes::Narrow(&mut target), first_entry, &[plus(seed)]);
    target
}

/// F.5.1 of NIST SP 800-38A: the output blocks of CTR-AES128.Encrypt.
#[test]
fn aes_in_counter_mode_is_that_of_sp_800_38a() {
    let key = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
    let first = u128::from_str_radix("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 16).unwrap();
    let counters = (first..first + 4).map(|counter| counter.to_be_bytes().into()).collect();
    let mut stream = [0_u32; 16];
    aes::AesStream::new(&key).fold(&counters, &mut stream, Sign::Plus);
    let expected = hex("ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae\
                        6a2cc3787889374fbeb4c81b17ba6c44e89c399ff0f198c6d40a31db156cabfe");
    assert_eq!(stream.as_slice(), words(&expected));
}

/// The encryptions of 0, 1 and 2 under the zero key, as in test cases 1 and 2 of the GCM specification.
#[test]
fn aes_counts_from_zero() {
    let expected =
        hex("66e94bd4ef8a2c3b884cfa59ca342b2e58e2fccefa7e3061367f1d57a4e7455a0388dace60b6a392f328c2b971b2fe78");
    assert_eq!(masks(MaskSeed::Aes128Ctr([0; 16]), 0, 12), words(&expected));
}

/// Test vectors 1, 2 and 4 of RFC 8439, appendix A.1.
#[test]
fn chacha20_is_that_of_rfc_8439() {
    let zero = hex("76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
                    da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586\
                    9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
                    29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
    assert_eq!(masks(MaskSeed::ChaCha20([0; 32]), 0, 32), words(&zero));
    let mut key = [0; 32];
    key[1] = 255;
    let second_block = hex("72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca\
                            13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096");
    assert_eq!(masks(MaskSeed::ChaCha20(key), 2 * 16, 16), words(&second_block));
}

/// Word `entry` of the stream of `seed`, from the cipher's library alone.
fn word(seed: &MaskSeed, entry: usize, word_bytes: usize) -> u64 {
    use ::aes::cipher::{BlockCipherEncrypt, KeyInit};
    use ::chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
    let at = entry * word_bytes;
    let mut bytes = [0; 8];
    match seed {
        MaskSeed::Aes128Ctr(key) => {
            let mut block = ((at / 16) as u128).to_be_bytes().into();
            ::aes::Aes128::new(key.into()).encrypt_block(&mut block);
            bytes[..word_bytes].copy_from_slice(&block[at % 16..at % 16 + word_bytes]);
        }
        MaskSeed::ChaCha20(key) => {
            let mut stream = ::chacha20::ChaCha20::new(key.into(), &[0; 12].into());
            stream.seek(at as u64);
            stream.apply_keystream(&mut bytes[..word_bytes]);
        }
    }
    u64::from_le_bytes(bytes)
}

fn jobs(seed: u8) -> Vec<MaskJob> {
    let signs = [Sign::Plus, Sign::Minus];
    let aes = signs.map(|sign| MaskJob { seed: MaskSeed::Aes128Ctr([seed ^ 1 ^ (sign as u8) << 4; 16]), sign });
    let chacha = signs.map(|sign| MaskJob { seed: MaskSeed::ChaCha20([seed ^ 2 ^ (sign as u8) << 4; 32]), sign });
    [aes, chacha].concat()
}

/// All jobs of `jobs`, word by word.
fn expected(jobs: &[MaskJob], entry: usize, word_bytes: usize) -> u64 {
    jobs.iter().fold(0, |sum: u64, job| match job.sign {
        Sign::Plus => sum.wrapping_add(word(&job.seed, entry, word_bytes)),
        Sign::Minus => sum.wrapping_sub(word(&job.seed, entry, word_bytes)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_run_of_entries_gets_its_words(seed: u8, first in 0..20_000_usize, entries in 0..400_usize) {
        let jobs = jobs(seed);
        let mut narrow = vec![0; entries];
        apply(Lanes::Narrow(&mut narrow), first, &jobs);
        let mut wide = vec![0; entries];
        apply(Lanes::Wide(&mut wide), first, &jobs);
        for entry in 0..entries {
            prop_assert_eq!(narrow[entry], expected(&jobs, first + entry, 4) as u32);
            prop_assert_eq!(wide[entry], expected(&jobs, first + entry, 8));
        }
    }

    #[test]
    fn chunks_are_masked_as_the_whole_is(seed: u8, entries in 1..40_000_usize, cuts in proptest::collection::vec(0..40_000_usize, 0..6)) {
        let jobs = jobs(seed);
        let (mut whole, mut chunks) = (vec![7_u64; entries], vec![7_u64; entries]);
        apply(Lanes::Wide(&mut whole), 0, &jobs);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(entries)).chain([0, entries]).collect();
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            apply(Lanes::Wide(&mut chunks).part(pair[0]..pair[1]), pair[0], &jobs);
        }
        prop_assert!(whole == chunks);
    }
}

#[test]
fn threads_change_nothing() {
    let jobs = jobs(3);
    for entries in [0, 1, 8_192, 8_193, 50_001] {
        let mut alone = vec![1; entries];
        apply(Lanes::Narrow(&mut alone), 0, &jobs);
        for threads in [0, 1, 2, 3, 16] {
            let mut together = vec![1; entries];
            apply_parallel(Lanes::Narrow(&mut together), &jobs, threads);
            assert!(alone == together, "{entries} entries on {threads} threads");
        }
    }
}

#[test]
fn a_mask_and_its_opposite_cancel() {
    let jobs = jobs(9);
    let opposite: Vec<MaskJob> =
        jobs.iter().map(|job| MaskJob { seed: job.seed.clone(), sign: job.sign.opposite() }).collect();
    let mut target: Vec<u32> = (0..20_000).collect();
    apply(Lanes::Narrow(&mut target), 5, &jobs);
    assert!(target.iter().zip(0..).all(|(masked, plain): (&u32, u32)| *masked != plain), "everything is masked");
    apply(Lanes::Narrow(&mut target), 5, &opposite);
    assert!(target.into_iter().eq(0..20_000));
}

#[test]
fn the_last_entries_of_the_largest_vector_have_masks_of_their_own() {
    let jobs = jobs(4);
    let first = MOST_ENTRIES - 70;
    let mut target = [0; 70];
    apply(Lanes::Wide(&mut target), first, &jobs);
    for (entry, word) in target.into_iter().enumerate() {
        assert_eq!(word, expected(&jobs, first + entry, 8));
    }
}

#[test]
#[should_panic(expected = "a vector has at most")]
fn entries_at_which_a_stream_could_repeat_are_a_bug() {
    apply(Lanes::Narrow(&mut [0; 2]), MOST_ENTRIES - 1, &[]);
}

#[test]
fn seeds_are_not_printed() {
    let printed = format!("{:?}", plus(MaskSeed::Aes128Ctr([171; 16])));
    assert!(!printed.contains("171"), "{printed}");
}
