//! One suite for every engine: the same weights and rows go through it and through the reference engine.
//!
//! # Tolerance
//!
//! An f32 sum may lose digits by cancellation whatever its order, so an output is compared on the scale of what was
//! summed: `|got - want| <= TOLERANCE × magnitude`, where the magnitude is the same layer computed with the absolute
//! values of weights and rows (for an expert through all three matrices, without the activation, which shrinks). A
//! chain of n additions in f32 errs by about √n × 2^-24 of it; the widest sums here have 1100 terms.
//!
//! # What is required, and what is reported
//!
//! Required: the tolerance, the same bits for the same rows, and the same bits on any number of threads. Reported:
//! whether a row's bits depend on how many rows it comes with ([`Report::batch_invariant`]).

use neuro_model::HiddenActivation;
use neuro_primitives::Rows;

use crate::engine::{Engine, EngineError, EngineId, ExpertWeights, Linear, Weight};
use crate::engines::ReferenceEngine;
use crate::threads::with_threads;

/// The largest difference on the scale of what was summed. Some 5 times the error that a chain of 1100 f32 additions
/// is expected to have, and a hundredth of what a lost term of such a sum would make.
pub const TOLERANCE: f64 = 1e-5;

/// What an engine that passed showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The engine.
    pub engine: EngineId,
    /// Comparisons with the reference, one per layer, rows and values.
    pub cases: usize,
    /// The largest difference from the reference, on the scale of what was summed; at most [`TOLERANCE`].
    pub largest_difference: f64,
    /// Whether a row gave the same bits alone as among others.
    pub batch_invariant: bool,
    /// The largest difference between a row alone and the same row among others, on the scale of the larger.
    pub largest_batch_difference: f64,
}

/// Where an engine failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// A value differs from the reference by more than the tolerance.
    #[error("{case}: value {index} is {got}, expected {expected} within {allowed}")]
    Value {
        /// Layer, shape, rows and values.
        case: String,
        /// The value's place, counted through the rows.
        index: usize,
        /// What the reference computed.
        expected: f32,
        /// What the engine computed.
        got: f32,
        /// The difference that is allowed.
        allowed: f64,
    },
    /// The output has another shape.
    #[error("{case}: expected {expected:?} rows and values, got {got:?}")]
    Shape {
        /// Layer, shape, rows and values.
        case: String,
        /// Rows, and values per row, that should come out.
        expected: (usize, usize),
        /// Rows, and values per row, that came out.
        got: (usize, usize),
    },
    /// The same rows gave other bits.
    #[error("{case}: the same rows gave other bits {circumstance}")]
    Bits {
        /// Layer, shape, rows and values.
        case: String,
        /// On what occasion.
        circumstance: String,
    },
    /// Rows of a wrong width were accepted.
    #[error("{case}: rows of a wrong width were accepted")]
    WidthAccepted {
        /// Layer and shape.
        case: String,
    },
    /// The engine refused what it must compute.
    #[error("{case}: {source}")]
    Refused {
        /// Layer, shape, rows and values.
        case: String,
        /// Why.
        source: EngineError,
    },
    /// The threads for the test could not be started.
    #[error("could not start {threads} threads: {message}")]
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        message: String,
    },
}

/// Runs the suite on `engine`. It takes some seconds.
///
/// # Errors
/// At the first requirement that the engine does not meet.
pub fn check(engine: &dyn Engine) -> Result<Report, Mismatch> {
    let mut suite = Suite {
        report: Report {
            engine: engine.id(),
            cases: 0,
            largest_difference: 0.0,
            batch_invariant: true,
            largest_batch_difference: 0.0,
        },
    };
    for (outputs, inputs) in LINEAR_SHAPES {
        suite.layer(&Layer::linear(engine, outputs, inputs)?)?;
    }
    for (d_expert, d_model) in EXPERT_SHAPES {
        suite.layer(&Layer::expert(engine, d_expert, d_model)?)?;
    }
    Ok(suite.report)
}

/// `(outputs, inputs)`: a single value, odd widths, whole vectors, and sums that engines may cut (past 512).
const LINEAR_SHAPES: [(usize, usize); 6] = [(1, 1), (5, 2), (1, 37), (96, 64), (49, 513), (250, 1100)];

/// `(d_expert, d_model)`.
const EXPERT_SHAPES: [(usize, usize); 4] = [(3, 1), (13, 7), (96, 64), (130, 523)];

/// A row alone, two, an odd handful, and the most a call may bring.
const ROW_COUNTS: [usize; 4] = [1, 2, 17, 512];

const THREAD_COUNTS: [usize; 3] = [1, 2, 4];

