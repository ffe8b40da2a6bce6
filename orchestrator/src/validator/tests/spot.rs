//! Liars that lie about few rows of many: half of the checks that witnesses make look at other rows.

use super::*;

/// The second bound of [`Checks::SAMPLED`], over many liars: seven of sixteen checks see nothing of the lie.
#[test]
fn who_lies_where_spot_checks_do_not_look_has_more_results_used_and_no_more_than_stated() {
    let (mut total, mut most, mut spots, liars) = (0, 0, 0, 300);
    for run in 0..liars {
        let mut story = Story::trusted(3, SAMPLED);
        story.core.validator.secret = [u8::try_from(run % 251).unwrap_or(0); 32];
        story.core.validator.draws = run << 32;
        let liar = story.busiest();
        (story.hides, story.lies) = (true, BTreeMap::from([(liar, 1)]));
        let mut wrong = 0;
        while story.core.counters().liars == 0 {
            wrong += story.call().iter().filter(|told| is_wrong(told)).count();
        }
        total += wrong;
        most = most.max(wrong);
        spots += story.spots.len() as u64;
    }
    let mean = total as f64 / liars as f64;
    assert!((70.0..110.0).contains(&mean), "50 * 16 / 9 are expected, and {mean} wrong results were used of each liar");
    assert!(most <= 1_250 && spots > liars / 2, "{most} wrong results of one, and {spots} spot checks");
}
