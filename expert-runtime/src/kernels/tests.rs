//! All kernels equal the slow arithmetic, bit by bit.

pub(crate) mod oracle;

use neuro_primitives::{QuantisedRows, Rows, TensorType};

use self::oracle::{Draws, random_weight};
use super::InstructionSet;
use super::layer::product;
use super::operand::Operand;
use super::panels::Panels;
use crate::engine::Weight;
use crate::threads::with_threads;

fn computed(set: InstructionSet, panels: &Panels<'_>, rows: &Rows) -> Rows {
    let operand = if panels.tensor_type().is_float() {
        Operand::from_floats(set, rows)
    } else {
        Operand::quantised(set, rows).expect("finite rows")
    };
    product(set, panels, &operand, None)
}

fn bits(rows: &Rows) -> Vec<u32> {
    rows.values().iter().map(|value| value.to_bits()).collect()
}

fn check(weight: &Weight<'_>, rows: &Rows) {
    let panels = Panels::new(weight).expect("the weight is sound");
    let expected = oracle::product(weight, rows);
    let stored = Panels::stored(weight).expect("the weight is sound");
    for (set, panels) in InstructionSet::available().into_iter().flat_map(|set| [(set, &panels), (set, &stored)]) {
        let got = computed(set, panels, rows);
        assert_eq!((got.count(), got.width()), (rows.count(), weight.rows));
        if let Some(place) = bits(&got).iter().zip(bits(&expected)).position(|(got, expected)| *got != expected) {
            let (got, expected) = (got.values()[place], expected.values()[place]);
            let case = format!("{} [{}, {}]", weight.tensor_type, weight.rows, weight.columns);
            panic!("{set}, {case}, {} rows: value {place} is {got}, expected {expected}", rows.count());
        }
    }
}

#[test]
fn every_instruction_set_gives_the_bits_of_the_slow_arithmetic() {
    let mut draws = Draws(1);
    for tensor_type in TensorType::ALL {
        for case in 0..12 {
            let block = tensor_type.block_elements().max(32);
            let columns = block * (1 + draws.bits() as usize % (768 / block));
            let outputs = if case == 0 { 600 } else { 1 + draws.bits() as usize % 90 };
            let count = 1 + draws.bits() as usize % 40;
            check(&random_weight(tensor_type, outputs, columns, case), &draws.rows(count, columns));
        }
    }
}

#[test]
fn float_weights_may_have_any_width() {
    let mut draws = Draws(2);
    for tensor_type in [TensorType::F32, TensorType::F16, TensorType::BF16] {
        for (outputs, columns) in [(1, 1), (17, 3), (33, 37), (5, 513)] {
            check(&random_weight(tensor_type, outputs, columns, 3), &draws.rows(7, columns));
        }
    }
}

/// Every code, of which the most negative times the largest activations is where sums of 16 bits would saturate.
#[test]
fn the_largest_codes_and_activations_do_not_saturate() {
    for tensor_type in TensorType::ALL.into_iter().filter(|tensor_type| !tensor_type.is_float()) {
        for fill in [0x00, 0x80, 0x7F, 0xFF, 0x88, 0x77, 0x08] {
            let mut weight = random_weight(tensor_type, 17, 512, 4);
            let scales = random_weight(tensor_type, 17, 512, 4).bytes.into_owned();
            weight.bytes.to_mut().fill(fill);
            // The scales, which must stay finite, keep what was drawn.
            let kept = match tensor_type {
                TensorType::Q6K => 208..210,
                TensorType::Mxfp4 => 0..1,
                TensorType::Q4K | TensorType::Q5K => 0..16,
                _ => 0..2,
            };
            let (block, bytes) = (tensor_type.block_bytes(), weight.bytes.to_mut());
            for at in (0..bytes.len()).step_by(block) {
                bytes[at + kept.start..at + kept.end].copy_from_slice(&scales[at + kept.start..at + kept.end]);
            }
            for value in [1.0, -1.0] {
                check(&weight, &Rows::new(512, vec![value; 9 * 512]));
            }
        }
    }
}

