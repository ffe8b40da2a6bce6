//! Who holds what: every digit is shared out among the participants by a Dirichlet draw of its own.
//!
//! The split of Yurochkin et al. 2019 ("Bayesian Nonparametric Federated Learning of Neural Networks", section 4): for
//! each class p ~ Dir(α) over the participants. At α = 0.1 most participants see two or three digits, and some have ten
//! times as many examples as others.

use crate::data::{CLASSES, Example};
use crate::draw;

/// Nobody has fewer: whoever would takes from the one with the most.
const LEAST_EXAMPLES: usize = 2;

/// The examples of each participant. `[participants]`
#[must_use]
pub fn split(examples: &[Example], participants: usize, alpha: f64, seed: u64) -> Vec<Vec<Example>> {
    let mut held = vec![Vec::new(); participants];
    for class in 0..CLASSES {
        let mut rng = draw::stream("split", seed, class as u64);
        let mut of_class: Vec<&Example> = examples.iter().filter(|e| usize::from(e.digit) == class).collect();
        draw::shuffle(&mut of_class, &mut rng);
        let (mut share, mut from) = (0.0, 0);
        for (holder, part) in draw::dirichlet(participants, alpha, &mut rng).into_iter().enumerate() {
            share += part;
            let to = ((share * of_class.len() as f64).round() as usize).clamp(from, of_class.len());
            held[holder].extend(of_class[from..to].iter().copied().cloned());
            from = to;
        }
        held[participants - 1].extend(of_class[from..].iter().copied().cloned());
    }
    fill_up(&mut held);
    held
}

fn fill_up(held: &mut [Vec<Example>]) {
    while let Some(poor) = (0..held.len()).find(|&who| held[who].len() < LEAST_EXAMPLES) {
        let Some(rich) = (0..held.len()).max_by_key(|&who| held[who].len()).filter(|&rich| rich != poor) else {
            return;
        };
        let Some(example) = held[rich].pop() else { return };
        held[poor].push(example);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Digits;

    #[test]
    fn every_example_has_one_holder_and_every_holder_has_some() {
        let digits = Digits::load(1);
        let held = split(&digits.training, 50, 0.1, 1);
        assert_eq!(held.iter().map(Vec::len).sum::<usize>(), digits.training.len());
        assert!(held.iter().all(|part| part.len() >= LEAST_EXAMPLES));
        let kinds = |part: &Vec<Example>| (0..10).filter(|&digit| part.iter().any(|e| e.digit == digit)).count();
        let mean = held.iter().map(kinds).sum::<usize>() as f64 / 50.0;
        assert!(mean < 5.0, "a participant knows {mean} digits on average");
        assert_eq!(held, split(&digits.training, 50, 0.1, 1), "the same seed, the same split");
    }
}
