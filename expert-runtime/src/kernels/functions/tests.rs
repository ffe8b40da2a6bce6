//! Every function against its definition, and under every instruction set with the same bits.

use half::f16;
use proptest::prelude::*;

use super::*;

/// Values at which functions break, and their neighbours.
const CORNERS: [f32; 24] = [
    0.0,
    -0.0,
    f32::from_bits(1),
    -1e-40,
    f32::MIN_POSITIVE,
    1e-8,
    -1e-8,
    0.5,
    -1.0,
    6.5e4,
    -65_519.9,
    65_520.0,
    88.722_83,
    88.722_84,
    -87.336_54,
    -87.336_55,
    -104.0,
    1e4,
    -1e4,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// `n` numbers in ±`range` that look random and are the same everywhere.
fn noise(seed: u32, n: usize, range: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * range
    };
    (0..n).map(|_| next()).collect()
}

/// Bits, with one pattern for all that is no number.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }).collect()
}

/// Runs `function` on `values` under every instruction set of this machine, and returns the one result.
fn under_every_set<R: PartialEq + std::fmt::Debug>(function: impl Fn(InstructionSet) -> R) -> R {
    let expected = function(InstructionSet::Scalar);
    for set in InstructionSet::available() {
        assert_eq!(function(set), expected, "{set}");
    }
    expected
}

fn exp_of(values: &[f32]) -> Vec<f32> {
    let result = under_every_set(|set| {
        let mut powers = values.to_vec();
        exp_in_place(set, &mut powers);
        bits(&powers)
    });
    result.into_iter().map(f32::from_bits).collect()
}

#[test]
fn exp_is_within_one_unit_in_the_last_place() {
    let values: Vec<f32> = noise(1, 60_000, 88.0).into_iter().chain(noise(2, 20_000, 1.0)).collect();
    for (x, power) in values.iter().zip(exp_of(&values)) {
        let exact = libm::exp(f64::from(*x));
        if !(f64::from(f32::MIN_POSITIVE)..f64::from(f32::MAX)).contains(&exact) {
            continue;
        }
        let below = (exact as f32).to_bits() - 1;
        let ulp = f64::from(f32::from_bits(below + 1)) - f64::from(f32::from_bits(below));
        assert!((f64::from(power) - exact).abs() <= 1.0 * ulp, "exp({x}) = {exact}, got {power}");
    }
}

