//! The guarantee of sections 11 and 12 against an aggregator that chooses dropouts after it has seen the graph.

#[path = "guarantee/attacker.rs"]
mod attacker;

use attacker::{Attacker, Ring};
use neuro_primitives::Hash;
use neuro_secagg::graph::Graph;
use neuro_secagg::identity::{Bitmap, Member};
use neuro_secagg::parameters::{Demand, Parameters, WeakParameters, check, find};
use neuro_secagg::survivor_rule::{SetRefused, check_survivors};

fn seed(number: u64) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn demand(n: u16, corrupt_bps: u16, dropout_bps: u16) -> Demand {
    Demand { n, rostered: u32::from(n), corrupt_bps, dropout_bps, security_bits: 40, correctness_bits: 20 }
}

/// Every set of a cohort of `n`.
fn all_sets(n: u16) -> impl Iterator<Item = Bitmap> {
    (0_u32..1 << n).map(move |bits| Bitmap::of(n, (0..n).filter(|member| bits >> member & 1 == 1).map(Member)))
}

fn intersection(one: &Bitmap, other: &Bitmap) -> Bitmap {
    Bitmap::of(one.n(), one.iter().filter(|&member| other.get(member)))
}

/// On rings of nine and ten members: all corrupt sets, all sets of survivors that the rule admits.
#[test]
fn no_choice_of_dropouts_cuts_the_honest() {
    for (n, k, t) in [(9, 4, 3), (10, 4, 3), (10, 6, 4), (10, 6, 5)] {
        let graph = Graph::new(n, k, &seed(u64::from(k)));
        let any_number_survives = Parameters { k, t, q: 0, corrupt: 0, dropout: n };
        let admitted = |set: &Bitmap| {
            let own = set.iter().next()?;
            check_survivors(&graph, &any_number_survives, &Bitmap::full(n), set, own).ok()
        };
        let survivors: Vec<Bitmap> = all_sets(n).filter(|set| admitted(set).is_some()).collect();
        let (mut cut, mut two_windows) = (0, 0);
        for honest in all_sets(n) {
            let windows = Ring::new(&graph, &honest).has_two_windows(t - k / 2);
            let is_cut = survivors.iter().any(|set| !graph.is_connected(&intersection(set, &honest)));
            assert!(windows || !is_cut, "{honest:?} are cut although no two windows have t − h corrupt members");
            cut += u32::from(is_cut);
            two_windows += u32::from(windows);
        }
        assert!(cut > 0 && cut <= two_windows && two_windows < 1 << n, "{cut} cut, {two_windows} of {} sets", 1 << n);
    }
}

/// The attacker sees the seed, knows who is corrupt, and tries windows, arcs and scattered dropouts.
#[test]
fn found_parameters_leave_no_cut_to_an_attacker_who_sees_the_graph() {
    let demands =
        [(130, 1_000, 1_000), (200, 2_000, 1_000), (200, 1_000, 3_000), (500, 3_300, 1_000), (1_000, 2_000, 1_000)];
    for (n, corrupt_bps, dropout_bps) in demands {
        let parameters = find(&demand(n, corrupt_bps, dropout_bps)).unwrap();
        for number in 0..8 {
            let found = Attacker::new(&parameters, n, number).cut();
            assert_eq!(found, None, "n = {n}, {parameters:?}, seed {number}: these survivors fall into parts");
        }
    }
}

/// The attacker of the test above is worth something: it wins where (S1) fails.
#[test]
fn the_same_attacker_cuts_rings_that_fail_the_bound() {
    let demand = demand(200, 2_000, 1_000);
    let weak = Parameters { k: 24, t: 16, ..find(&demand).unwrap() };
    assert!(matches!(check(&demand, &weak), Err(WeakParameters::Connection { .. })));
    let wins = (0..20).filter(|&number| Attacker::new(&weak, 200, number).cut().is_some()).count();
    assert!(wins >= 10, "expected most of 20 graphs to be cut, got {wins}");
}

const K140: Parameters = Parameters { k: 140, t: 104, q: 601, corrupt: 200, dropout: 100 };

/// Members 0 to 199 of 1,000 are corrupt; any fixed choice is as good for the attacker, since the seed is not known.
fn is_corrupt(member: Member) -> bool {
    member.0 < K140.corrupt
}

/// A graph of degree 140 with an honest member that has at most 100 honest neighbours, and these.
/// 4.5 such members are expected in a graph, so the first hundred seeds have one.
fn victim_of_k140() -> Option<(Graph, Member, Vec<Member>)> {
    let honest_around = |graph: &Graph, member| -> Vec<Member> {
        graph.neighbours(member).iter().copied().filter(|&neighbour| !is_corrupt(neighbour)).collect()
    };
    (0..100).map(|number| Graph::new(1_000, K140.k, &seed(number))).find_map(|graph| {
        let victim = (K140.corrupt..1_000).map(Member).find(|&member| honest_around(&graph, member).len() <= 100)?;
        let around = honest_around(&graph, victim);
        Some((graph, victim, around))
    })
}

