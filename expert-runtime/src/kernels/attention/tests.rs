//! Attention against its formula in double precision, with the same bits however it is run.

use half::f16;

use super::*;
use crate::kernels::functions;

fn noise(seed: u32, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Keys and values of one head.
struct Case {
    heads: usize,
    key_dim: usize,
    value_dim: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    sinks: Option<Vec<f32>>,
}

impl Case {
    fn new(heads: usize, key_dim: usize, value_dim: usize, positions: usize, with_sinks: bool) -> Self {
        let seed = (heads * 1000 + key_dim * 100 + positions) as u32;
        // All numbers are f16, so that both forms of the cache hold the same.
        let halves = |seed, n| noise(seed, n).into_iter().map(|x| f16::from_f32(x * 2.0).to_f32()).collect::<Vec<_>>();
        Self {
            heads,
            key_dim,
            value_dim,
            queries: noise(seed + 1, heads * key_dim),
            keys: halves(seed + 2, positions * key_dim),
            values: halves(seed + 3, positions * value_dim),
            sinks: with_sinks.then(|| noise(seed + 4, heads)),
        }
    }

    fn queries(&self) -> Queries<'_> {
        Queries { values: &self.queries, heads: self.heads, scale: 0.3, sinks: self.sinks.as_deref() }
    }

    /// Bits of the result with the cache in runs of `cut` positions.
    fn run_f32(&self, set: InstructionSet, cut: usize) -> Vec<u32> {
        let mut out = vec![f32::NAN; self.heads * self.value_dim];
        let runs = |elements: &'static [f32], stride: usize| {
            elements.chunks(cut * stride).map(move |run| Run { elements: Elements::F32(run), stride })
        };
        let (keys, values) = (self.keys.clone().leak(), self.values.clone().leak());
        let (keys, values) = (runs(keys, self.key_dim), runs(values, self.value_dim));
        attend(set, &self.queries(), keys, values, &mut vec![7.0; 3], &mut out);
        out.iter().map(|value| value.to_bits()).collect()
    }

    fn run_f16(&self, set: InstructionSet, cut: usize) -> Vec<u32> {
        let mut out = vec![f32::NAN; self.heads * self.value_dim];
        let (mut keys, mut values) = (vec![0; self.keys.len()], vec![0; self.values.len()]);
        functions::narrow(set, &self.keys, &mut keys);
        functions::narrow(set, &self.values, &mut values);
        let run = |elements, stride| Run { elements: Elements::F16(elements), stride };
        let keys = keys.chunks(cut * self.key_dim).map(|elements| run(elements, self.key_dim));
        let values = values.chunks(cut * self.value_dim).map(|elements| run(elements, self.value_dim));
        attend(set, &self.queries(), keys, values, &mut Vec::new(), &mut out);
        out.iter().map(|value| value.to_bits()).collect()
    }

    /// The formula in f64. `[heads, value_dim]`.
    fn formula(&self) -> Vec<f64> {
        let head = |(head, query): (usize, &[f32])| {
            let score = |key: &[f32]| query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
            let weights: Vec<f64> =
                self.keys.chunks(self.key_dim).map(|key| libm::exp(score(key) * f64::from(0.3_f32))).collect();
            let sink = self.sinks.as_ref().map_or(0.0, |sinks| libm::exp(f64::from(sinks[head])));
            let total = weights.iter().sum::<f64>() + sink;
            let element = |i| {
                let values = self.values.chunks(self.value_dim).zip(&weights);
                values.map(|(value, weight)| f64::from(value[i]) * weight).sum::<f64>() / total
            };
            (0..self.value_dim).map(element).collect::<Vec<_>>()
        };
        self.queries.chunks(self.key_dim).enumerate().flat_map(head).collect()
    }
}

#[test]
fn every_shape_follows_the_formula_with_the_same_bits_everywhere() {
    let shapes = [(1, 6, 6, 1), (2, 16, 16, 5), (4, 64, 64, 200), (1, 20, 12, 33), (8, 128, 128, 17), (3, 96, 80, 40)];
    for (heads, key_dim, value_dim, positions) in shapes {
        for with_sinks in [false, true] {
            let case = Case::new(heads, key_dim, value_dim, positions, with_sinks);
            let expected = case.run_f32(InstructionSet::Scalar, positions);
            for (bits, exact) in expected.iter().zip(case.formula()) {
                let got = f32::from_bits(*bits);
                assert!((f64::from(got) - exact).abs() < 3e-6, "{heads} × {key_dim}: {exact}, got {got}");
            }
            for set in InstructionSet::available() {
                for cut in [1, 7, 128] {
                    assert_eq!(case.run_f32(set, cut), expected, "{set}, f32, runs of {cut}");
                    assert_eq!(case.run_f16(set, cut), expected, "{set}, f16, runs of {cut}");
                }
            }
        }
    }
}

#[test]
fn a_head_never_sees_its_neighbours() {
    let case = Case::new(4, 48, 48, 60, true);
    let together = case.run_f16(InstructionSet::current(), 60);
    for head in 0..4 {
        let alone = Case {
            heads: 1,
            queries: case.queries[head * 48..][..48].to_vec(),
            sinks: case.sinks.as_ref().map(|sinks| vec![sinks[head]]),
            keys: case.keys.clone(),
            values: case.values.clone(),
            ..case
        };
        assert_eq!(alone.run_f16(InstructionSet::current(), 60), together[head * 48..][..48], "head {head}");
    }
}

#[test]
fn latent_values_are_the_first_part_of_the_keys() {
    let case = Case::new(3, 72, 64, 50, false);
    let first: Vec<f32> = case.keys.chunks(72).flat_map(|key| &key[..64]).copied().collect();
    let apart = Case { values: first, queries: case.queries.clone(), keys: case.keys.clone(), sinks: None, ..case };
    let run = std::iter::once(Run { elements: Elements::F32(&case.keys), stride: 72 });
    let mut out = vec![0.0; 3 * 64];
    attend(InstructionSet::current(), &case.queries(), run.clone(), run, &mut Vec::new(), &mut out);
    let shared: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
    assert_eq!(shared, apart.run_f32(InstructionSet::current(), 50));
}

#[test]
fn scores_far_beyond_the_range_of_exp_still_give_a_mean() {
    let mut out = [0.0; 2];
    let runs = |rows: &'static [f32]| std::iter::once(Run { elements: Elements::F32(rows), stride: 2 });
    let (keys, values) = (runs(&[300.0, 0.0, 300.0, 0.0]), runs(&[1.0, 5.0, 3.0, 7.0]));
    let queries = |sinks| Queries { values: &[9.0, 0.0], heads: 1, scale: 1.0, sinks };
    attend(InstructionSet::current(), &queries(None), keys.clone(), values.clone(), &mut Vec::new(), &mut out);
    assert_eq!(out, [2.0, 6.0]);
    // A sink as large as the scores takes a third, a larger one all.
    attend(
        InstructionSet::current(),
        &queries(Some(&[2700.0])),
        keys.clone(),
        values.clone(),
        &mut Vec::new(),
        &mut out,
    );
    assert!((out[0] - 4.0 / 3.0).abs() < 1e-6 && (out[1] - 4.0).abs() < 1e-6, "{out:?}");
    attend(InstructionSet::current(), &queries(Some(&[9e9])), keys, values, &mut Vec::new(), &mut out);
    assert_eq!(out, [0.0, 0.0]);
}
