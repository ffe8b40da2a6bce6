//! JSON of the status.

use super::*;

#[test]
fn a_status_shows_the_phase_by_name_and_keeps_the_unknown_unknown() -> Result<(), serde_json::Error> {
    let cohort = CohortStatus { phase: RoundPhase::Upload.into(), members: 8, ..CohortStatus::default() };
    let round = RoundFacts { number: 3, cohorts: vec![cohort], ..RoundFacts::default() };
    let status = RoundStatus { round: Some(round), ..RoundStatus::default() };
    let json = serde_json::to_value(&status)?;
    assert_eq!(json["round"]["cohorts"][0]["phase"], "upload");
    assert!(json["round"]["cohorts"][0]["alpha"].is_null());
    assert!(json["task"].is_null());
    assert_eq!(serde_json::from_value::<RoundStatus>(json)?, status);
    Ok(())
}
