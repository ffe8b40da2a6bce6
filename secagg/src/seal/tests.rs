//! A box opens for its holder under its root, and for nobody else.

use super::*;

struct Sealed {
    dealer: KeyPair,
    holder: KeyPair,
    dealing: Dealing,
    to: NodeId,
    root: Hash,
    shares: SharePair,
}

impl Sealed {
    fn new() -> Self {
        Self {
            dealer: KeyPair::new(Scalar::from(21_u64)),
            holder: KeyPair::new(Scalar::from(22_u64)),
            dealing: Dealing { cohort: Hash([1; 32]), seed: Hash([2; 32]), dealer: NodeId([3; 32]) },
            to: NodeId([4; 32]),
            root: Hash([5; 32]),
            shares: SharePair { mask_key: -Scalar::from(6_u64), self_mask: Scalar::from(7_u64) },
        }
    }

    fn seal(&self) -> [u8; BOX_BYTES] {
        seal(&self.dealer, &self.holder.public(), &self.dealing, self.to, &self.root, &self.shares)
    }

    fn open(&self, sealed: &[u8; BOX_BYTES]) -> Result<SharePair, OpenError> {
        open(&self.holder, &self.dealer.public(), &self.dealing, self.to, &self.root, sealed)
    }
}

#[test]
fn a_box_gives_its_holder_both_shares() {
    let case = Sealed::new();
    assert_eq!(case.open(&case.seal()), Ok(case.shares.clone()));
    assert_eq!(case.seal(), case.seal(), "what is sealed twice has the same bytes");
}

#[test]
fn a_box_is_that_of_section_7_3() {
    use chacha20poly1305::aead::{Aead, Payload};
    use hkdf::Hkdf;

    let case = Sealed::new();
    let shared = case.holder.agree(&case.dealer.public());
    let mut info = b"neuro/fl/share-seal/1\0".to_vec();
    info.extend([[2; 32], [3; 32], [4; 32]].as_flattened());
    let mut key = [0; 32];
    Hkdf::<sha2::Sha256>::new(Some(&[1; 32]), shared.as_bytes()).expand(&info, &mut key).unwrap();
    let message = [case.shares.mask_key.to_bytes(), case.shares.self_mask.to_bytes()].concat();
    let bound = [[1; 32], [3; 32], [4; 32], [5; 32]].concat();
    let payload = Payload { msg: &message, aad: &bound };
    let expected = ChaCha20Poly1305::new(&key.into()).encrypt(&Nonce::default(), payload).unwrap();
    assert_eq!(case.seal().as_slice(), expected);
}

#[test]
fn a_box_opens_nowhere_but_where_it_belongs() {
    let sealed = Sealed::new().seal();
    let changes: [fn(&mut Sealed); 7] = [
        |case| case.dealing.cohort = Hash([9; 32]),
        |case| case.dealing.seed = Hash([9; 32]),
        |case| case.dealing.dealer = NodeId([9; 32]),
        |case| case.to = NodeId([9; 32]),
        |case| case.root = Hash([9; 32]),
        |case| case.holder = KeyPair::new(Scalar::from(9_u64)),
        |case| case.dealer = KeyPair::new(Scalar::from(9_u64)),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut case = Sealed::new();
        change(&mut case);
        assert_eq!(case.open(&sealed), Err(OpenError::NotSealed), "change {at}");
    }
}

#[test]
fn a_box_does_not_open_in_the_other_direction() {
    let mut case = Sealed::new();
    let sealed = case.seal();
    (case.to, case.dealing.dealer) = (case.dealing.dealer, case.to);
    assert_eq!(case.open(&sealed), Err(OpenError::NotSealed));
}

#[test]
fn every_changed_byte_is_noticed() {
    let case = Sealed::new();
    for at in 0..BOX_BYTES {
        let mut sealed = case.seal();
        sealed[at] ^= 0x40;
        assert_eq!(case.open(&sealed), Err(OpenError::NotSealed), "byte {at}");
    }
}

#[test]
fn a_share_that_is_no_canonical_scalar_is_refused() {
    let case = Sealed::new();
    for text in [[[255; 32], [0; 32]], [[0; 32], [255; 32]]] {
        let mut sealed = [0; BOX_BYTES];
        sealed[..PLAIN_BYTES].copy_from_slice(text.as_flattened());
        let bound = additional_data(&case.dealing, case.to, &case.root);
        let (message, tag) = sealed.split_at_mut(PLAIN_BYTES);
        let made = cipher(&case.dealer, &case.holder.public(), &case.dealing, case.to)
            .encrypt_inout_detached(&Nonce::default(), &bound, message.into())
            .unwrap();
        tag.copy_from_slice(&made);
        assert_eq!(case.open(&sealed), Err(OpenError::Share(ScalarError)));
    }
}
