//! Tests of the rotation.

use proptest::prelude::*;

use super::*;

fn norm(v: &[f32]) -> f64 {
    crate::norm_l2(v).unwrap()
}

proptest! {
    #[test]
    fn back_undoes_forward_and_norms_stay(v in prop::collection::vec(-100.0_f32..100.0, 0..300), seed in any::<[u8; 32]>()) {
        let rotation = Rotation::new(&Hash(seed), v.len());
        let mut turned = v.clone();
        rotation.forward(&mut turned);
        prop_assert!((norm(&turned) - norm(&v)).abs() <= 1e-4 * (1.0 + norm(&v)));
        rotation.backward(&mut turned);
        for (back, original) in turned.iter().zip(&v) {
            prop_assert!((back - original).abs() < 1e-2);
        }
    }
}

#[test]
fn sums_of_rotated_vectors_are_rotated_sums() {
    let rotation = Rotation::new(&Hash::of(b"linear"), 100);
    let (mut a, mut b): (Vec<f32>, Vec<f32>) = (0..100).map(|i| (i as f32, (i * i % 7) as f32)).unzip();
    let mut sum: Vec<f32> = a.iter().zip(&b).map(|(x, y)| x + y).collect();
    [&mut a, &mut b, &mut sum].into_iter().for_each(|v| rotation.forward(v));
    assert!(sum.iter().zip(a.iter().zip(&b)).all(|(s, (x, y))| (s - x - y).abs() < 1e-3));
}

#[test]
fn no_entry_of_a_turned_unit_vector_stands_out() {
    for entries in [1000, 1024, 1500, 2047] {
        for place in [0, entries / 2, entries - 1] {
            let rotation = Rotation::new(&Hash::of(&[7]), entries);
            let mut v = vec![0.0; entries];
            v[place] = 1.0;
            rotation.forward(&mut v);
            let greatest = v.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            // Six standard deviations of a sub-Gaussian of proxy 1/P.
            assert!(f64::from(greatest) < 6.0 / (rotation.block() as f64).sqrt(), "{entries} {place} {greatest}");
        }
    }
}

#[test]
fn the_block_is_the_greatest_power_of_two_that_fits() {
    for (entries, expected) in [(0, 0), (1, 1), (2, 2), (3, 2), (1023, 512), (1024, 1024), (1025, 1024)] {
        assert_eq!(block(entries), expected);
    }
}

#[test]
fn seeds_give_different_rotations() {
    let turned = |seed: &[u8]| {
        let mut v = vec![1.0; 64];
        Rotation::new(&Hash::of(seed), 64).forward(&mut v);
        v
    };
    assert_ne!(turned(b"one"), turned(b"two"));
}
