//! Blocks against those of gguf-py, and what quantising may lose.

use proptest::prelude::*;

use super::*;

/// What `tests/tools/make_block_vectors.py` wrote.
fn fixture(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/blocks");
    std::fs::read(folder.join(name)).expect("the fixture is committed")
}

const BLOCK_TYPES: [TensorType; 7] = [
    TensorType::Q4_0,
    TensorType::Q8_0,
    TensorType::Q4K,
    TensorType::Q5K,
    TensorType::Q6K,
    TensorType::Iq4Nl,
    TensorType::Mxfp4,
];

#[test]
fn every_block_stands_for_the_values_that_gguf_gives() {
    for tensor_type in BLOCK_TYPES {
        let ours = to_f32(tensor_type, &fixture(&format!("{tensor_type}.blocks"))).expect("whole blocks");
        let theirs = float::f32_values(&fixture(&format!("{tensor_type}.f32")));
        assert_eq!(bits(&ours), bits(&theirs), "{tensor_type}");
        assert!(theirs.len() >= 256);
    }
}

#[test]
fn simple_types_are_quantised_as_gguf_quantises_them() {
    let values = float::f32_values(&fixture("values.f32"));
    for tensor_type in [TensorType::F16, TensorType::BF16, TensorType::Q4_0, TensorType::Q8_0, TensorType::Mxfp4] {
        let ours = quantise(tensor_type, &values).expect("the values are in range");
        let theirs = fixture(&format!("{tensor_type}.quantised"));
        let elements = tensor_type.block_elements().max(32);
        let bytes = elements / tensor_type.block_elements() * tensor_type.block_bytes();
        for (row, (ours, theirs)) in ours.chunks(bytes).zip(theirs.chunks(bytes)).enumerate() {
            assert_eq!(ours, theirs, "{tensor_type}, row {row}: {:?}", &values[row * elements..][..elements]);
        }
        assert_eq!(ours.len(), theirs.len());
    }
}

/// How far a value may move, where the greatest magnitude is 1 and the least value −1: half of the widest step between
/// neighbours, with room for the rounding of scales. Where scale and least value are fitted to all values of a block
/// together, one of them may move further than rounding would move it; in 60,000 blocks none moved by 1.2 steps of 2/15 or
/// 2/31, and one and a half are allowed.
fn bound(tensor_type: TensorType) -> f32 {
    match tensor_type {
        TensorType::F32 => 0.0,
        TensorType::F16 => 5e-4,
        TensorType::BF16 => 4e-3,
        TensorType::Q8_0 => 4.5e-3,
        TensorType::Q6K => 0.04,
        TensorType::Q5K => 0.1,
        TensorType::Q4_0 => 0.14,
        TensorType::Q4K | TensorType::Iq4Nl => 0.2,
        TensorType::Mxfp4 => 0.26,
    }
}

fn block_of_values() -> impl Strategy<Value = Vec<f32>> {
    (prop::collection::vec(-1.0_f32..=1.0, 256), -5_i32..12)
        .prop_map(|(values, exponent)| values.into_iter().map(|value| value * 2_f32.powi(exponent)).collect())
}

proptest! {
    #[test]
    fn no_value_moves_far(values in block_of_values()) {
        let greatest = values.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
        for tensor_type in TensorType::ALL {
            let again = to_f32(tensor_type, &quantise(tensor_type, &values).expect("in range")).expect("whole blocks");
            let furthest = values.iter().zip(&again).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            prop_assert!(furthest <= bound(tensor_type) * greatest, "{tensor_type}: {furthest} of {greatest}");
        }
    }

    #[test]
    fn what_was_widened_quantises_to_the_same_values(values in block_of_values()) {
        for tensor_type in [TensorType::F32, TensorType::F16, TensorType::BF16, TensorType::Mxfp4] {
            let once = quantise(tensor_type, &values).expect("in range");
            let widened = to_f32(tensor_type, &once).expect("whole blocks");
            let twice = to_f32(tensor_type, &quantise(tensor_type, &widened).expect("in range")).expect("whole blocks");
            prop_assert_eq!(twice, widened, "{}", tensor_type);
        }
    }

    #[test]
    fn any_bytes_widen_to_as_many_values_as_they_hold(bytes in prop::collection::vec(any::<u8>(), 210)) {
        for tensor_type in TensorType::ALL {
            let bytes = &bytes[..tensor_type.block_bytes()];
            prop_assert_eq!(to_f32(tensor_type, bytes).expect("whole blocks").len(), tensor_type.block_elements());
        }
    }
}

#[test]
fn blocks_of_one_value_keep_it() {
    for tensor_type in BLOCK_TYPES {
        for value in [0.0_f32, 1.0, -1.0, 0.5, -256.0] {
            let values = [value; 256];
            let again = to_f32(tensor_type, &quantise(tensor_type, &values).expect("in range")).expect("whole blocks");
            let furthest = again.iter().fold(0.0_f32, |most, again| most.max((again - value).abs()));
            assert!(furthest <= 1e-3 * value.abs(), "{tensor_type}: {value} became {}", again[0]);
        }
    }
}

#[test]
fn scales_and_integers_make_the_values() {
    let values: Vec<f32> = (0_u8..=255).map(|i| f32::from(i) - 99.0).collect();
    let bytes = quantise(TensorType::Q5K, &values).expect("in range");
    let block = bytes.first_chunk().expect("one block");
    let (scales, integers) = (q5_k::scales(block), q5_k::integers(block));
    let multiples = scales.multiples;
    let last = scales.scale * f32::from(multiples.scales[7]) * f32::from(integers[255])
        - scales.minimum * f32::from(multiples.minima[7]);
    assert_eq!(last, q5_k::values(block)[255]);
    assert!((last - 156.0).abs() < 3.0, "{last}");
}

#[test]
fn what_is_not_whole_blocks_is_refused() {
    let got = to_f32(TensorType::Q6K, &[0; 211]).expect_err("one byte too many");
    assert_eq!(got, BlockError::Length { tensor_type: TensorType::Q6K, block: 210, got: 211 });
    let got = quantise(TensorType::Q4K, &[0.0; 128]).expect_err("half a block");
    assert_eq!(got, BlockError::Elements { tensor_type: TensorType::Q4K, block: 256, got: 128 });
    assert_eq!(got.to_string(), "expected whole blocks of 256 elements of q4_k, got 128 elements");
}

#[test]
fn what_no_block_can_hold_is_refused() {
    for tensor_type in TensorType::ALL {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = [1.0; 256];
            values[77] = value;
            let error = quantise(tensor_type, &values).expect_err("it must be refused");
            assert!(matches!(error, BlockError::NotFinite { index: 77, .. }), "{tensor_type}: {error}");
        }
        let mut values = [0.0; 256];
        values[200] = -greatest(tensor_type);
        let held =
            to_f32(tensor_type, &quantise(tensor_type, &values).expect("the limit is held")).expect("whole blocks");
        assert!(held.iter().all(|value| value.is_finite()), "{tensor_type}");
        if greatest(tensor_type) < f32::MAX {
            values[200] = f32::MAX;
            let error = quantise(tensor_type, &values).expect_err("it must be refused");
            assert!(matches!(error, BlockError::TooLarge { index: 200, .. }), "{tensor_type}: {error}");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
