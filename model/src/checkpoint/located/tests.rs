//! Columns and MXFP4 blocks, against values worked out elsewhere.

use super::*;

#[test]
fn every_second_column_becomes_a_row() {
    // [[1, 2, 3, 4], [5, 6, 7, 8]] of two bytes each, the second byte 0.
    let matrix: Vec<u8> = (1..=8).flat_map(|value| [value, 0]).collect();
    assert_eq!(columns(&matrix, 2, 4, 0, 2), [1, 0, 5, 0, 3, 0, 7, 0]);
    assert_eq!(columns(&matrix, 2, 4, 1, 2), [2, 0, 6, 0, 4, 0, 8, 0]);
    assert_eq!(columns(&matrix, 2, 4, 0, 1), [1, 0, 5, 0, 2, 0, 6, 0, 3, 0, 7, 0, 4, 0, 8, 0]);
}

#[test]
fn neighbours_become_halves() {
    // Element n of 32 has the value n % 16.
    let pairs: Vec<u8> = (0..16).map(|byte| (2 * byte % 16) | ((2 * byte + 1) % 16) << 4).collect();
    let expected: [u8; 16] = std::array::from_fn(|at| (at as u8) | (at as u8) << 4);
    assert_eq!(halves(&pairs), expected);
}

#[test]
fn gate_and_up_rows_of_mxfp4_are_told_apart_and_begin_with_their_scales() {
    // Four rows of one block each; row r has the scale 100 + r and the byte r everywhere.
    let values: Vec<u8> = (0..4_u8).flat_map(|row| [row; 16]).collect();
    let scales = [100, 101, 102, 103];
    let gate = mxfp4_rows(&values, &scales, 1, 0, 2);
    let up = mxfp4_rows(&values, &scales, 1, 1, 2);
    assert_eq!((gate.len(), gate[0], gate[17], up[0], up[17]), (34, 100, 102, 101, 103));
    // Byte 1 is a 1 at the even elements: low and high half are both 1 at even places.
    assert_eq!(up[1..5], [0x11, 0, 0x11, 0]);
}