#[test]
fn exp_ends_where_it_says() {
    let expected = [0.0, 0.0, 0.0, 1.175_499_7e-38, 1.0, 1.0, 1.0, 3.402_798_5e38, f32::INFINITY, f32::INFINITY];
    let values =
        [f32::NEG_INFINITY, -104.0, -87.336_55, -87.336_54, -0.0, 0.0, 1e-40, 88.722_83, 88.722_84, f32::INFINITY];
    assert_eq!(exp_of(&values), expected);
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn exp_falls_by_one_unit_at_most_and_passes_one_at_zero() {
    let mut values = noise(3, 50_000, 90.0);
    let neighbours: Vec<f32> = values.iter().map(|x| x.next_up()).collect();
    values.extend(neighbours);
    values.sort_by(f32::total_cmp);
    let powers = exp_of(&values);
    let fall = powers.windows(2).position(|pair| pair[0].to_bits() > pair[1].to_bits() + 1);
    assert_eq!(fall.map(|index| values[index]), None);
    for (x, power) in values.iter().zip(&powers) {
        assert!(if *x < 0.0 { *power <= 1.0 } else { *power >= 1.0 }, "exp({x}) = {power}");
    }
}

#[test]
fn one_value_has_the_bits_of_many() {
    let values: Vec<f32> = CORNERS.into_iter().chain(noise(4, 1000, 30.0)).collect();
    let single: Vec<f32> = values.iter().map(|x| exp(*x)).collect();
    assert_eq!(bits(&exp_of(&values)), bits(&single));
    assert_eq!((sigmoid(0.0), sigmoid(-1e4), sigmoid(1e4)), (0.5, 0.0, 1.0));
}

#[test]
fn activations_agree_with_double_precision() {
    let swiglu = HiddenActivation::ClampedSwiglu { alpha: 1.702, limit: 7.0 };
    let (gates, ups) = (noise(5, 1000, 12.0), noise(6, 1000, 12.0));
    let run = |activation| {
        let result = under_every_set(|set| {
            let mut gate = gates.clone();
            gate_into(set, activation, &mut gate, &ups);
            bits(&gate)
        });
        result.into_iter().map(|bits| f64::from(f32::from_bits(bits))).collect::<Vec<_>>()
    };
    for (index, (silu, swiglu)) in run(HiddenActivation::Silu).into_iter().zip(run(swiglu)).enumerate() {
        let (gate, up) = (f64::from(gates[index]), f64::from(ups[index]));
        let exact = gate / (1.0 + libm::exp(-gate)) * up;
        assert!((silu - exact).abs() <= exact.abs() * 5e-7, "{gate}, {up}: {exact}, got {silu}");
        let (gate, up) = (gate.min(7.0), up.clamp(-7.0, 7.0));
        let exact = gate / (1.0 + libm::exp(-gate * f64::from(1.702_f32))) * (up + 1.0);
        assert!((swiglu - exact).abs() <= exact.abs() * 2e-6 + 1e-12, "{gate}, {up}: {exact}, got {swiglu}");
    }
    assert!(clamped_swiglu(f32::NAN, 1.0, 1.702, 7.0).is_nan(), "a limit must not hide what is no number");
    assert!(clamped_swiglu(1.0, f32::NAN, 1.702, 7.0).is_nan());
}

#[test]
fn the_documented_order_is_the_order() {
    for n in [0, 1, 15, 16, 17, 64, 100] {
        let (left, right) = (noise(7, n, 3.0), noise(8, n, 3.0));
        let (mut lanes, mut sums) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        for i in 0..n {
            lanes[i % LANES] = libm::fmaf(left[i], right[i], lanes[i % LANES]);
            sums[i % LANES] += left[i];
        }
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
                sums[lane] += sums[lane + half];
            }
        }
        assert_eq!(under_every_set(|set| dot(set, &left, &right).to_bits()), lanes[0].to_bits(), "{n} elements");
        assert_eq!(under_every_set(|set| sum(set, &left).to_bits()), sums[0].to_bits(), "{n} elements");
    }
}

#[test]
fn a_softmax_adds_up_and_a_sink_takes_its_share() {
    let scores = noise(9, 77, 30.0);
    for sink in [None, Some(2.5), Some(40.0)] {
        let (weights, total) = under_every_set(|set| {
            let mut weights = scores.clone();
            let total = exponentiate(set, &mut weights, sink);
            (bits(&weights), total.to_bits())
        });
        let exact = |x: f32| libm::exp(f64::from(x));
        let all: f64 = scores.iter().map(|score| exact(*score)).sum::<f64>() + sink.map_or(0.0, exact);
        for (score, weight) in scores.iter().zip(&weights) {
            let share = f64::from(f32::from_bits(*weight)) / f64::from(f32::from_bits(total));
            assert!((share - exact(*score) / all).abs() < 1e-6, "sink {sink:?}");
        }
    }
    assert_eq!(exponentiate(InstructionSet::Scalar, &mut [], Some(-3.0)), 1.0);
}

#[test]
fn every_half_comes_back_and_values_go_to_the_nearest() {
    let halves: Vec<u16> = (0..=u16::MAX).filter(|half| !f16::from_bits(*half).is_nan()).collect();
    let mut wide = vec![0.0; halves.len()];
    widen(InstructionSet::current(), &halves, &mut wide);
    let back = under_every_set(|set| {
        let mut back = vec![0; wide.len()];
        narrow(set, &wide, &mut back);
        back
    });
    assert_eq!(back, halves);

    let mut values = noise(10, 20_000, 65_000.0);
    values.extend(noise(11, 20_000, 2e-4));
    // Halfway between two halves, normal and subnormal, and just beside.
    let halfway = wide.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).filter(|value| value.is_finite());
    values.extend(halfway.flat_map(|value| [value.next_down(), value, value.next_up()]));
    values.retain(|value| value.abs() <= 65_504.0);
    let narrowed = under_every_set(|set| {
        let mut narrowed = vec![0; values.len()];
        narrow(set, &values, &mut narrowed);
        narrowed
    });
    for (value, half) in values.iter().zip(narrowed) {
        assert_eq!(half, f16::from_f32_const(*value).to_bits(), "{value}");
    }
}

