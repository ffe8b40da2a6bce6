//! The rule of complaints in a complete graph of ten.

use std::collections::BTreeMap;

use neuro_primitives::Hash;

use super::{judge, most_complaints};
use crate::graph::Graph;
use crate::identity::{Bitmap, Member};
use crate::messages::OutCause;

/// Who is left out, with the cause, when the given members complain about the given ones; t = 6 and L = 2.
fn left_out(silent: &[u16], complaints: &[(u16, &[u16])]) -> Vec<(u16, OutCause)> {
    let graph = Graph::new(10, 9, &Hash([0; 32]));
    let bad = |of: u16| complaints.iter().find(|(by, _)| *by == of).map_or(&[][..], |(_, about)| about);
    let received: BTreeMap<Member, Bitmap> = (0..10)
        .filter(|of| !silent.contains(of))
        .map(|of| (Member(of), Bitmap::of(10, bad(of).iter().copied().map(Member))))
        .collect();
    let verdict = judge(&graph, 6, 2, &received);
    (0..10).filter_map(|of| verdict.cause(Member(of)).map(|cause| (of, cause))).collect()
}

#[test]
fn lone_complaints_up_to_the_bound_leave_nobody_out() {
    assert_eq!(left_out(&[], &[(1, &[2, 3])]), []);
    assert_eq!(left_out(&[], &[(1, &[2]), (4, &[2])]), []);
}

#[test]
fn whoever_complains_alone_about_many_is_left_out() {
    assert_eq!(left_out(&[], &[(1, &[2, 3, 4])]), [(1, OutCause::Complaints)]);
}

#[test]
fn whoever_many_complain_about_is_left_out() {
    assert_eq!(left_out(&[], &[(1, &[2]), (3, &[2]), (4, &[2])]), [(2, OutCause::ComplainedOf)]);
}

#[test]
fn complaints_of_those_left_out_count_for_nothing() {
    // 1 complains alone about 5, 6 and 7; without it only two complain about 2.
    assert_eq!(left_out(&[], &[(1, &[2, 5, 6, 7]), (3, &[2]), (4, &[2])]), [(1, OutCause::Complaints)]);
}

#[test]
fn silence_is_a_dropout_and_too_few_neighbours_leave_nobody() {
    assert_eq!(left_out(&[8, 9], &[]), [(8, OutCause::Late), (9, OutCause::Late)]);
    let all = left_out(&[6, 7, 8, 9], &[]);
    assert_eq!(all.iter().filter(|(_, cause)| *cause == OutCause::FewNeighbours).count(), 6);
}

#[test]
fn the_bound_is_a_quarter_of_what_the_threshold_spares() {
    assert_eq!([most_complaints(9, 6), most_complaints(99, 89), most_complaints(154, 116)], [1, 2, 9]);
}
