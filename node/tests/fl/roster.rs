//! Members that enrol while a round gathers its own.

use crate::federation::Federation;

#[tokio::test(flavor = "multi_thread")]
async fn who_enrols_while_a_round_waits_for_members_takes_part() {
    let plan = "[rounds]\ncount = 1\n[cohort]\nleast = 8\ndropout = 0.25\n";
    // It begins with five, who are too few: the others enrol while it waits.
    let mut federation = Federation::start(plan, &[("w", &[2])], Some(5), 1).await;
    let trainer = |number| federation.trainer(number, &[("w", &[2], &[0.5, 0.25])], 1);
    let _participants = federation.join_all(8, trainer).await;
    let round = loop {
        let round = federation.ended().await;
        if round.done {
            break round;
        }
        assert!(round.outcome.contains("called again"), "{}", round.outcome);
        assert_eq!(round.checkpoint.unwrap().failures, 0, "it counts for nothing");
    };
    assert_eq!(round.survivors, 8);
}
