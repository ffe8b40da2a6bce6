//! Which experts of a layer are used for the same token.

use crate::catalogue::Catalogue;

/// One call in so many is looked at: it costs a count for each pair of its experts.
const SAMPLED_ONE_IN: u64 = 8;

/// Experts of one call beyond which it is not looked at: then it has many tokens, and who is used with whom is unknown.
const MAX_EXPERTS: usize = 16;

/// How often two experts of a layer were used for one token. Four bytes a pair.
#[derive(Debug, Clone, Default)]
pub(crate) struct CoUse {
    /// The first index of each layer's experts, ascending.
    starts: Vec<usize>,
    /// Per layer, the counts of all pairs `low < high`, at `high * (high - 1) / 2 + low`.
    pairs: Vec<Vec<u32>>,
    calls: u64,
}

impl CoUse {
    /// Nothing seen yet.
    pub(crate) fn new(catalogue: &Catalogue) -> Self {
        let (mut starts, mut pairs, mut next) = (Vec::new(), Vec::new(), 0);
        while next < catalogue.len() {
            let range = catalogue.layer(catalogue.id(next).layer);
            starts.push(range.start);
            pairs.push(vec![0; range.len() * (range.len() - 1) / 2]);
            next = range.end;
        }
        Self { starts, pairs, calls: 0 }
    }

    /// Whether the next call is looked at.
    pub(crate) const fn looks(&mut self) -> bool {
        self.calls += 1;
        self.calls.is_multiple_of(SAMPLED_ONE_IN)
    }

    /// A call for one token asks for these experts of one layer, by index.
    pub(crate) fn note(&mut self, experts: &[usize]) {
        if experts.len() > MAX_EXPERTS {
            return;
        }
        for (place, high) in experts.iter().enumerate() {
            for low in &experts[..place] {
                if let Some((layer, pair)) = self.pair(*low, *high) {
                    let count = &mut self.pairs[layer][pair];
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    /// How often the two were used together.
    pub(crate) fn of(&self, one: usize, other: usize) -> u32 {
        self.pair(one, other).map_or(0, |(layer, pair)| self.pairs[layer][pair])
    }

    /// Lets what was seen fade by half.
    pub(crate) fn fade(&mut self) {
        self.pairs.iter_mut().flatten().for_each(|count| *count /= 2);
    }

    /// Where the count of two experts is; none for one expert or for two layers.
    fn pair(&self, one: usize, other: usize) -> Option<(usize, usize)> {
        let (low, high) = (one.min(other), one.max(other));
        let layer = self.starts.partition_point(|start| *start <= high).checked_sub(1)?;
        let start = self.starts[layer];
        if low == high || low < start {
            return None;
        }
        let (low, high) = (low - start, high - start);
        Some((layer, high * (high - 1) / 2 + low))
    }
}

#[cfg(test)]
mod tests {
    use neuro_primitives::ExpertId;

    use super::*;
    use crate::settings::ExpertSpec;

    #[test]
    fn pairs_of_a_layer_are_counted_either_way_round() {
        let ids = (0..2).flat_map(|layer| (0..5).map(move |expert| ExpertId { layer, expert }));
        let mut uses = CoUse::new(&Catalogue::new(ids.map(|id| ExpertSpec { id, bytes: 1 }).collect()));
        assert_eq!((0..SAMPLED_ONE_IN * 3).filter(|_| uses.looks()).count(), 3);
        (0..3).for_each(|_| uses.note(&[5, 9, 7]));
        assert_eq!((uses.of(5, 9), uses.of(9, 7), uses.of(7, 5)), (3, 3, 3));
        assert_eq!((uses.of(5, 6), uses.of(0, 4), uses.of(7, 7), uses.of(4, 9)), (0, 0, 0, 0));
        uses.fade();
        assert_eq!(uses.of(5, 9), 1);
    }
}