#[test]
fn the_least_and_the_largest_scales_are_exact() {
    let mut draws = Draws(5);
    for exponent in [0, 1, 2, 127, 200, 254] {
        let mut weight = random_weight(TensorType::Mxfp4, 20, 64, 6);
        weight.bytes.to_mut().iter_mut().step_by(17).for_each(|byte| *byte = exponent);
        check(&weight, &draws.rows(3, 64));
    }
    for bits in [0x0001_u16, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0x8000] {
        let mut weight = random_weight(TensorType::Q8_0, 20, 64, 7);
        for block in weight.bytes.to_mut().chunks_exact_mut(34) {
            block[..2].copy_from_slice(&bits.to_le_bytes());
        }
        check(&weight, &draws.rows(3, 64));
        let halves: Vec<u8> = std::iter::repeat_n(bits.to_le_bytes(), 20 * 64).flatten().collect();
        let weight = Weight { tensor_type: TensorType::F16, bytes: halves.into(), ..weight };
        check(&weight, &draws.rows(3, 64));
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_batch_on_any_number_of_threads() {
    for tensor_type in TensorType::ALL {
        let weight = random_weight(tensor_type, 200, 512, 8);
        let panels = Panels::new(&weight).expect("the weight is sound");
        let rows = Draws(9).rows(39, 512);
        for set in InstructionSet::available() {
            let all = with_threads(1, || computed(set, &panels, &rows));
            for threads in [2, 3] {
                assert_eq!(bits(&with_threads(threads, || computed(set, &panels, &rows))), bits(&all), "{set}");
            }
            for (from, to) in [(0, 1), (38, 39), (4, 6), (0, 17), (20, 39)] {
                let part = computed(set, &panels, &rows.slice(from, to));
                assert_eq!(bits(&part), bits(&all.slice(from, to)), "{set} {tensor_type} {from}..{to}");
            }
        }
    }
}

#[test]
fn rows_that_come_in_blocks_give_the_bits_of_those_that_do_not() {
    let rows = Draws(10).rows(21, 256);
    let quantised: QuantisedRows = crate::activations::quantise(&rows).expect("finite rows");
    for tensor_type in [TensorType::Q8_0, TensorType::Q6K, TensorType::Q4K] {
        let panels = Panels::new(&random_weight(tensor_type, 31, 256, 11)).expect("the weight is sound");
        for set in InstructionSet::available() {
            let from_blocks = product(set, &panels, &Operand::from_blocks(set, &quantised), None);
            assert_eq!(bits(&from_blocks), bits(&computed(set, &panels, &rows)), "{set} {tensor_type}");
        }
    }
}

#[test]
fn no_rows_give_no_rows() {
    let panels = Panels::new(&random_weight(TensorType::Q8_0, 31, 256, 12)).expect("the weight is sound");
    for set in InstructionSet::available() {
        let none = computed(set, &panels, &Rows::zeros(0, 256));
        assert_eq!((none.count(), none.width()), (0, 31));
    }
}

/// The bits of all outputs in one number (FNV-1a). They are part of the engine's specification: another number
/// means other answers, and a new `NATIVE_SPEC`.
#[test]
fn the_bits_are_those_of_the_specification() {
    let digest = |rows: &Rows| {
        let bytes = rows.values().iter().flat_map(|value| value.to_le_bytes());
        bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
    };
    let got = TensorType::ALL.map(|tensor_type| {
        let panels = Panels::new(&random_weight(tensor_type, 40, 512, 13)).expect("the weight is sound");
        digest(&computed(InstructionSet::current(), &panels, &Draws(14).rows(5, 512)))
    });
    assert_eq!(got, DIGESTS);
}

/// By type, in the order of [`TensorType::ALL`].
const DIGESTS: [u64; 10] = [
    0x49CD_37BC_5FC4_EBA6,
    0x20D3_149A_1A91_E100,
    0xCE7B_7012_4347_07A8,
    0x258C_1509_FD9D_840F,
    0x6A25_4418_9A67_37A0,
    0xA16B_CEE6_A527_F241,
    0x69E8_5EB6_0939_6E8B,
    0x1B0B_2467_2A15_1120,
    0xB844_AAAE_CC82_29F7,
    0xFCE2_0FA1_EF18_672F,
];
