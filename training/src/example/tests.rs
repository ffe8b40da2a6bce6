//! Where loss falls in rows of several lengths.

use super::*;

fn text(ids: &[u32], learn_from: usize) -> Example {
    Example { ids: ids.to_vec(), learn_from, ..Example::default() }
}

#[test]
fn loss_falls_on_what_comes_before_each_learnt_token() {
    let batch = Batch::new(&[text(&[5, 6, 7, 8], 2), text(&[9, 3], 1)], 10).unwrap();
    assert_eq!((batch.rows, batch.length), (2, 4));
    assert_eq!(batch.ids, [5, 6, 7, 8, 9, 3, 0, 0]);
    assert_eq!(batch.live, [true, true, true, true, true, true, false, false]);
    assert_eq!(batch.asked, [(1, 7), (2, 8), (4, 3)]);
    assert_eq!(batch.learnt(), 3);
}

#[test]
fn the_first_token_is_never_learnt() {
    assert_eq!(Batch::new(&[text(&[5, 6], 0)], 10).unwrap().asked, [(0, 6)]);
}

#[test]
fn nothing_to_learn_and_unknown_tokens_are_refused() {
    let said = |examples: &[Example]| Batch::new(examples, 10).expect_err("it must be refused").to_string();
    assert!(said(&[]).contains("at least one token"));
    assert!(said(&[text(&[5, 6], 2)]).contains("at least one token"));
    assert!(said(&[text(&[5], 1)]).contains("at least one token"));
    assert_eq!(said(&[text(&[5, 10], 1)]), "expected tokens below 10, got 10");
}
