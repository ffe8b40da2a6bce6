//! An aggregator that has seen the graph and knows who is corrupt, in search of dropouts that cut the honest survivors.

use neuro_primitives::Hash;
use neuro_secagg::graph::Graph;
use neuro_secagg::identity::{Bitmap, Member};
use neuro_secagg::parameters::Parameters;
use neuro_secagg::survivor_rule::check_survivors;

/// Windows that are tried in pairs, those with the most corrupt members first.
const BEST_WINDOWS: usize = 12;

/// Tries with two random arcs, and with scattered dropouts.
const RANDOM_TRIES: usize = 20;

/// Who is honest around a ring.
pub struct Ring<'a> {
    graph: &'a Graph,
    /// By position.
    honest: Vec<bool>,
}

impl<'a> Ring<'a> {
    pub fn new(graph: &'a Graph, honest: &Bitmap) -> Self {
        Self { graph, honest: graph.order().iter().map(|&member| honest.get(member)).collect() }
    }

    fn n(&self) -> usize {
        self.honest.len()
    }

    /// h.
    fn window(&self) -> usize {
        self.graph.degree() / 2
    }

    /// Corrupt members in the h positions after this one.
    fn corrupt_after(&self, position: usize) -> usize {
        (1..=self.window()).filter(|step| !self.honest[(position + step) % self.n()]).count()
    }

    /// Honest positions whose window has at least `least` corrupt members.
    fn before_windows(&self, least: usize) -> Vec<usize> {
        (0..self.n()).filter(|&position| self.honest[position] && self.corrupt_after(position) >= least).collect()
    }

    /// Whether neither position lies in the other's window.
    fn are_apart(&self, one: usize, other: usize) -> bool {
        let ahead = (other + self.n() - one) % self.n();
        ahead > self.window() && self.n() - ahead > self.window()
    }

    /// Whether two honest positions have disjoint windows with at least `least` corrupt members each: the event that
    /// (S1) bounds.
    pub fn has_two_windows(&self, least: u16) -> bool {
        let before = self.before_windows(usize::from(least));
        before.iter().any(|&one| before.iter().any(|&other| self.are_apart(one, other)))
    }
}

/// Draws for the search, of a small generator (splitmix64) so that a seed gives the same search everywhere.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// One graph, its corrupt members (fixed before the seed) and the search.
pub struct Attacker<'a> {
    parameters: &'a Parameters,
    graph: Graph,
    honest: Bitmap,
    draws: Draws,
}

impl<'a> Attacker<'a> {
    pub fn new(parameters: &'a Parameters, n: u16, number: u64) -> Self {
        let graph = Graph::new(n, parameters.k, &Hash::of(&number.to_le_bytes()));
        let honest = Bitmap::of(n, (parameters.corrupt..n).map(Member));
        Self { parameters, graph, honest, draws: Draws(number) }
    }

    /// Survivors for whom an honest member would vote although their honest part falls into pieces, if any are found.
    pub fn cut(&mut self) -> Option<Bitmap> {
        let windows = self.pairs_of_best_windows();
        windows.into_iter().find_map(|positions| self.cut_by_dropping(&positions)).or_else(|| self.cut_at_random())
    }

    /// The positions of the two windows, for each pair of the best that lie apart.
    fn pairs_of_best_windows(&self) -> Vec<Vec<usize>> {
        let ring = Ring::new(&self.graph, &self.honest);
        let mut before = ring.before_windows(0);
        before.sort_by_key(|&position| std::cmp::Reverse(ring.corrupt_after(position)));
        let best = spread(&before, |one, other| ring.are_apart(one, other));
        let window = |position: usize| (1..=ring.window()).map(move |step| position + step);
        let pairs = best.iter().enumerate().flat_map(|(i, &one)| best[..i].iter().map(move |&other| (one, other)));
        pairs.map(|(one, other)| window(one).chain(window(other)).collect()).collect()
    }

    fn cut_at_random(&mut self) -> Option<Bitmap> {
        let (n, half) = (usize::from(self.graph.n()), self.graph.degree() / 2);
        (0..RANDOM_TRIES).find_map(|_| {
            let (one, other) = (self.draws.below(n), self.draws.below(n));
            let arcs = [one, other].map(|start| start..start + half);
            let scattered: Vec<usize> = (0..self.parameters.dropout).map(|_| self.draws.below(n)).collect();
            self.cut_by_dropping(&arcs.into_iter().flatten().collect::<Vec<_>>())
                .or_else(|| self.cut_by_dropping(&scattered))
        })
    }

    /// Drops the honest at these positions (modulo n, as many as are tolerated), and whoever then has too few
    /// neighbours.
    fn cut_by_dropping(&self, positions: &[usize]) -> Option<Bitmap> {
        let mut alive = Bitmap::full(self.graph.n());
        let at = |position: &usize| self.graph.order()[position % usize::from(self.graph.n())];
        let honest = positions.iter().map(at).filter(|&member| self.honest.get(member));
        honest.take(usize::from(self.parameters.dropout)).for_each(|member| alive.remove(member));
        let survivors = self.graph.core(&alive, self.parameters.t);
        let honest = Bitmap::of(alive.n(), survivors.iter().filter(|&member| self.honest.get(member)));
        let own = honest.iter().next()?;
        let voted = check_survivors(&self.graph, self.parameters, &Bitmap::full(alive.n()), &survivors, own).is_ok();
        (voted && !self.graph.is_connected(&honest)).then_some(survivors)
    }
}

/// The first of `sorted` and those after it that lie apart from all chosen before, up to [`BEST_WINDOWS`].
fn spread(sorted: &[usize], are_apart: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    for &position in sorted {
        if chosen.len() < BEST_WINDOWS && chosen.iter().all(|&other| are_apart(position, other)) {
            chosen.push(position);
        }
    }
    chosen
}
