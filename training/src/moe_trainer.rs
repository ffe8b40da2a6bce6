//! Local steps on a mixture-of-experts model.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use neuro_fl_aggregator::{Flat, LocalRule};

use crate::choice::{TrainedParts, TrainedTensors};
use crate::error::{ModelError, TrainError};
use crate::example::{Batch, ExampleSource};
use crate::model::MoeModel;
use crate::network::Objective;
use crate::optimiser::{Optimiser, Steps};

use crate::trainer::{Cancel, Trained, Trainer};
use crate::weights::Matrix;

/// How a participant trains, whatever the round asks besides.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainPlan {
    /// From gradients to steps.
    pub optimiser: Optimiser,
    /// Local steps a round.
    pub steps: u32,
    /// Steps are this many times as long as the optimiser's rate says; a schedule over rounds sets it.
    pub rate_scale: f32,
    /// Gradients that are longer are shortened to this.
    pub longest_gradient: Option<f32>,
    /// What is added to the loss.
    pub objective: Objective,
}

/// Trains the chosen parts of a model on the examples of one participant.
pub struct MoeTrainer {
    model: MoeModel,
    parts: TrainedParts,
    examples: Box<dyn ExampleSource>,
    plan: TrainPlan,
    cancel: Cancel,
    /// The optimiser's moments, which stay here from round to round, as those of the inner optimiser in "DiLoCo"
    /// (Douillard et al., arXiv 2311.08105).
    moments: Option<Steps>,
    /// Steps of all rounds together, so that no round repeats another's examples.
    steps_ever: u64,
    /// SCAFFOLD's own control variate `cᵢ`; zero before the first round.
    own_control: Vec<f32>,
    /// Ditto's personal model.
    personal: Option<Vec<f32>>,
}

/// What a trainer keeps for itself from round to round.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Kept {
    /// SCAFFOLD's own control variate `cᵢ`: `[entries]`.
    pub control: Option<Flat>,
    /// Ditto's personal model: `[entries]`.
    pub personal: Option<Flat>,
}

/// One descent: a vector, and what pulls at it.
struct Descent<'a> {
    vector: Vec<f32>,
    steps: Steps,
    /// Added to every gradient: `[entries]`, or empty.
    drift: Vec<f32>,
    /// Pulls towards this: the strength and the point.
    anchor: Option<(f32, &'a [f32])>,
}

impl MoeTrainer {
    /// A trainer of `choice` in `model`, which draws its examples from `examples`.
    ///
    /// # Errors
    /// A choice that the model does not have.
    pub fn new(
        model: MoeModel,
        choice: &TrainedTensors,
        examples: Box<dyn ExampleSource>,
        plan: TrainPlan,
    ) -> Result<Self, ModelError> {
        let parts = TrainedParts::of(model.config(), model.weights(), choice)?;
        Ok(Self::of_parts(model, parts, examples, plan))
    }

    /// A trainer of `parts` that were found in `model`.
    pub(crate) fn of_parts(
        model: MoeModel,
        parts: TrainedParts,
        examples: Box<dyn ExampleSource>,
        plan: TrainPlan,
    ) -> Self {
        let (cancel, own_control) = (Cancel::default(), Vec::new());
        Self { model, parts, examples, plan, cancel, moments: None, steps_ever: 0, own_control, personal: None }
    }

    /// What later rounds need and nobody else sees.
    pub(crate) fn kept(&self) -> Kept {
        let control = Some(Flat(self.own_control.clone())).filter(|control| !control.0.is_empty());
        Kept { control, personal: self.personal.clone().map(Flat) }
    }

    /// Goes on from what an earlier trainer kept.
    pub(crate) fn restore(&mut self, kept: Kept) {
        self.own_control = kept.control.unwrap_or_default().0;
        self.personal = kept.personal.map(|personal| personal.0);
    }

