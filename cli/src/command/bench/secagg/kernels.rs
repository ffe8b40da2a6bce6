//! Single pieces of work: noise, rotation, and the search for the parameters of a cohort.

use neuro_primitives::Hash;
use neuro_privacy::{NoiseRng, Rotation, Skellam, local_variance};
use neuro_secagg::parameters::{self, Demand};
use neuro_simulation::cpu;

use crate::command::bench::Measurement;
use crate::exit_code::Outcome;
use crate::failure::Failure;

/// Entries of the vector.
const ENTRIES: usize = 1_000_000;
/// μ, units²: noise of twice the clipping norm in a sum, at a clipping norm of 1,000 units.
const VARIANCE: f64 = 4e6;
/// n − d − c of 100 members, of whom a tenth may be corrupt and a tenth lost.
const HONEST: u16 = 80;
/// Repetitions; the shortest counts.
const REPETITIONS: usize = 3;
/// A cohort whose graph is a ring: the finder tries some fifty degrees.
const DEMAND: Demand = Demand {
    n: 1_000,
    rostered: 1_000,
    corrupt_bps: 1_000,
    dropout_bps: 1_000,
    security_bits: 40,
    correctness_bits: 20,
};

/// Measures one piece, in CPU seconds.
type Piece = fn() -> Result<f64, Failure>;

/// The pieces that are wanted.
pub(super) fn measure(is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Measurement>, Failure> {
    let cases: [(&str, Piece); 3] = [("skellam_1m", skellam_s), ("rotate_1m", rotation_s), ("find_n1000", find_s)];
    let wanted = cases.into_iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, seconds)| Ok(Measurement::new(name, seconds()?, "CPU s"))).collect()
}

/// One participant's noise on every entry.
fn skellam_s() -> Result<f64, Failure> {
    let sampler = local_variance(VARIANCE, HONEST).and_then(Skellam::new).map_err(failed)?;
    let (mut rng, mut noise) = (NoiseRng::from_seed(&[1; 32]), vec![0_i64; ENTRIES]);
    Ok(shortest(|| sampler.add(&mut rng, &mut noise)))
}

fn rotation_s() -> Result<f64, Failure> {
    let rotation = Rotation::new(&Hash([1; 32]), ENTRIES);
    let mut values: Vec<f32> = (0..ENTRIES).map(|entry| (entry % 17) as f32).collect();
    Ok(shortest(|| rotation.forward(&mut values)))
}

fn find_s() -> Result<f64, Failure> {
    parameters::find(&DEMAND).map_err(failed)?;
    Ok(shortest(|| drop(std::hint::black_box(parameters::find(&DEMAND)))))
}

/// CPU seconds of the shortest of some repetitions.
fn shortest(mut work: impl FnMut()) -> f64 {
    let once = |_| {
        let mut seconds = 0.0;
        cpu::timed(&mut seconds, &mut work);
        seconds
    };
    (0..REPETITIONS).map(once).fold(f64::INFINITY, f64::min)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::message(Outcome::Failed, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_that_are_asked_for_are_measured() {
        let results = measure(&|name| name == "find_n1000").unwrap();
        let cases: Vec<&str> = results.iter().map(|result| result.case.as_str()).collect();
        assert_eq!(cases, ["find_n1000"]);
        assert!(results[0].value > 0.0);
    }
}
