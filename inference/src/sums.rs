//! Float sums in one fixed order.
//!
//! A slice is summed in [`LANES`] lanes: lane `i` adds the elements `i`, `i + LANES`, `i + 2·LANES`, … in that order.
//! Then the lanes are halved until one is left: lane `i` gets lane `i + n/2` for `n` = 16, 8, 4, 2. No product is
//! fused with its addition. The order depends on the length alone, so a result has the same bits on every machine,
//! whatever the batch and the number of threads; and the lanes are what a vector unit of 4, 8 or 16 floats can keep.

/// Lanes of a sum. Enough independent additions to hide their latency; with 32 the small heads of 16 would be padding.
pub const LANES: usize = 16;

/// The dot product of `left` and `right` (both `[n]`, f32); of the shorter length when they differ.
#[must_use]
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (left_blocks, left_rest) = left.as_chunks::<LANES>();
    let (right_blocks, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        for (lane, (left, right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
            *lane += left * right;
        }
    }
    for (lane, (left, right)) in lanes.iter_mut().zip(left_rest.iter().zip(right_rest)) {
        *lane += left * right;
    }
    fold(lanes)
}

/// The sum of `values` (`[n]`, f32).
#[must_use]
pub fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for block in values.chunks(LANES) {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    }
    fold(lanes)
}

/// `target += factor × values`, element by element (both `[n]`, f32); each product is rounded before it is added.
pub fn add_scaled(target: &mut [f32], factor: f32, values: &[f32]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += factor * value;
    }
}

/// `target += values`, element by element (both `[n]`, f32).
pub fn add(target: &mut [f32], values: &[f32]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += value;
    }
}

fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| libm::sinf(i as f32 * step) * 3.0).collect()
    }

    #[test]
    fn the_documented_order_is_the_order() {
        for n in [0, 1, 15, 16, 17, 64, 100] {
            let (left, right) = (wave(n, 0.7), wave(n, 1.3));
            let mut lanes = [0.0_f32; LANES];
            for i in 0..n {
                lanes[i % LANES] += left[i] * right[i];
            }
            for half in [8, 4, 2, 1] {
                for lane in 0..half {
                    lanes[lane] += lanes[lane + half];
                }
            }
            assert_eq!(dot(&left, &right).to_bits(), lanes[0].to_bits(), "{n} elements");
        }
    }

    #[test]
    fn sums_are_close_to_those_in_double_precision() {
        for n in [1, 16, 33, 1000] {
            let (left, right) = (wave(n, 0.31), wave(n, 0.17));
            let exact: f64 = left.iter().zip(&right).map(|(l, r)| f64::from(*l) * f64::from(*r)).sum();
            assert!((f64::from(dot(&left, &right)) - exact).abs() < 1e-3, "{n} elements");
            let exact: f64 = left.iter().map(|value| f64::from(*value)).sum();
            assert!((f64::from(sum(&left)) - exact).abs() < 1e-3, "{n} elements");
        }
    }

    #[test]
    fn sums_in_place_add_element_by_element() {
        let mut target = vec![1.0, 2.0];
        add_scaled(&mut target, 0.5, &[4.0, -4.0]);
        add(&mut target, &[1.0, 1.0]);
        assert_eq!(target, [4.0, 1.0]);
    }
}
