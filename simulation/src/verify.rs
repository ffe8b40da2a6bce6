//! The sum, and the plain one beside it: the same vectors quantised and added without any mask.

use neuro_primitives::Hash;
use neuro_secagg::masks::Lanes;
use neuro_secagg::packing::Modulus;
use neuro_secagg::quantise::{Grid, quantise};

use crate::payload::noised;
use crate::seat::Scene;
use crate::{PrivateUpdates, SimulationError, SimulationPlan, Updates};

/// Entries that are checked at once: no whole vector is made.
const PART: usize = 1 << 16;

/// The greatest distance of the decoded weighted mean from that of the real values, if `sum` is the plain sum of the
/// `survivors`' vectors. `sum`: `[entries + 1]`, the last one the weight.
///
/// # Errors
/// The first entry that differs.
pub(crate) fn check(
    plan: &SimulationPlan,
    updates: &dyn Updates,
    survivors: &[u32],
    sum: &[i64],
) -> Result<f64, SimulationError> {
    let weight: u64 = survivors.iter().map(|&participant| u64::from(updates.weight(participant))).sum();
    let entries = plan.entries as usize;
    let (expected, got) = (i64::try_from(weight).unwrap_or(i64::MAX), sum.last().copied().unwrap_or_default());
    if sum.len() != entries + 1 || expected != got {
        return Err(SimulationError::SumDiffers { entry: entries, expected, got });
    }
    let mut greatest = 0.0_f64;
    for first in (0..entries).step_by(PART) {
        let part = &sum[first..entries.min(first + PART)];
        let (plain, real) = plain_part(plan, updates, survivors, first, part.len())?;
        if let Some(at) = (0..part.len()).find(|&at| plain[at] != part[at]) {
            return Err(SimulationError::SumDiffers { entry: first + at, expected: plain[at], got: part[at] });
        }
        let errors = part.iter().zip(&real).map(|(sum, real)| (*sum as f64 / plan.scale - real).abs());
        greatest = errors.fold(greatest, f64::max);
    }
    Ok(greatest / weight.max(1) as f64)
}

/// The greatest distance of the decoded mean from that of the real values, if `sum` is the sum of the `survivors`' vectors as
/// their noise left them, modulo 2^B in two's complement.
/// `sum`: `[vector_entries]`.
///
/// # Errors
/// The first entry that differs.
pub(crate) fn check_private(
    scene: &Scene<'_>,
    private: &dyn PrivateUpdates,
    survivors: &[u32],
    modulus: Modulus,
    honest_at_least: u16,
    sum: &[i64],
) -> Result<f64, SimulationError> {
    let mut plain = vec![0_u64; sum.len()];
    for &participant in survivors {
        let vector = noised(scene, participant, modulus, honest_at_least)?;
        plain.iter_mut().zip(&vector).for_each(|(sum, value)| *sum = sum.wrapping_add(value.cast_unsigned()));
    }
    let plain = plain.into_iter().map(|word| modulus.signed(word));
    match plain.zip(sum).enumerate().find(|(_, (plain, sum))| plain != *sum) {
        Some((entry, (expected, &got))) => Err(SimulationError::SumDiffers { entry, expected, got }),
        None => {
            let error = private.max_abs_error(&scene.config, survivors, sum);
            error.map_err(|why| SimulationError::Decode { why })
        }
    }
}

/// Sums of quantised and of real weighted values of one part. `[entries of the part]`
fn plain_part(
    plan: &SimulationPlan,
    updates: &dyn Updates,
    survivors: &[u32],
    first: usize,
    entries: usize,
) -> Result<(Vec<i64>, Vec<f64>), SimulationError> {
    let (mut plain, mut real) = (vec![0_i64; entries], vec![0.0_f64; entries]);
    let (mut values, mut words) = (vec![0.0_f32; entries], vec![0_u64; entries]);
    for &participant in survivors {
        let weight = updates.weight(participant);
        updates.fill(participant, first, &mut values);
        Grid::new(plan.value_bits, plan.scale)
            .and_then(|grid| quantise(&values, weight, grid, Lanes::Wide(&mut words)))
            .map_err(|source| SimulationError::Quantise { participant, source })?;
        for (entry, word) in words.iter().enumerate() {
            plain[entry] += word.cast_signed();
            real[entry] += f64::from(values[entry]) * f64::from(weight);
        }
    }
    Ok((plain, real))
}

/// BLAKE3 of the sum's entries, i64 little-endian.
pub(crate) fn hash_of_sum(entries: &[i64]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in entries.chunks(1 << 13) {
        let bytes: Vec<u8> = part.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    Hash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NormalUpdates;

    #[test]
    fn one_unit_more_or_less_is_seen() {
        let plan = SimulationPlan::new(3, 70_000);
        let updates = NormalUpdates::new(&plan, 1);
        let weight = (0..3).map(|participant| i64::from(updates.weight(participant))).sum();
        let mut sum: Vec<i64> = plain_part(&plan, &updates, &[0, 1, 2], 0, 70_000).unwrap().0;
        sum.push(weight);
        assert!(check(&plan, &updates, &[0, 1, 2], &sum).unwrap() < 2e-6);
        sum[66_000] += 1;
        let error = check(&plan, &updates, &[0, 1, 2], &sum).unwrap_err();
        assert!(matches!(error, SimulationError::SumDiffers { entry: 66_000, .. }), "{error}");
        sum[66_000] -= 1;
        assert!(check(&plan, &updates, &[0, 1], &sum).is_err());
    }
}
