//! Answers as values: what one row gives at one expert is a number that everybody can make, and a lie is another one.

use std::collections::BTreeMap;

use neuro_primitives::CallId;

use super::chance::mix;

/// What a task asks: experts of one layer, each with its number of rows, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The call.
    pub(crate) call: CallId,
    /// Its layer.
    pub(crate) layer: u16,
    /// `(expert, rows)`.
    pub(crate) experts: Vec<(u16, u32)>,
}

/// One answer: a partial sum, and a digest a (expert, row) in the order of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The wrapping sum of all contributions.
    pub(crate) sum: u64,
    /// One digest a contribution.
    pub(crate) digests: Vec<u64>,
}

/// In what an answer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// One contribution is another one, and its digest says so.
    Contribution,
    /// The sum is right and a digest is not.
    Digest,
    /// The digests are right and the sum is not.
    Sum,
    /// Nothing was computed: all contributions are zero.
    Zeros,
    /// Every contribution is changed as all who are in the pact change it.
    Pact,
}

impl Question {
    /// The right answer.
    pub(crate) fn truth(&self) -> Answer {
        self.answer(|contribution| contribution)
    }

    /// A wrong answer. `salt` makes two liars differ, unless they are in a pact.
    pub(crate) fn lie(&self, lie: Lie, salt: u64) -> Answer {
        let mut answer = self.truth();
        match lie {
            Lie::Contribution => {
                let wrong = salt | 1;
                answer.sum = answer.sum.wrapping_add(wrong);
                answer.digests.iter_mut().take(1).for_each(|digest| *digest ^= wrong);
            }
            Lie::Digest => answer.digests.iter_mut().take(1).for_each(|digest| *digest ^= salt | 1),
            Lie::Sum => answer.sum = answer.sum.wrapping_add(salt | 1),
            Lie::Zeros => answer = self.answer(|_| 0),
            Lie::Pact => answer = self.answer(|contribution| contribution ^ 0x5A5A),
        }
        answer
    }

    /// The digests by expert and row.
    pub(crate) fn places<'a>(&'a self, answer: &'a Answer) -> impl Iterator<Item = ((u16, u32), u64)> + 'a {
        let places = self.experts.iter().flat_map(|(expert, rows)| (0..*rows).map(move |row| (*expert, row)));
        places.zip(answer.digests.iter().copied())
    }

    /// How many digests an answer has.
    pub(crate) fn places_len(&self) -> usize {
        self.experts.iter().map(|(_, rows)| *rows as usize).sum()
    }

    fn answer(&self, change: impl Fn(u64) -> u64) -> Answer {
        let mut answer = Answer { sum: 0, digests: Vec::with_capacity(self.places_len()) };
        for (expert, rows) in &self.experts {
            for row in 0..*rows {
                let contribution = change(self.contribution(*expert, row));
                answer.sum = answer.sum.wrapping_add(contribution);
                answer.digests.push(mix(contribution));
            }
        }
        answer
    }

    fn contribution(&self, expert: u16, row: u32) -> u64 {
        let place = (u64::from(self.layer) << 48) | (u64::from(expert) << 32) | u64::from(row);
        mix(mix(self.call.0) ^ place)
    }
}

/// Whether an answer and those of its witnesses, who had its experts among them, say the same.
pub(crate) fn agree(checked: (&Question, &Answer), witnesses: &[(&Question, &Answer)]) -> bool {
    let sum = witnesses.iter().fold(0, |sum: u64, (_, answer)| sum.wrapping_add(answer.sum));
    let seen: BTreeMap<(u16, u32), u64> =
        witnesses.iter().flat_map(|(question, answer)| question.places(answer)).collect();
    sum == checked.1.sum && seen == checked.0.places(checked.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(experts: &[(u16, u32)]) -> Question {
        Question { call: CallId(3), layer: 1, experts: experts.to_vec() }
    }

    #[test]
    fn witnesses_add_up_to_a_right_answer_and_to_no_lie() {
        let (whole, parts) = (question(&[(0, 2), (4, 1)]), [question(&[(0, 2)]), question(&[(4, 1)])]);
        let truths = parts.each_ref().map(Question::truth);
        let witnesses = [(&parts[0], &truths[0]), (&parts[1], &truths[1])];
        assert!(agree((&whole, &whole.truth()), &witnesses));
        for lie in [Lie::Contribution, Lie::Digest, Lie::Sum, Lie::Zeros, Lie::Pact] {
            assert!(!agree((&whole, &whole.lie(lie, 9)), &witnesses), "{lie:?}");
        }
        assert!(!agree((&whole, &whole.truth()), &witnesses[..1]), "an expert without a witness");
    }

    #[test]
    fn only_those_in_a_pact_lie_alike() {
        let asked = question(&[(2, 3)]);
        let same = |lie| agree((&asked, &asked.lie(lie, 1)), &[(&asked, &asked.lie(lie, 2))]);
        assert!(same(Lie::Pact) && !same(Lie::Contribution) && !same(Lie::Sum) && !same(Lie::Digest));
    }
}
