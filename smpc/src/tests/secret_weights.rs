//! Models whose weights are shared, what is opened of their logits, and inputs out of range.

use std::sync::Arc;

use super::models::{PlainModel, SHAPE, VOCABULARY};
use super::{Party, Random, join, prove, run, share};
use crate::computation::Security::{Malicious, SemiHonest};
use crate::nn::{Decoder, LayerWeights, LimitedDecoder, Limits, Matrix, ModelWeights};
use crate::party::PartyId;
use crate::share::Shares;

/// The same model with every matrix in shares.
fn shared(party: PartyId, public: &ModelWeights) -> Arc<ModelWeights> {
    let matrix = |matrix: &Matrix| {
        let words = share(party, &matrix.words().unwrap());
        Matrix::shared(matrix.outputs(), matrix.inputs(), words).unwrap()
    };
    let layer = |layer: &LayerWeights| LayerWeights::of_matrices(layer.matrices().map(matrix));
    let layers = public.layers.iter().map(layer).collect();
    let output = matrix(&public.output);
    Arc::new(ModelWeights { layers, output, rotation: public.rotation.clone(), ..*public })
}

fn prompt(seed: u64) -> Vec<Vec<f64>> {
    let mut random = Random(seed);
    let mut value = || (random.word() >> 40) as f64 / f64::from(1 << 23) - 1.0;
    (0..6).map(|_| (0..SHAPE.d_model).map(|_| value()).collect()).collect()
}

/// Logits after five rows at once, and after one more.
fn two_passes(party: &mut Party<'_>, weights: Arc<ModelWeights>, prompt: &[Vec<f64>]) -> Shares {
    let mut decoder = Decoder::new(weights, 1);
    let logits = [0..5, 5..6].map(|rows| {
        let rows = prompt[rows].iter().flatten();
        let fixed: Vec<u64> = rows.map(|value| (value * 65536.0).round() as i64 as u64).collect();
        let embeddings = share(party.party(), &fixed);
        decoder.advance(party, &embeddings).unwrap()
    });
    Shares::concat(&logits.each_ref())
}

fn assert_near(got: &[u64], expected: &[f64], case: &str) {
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let got = *got as i64 as f64 / 32.0_f64.exp2();
        assert!((got - expected).abs() < 0.02, "{case}, logit {at}: {got}, {expected}");
    }
}

#[test]
fn a_model_of_secret_weights_has_the_logits_of_the_plain_one() {
    let (model, prompt) = (PlainModel::random(11, SHAPE), prompt(12));
    let public = model.fixed();
    let expected = [model.logits(&prompt[..5]), model.logits(&prompt)].concat();
    let trial = run(SemiHonest, |party| Ok(two_passes(party, shared(party.party(), &public), &prompt)));
    assert_near(&join(&trial.results), &expected, "semi-honest");
    for result in prove(|party| Ok(two_passes(party, shared(party.party(), &public), &prompt))) {
        assert_near(&result.unwrap(), &expected, "malicious");
    }
}

#[test]
fn a_rehearsal_tells_what_secret_weights_take() {
    let public = PlainModel::random(13, SHAPE).fixed();
    let [first, ..] = PartyId::ALL;
    let decoder = Decoder::new(shared(first, &public), 1);
    let plain = Decoder::new(Arc::new(public.clone()), 1);
    let secret = decoder.rehearse(Malicious, &[5, 1]).unwrap();
    let open = plain.rehearse(Malicious, &[5, 1]).unwrap();
    assert_eq!(secret.requests, open.requests, "the same masks");
    // Queries, keys and values; gate and up; down: a round each in two layers; and the output.
    assert_eq!(secret.online.rounds, open.online.rounds + 2 * (2 * 3 + 1));
    let trial = run(Malicious, |party| {
        party.prepare(&secret.requests)?;
        let from = party.link().traffic().total_bytes();
        drop(two_passes(party, shared(party.party(), &public), &prompt(14)));
        Ok(party.link().traffic().total_bytes() - from)
    });
    assert_eq!(trial.results.iter().sum::<u64>(), secret.online.bytes);
}

