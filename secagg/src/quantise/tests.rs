//! Values become the integers of section 8, and what is no number is named.

use super::*;

fn quantised(values: &[f32], weight: u32, grid: Grid) -> Result<Vec<i32>, QuantiseError> {
    let mut words = vec![0; values.len()];
    quantise(values, weight, grid, Lanes::Narrow(&mut words))?;
    Ok(words.into_iter().map(u32::cast_signed).collect())
}

#[test]
fn values_are_scaled_clamped_weighted_and_rounded_to_even() {
    let grid = Grid::new(4, 2.0).unwrap();
    assert_eq!(grid.limit(), 7);
    let values = [0.0, -0.0, 0.25, 0.75, 1.25, -0.25, -0.75, 3.5, 3.6, -100.0, f32::MAX, f32::MIN_POSITIVE];
    assert_eq!(quantised(&values, 1, grid), Ok(vec![0, 0, 0, 2, 2, 0, -2, 7, 7, -7, 7, 0]));
    // The weight comes before the rounding: 3 × 0.5 = 1.5, and 3 × 2.5 = 7.5.
    assert_eq!(quantised(&[0.25, 1.25, 9.0], 3, grid), Ok(vec![2, 8, 21]));
}

#[test]
fn the_largest_weighted_values_are_exact_in_wide_lanes() {
    let grid = Grid::new(32, 1e9).unwrap();
    let mut words = [0; 2];
    quantise(&[1e9, -1e9], MOST_WEIGHT, grid, Lanes::Wide(&mut words)).unwrap();
    let most = i64::from(MOST_WEIGHT) * i64::from(i32::MAX);
    assert_eq!(words.map(u64::cast_signed), [most, -most]);
}

#[test]
fn rounding_is_half_to_even_up_to_the_greatest_weighted_value() {
    let most = f64::from(MOST_WEIGHT) * f64::from(i32::MAX);
    assert!(most < (1_u64 << 51) as f64);
    let ends = [0.0, -0.0, 0.25, 0.5, 0.75, 1.5, 2.5, 1e6 + 0.5, 4_294_967_295.5, most - 0.5, most - 0.25, most];
    let mut word = 1_u64;
    let others = std::iter::repeat_with(|| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        // Quarters of all sizes: many are halves exactly.
        (word >> 11 >> (word % 53)) as f64 / 4.0
    });
    for value in ends.into_iter().chain(others.filter(|value| *value <= most).take(100_000)) {
        for value in [value, -value] {
            assert_eq!(rounded(value).cast_signed(), value.round_ties_even() as i64, "{value}");
        }
    }
}

#[test]
fn the_first_value_that_is_no_number_is_named_and_nothing_is_written() {
    let grid = Grid::new(8, 1.0).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut words = [9; 4];
        let error = quantise(&[1.0, 2.0, bad, f32::NAN], 1, grid, Lanes::Narrow(&mut words)).unwrap_err();
        assert!(
            matches!(error, QuantiseError::NotFinite { entry: 2, got } if got.to_bits() == bad.to_bits()),
            "{error}"
        );
        assert_eq!(words, [9; 4]);
    }
}

#[test]
fn huge_values_are_clamped_under_huge_and_tiny_scales() {
    assert_eq!(quantised(&[f32::MAX, f32::MIN], 1, Grid::new(8, f64::MAX).unwrap()), Ok(vec![127, -127]));
    assert_eq!(quantised(&[f32::MAX, 1e-38], 1, Grid::new(8, f64::MIN_POSITIVE).unwrap()), Ok(vec![0, 0]));
}

#[test]
fn settings_and_shapes_out_of_bounds_are_refused() {
    let grid = Grid::new(12, 1.0).unwrap();
    for got in [0, 1, 33] {
        assert_eq!(Grid::new(got, 1.0), Err(QuantiseError::ValueBits { got }));
    }
    for got in [0.0, -1.0, f64::INFINITY] {
        assert_eq!(Grid::new(8, got), Err(QuantiseError::Scale { got }));
    }
    assert!(matches!(Grid::new(8, f64::NAN), Err(QuantiseError::Scale { .. })));
    for got in [0, MOST_WEIGHT + 1] {
        assert_eq!(quantised(&[1.0], got, grid), Err(QuantiseError::Weight { got }));
    }
    let error = quantise(&[1.0], 1, grid, Lanes::Narrow(&mut [0; 2]));
    assert_eq!(error, Err(QuantiseError::Length { expected: 2, got: 1 }));
    assert!(quantised(&[1e9], MOST_WEIGHT, grid).is_ok(), "2047 times 2^20 is below 2^31");
    let error = QuantiseError::Lanes { value_bits: 13, weight: MOST_WEIGHT };
    assert_eq!(quantised(&[1.0], MOST_WEIGHT, Grid::new(13, 1.0).unwrap()), Err(error));
}