/// What the aggregator shows to each honest member of the worked example: the honest neighbours of the victim in groups
/// of 36, each of which sees the other groups dead, and all others see all of them dead.
struct SplitView {
    sets: Vec<Bitmap>,
    /// For each member, which of the sets it is shown.
    shown: Vec<usize>,
}

impl SplitView {
    fn new(around: &[Member]) -> Self {
        let all_but = |dead: &dyn Fn(Member) -> bool| Bitmap::of(1_000, (0..1_000).map(Member).filter(|&m| !dead(m)));
        let mut sets = vec![all_but(&|member| around.contains(&member))];
        let mut shown = vec![0; 1_000];
        for group in around.chunks(36) {
            group.iter().for_each(|member| shown[member.index()] = sets.len());
            sets.push(all_but(&|member| around.contains(&member) && !group.contains(&member)));
        }
        Self { sets, shown }
    }

    /// Shares of `of` that the aggregator gets if members answer for whatever set they are shown, without votes: all
    /// that corrupt neighbours hold, and of the honest the kind that `of` has in their set.
    fn shares(&self, graph: &Graph, of: Member, as_survivor: bool) -> usize {
        let gives = |holder: Member| is_corrupt(holder) || self.sets[self.shown[holder.index()]].get(of) == as_survivor;
        graph.neighbours(of).iter().filter(|&&holder| gives(holder)).count()
    }

    /// Votes for a set: one of each honest member that is shown it, and all of the corrupt.
    fn votes(&self, set: usize) -> usize {
        let honest = (K140.corrupt..1_000).filter(|&member| self.shown[usize::from(member)] == set).count();
        honest + usize::from(K140.corrupt)
    }
}

#[test]
fn without_votes_several_sets_isolate_a_member_at_k140_t104() {
    let (graph, victim, around) = victim_of_k140().unwrap();
    let view = SplitView::new(&around);
    let t = usize::from(K140.t);
    assert!(view.sets.iter().all(|set| set.count() >= 900), "no set breaks the minimum of 900");
    assert!(view.shares(&graph, victim, true) >= t, "the victim's self-mask falls");
    for &neighbour in &around {
        assert!(view.shares(&graph, neighbour, false) >= t, "the mask key of honest neighbour {neighbour:?} is open");
    }
    let both_kinds = |of| view.shares(&graph, of, true) >= t && view.shares(&graph, of, false) >= t;
    assert!(!(K140.corrupt..1_000).map(Member).any(both_kinds), "although nobody gave both kinds of anyone");
}

#[test]
fn the_split_at_k140_t104_isolates_nobody() {
    let (graph, victim, around) = victim_of_k140().unwrap();
    let view = SplitView::new(&around);
    let certified: Vec<usize> = (0..view.sets.len()).filter(|&set| view.votes(set) >= usize::from(K140.q)).collect();
    assert_eq!(certified, [0], "two sets of 601 votes need 1,202 of 1,000 members of whom 200 vote twice");
    let answers = |holder: Member| is_corrupt(holder) || view.shown[holder.index()] == certified[0];
    let shares = graph.neighbours(victim).iter().filter(|&&holder| answers(holder)).count();
    assert!(shares < usize::from(K140.t), "the victim keeps its self-mask: its neighbours voted for other sets");
    let verdict = check_survivors(&graph, &K140, &Bitmap::full(1_000), &view.sets[0], Member(999));
    let refused = matches!(verdict, Err(SetRefused::FewNeighbours { .. } | SetRefused::WithoutMe { .. }));
    assert!(refused, "and nobody honest votes for a set in which the victim has no t neighbours, got {verdict:?}");
}

/// What (S1) is there for: the event that it bounds, made by hand. It has 2^−31 at k = 140, t = 104.
#[test]
fn two_windows_of_34_corrupt_members_cut_k140_t104_by_one_set_that_keeps_every_rule() {
    let graph = Graph::new(1_000, K140.k, &seed(7));
    let window_starts = [0, 500];
    let corrupt_ahead = |position: usize| window_starts.iter().any(|&start| (start..start + 34).contains(&position));
    let dead = |position: usize| window_starts.iter().any(|&start| (start + 34..start + 70).contains(&position));
    let at = |keep: &dyn Fn(usize) -> bool| {
        Bitmap::of(1_000, (0..1_000).filter(|&position| keep(position)).map(|position| graph.order()[position]))
    };
    let survivors = at(&|position| !dead(position));
    let own = graph.order()[999];
    assert_eq!(check_survivors(&graph, &K140, &Bitmap::full(1_000), &survivors, own), Ok(()));
    let honest = at(&|position| !dead(position) && !corrupt_ahead(position));
    assert_eq!(survivors.count(), 1_000 - 72);
    assert!(!graph.is_connected(&honest), "two sums come out");
    let demand = demand(1_000, 2_000, 1_000);
    assert!(
        matches!(check(&demand, &K140), Err(WeakParameters::Connection { .. })),
        "so a participant refuses to begin"
    );
}
