//! What a trainer may say, and what is done about rubbish.

use super::*;

fn read(stdout: &str) -> Result<ResultLine, ContractError> {
    read_result(stdout, &Hash::of(b"model"), 1000)
}

#[test]
fn the_last_line_counts_and_the_weight_is_capped() {
    let result =
        read("epoch 1\n{\"weight\": 5}\n{\"weight\": 4096, \"loss\": 0.41, \"metrics\": {\"f1\": 0.5}}\n\n").unwrap();
    assert_eq!((result.weight, result.loss, result.metrics["f1"]), (1000, Some(0.41), 0.5));
}

#[test]
fn rubbish_is_named() {
    assert_eq!(read(" \n\n"), Err(ContractError::NoLine));
    for line in [
        "done",
        "{}",
        "{\"weight\": -1}",
        "{\"weight\": 1.5}",
        "{\"weight\": 1, \"loss\": NaN}",
        "[1]",
        "{\"weight\": 1",
    ] {
        assert!(matches!(read(line), Err(ContractError::Line { .. })), "{line}");
    }
    assert_eq!(read("{\"weight\": 0}"), Err(ContractError::Weight));
    let long = format!("{{\"weight\": 1, \"x\": \"{}\"}}", "a".repeat(MOST_LINE_BYTES));
    assert!(matches!(read(&long), Err(ContractError::LongLine { .. })));
    let many: Vec<String> = (0..65).map(|index| format!("\"m{index}\": 1")).collect();
    let many = format!("{{\"weight\": 1, \"metrics\": {{{}}}}}", many.join(","));
    assert_eq!(read(&many), Err(ContractError::Metrics { got: 65 }));
}

#[test]
fn an_update_of_another_model_is_refused() {
    let right = format!("{{\"weight\": 1, \"model\": \"{}\"}}", Hash::of(b"model"));
    assert!(read(&right).is_ok());
    for wrong in [Hash::of(b"yesterday's").to_string(), "rubbish".to_owned()] {
        let line = format!("{{\"weight\": 1, \"model\": \"{wrong}\"}}");
        assert_eq!(read(&line), Err(ContractError::Model { expected: Hash::of(b"model"), got: wrong }));
    }
}

#[test]
fn files_are_asked_for_by_the_strategy() {
    let layout = Layout::of_shapes([("w", vec![2])]).unwrap();
    let file = layout.write(&Flat(vec![1.0, 2.0])).unwrap();
    let scaffold = Parts::ModelAndControl { rho: 1.0 };
    assert_eq!(read_update(&layout, Parts::Model, Some(&file), None).unwrap(), (Flat(vec![1.0, 2.0]), None));
    assert!(read_update(&layout, scaffold, Some(&file), Some(&file)).unwrap().1.is_some());
    let missing = read_update(&layout, scaffold, Some(&file), None);
    assert_eq!(missing, Err(ContractError::NoFile { file: CONTROL_UPDATE_FILE }));
    let torn = read_update(&layout, Parts::Model, Some(&file[..20]), None);
    assert!(matches!(torn, Err(ContractError::File { file: UPDATE_FILE, .. })));
}

#[test]
fn the_task_file_keeps_its_form() {
    let task = TaskFile {
        contract: CONTRACT_VERSION,
        task: "digits".into(),
        round: 7,
        model: "00".into(),
        action: Action::Train,
        tensors: tensor_entries(&Layout::of_shapes([("w", vec![2, 3])]).unwrap()),
        rule: (&LocalRule::Proximal { mu: 0.5 }).into(),
        seed: 9,
        deadline_s: 60,
        weight_cap: 100,
        training: serde_json::Map::new(),
        metrics: Vec::new(),
    };
    let text = serde_json::to_string(&task).unwrap();
    let expected = r#"{"contract":1,"task":"digits","round":7,"model":"00","action":"train","tensors":[{"name":"w","shape":[2,3]}],"rule":{"kind":"proximal","mu":0.5},"seed":9,"deadline_s":60,"weight_cap":100,"training":{}}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<TaskFile>(&text).unwrap(), task);
}