#[test]
fn what_is_too_large_for_a_half_is_the_greatest_and_what_is_infinite_stays_so() {
    let values = [65_519.9, 65_520.0, 1e30, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let halves = under_every_set(|set| {
        let mut halves = vec![0; values.len()];
        narrow(set, &values, &mut halves);
        halves
    });
    assert_eq!(halves, [0x7BFF, 0x7BFF, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]);
}

#[test]
fn rms_norm_is_the_formula() {
    let (vector, weight) = (noise(12, 100, 2.0), noise(13, 100, 1.5));
    let normed = under_every_set(|set| {
        let mut normed = vector.clone();
        rms_norm(set, &mut normed, &weight, 1e-5);
        bits(&normed)
    });
    let mean = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / 100.0;
    for (index, bits) in normed.into_iter().enumerate() {
        let exact = f64::from(vector[index]) / (mean + 1e-5).sqrt() * f64::from(weight[index]);
        assert!((f64::from(f32::from_bits(bits)) - exact).abs() < 1e-6, "element {index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bits_give_the_same_under_every_set(
        random in prop::collection::vec(any::<u32>(), 0..70), corner in 0_usize..24, place in 0_usize..70,
    ) {
        let mut values: Vec<f32> = random.into_iter().map(f32::from_bits).collect();
        if place < values.len() {
            values[place] = CORNERS[corner];
        }
        let other: Vec<f32> = values.iter().rev().copied().collect();
        exp_of(&values);
        under_every_set(|set| bits(&[dot(set, &values, &other), sum(set, &values)]));
        let swiglu = HiddenActivation::ClampedSwiglu { alpha: 1.702, limit: 7.0 };
        for activation in [HiddenActivation::Silu, swiglu] {
            under_every_set(|set| {
                let mut gate = values.clone();
                gate_into(set, activation, &mut gate, &other);
                bits(&gate)
            });
        }
        under_every_set(|set| {
            let (mut softmax, mut scaled, mut normed) = (values.clone(), values.clone(), values.clone());
            let total = exponentiate(set, &mut softmax, Some(0.5));
            add_scaled(set, &mut scaled, 0.3, &other);
            rms_norm(set, &mut normed, &other, 1e-6);
            add(set, &mut normed, &other);
            (bits(&softmax), bits(&[total]), bits(&scaled), bits(&normed))
        });
        under_every_set(|set| {
            let mut halves = vec![0; values.len()];
            narrow(set, &values, &mut halves);
            halves
        });
    }
}

/// Bits of exp at whole and other points. A change of them changes every answer of the network.
#[test]
fn exp_has_the_committed_bits() {
    let points = [-87.0, -50.5, -20.0, -10.1, -5.0, -2.5, -1.0, -0.5, -0.1, -1e-3, 1e-3, 0.1, 0.25, 0.5, 1.0, 2.0, 3.3];
    let powers: Vec<u32> = points.iter().chain(&[10.0, 42.0, 88.0]).map(|x| exp(*x).to_bits()).collect();
    assert_eq!(powers, EXP_BITS);
}

const EXP_BITS: [u32; 20] = [
    0x00B3_3687,
    0x1B0D_6CFA,
    0x310D_A433,
    0x382C_4CD2,
    0x3BDC_C9FF,
    0x3DA8_1C2E,
    0x3EBC_5AB2,
    0x3F1B_4598,
    0x3F67_A36D,
    0x3F7F_BE7F,
    0x3F80_20C9,
    0x3F8D_763E,
    0x3FA4_5AF2,
    0x3FD3_094C,
    0x402D_F854,
    0x40EC_7326,
    0x41D8_E6AF,
    0x46AC_14EF,
    0x5DC1_192B,
    0x7EF8_82B7,
];
