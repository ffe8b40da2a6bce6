//! A participant's vector: quantised, or with noise as the updates give it; masked and packed.

use neuro_secagg::masks::{self, Lanes, MaskJob};
use neuro_secagg::packing::{self, Modulus};
use neuro_secagg::quantise::{Grid, QuantiseError, quantise};
use neuro_secagg::sum::Accumulator;

use crate::SimulationError;
use crate::cpu::timed;
use crate::seat::Scene;

/// What a participant masks with.
pub(crate) struct Masks {
    pub(crate) jobs: Vec<MaskJob>,
    pub(crate) modulus: Modulus,
    /// n − d − c: by how many the noise is divided.
    pub(crate) honest_at_least: u16,
}

impl Masks {
    /// The participant's update as a payload. Making the update is training and is not counted; noise is.
    pub(crate) fn payload(
        &self,
        scene: &Scene<'_>,
        participant: u32,
        seconds: &mut f64,
    ) -> Result<Vec<u8>, SimulationError> {
        match scene.updates.private() {
            Some(_) => {
                let mut vector = timed(seconds, || self.noised(scene, participant))?;
                timed(seconds, || masks::apply(vector.lanes(), 0, &self.jobs));
                Ok(timed(seconds, || vector.to_packed()))
            }
            None => self.plain(scene, participant, seconds),
        }
    }

    /// The vector with its noise, before it is masked.
    fn noised(&self, scene: &Scene<'_>, participant: u32) -> Result<Accumulator, SimulationError> {
        let values = noised(scene, participant, self.modulus, self.honest_at_least)?;
        let mut vector = Accumulator::new(values.len(), self.modulus);
        match vector.lanes() {
            // The lower bits: two's complement modulo 2^B.
            Lanes::Narrow(words) => words.iter_mut().zip(&values).for_each(|(word, value)| *word = *value as u32),
            Lanes::Wide(words) => words.iter_mut().zip(&values).for_each(|(word, value)| *word = value.cast_unsigned()),
        }
        Ok(vector)
    }

    fn plain(&self, scene: &Scene<'_>, participant: u32, seconds: &mut f64) -> Result<Vec<u8>, SimulationError> {
        let (plan, weight) = (scene.plan, scene.updates.weight(participant));
        let mut values = vec![0.0; plan.entries as usize];
        scene.updates.fill(participant, 0, &mut values);
        let grid = Grid::new(plan.value_bits, plan.scale);
        let payload = grid.and_then(|grid| {
            timed(seconds, || {
                if self.modulus.is_narrow() {
                    let mut words = vec![0_u32; values.len() + 1];
                    words[values.len()] = weight;
                    self.packed(Lanes::Narrow(&mut words), &values, weight, grid)
                } else {
                    let mut words = vec![0_u64; values.len() + 1];
                    words[values.len()] = weight.into();
                    self.packed(Lanes::Wide(&mut words), &values, weight, grid)
                }
            })
        });
        payload.map_err(|source| SimulationError::Quantise { participant, source })
    }

    /// Quantised, masked, packed. `lanes`: the values' entries, then the weight.
    fn packed(&self, mut lanes: Lanes<'_>, values: &[f32], weight: u32, grid: Grid) -> Result<Vec<u8>, QuantiseError> {
        quantise(values, weight, grid, lanes.part(0..values.len()))?;
        masks::apply(lanes.reborrow(), 0, &self.jobs);
        let mut payload = Vec::new();
        packing::pack(lanes, self.modulus, &mut payload);
        Ok(payload)
    }
}

/// The vector of private mode. `[vector_entries]`
pub(crate) fn noised(
    scene: &Scene<'_>,
    participant: u32,
    modulus: Modulus,
    honest_at_least: u16,
) -> Result<Vec<i64>, SimulationError> {
    let Some(private) = scene.updates.private() else { return Ok(Vec::new()) };
    let vector = private.vector(&scene.config, participant, modulus, honest_at_least);
    vector.map_err(|why| SimulationError::Encode { participant, why })
}
