//! Log-probabilities: the log-softmax of the raw logits, before temperature and nucleus.

/// A token and the logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logprob {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability; at most 0.
    pub logprob: f32,
}

/// Log-probabilities of `chosen` and of the `count` likeliest tokens, likeliest first, equal ones by id. `logits`:
/// `[vocab]`, f32, finite.
#[must_use]
pub fn logprobs(logits: &[f32], chosen: u32, count: usize) -> (Logprob, Vec<Logprob>) {
    let normaliser = log_sum_exp(logits);
    let of = |id: u32| {
        let logit = logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        Logprob { id, logprob: (f64::from(logit) - normaliser) as f32 }
    };
    (of(chosen), likeliest(logits, count).into_iter().map(of).collect())
}

/// `ln Σ exp(logit)`, in f64 with the largest logit taken out.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit) - largest)).sum();
    largest + libm::log(sum)
}

/// The ids of the `count` largest logits. `count` is small, so one pass keeps a short sorted list.
fn likeliest(logits: &[f32], count: usize) -> Vec<u32> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (id, &logit) in (0..).zip(logits) {
        if best.len() == count && best.last().is_none_or(|last| logit <= last.1) {
            continue;
        }
        let place = best.partition_point(|other| other.1 >= logit);
        best.insert(place, (id, logit));
        best.truncate(count);
    }
    best.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_follow_the_logits() {
        let logits = [1.0, 2.0, 3.0, 4.0_f32].map(libm::logf);
        let (chosen, top) = logprobs(&logits, 1, 4);
        assert!((chosen.logprob - libm::logf(0.2)).abs() < 1e-6);
        let mass: f32 = top.iter().map(|token| libm::expf(token.logprob)).sum();
        assert!((mass - 1.0).abs() < 1e-6);
        assert_eq!(top.iter().map(|token| token.id).collect::<Vec<_>>(), [3, 2, 1, 0]);
    }

    #[test]
    fn the_likeliest_come_first_and_ties_by_id() {
        let ids = |logits: &[f32], count| likeliest(logits, count);
        assert_eq!(ids(&[1.0, 3.0, 2.0, 3.0, 3.0], 2), [1, 3]);
        assert_eq!(ids(&[1.0, 3.0, 2.0, 3.0, 3.0], 4), [1, 3, 4, 2]);
        assert_eq!(ids(&[1.0, 2.0], 5), [1, 0]);
        assert!(ids(&[1.0, 2.0], 0).is_empty());
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let (chosen, _) = logprobs(&[3e38, 0.0], 0, 0);
        assert_eq!(chosen.logprob, 0.0);
        let (chosen, _) = logprobs(&[1000.0, 1000.0], 1, 0);
        assert!((chosen.logprob + std::f32::consts::LN_2).abs() < 1e-6);
    }
}
