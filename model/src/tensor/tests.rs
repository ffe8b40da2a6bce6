//! Stored types widen to f32 exactly.

use proptest::prelude::*;

use super::*;

fn tensor<'a>(tensor_type: StoredType, bytes: &'a [u8]) -> TensorData<'a> {
    TensorData { name: "w", tensor_type, shape: vec![bytes.len() / tensor_type.width()], bytes }
}

#[test]
fn each_type_gives_the_value_that_was_stored() {
    let f32s: Vec<u8> = [1.5_f32, -0.0, 3.4e38].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(tensor(StoredType::F32, &f32s).to_f32(), [1.5, -0.0, 3.4e38]);
    // 1.5 is 0x3E00 as half and 0x3FC0 as bfloat16; 6e-8 is the least half.
    assert_eq!(tensor(StoredType::F16, &[0x00, 0x3E, 0x01, 0x00, 0xFF, 0x7B]).to_f32(), [1.5, 5.960_464_5e-8, 65504.0]);
    assert_eq!(tensor(StoredType::BF16, &[0xC0, 0x3F, 0x80, 0xBF]).to_f32(), [1.5, -1.0]);
}

#[test]
fn the_first_value_that_is_not_finite_is_named() {
    let mut bytes = vec![0_u8; 2 * 5000];
    bytes[2 * 4321 + 1] = 0x7C; // infinity as half
    let error = tensor(StoredType::F16, &bytes).finite_f32().unwrap_err();
    assert_eq!(error, NonFinite { name: "w".into(), index: 4321, value: f32::INFINITY });
    assert!(error.to_string().contains("\"w\"") && error.to_string().contains("4321"), "{error}");

    let nan = [0xC0, 0x7F];
    assert_eq!(tensor(StoredType::BF16, &nan).finite_f32().unwrap_err().index, 0);
    assert_eq!(tensor(StoredType::BF16, &[0x7F, 0x7F]).finite_f32().unwrap().len(), 1);
}

#[test]
fn integers_are_not_a_type_of_weights() {
    assert_eq!(StoredType::from_name("BF16"), Some(StoredType::BF16));
    assert_eq!(StoredType::from_name("I8"), None);
    assert_eq!(StoredType::from_name("F8_E4M3"), None);
}

proptest! {
    #[test]
    fn blocks_of_halves_equal_halves_one_by_one(bits in prop::collection::vec(any::<u16>(), 0..3000)) {
        let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let ours = tensor(StoredType::F16, &bytes).to_f32();
        for (bits, ours) in bits.iter().zip(&ours) {
            let one = f16::from_bits(*bits).to_f32();
            prop_assert!(one == *ours || (one.is_nan() && ours.is_nan()));
        }
        prop_assert_eq!(ours.len(), bits.len());
    }
}
