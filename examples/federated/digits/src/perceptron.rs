//! The model: one hidden layer of rectified units, softmax on top, cross-entropy; gradients by hand.
//!
//! h = max(0, W₁x + b₁), z = W₂h + b₂, loss = ln Σ e^z − z_digit. All sums run in one order, f32.

use crate::data::{CLASSES, Example, PIXELS};
use crate::draw;
use neuro_fl_aggregator::{Flat, Layout, LayoutError};
use std::ops::Range;

/// Hidden units.
pub const HIDDEN: usize = 32;

/// Where the tensors lie in the flat vector: ascending by name, as [`layout`] has them.
const HIDDEN_BIAS: Range<usize> = 0..HIDDEN;
const HIDDEN_WEIGHT: Range<usize> = HIDDEN..HIDDEN + HIDDEN * PIXELS;
const OUTPUT_BIAS: Range<usize> = HIDDEN_WEIGHT.end..HIDDEN_WEIGHT.end + CLASSES;
const OUTPUT_WEIGHT: Range<usize> = OUTPUT_BIAS.end..ENTRIES;
/// Numbers of the model.
pub const ENTRIES: usize = HIDDEN + HIDDEN * PIXELS + CLASSES + CLASSES * HIDDEN;

/// The model's tensors.
///
/// # Errors
/// None: the names differ and the sizes are small.
pub fn layout() -> Result<Layout, LayoutError> {
    Layout::of_shapes([
        ("hidden.bias", vec![HIDDEN]),
        ("hidden.weight", vec![HIDDEN, PIXELS]),
        ("output.bias", vec![CLASSES]),
        ("output.weight", vec![CLASSES, HIDDEN]),
    ])
}

/// The model before the first round: normal weights of variance 2/inputs (He et al. 2015), biases 0. `[entries]`
#[must_use]
pub fn initial(seed: u64) -> Flat {
    let mut rng = draw::stream("initial model", seed, 0);
    let mut model = vec![0.0; ENTRIES];
    for (place, inputs) in [(HIDDEN_WEIGHT, PIXELS), (OUTPUT_WEIGHT, HIDDEN)] {
        let deviation = (2.0 / inputs as f64).sqrt();
        model[place].fill_with(|| (deviation * draw::normal(&mut rng)) as f32);
    }
    Flat(model)
}

/// What the model makes of one image.
struct Forward {
    hidden: [f32; HIDDEN],
    /// The probabilities that it gives the digits.
    softmax: [f32; CLASSES],
    /// −ln of the right one's.
    loss: f32,
}

fn forward(model: &[f32], example: &Example) -> Forward {
    let mut hidden = [0.0; HIDDEN];
    layer(&model[HIDDEN_WEIGHT], &model[HIDDEN_BIAS], &example.pixels, &mut hidden);
    hidden.iter_mut().for_each(|unit| *unit = unit.max(0.0));
    let mut softmax = [0.0; CLASSES];
    layer(&model[OUTPUT_WEIGHT], &model[OUTPUT_BIAS], &hidden, &mut softmax);
    let greatest = softmax.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let right = softmax[usize::from(example.digit)];
    softmax.iter_mut().for_each(|z| *z = libm::expf(*z - greatest));
    let total: f32 = softmax.iter().sum();
    softmax.iter_mut().for_each(|z| *z /= total);
    Forward { hidden, softmax, loss: libm::logf(total) + greatest - right }
}

/// out = weight·input + bias; `weight`: `[out, input]`.
fn layer(weight: &[f32], bias: &[f32], input: &[f32], out: &mut [f32]) {
    for ((out, row), bias) in out.iter_mut().zip(weight.chunks_exact(input.len())).zip(bias) {
        *out = row.iter().zip(input).fold(*bias, |sum, (w, x)| sum + w * x);
    }
}

/// The mean gradient of `batch` into `gradient` (both vectors `[entries]`), and the mean loss.
pub fn gradient(model: &[f32], batch: &[&Example], gradient: &mut [f32]) -> f32 {
    gradient.fill(0.0);
    let share = 1.0 / batch.len() as f32;
    let mut loss = 0.0;
    for example in batch {
        loss += share * backward(model, example, share, gradient);
    }
    loss
}

/// Adds `share` of one example's gradient; returns its loss.
fn backward(model: &[f32], example: &Example, share: f32, gradient: &mut [f32]) -> f32 {
    let Forward { hidden, softmax: mut output, loss } = forward(model, example);
    // ∂loss/∂z = softmax − one-hot.
    output[usize::from(example.digit)] -= 1.0;
    output.iter_mut().for_each(|d| *d *= share);
    add_layer(&output, &hidden, gradient, (OUTPUT_WEIGHT, OUTPUT_BIAS));
    let mut below = [0.0; HIDDEN];
    for (d, row) in output.iter().zip(model[OUTPUT_WEIGHT].chunks_exact(HIDDEN)) {
        below.iter_mut().zip(row).for_each(|(below, w)| *below += d * w);
    }
    below.iter_mut().zip(&hidden).filter(|(_, unit)| **unit <= 0.0).for_each(|(below, _)| *below = 0.0);
    add_layer(&below, &example.pixels, gradient, (HIDDEN_WEIGHT, HIDDEN_BIAS));
    loss
}

fn add_layer(out: &[f32], input: &[f32], gradient: &mut [f32], (weight, bias): (Range<usize>, Range<usize>)) {
    for (d, row) in out.iter().zip(gradient[weight].chunks_exact_mut(input.len())) {
        row.iter_mut().zip(input).for_each(|(g, x)| *g += d * x);
    }
    gradient[bias].iter_mut().zip(out).for_each(|(g, d)| *g += d);
}

/// The mean loss, and the share of `examples` whose digit gets the greatest probability.
#[must_use]
pub fn evaluate(model: &[f32], examples: &[Example]) -> (f64, f64) {
    let (mut loss, mut right) = (0.0, 0);
    for example in examples {
        let seen = forward(model, example);
        loss += f64::from(seen.loss);
        let best = (0..CLASSES).max_by(|&a, &b| seen.softmax[a].total_cmp(&seen.softmax[b]));
        right += usize::from(best == Some(usize::from(example.digit)));
    }
    let count = examples.len() as f64;
    (loss / count, right as f64 / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Digits;

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let digits = Digits::load(3);
        let batch: Vec<&Example> = digits.training[..4].iter().collect();
        let model = initial(3).0;
        let mut by_hand = vec![0.0; ENTRIES];
        gradient(&model, &batch, &mut by_hand);
        let loss = |model: &[f32]| batch.iter().map(|e| f64::from(forward(model, e).loss)).sum::<f64>() / 4.0;
        for entry in (0..ENTRIES).step_by(97) {
            let step = |by: f32| {
                let mut moved = model.clone();
                moved[entry] += by;
                loss(&moved)
            };
            let measured = (step(1e-2) - step(-1e-2)) / 2e-2;
            assert!((measured - f64::from(by_hand[entry])).abs() < 5e-3, "{entry}: {measured} {}", by_hand[entry]);
        }
    }

    #[test]
    fn the_layout_has_the_tensors_where_the_model_reads_them() {
        let layout = layout().unwrap();
        let places: Vec<Range<usize>> = layout.slots().iter().map(|slot| slot.place()).collect();
        assert_eq!(places, [HIDDEN_BIAS, HIDDEN_WEIGHT, OUTPUT_BIAS, OUTPUT_WEIGHT]);
        assert_eq!(layout.entries(), ENTRIES);
    }
}