    /// What is trained, in the order of the vector.
    #[must_use]
    pub const fn parts(&self) -> &TrainedParts {
        &self.parts
    }

    /// Asks this trainer to stop, from any thread.
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Ditto's personal model, `[entries]`, after the first round with that rule. It never leaves.
    #[must_use]
    pub fn personal(&self) -> Option<&[f32]> {
        self.personal.as_deref()
    }

    /// Changes how the next rounds are trained.
    pub fn set_plan(&mut self, plan: TrainPlan) {
        self.plan = plan;
    }

    /// The constants of the graph from now on, for parts that other cohorts trained.
    ///
    /// # Errors
    /// A model in which the trained parts are not there.
    pub fn set_model(&mut self, model: MoeModel) -> Result<(), ModelError> {
        self.parts.read(model.weights())?;
        self.model = model;
        Ok(())
    }

    /// The loss and the gradient (`[entries]`) at `vector`.
    fn slope(&self, vector: &[f32], batch: &Batch) -> Result<(f32, Vec<f32>), ModelError> {
        let (loss, slopes) = self.model.gradients(self.bound(vector)?, batch, &self.plan.objective)?;
        let mut gradient = Vec::with_capacity(vector.len());
        for stretch in self.parts.stretches() {
            match slopes.get(&stretch.name) {
                Some(slope) => gradient.extend_from_slice(&slope[stretch.elements()]),
                // No row of the batch met this tensor.
                None => gradient.resize(gradient.len() + stretch.entries(), 0.0),
            }
        }
        Ok((loss, gradient))
    }

    /// The tensors that have trained parts, with these parts as `vector` has them.
    fn bound(&self, vector: &[f32]) -> Result<BTreeMap<String, Matrix>, ModelError> {
        let mut bound = BTreeMap::new();
        let mut rest = vector;
        for stretch in self.parts.stretches() {
            let (own, after) = rest.split_at(stretch.entries());
            let matrix = match bound.entry(stretch.name.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.model.weights().get(&stretch.name)?.clone())
                }
            };
            matrix.values[stretch.elements()].copy_from_slice(own);
            rest = after;
        }
        Ok(bound)
    }

    /// Makes one step on `batch` and returns the loss before it.
    fn descend(&self, descent: &mut Descent<'_>, batch: &Batch, step: u32) -> Result<f32, TrainError> {
        let (loss, mut gradient) = self.slope(&descent.vector, batch)?;
        check_finite(step, "loss", &[loss])?;
        check_finite(step, "gradient", &gradient)?;
        if let Some(longest) = self.plan.longest_gradient {
            shorten(&mut gradient, longest);
        }
        if let Some((strength, anchor)) = descent.anchor {
            let pulls = descent.vector.iter().zip(anchor).map(|(own, global)| strength * (own - global));
            gradient.iter_mut().zip(pulls).for_each(|(slope, pull)| *slope += pull);
        }
        gradient.iter_mut().zip(&descent.drift).for_each(|(slope, drift)| *slope += drift);
        descent.steps.step(&mut descent.vector, &gradient, self.plan.rate_scale);
        Ok(loss)
    }

    /// The descent that `rule` asks for from `global`.
    fn descent<'a>(&self, global: &'a [f32], rule: &LocalRule) -> Result<Descent<'a>, TrainError> {
        let steps = self.moments.clone().filter(|steps| steps.optimiser() == self.plan.optimiser);
        let steps = steps.unwrap_or_else(|| Steps::new(self.plan.optimiser, global.len()));
        let mut descent = Descent { vector: global.to_vec(), steps, drift: Vec::new(), anchor: None };
        match rule {
            LocalRule::Plain | LocalRule::Personal { .. } => {}
            LocalRule::Proximal { mu } => descent.anchor = Some((*mu, global)),
            LocalRule::Scaffold { control } => {
                self.parts.check(control.0.len())?;
                if !matches!(self.plan.optimiser, Optimiser::Sgd { .. }) {
                    return Err(TrainError::Rule {
                        rule: "SCAFFOLD",
                        needs: "plain SGD: its control variates are means of gradients",
                    });
                }
                let own = self.own_control.iter().copied().chain(std::iter::repeat(0.0));
                descent.drift = control.0.iter().zip(own).map(|(server, own)| server - own).collect();
            }
        }
        Ok(descent)
    }

    /// Ditto's second descent, from the personal model and held to the global one.
    fn personal_descent<'a>(&self, global: &'a [f32], rule: &LocalRule) -> Option<Descent<'a>> {
        let LocalRule::Personal { lambda } = rule else { return None };
        let vector = self.personal.clone().unwrap_or_else(|| global.to_vec());
        let steps = Steps::new(self.plan.optimiser, global.len());
        Some(Descent { vector, steps, drift: Vec::new(), anchor: Some((*lambda, global)) })
    }

    /// Karimireddy et al. 2020, option II: `cᵢ⁺ − cᵢ = −c + (x − y) / (K η)`.
    fn control_change(&mut self, global: &[f32], local: &[f32], rule: &LocalRule) -> Option<Flat> {
        let LocalRule::Scaffold { control } = rule else { return None };
        let length = self.plan.steps.max(1) as f32 * self.plan.optimiser.rate() * self.plan.rate_scale;
        let moved = global.iter().zip(local).map(|(global, local)| (global - local) / length);
        let change: Vec<f32> = moved.zip(&control.0).map(|(moved, server)| moved - server).collect();
        self.own_control.resize(global.len(), 0.0);
        self.own_control.iter_mut().zip(&change).for_each(|(own, change)| *own += change);
        Some(Flat(change))
    }
}