/// What the rows hold.
#[derive(Debug, Clone, Copy)]
enum Values {
    /// Between -1 and 1.
    Ordinary,
    Zero,
    NegativeZero,
    /// Around 10^6: an expert squares it, and the square stays within f32.
    Large,
    /// Below 2^-126: an engine that flushes these to zero stays within the tolerance of the smallest normal number.
    Denormal,
}

const VALUES: [Values; 5] = [Values::Ordinary, Values::Zero, Values::NegativeZero, Values::Large, Values::Denormal];

type Compute = Box<dyn Fn(&Rows) -> Result<Rows, EngineError> + Sync>;

/// One layer in three ways: by the engine, by the reference, and the magnitudes of its sums.
struct Layer {
    case: String,
    inputs: usize,
    outputs: usize,
    engine: Compute,
    reference: Compute,
    /// The layer on absolute values; takes the absolute values of rows.
    magnitude: Compute,
}

impl Layer {
    fn linear(engine: &dyn Engine, outputs: usize, inputs: usize) -> Result<Self, Mismatch> {
        let case = format!("linear [{outputs}, {inputs}]");
        let weight = Draws::new(1).matrix(outputs, inputs);
        let build = |engine: &dyn Engine, weight: &Matrix| -> Result<Compute, Mismatch> {
            let linear = engine.linear(&weight.weight()).map_err(|source| refused(&case, source))?;
            Ok(Box::new(move |rows| linear.apply(rows)))
        };
        Ok(Self {
            inputs,
            outputs,
            engine: build(engine, &weight)?,
            reference: build(&ReferenceEngine, &weight)?,
            magnitude: build(&ReferenceEngine, &absolute(&weight))?,
            case,
        })
    }

    fn expert(engine: &dyn Engine, d_expert: usize, d_model: usize) -> Result<Self, Mismatch> {
        let case = format!("expert [{d_expert}, {d_model}]");
        let mut draws = Draws::new(2);
        let (gate, up) = (draws.matrix(d_expert, d_model), draws.matrix(d_expert, d_model));
        let down = draws.matrix(d_model, d_expert);
        let magnitude = expert_magnitude([&gate, &up, &down]).map_err(|source| refused(&case, source))?;
        let (gate, up, down) = (gate.weight(), up.weight(), down.weight());
        let weights = ExpertWeights { gate, up, down, biases: None, activation: HiddenActivation::Silu };
        let build = |engine: &dyn Engine| -> Result<Compute, Mismatch> {
            let expert = engine.expert(&weights).map_err(|source| refused(&case, source))?;
            Ok(Box::new(move |rows| expert.forward(&rows.clone().into())))
        };
        let (engine, reference) = (build(engine)?, build(&ReferenceEngine)?);
        Ok(Self { inputs: d_model, outputs: d_model, engine, reference, magnitude, case })
    }
}

/// `|down| · (|gate| · x × |up| · x)`.
fn expert_magnitude(weights: [&Matrix; 3]) -> Result<Compute, EngineError> {
    let [gate, up, down]: [Result<Box<dyn Linear>, _>; 3] =
        weights.map(|weight| ReferenceEngine.linear(&absolute(weight).weight()));
    let (gate, up, down) = (gate?, up?, down?);
    Ok(Box::new(move |rows| {
        let mut product = gate.apply(rows)?;
        for (gate, up) in product.values_mut().iter_mut().zip(up.apply(rows)?.values()) {
            *gate *= up;
        }
        down.apply(&product)
    }))
}

fn refused(case: &str, source: EngineError) -> Mismatch {
    Mismatch::Refused { case: case.to_owned(), source }
}

struct Suite {
    report: Report,
}

impl Suite {
    fn layer(&mut self, layer: &Layer) -> Result<(), Mismatch> {
        if (layer.engine)(&Rows::zeros(2, layer.inputs + 1)).is_ok() {
            return Err(Mismatch::WidthAccepted { case: layer.case.clone() });
        }
        for values in VALUES {
            for rows in ROW_COUNTS {
                self.against_reference(layer, values, rows)?;
            }
        }
        same_bits(layer)?;
        self.batches(layer)
    }

    fn against_reference(&mut self, layer: &Layer, values: Values, rows: usize) -> Result<(), Mismatch> {
        let case = format!("{}, {rows} rows, {values:?}", layer.case);
        let input = Draws::new(3).rows(rows, layer.inputs, values);
        let absolute = Rows::new(layer.inputs, input.values().iter().map(|value| value.abs()).collect());
        let compute = |compute: &Compute, rows| compute(rows).map_err(|source| refused(&case, source));
        let got = compute(&layer.engine, &input)?;
        let expected = compute(&layer.reference, &input)?;
        let magnitude = compute(&layer.magnitude, &absolute)?;
        let shape = (got.count(), got.width());
        if shape != (rows, layer.outputs) {
            return Err(Mismatch::Shape { case, expected: (rows, layer.outputs), got: shape });
        }
        self.report.cases += 1;
        self.compare(&case, &got, &expected, &magnitude)
    }

