//! JSON of the status, and the experts' coordinates.

use prost::Message;

use super::*;

fn a_worker() -> WorkerStatus {
    WorkerStatus {
        id: "aa".into(),
        state: WorkerState::Ready.into(),
        rtt_us_p50: Some(850),
        path: PathKind::Direct.into(),
        transport: "tcp".into(),
        ..WorkerStatus::default()
    }
}

#[test]
fn a_status_shows_names_and_keeps_the_unknown_unknown() -> Result<(), serde_json::Error> {
    let status = Status { workers: vec![a_worker()], ..Status::default() };
    let json = serde_json::to_value(&status)?;
    assert_eq!(json["workers"][0]["state"], "ready");
    assert_eq!(json["workers"][0]["path"], "direct");
    assert_eq!(json["workers"][0]["rtt_us_p50"], 850);
    assert!(json["workers"][0]["rtt_us_p95"].is_null());
    assert!(json["model"].is_null());
    assert_eq!(serde_json::from_value::<Status>(json)?, status);
    Ok(())
}

#[test]
fn a_status_of_a_newer_version_is_still_shown() -> Result<(), Box<dyn std::error::Error>> {
    let newer = WorkerStatus { state: 99, ..a_worker() };
    let received = WorkerStatus::decode(newer.encode_to_vec().as_slice())?;
    assert_eq!(serde_json::to_value(&received)?["state"], "unspecified");
    let sparse: Status = serde_json::from_str("{\"join_command\": \"neuro worker start\"}")?;
    assert_eq!(sparse.join_command, "neuro worker start");
    Ok(())
}

#[test]
fn experts_cross_the_wire_and_too_large_ones_do_not() {
    let id = ExpertId { layer: 3, expert: u16::MAX };
    assert_eq!(ExpertId::try_from(Expert::from(id)), Ok(id));
    let wide = Expert { layer: 3, expert: 65_536 };
    assert_eq!(ExpertId::try_from(wide), Err(ExpertRangeError { layer: 3, expert: 65_536 }));
}

#[test]
fn a_report_of_no_known_kind_decodes_to_none() -> Result<(), prost::DecodeError> {
    // Field 15, a varint: a kind of report that a later version may add.
    let report = WorkerReport::decode([0x78_u8, 0x01].as_slice())?;
    assert_eq!(report.report, None);
    Ok(())
}
