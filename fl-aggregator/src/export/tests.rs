//! The bytes that other programs read.

use super::tensorboard::crc32c;
use super::*;
use crate::report::tests::history;
use std::collections::BTreeMap;

#[test]
fn csv_has_a_row_for_each_round() {
    let text = csv(&history());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "round,kind,succeeded,accuracy,loss,privacy/epsilon,round/seconds,round/survivors,round/update_norm,round/weight"
    );
    assert_eq!(lines[1], "1,train,true,,,1.25,1.5,9,0.25,900");
    assert_eq!(lines[2], "2,evaluate,true,0.875,0.5,1.25,1.5,9,,");
    assert_eq!(lines[3], "3,train,false,,,,1.5,0,,");
}

#[test]
fn json_is_the_history() {
    let back: Vec<RoundRecord> = serde_json::from_str(&json(&history())).unwrap();
    assert_eq!(back, history());
    let lines: Vec<String> = history().iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    assert_eq!(crate::checkpoint::read_history(&lines.join("\n")).unwrap(), history());
    assert!(crate::checkpoint::read_history("{}").is_err());
}

#[test]
fn crc32c_gives_the_values_of_rfc_3720() {
    let ascending: Vec<u8> = (0..32).collect();
    for (data, expected) in [
        (vec![0_u8; 32], 0x8a91_36aa),
        (vec![0xff; 32], 0x62a8_ab43),
        (ascending, 0x46dd_794e),
        (b"123456789".to_vec(), 0xe306_9283),
    ] {
        assert_eq!(crc32c(&data), expected);
    }
}

#[test]
fn an_empty_history_is_the_first_record_that_tensorboard_writes() {
    // tensorflow's EventsWriter at wall time 0: 24 bytes of event, with the checksums that it computes for them.
    let event = [&[9][..], &[0; 8], &[0x1a, 0x0d], b"brain.Event:2"].concat();
    let file = tensorboard(&[]);
    assert_eq!(file[..8], 24_u64.to_le_bytes());
    assert_eq!(file[8..12], [0xa3, 0x7f, 0x4b, 0x22], "what every event file has here");
    assert_eq!(file[12..36], event);
    assert_eq!(file[36..], masked_crc32c(&event).to_le_bytes());
}

/// The fields of a message whose wire types are varint, 8, 4 bytes and length-delimited.
fn fields(mut data: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let varint = |data: &mut &[u8]| {
        let mut value = 0_u64;
        for shift in 0.. {
            let byte = data[0];
            *data = &data[1..];
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                break;
            }
        }
        value
    };
    let mut all = Vec::new();
    while !data.is_empty() {
        let key = data[0];
        data = &data[1..];
        let value = match key & 7 {
            0 => varint(&mut data).to_le_bytes().to_vec(),
            kind => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    _ => varint(&mut data) as usize,
                };
                let (value, rest) = data.split_at(length);
                data = rest;
                value.to_vec()
            }
        };
        all.push((key >> 3, value));
    }
    all
}

#[test]
fn event_files_hold_every_number_of_every_round() {
    let file = tensorboard(&history());
    let (mut rest, mut seen) = (file.as_slice(), Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..12], masked_crc32c(&rest[..8]).to_le_bytes());
        let (data, after) = rest[12..].split_at(length);
        assert_eq!(after[..4], masked_crc32c(data).to_le_bytes());
        seen.push(fields(data));
        rest = &after[4..];
    }
    assert_eq!(seen.len(), 4);
    let evaluation = &seen[2];
    assert_eq!(evaluation[0], (1, 1_700_000_001.5_f64.to_le_bytes().to_vec()));
    assert_eq!(evaluation[1], (2, 2_u64.to_le_bytes().to_vec()));
    let named: BTreeMap<String, f32> = fields(&evaluation[2].1)
        .into_iter()
        .map(|(_, value)| {
            let parts = fields(&value);
            let number = f32::from_le_bytes(parts[1].1.clone().try_into().unwrap());
            (String::from_utf8(parts[0].1.clone()).unwrap(), number)
        })
        .collect();
    assert_eq!((named["loss"], named["accuracy"], named["privacy/epsilon"]), (0.5, 0.875, 1.25));
    assert_eq!(event_file_name(1_700_000_000_000, "my task"), "events.out.tfevents.1700000000.my_task");
}

#[test]
fn golden_event_bytes() {
    let one = RoundRecord {
        took_ms: 0,
        cohorts: Vec::new(),
        spent: None,
        metrics: BTreeMap::from([("loss".to_owned(), 0.5)]),
        ..history()[1].clone()
    };
    // wall_time 1.7e9, step 2, {loss: 0.5, round/seconds: 0, round/survivors: 0}.
    let value = |tag: &str, number: f32| {
        let inner = [&[0x0a, tag.len() as u8][..], tag.as_bytes(), &[0x15], &number.to_le_bytes()].concat();
        [&[0x0a, inner.len() as u8][..], &inner].concat()
    };
    let summary = [value("loss", 0.5), value("round/seconds", 0.0), value("round/survivors", 0.0)].concat();
    let time = 1.7e9_f64.to_le_bytes();
    let event = [&[0x09][..], &time, &[0x10, 0x02, 0x2a, summary.len() as u8], &summary].concat();
    let file = tensorboard(&[one]);
    assert_eq!(file[file.len() - 4 - event.len()..file.len() - 4], event);
}

#[test]
fn mlflow_gets_its_folder() {
    let run = MlflowRun {
        task: "it's".into(),
        run_name: "first".into(),
        parameters: BTreeMap::from([
            ("strategy".to_owned(), "fed_avg".to_owned()),
            ("../x".to_owned(), "1".to_owned()),
        ]),
    };
    let files = mlflow(&run, &history());
    let find = |end: &str| files.iter().find(|file| file.path.ends_with(end)).unwrap();
    assert_eq!(find("metrics/loss").text, "1700000001500 0.5 2\n");
    assert_eq!(find("metrics/round/survivors").text.lines().count(), 3);
    assert_eq!((find("params/strategy").text.as_str(), find("params/task").text.as_str()), ("fed_avg", "it's"));
    assert_eq!(find("artifacts/rounds.json").text, json(&history()));
    assert!(find("params/_/x").text == "1", "no name leads out of the folder");
    assert!(files[0].text.contains("name: 'it''s'") && files[0].path.len() == 18 + "/meta.yaml".len());
    assert!(files[1].text.contains("status: 3") && files[1].text.contains("end_time: 1700000001500"));
    assert_eq!(files, mlflow(&run, &history()), "an export again replaces the last one");
}
