//! Which experts each row goes to, and with what gate.

/// One expert of one row, with the weight that its output gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Route {
    /// The expert within the layer.
    pub expert: u16,
    /// The factor on the expert's output.
    pub gate: f32,
}

/// The routes of every row of one layer, row after row. Within a row, experts ascend and none comes twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Routes {
    /// Where each row's routes end in `entries`.
    ends: Vec<u32>,
    entries: Vec<Route>,
}

impl Routes {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row with its routes, which are sorted by expert here.
    pub fn push_row(&mut self, routes: impl IntoIterator<Item = Route>) {
        let start = self.entries.len();
        self.entries.extend(routes);
        self.entries[start..].sort_by_key(|route| route.expert);
        self.ends.push(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The routes of row `index`, experts ascending.
    #[must_use]
    pub fn row(&self, index: usize) -> &[Route] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.entries[start..self.ends[index] as usize]
    }

    /// The routes of every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Route]> {
        (0..self.count()).map(|index| self.row(index))
    }

    /// Every route, whatever its row.
    #[must_use]
    pub fn entries(&self) -> &[Route] {
        &self.entries
    }

    /// The experts that occur, ascending, each once.
    #[must_use]
    pub fn experts(&self) -> Vec<u16> {
        let mut experts: Vec<u16> = self.entries.iter().map(|route| route.expert).collect();
        experts.sort_unstable();
        experts.dedup();
        experts
    }

    /// The part of these routes that `keep` chooses, and the rows that have any: `(original row indices, their routes)`.
    #[must_use]
    pub fn restrict(&self, keep: impl Fn(u16) -> bool) -> (Vec<usize>, Self) {
        let (mut rows, mut kept) = (Vec::new(), Self::new());
        for (index, row) in self.iter().enumerate() {
            if row.iter().any(|route| keep(route.expert)) {
                rows.push(index);
                kept.push_row(row.iter().copied().filter(|route| keep(route.expert)));
            }
        }
        (rows, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restriction_keeps_rows_with_a_chosen_expert_and_their_order() {
        let mut routes = Routes::new();
        routes.push_row([Route { expert: 5, gate: 0.5 }, Route { expert: 1, gate: 0.25 }]);
        routes.push_row([Route { expert: 2, gate: 1.0 }]);
        routes.push_row([Route { expert: 5, gate: 0.75 }]);
        let (rows, kept) = routes.restrict(|expert| expert == 5);
        assert_eq!(rows, [0, 2]);
        assert_eq!(kept.row(0), [Route { expert: 5, gate: 0.5 }]);
        assert_eq!(kept.row(1), [Route { expert: 5, gate: 0.75 }]);
        assert_eq!(routes.experts(), [1, 2, 5]);
    }
}
