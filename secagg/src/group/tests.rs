//! RFC 9496 vectors, and what is refused.

use data_encoding::HEXLOWER;

use super::*;

fn bytes(hex: &str) -> [u8; 32] {
    HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

#[test]
fn multiples_of_the_base_are_those_of_rfc_9496() {
    let cases = [
        (1_u64, "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"),
        (2, "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919"),
        (3, "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259"),
    ];
    for (multiple, hex) in cases {
        let point = Point::base_times(&Scalar::from(multiple));
        assert_eq!(point.encode(), bytes(hex));
        assert_eq!(Point::decode(&bytes(hex)), Ok(point));
    }
}

#[test]
fn the_identity_and_bad_encodings_of_rfc_9496_are_no_points() {
    assert_eq!(Point::decode(&[0; 32]), Err(PointError::Identity));
    let refused = [
        // Field elements above the prime.
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // Negative ones.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // No square.
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    ];
    for hex in refused {
        assert_eq!(Point::decode(&bytes(hex)), Err(PointError::NotCanonical), "{hex}");
    }
}

#[test]
fn a_scalar_is_below_the_order() {
    let order = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    assert_eq!(decode_scalar(&order), Err(ScalarError));
    assert_eq!(decode_scalar(&[255; 32]), Err(ScalarError));
    let mut below = order;
    below[0] -= 1;
    assert_eq!(decode_scalar(&below), Ok(-Scalar::ONE));
}

#[test]
fn both_sides_agree_on_one_point() {
    let (one, other, third) =
        (KeyPair::new(Scalar::from(11_u64)), KeyPair::new(-Scalar::from(5_u64)), KeyPair::new(Scalar::from(12_u64)));
    let shared = one.agree(&other.public());
    assert_eq!(shared.as_bytes(), other.agree(&one.public()).as_bytes());
    assert_ne!(shared.as_bytes(), other.agree(&third.public()).as_bytes());
    assert_eq!(*shared.as_bytes(), Point::base_times(&-Scalar::from(55_u64)).encode());
}

#[test]
fn many_keys_agree_with_a_point_as_each_does() {
    let secret = |number: u64| Scalar::from_bytes_mod_order_wide(&[number as u8; 64]);
    let edges = [Scalar::ONE, Scalar::from(2_u64), -Scalar::ONE, -Scalar::from(2_u64), Scalar::from(u64::MAX)];
    let secrets: Vec<Scalar> = edges.into_iter().chain((1..30).map(secret)).collect();
    let keys: Vec<KeyPair> = secrets.into_iter().map(KeyPair::new).collect();
    for peer in [Point::base_times(&Scalar::ONE), Point::base_times(&secret(77))] {
        for count in [0, 1, 2, keys.len()] {
            let keys: Vec<&KeyPair> = keys[..count].iter().collect();
            let all: Vec<[u8; 32]> = agree_all(&keys, &peer).iter().map(|point| *point.as_bytes()).collect();
            let each: Vec<[u8; 32]> = keys.iter().map(|key| *key.agree(&peer).as_bytes()).collect();
            assert_eq!(all, each);
        }
    }
}

#[test]
fn a_key_of_zero_has_a_public_point_that_nobody_accepts() {
    let key = KeyPair::new(Scalar::ZERO);
    assert_eq!(Point::decode(&key.public().encode()), Err(PointError::Identity));
}

#[test]
fn secrets_are_not_printed() {
    let key = KeyPair::new(Scalar::from(0x00aa_55aa_u64));
    let printed = format!("{key:?} {:?}", key.agree(&key.public()));
    assert!(!printed.contains("170"), "{printed}");
    assert!(printed.contains(&format!("{:?}", key.public())));
}