    fn compare(&mut self, case: &str, got: &Rows, expected: &Rows, magnitude: &Rows) -> Result<(), Mismatch> {
        let triples = got.values().iter().zip(expected.values()).zip(magnitude.values());
        for (index, ((&got, &expected), &magnitude)) in triples.enumerate() {
            let scale = f64::from(magnitude.max(f32::MIN_POSITIVE / TOLERANCE as f32));
            let difference = (f64::from(got) - f64::from(expected)).abs() / scale;
            if difference.is_nan() || difference > TOLERANCE {
                let (case, allowed) = (case.to_owned(), scale * TOLERANCE);
                return Err(Mismatch::Value { case, index, expected, got, allowed });
            }
            self.report.largest_difference = self.report.largest_difference.max(difference);
        }
        Ok(())
    }

    /// Each row of a batch alone, and the batch as the head of larger ones.
    fn batches(&mut self, layer: &Layer) -> Result<(), Mismatch> {
        let compute = |rows: &Rows| (layer.engine)(rows).map_err(|source| refused(&layer.case, source));
        let input = Draws::new(5).rows(512, layer.inputs, Values::Ordinary);
        let all = compute(&input)?;
        for row in 0..17 {
            self.batch(&compute(&input.slice(row, row + 1))?, &all.slice(row, row + 1));
        }
        for rows in [2, 3, 4, 16, 17, 100] {
            self.batch(&compute(&input.slice(0, rows))?, &all.slice(0, rows));
        }
        Ok(())
    }

    fn batch(&mut self, few: &Rows, many: &Rows) {
        self.report.batch_invariant &= bits(few) == bits(many);
        for (&few, &many) in few.values().iter().zip(many.values()) {
            let scale = f64::from(few.abs().max(many.abs()).max(f32::MIN_POSITIVE));
            let difference = (f64::from(few) - f64::from(many)).abs() / scale;
            self.report.largest_batch_difference = self.report.largest_batch_difference.max(difference);
        }
    }
}

/// The same rows again, and on other numbers of threads.
fn same_bits(layer: &Layer) -> Result<(), Mismatch> {
    for rows in ROW_COUNTS {
        let case = format!("{}, {rows} rows", layer.case);
        let input = Draws::new(4).rows(rows, layer.inputs, Values::Ordinary);
        let compute = || (layer.engine)(&input).map_err(|source| refused(&case, source));
        let first = bits(&compute()?);
        let differs = |circumstance: String| Mismatch::Bits { case: case.clone(), circumstance };
        if bits(&compute()?) != first {
            return Err(differs("the second time".to_owned()));
        }
        for threads in THREAD_COUNTS {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|error| Mismatch::Threads { threads, message: error.to_string() })?;
            // Some engines use rayon's threads, others those of this crate.
            if bits(&pool.install(|| with_threads(threads, compute))?) != first {
                return Err(differs(format!("on {threads} threads")));
            }
        }
    }
    Ok(())
}

fn bits(rows: &Rows) -> Vec<u32> {
    rows.values().iter().map(|value| value.to_bits()).collect()
}

/// A weight of f32, row after row.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn weight(&self) -> Weight<'static> {
        Weight::from_f32("weight", self.rows, self.columns, &self.values)
    }
}

fn absolute(matrix: &Matrix) -> Matrix {
    let values = matrix.values.iter().map(|value| value.abs()).collect();
    Matrix { rows: matrix.rows, columns: matrix.columns, values }
}

/// Numbers that look random and are the same on every machine (a 64-bit linear congruence, its upper bits).
struct Draws(u64);

impl Draws {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between -1 and 1, on a grid of 2^-23.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn matrix(&mut self, rows: usize, columns: usize) -> Matrix {
        let values = (0..rows * columns).map(|_| self.next()).collect();
        Matrix { rows, columns, values }
    }

    fn rows(&mut self, rows: usize, width: usize, values: Values) -> Rows {
        Rows::new(width, (0..rows * width).map(|_| self.value(values)).collect())
    }

    fn value(&mut self, values: Values) -> f32 {
        match values {
            Values::Ordinary => self.next(),
            Values::Zero => 0.0,
            Values::NegativeZero => -0.0,
            Values::Large => self.next() * 1e6,
            Values::Denormal => self.next() * 1e-39,
        }
    }
}

#[cfg(test)]
mod tests;