impl Trainer for MoeTrainer {
    fn train(&mut self, global: &Flat, rule: &LocalRule, deadline: Duration) -> Result<Trained, TrainError> {
        self.parts.check(global.0.len())?;
        let (started, steps) = (Instant::now(), self.plan.steps);
        let mut descent = self.descent(&global.0, rule)?;
        let mut personal = self.personal_descent(&global.0, rule);
        let (mut losses, mut examples) = (0.0_f64, 0_u32);
        for done in 0..steps {
            if self.cancel.is_cancelled() {
                return Err(TrainError::Cancelled { done });
            }
            if started.elapsed() >= deadline {
                return Err(TrainError::Deadline { steps, done, deadline });
            }
            let texts = self.examples.batch(self.steps_ever + u64::from(done));
            let batch = Batch::new(&texts, self.model.config().vocab_size)?;
            losses += f64::from(self.descend(&mut descent, &batch, done)?);
            if let Some(personal) = &mut personal {
                self.descend(personal, &batch, done)?;
            }
            examples = examples.saturating_add(texts.len() as u32);
        }
        self.steps_ever += u64::from(steps);
        self.moments = Some(descent.steps);
        let control = self.control_change(&global.0, &descent.vector, rule);
        self.personal = personal.map(|personal| personal.vector).or(self.personal.take());
        let update = descent.vector.iter().zip(&global.0).map(|(local, global)| local - global).collect();
        let loss = (losses / f64::from(steps.max(1))) as f32;
        Ok(Trained { update: Flat(update), control, examples, loss, steps })
    }
}

fn check_finite(step: u32, place: &'static str, values: &[f32]) -> Result<(), TrainError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(&got) => Err(TrainError::NotFinite { step, place, got }),
        None => Ok(()),
    }
}

/// Scales `gradient` to the length `longest` where it is longer.
fn shorten(gradient: &mut [f32], longest: f32) {
    let length = gradient.iter().map(|slope| f64::from(*slope).powi(2)).sum::<f64>().sqrt() as f32;
    if length > longest {
        gradient.iter_mut().for_each(|slope| *slope *= longest / length);
    }
}

#[cfg(test)]
mod tests;
