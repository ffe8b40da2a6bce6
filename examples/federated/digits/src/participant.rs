//! One participant: its examples, its local steps by the strategy's rule, and what it keeps between rounds.

use crate::data::Example;
use crate::draw;
use crate::perceptron::{self, ENTRIES};
use neuro_fl_aggregator::{Flat, LocalRule};
use neuro_privacy::NoiseRng;

/// How participants train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalSettings {
    /// E: passes over the examples.
    pub epochs: u32,
    /// Examples of a step.
    pub batch: usize,
    /// η_l.
    pub rate: f32,
}

/// What one round of training gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Δ: `[entries]`.
    pub update: Flat,
    /// cᵢ⁺ − cᵢ: `[entries]`, with SCAFFOLD alone.
    pub control_change: Option<Flat>,
}

/// A participant.
#[derive(Debug, Clone)]
pub struct Participant {
    examples: Vec<Example>,
    /// cᵢ: `[entries]`.
    control: Vec<f32>,
}

impl Participant {
    /// The participant that holds `examples`.
    #[must_use]
    pub fn new(examples: Vec<Example>) -> Self {
        Self { examples, control: vec![0.0; ENTRIES] }
    }

    /// How many examples it holds.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.examples.len() as u32
    }

    /// K steps from `global` (`[entries]`) by `rule`.
    #[must_use]
    pub fn train(&self, global: &Flat, rule: &LocalRule, settings: LocalSettings, rng: &mut NoiseRng) -> Trained {
        let (mut model, mut gradient) = (global.0.clone(), vec![0.0; ENTRIES]);
        let mut order: Vec<&Example> = self.examples.iter().collect();
        let mut steps = 0;
        for _ in 0..settings.epochs {
            draw::shuffle(&mut order, rng);
            for batch in order.chunks(settings.batch) {
                perceptron::gradient(&model, batch, &mut gradient);
                self.correct(&mut gradient, &model, global, rule);
                model.iter_mut().zip(&gradient).for_each(|(y, g)| *y -= settings.rate * g);
                steps += 1;
            }
        }
        let update = Flat(model.iter().zip(&global.0).map(|(y, x)| y - x).collect());
        let control_change = control_change(&update, rule, steps as f32 * settings.rate);
        Trained { update, control_change }
    }

    /// Turns the gradient of the examples into the direction that `rule` asks for.
    fn correct(&self, gradient: &mut [f32], model: &[f32], global: &Flat, rule: &LocalRule) {
        match rule {
            LocalRule::Proximal { mu } => {
                let pulls = model.iter().zip(&global.0).map(|(y, x)| mu * (y - x));
                gradient.iter_mut().zip(pulls).for_each(|(g, pull)| *g += pull);
            }
            LocalRule::Scaffold { control } => {
                let drift = control.0.iter().zip(&self.control).map(|(c, own)| c - own);
                gradient.iter_mut().zip(drift).for_each(|(g, drift)| *g += drift);
            }
            LocalRule::Plain | LocalRule::Personal { .. } => {}
        }
    }

    /// Takes over cᵢ⁺, once the update has become part of a sum.
    pub fn counted(&mut self, trained: &Trained) {
        let Some(change) = &trained.control_change else { return };
        self.control.iter_mut().zip(&change.0).for_each(|(own, change)| *own += change);
    }
}

/// cᵢ⁺ − cᵢ = (x − y)/(Kη_l) − c (Karimireddy et al. 2020, option II); `span` = Kη_l.
fn control_change(update: &Flat, rule: &LocalRule, span: f32) -> Option<Flat> {
    let LocalRule::Scaffold { control } = rule else { return None };
    Some(Flat(update.0.iter().zip(&control.0).map(|(step, c)| -step / span - c).collect()))
}