#[test]
fn the_largest_are_told_by_index_and_the_first_of_equals_first() {
    let mut random = Random(15);
    for (n, k) in [(1, 1), (VOCABULARY, 3), (32, 1), (33, 1), (70, 20), (300, 2)] {
        let rows = 2;
        // Few different values, so that many are equal.
        let x: Vec<u64> = (0..rows * n).map(|_| (((random.word() as i64) >> 61) << 32) as u64).collect();
        let expected: Vec<usize> = x
            .chunks(n)
            .flat_map(|row| {
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by_key(|at| std::cmp::Reverse(row[*at] as i64));
                order.truncate(k);
                order
            })
            .collect();
        let trial = run(Malicious, |party| {
            let (indices, values) = party.largest_with_indices(&share(party.party(), &x), n, k)?;
            Ok(Shares::concat(&[&indices, &values]))
        });
        let got = join(&trial.results);
        let (indices, values) = got.split_at(rows * k);
        let indices: Vec<usize> = indices.iter().map(|index| *index as usize).collect();
        assert_eq!(indices, expected, "{k} of {n}");
        let of_row = |(at, index): (usize, &usize)| x[at / k * n + index];
        assert_eq!(values, indices.iter().enumerate().map(of_row).collect::<Vec<_>>(), "{k} of {n}");
    }
}

#[test]
fn a_limited_decoder_tells_the_largest_logits_and_nothing_else() {
    let (model, prompt) = (PlainModel::random(16, SHAPE), prompt(17));
    let logits = model.logits(&prompt[..5]);
    let mut order: Vec<usize> = (0..VOCABULARY).collect();
    order.sort_by(|one, other| logits[*other].total_cmp(&logits[*one]));
    let public = model.fixed();
    let fixed: Vec<u64> = prompt[..5].iter().flatten().map(|value| (value * 65536.0).round() as i64 as u64).collect();
    for (largest, input_bound, beyond) in [(1, 65536, 0), (3, 65536, 0), (3, 30_000, 1)] {
        let limits = Limits { input_bound, largest };
        let results = prove(|party| {
            let mut decoder = LimitedDecoder::new(shared(party.party(), &public), 1, limits);
            let forecast = decoder.rehearse(Malicious, &[5])?;
            party.prepare(&forecast.requests)?;
            let told = decoder.advance(party, &share(party.party(), &fixed))?;
            Ok(Shares::concat(&[&told.opened, &told.beyond]))
        });
        for result in results {
            let got: Vec<f64> = result.unwrap().iter().map(|word| *word as i64 as f64 / 32.0_f64.exp2()).collect();
            let indices: Vec<usize> = got[..largest].iter().map(|index| *index as usize).collect();
            assert_eq!(indices, order[..largest]);
            let (values, last) = got[largest..].split_at(got.len() - largest - 1);
            assert_eq!(values.len(), if largest == 1 { 0 } else { largest });
            for (value, index) in values.iter().zip(&indices) {
                assert!((value - logits[*index]).abs() < 0.02, "{value}, {}", logits[*index]);
            }
            assert_eq!((last[0] * 32.0_f64.exp2()) as u64, beyond);
        }
    }
}

#[test]
fn any_number_out_of_range_is_found() {
    let bound = 200_000_u64;
    let inside = [0, 1, u64::MAX, bound, bound.wrapping_neg()];
    let outside = [bound + 1, bound.wrapping_neg() - 1, 1 << 63, i64::MAX as u64, (1 << 63) + bound, 1 << 40];
    let cases = outside.iter().map(|value| (Some(*value), 1)).chain([(None, 0)]);
    // As few as are compared under masks, and more.
    for n in [70, 2100] {
        for (value, expected) in cases.clone() {
            let mut x: Vec<u64> = (0..n).map(|at| inside[at % inside.len()]).collect();
            x[n / 2] = value.unwrap_or(x[n / 2]);
            for result in prove(|party| party.any_beyond(&share(party.party(), &x), bound)) {
                assert_eq!(result.unwrap(), [expected], "{value:?} among {n}");
            }
        }
    }
}

#[test]
fn shares_of_another_size_are_no_matrix() {
    assert!(Matrix::shared(3, 4, Shares::zeros(11)).is_err());
    assert!(Matrix::shared(3, 4, Shares::new(vec![0; 12], vec![0; 11])).is_err());
    let public = Matrix::new(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[]).unwrap();
    let whole: Vec<u64> = public.words().unwrap().iter().map(|word| word >> 16).collect();
    assert_eq!(whole, [1, 4, 2, 5, 3, 6], "inputs first");
}
