//! Rounds in folders, on a checkpoint of the tests.

use neuro_fl_aggregator::TensorChoice;
use neuro_fl_aggregator::trainer_contract::tensor_entries;
use neuro_model::tensor_file::TensorTable;
use serde_json::{Value, json};

use super::*;

/// Two layers, eight experts, 384 tokens.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/mixtral-7-float32");

/// Something to learn by heart.
const EXAMPLES: &str = r#"{"prompt": "2+2=", "answer": "4"}
{"text": "to be or not to be"}

{"ids": [5, 9, 2, 9, 2], "learn_from": 2}
{"ids": [7, 7, 7, 7]}
"#;

/// A round in a folder of its own.
struct Fixture {
    folder: tempfile::TempDir,
    layout: Layout,
    global: Flat,
    data: LocalData,
}

impl Fixture {
    /// A round of the tensors that `patterns` find in the model.
    fn new(patterns: &[&str], task: Value) -> Self {
        let file = fs::read(Path::new(MODEL).join("model.safetensors")).unwrap();
        let table = TensorTable::from_bytes(&file).unwrap();
        let layout = Layout::of(&table, &TensorChoice::parse(patterns.iter().copied()).unwrap()).unwrap();
        let global = layout.read_model(&file).unwrap();
        Self::of(layout, global, task)
    }

    fn of(layout: Layout, global: Flat, task: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let examples = folder.path().join("examples.jsonl");
        fs::write(&examples, EXAMPLES).unwrap();
        fs::write(folder.path().join(GLOBAL_FILE), layout.write(&global).unwrap()).unwrap();
        let data = LocalData { model: MODEL.into(), examples, held_out: None };
        let fixture = Self { folder, layout, global, data };
        fixture.task(task);
        fixture
    }

    /// Writes `task.json`: a plain round, changed by `changes`.
    fn task(&self, changes: Value) {
        let mut task = json!({
            "contract": 1, "task": "t", "round": 1, "model": "00".repeat(32), "action": "train",
            "tensors": tensor_entries(&self.layout), "rule": {"kind": "plain"}, "seed": 7, "deadline_s": 600,
            "weight_cap": 100, "training": {"epochs": 3, "batch": 2, "rate": 0.1},
        });
        for (field, value) in changes.as_object().unwrap() {
            task[field] = value.clone();
        }
        fs::write(self.folder.path().join(TASK_FILE), task.to_string()).unwrap();
    }

    fn run(&self) -> Result<ResultLine, RoundFailure> {
        take_part(self.folder.path(), &self.data)
    }

    fn read(&self, name: &str) -> Flat {
        read_flat(&self.layout, &self.folder.path().join(name)).unwrap()
    }

    /// The loss of the examples with the global weights.
    fn loss(&self) -> f64 {
        self.task(json!({"action": "evaluate", "metrics": ["loss"]}));
        self.run().unwrap().metrics["loss"]
    }

    /// The loss once the round's update is added.
    fn loss_after(&self) -> f64 {
        let moved = self.global.0.iter().zip(self.read(UPDATE_FILE).0).map(|(x, step)| x + step).collect();
        fs::write(self.folder.path().join(GLOBAL_FILE), self.layout.write(&Flat(moved)).unwrap()).unwrap();
        self.loss()
    }
}

const ROUTERS: &str = "model.layers.*.block_sparse_moe.gate.weight";

#[test]
fn whatever_the_round_trains_lowers_the_loss() {
    let expert = ["model.layers.*.experts.3.*", "model.layers.*.block_sparse_moe.gate.weight[3..4]"];
    for patterns in [&[ROUTERS][..], &expert, &["*"]] {
        let fixture = Fixture::new(patterns, json!({}));
        let before = fixture.loss();
        fixture.task(json!({}));
        let line = fixture.run().unwrap();
        assert_eq!((line.weight, line.model), (4, Some("00".repeat(32))));
        assert!(fixture.loss_after() < before, "{patterns:?}: {before}");
    }
}

#[test]
fn adapters_are_trained_beside_weights_that_stay() {
    let projection = "model.layers.0.self_attn.q_proj.weight";
    let (count, file) = adapters(Path::new(MODEL), |name| name == projection, 2, 5).unwrap();
    assert_eq!(count, 1);
    let table = TensorTable::from_bytes(&file).unwrap();
    let layout = Layout::of_shapes(table.iter().map(|(name, entry)| (name, entry.shape.clone()))).unwrap();
    let global = layout.read(&file).unwrap();
    let settings = json!({"training": {"epochs": 5, "batch": 2, "rate": 0.5, "lora_alpha": 4.0}});
    let fixture = Fixture::of(layout, global, settings.clone());
    let before = fixture.loss();
    fixture.task(settings);
    fixture.run().unwrap();
    let after = fixture.loss_after();
    assert!(after < before);

    // The same as a checkpoint of its own, with the adapters in their projections.
    let out = fixture.folder.path().join("merged");
    let global = fixture.folder.path().join(GLOBAL_FILE);
    assert_eq!(apply(Path::new(MODEL), &global, None, &out).unwrap(), fixture.layout.entries());
    let mut merged = Fixture::new(&["model.norm.weight"], json!({}));
    merged.data.model = out;
    assert!((merged.loss() - after).abs() < 1e-4, "{} {after}", merged.loss());
    let nothing = adapters(Path::new(MODEL), |_| false, 2, 5).unwrap_err().to_string();
    assert!(nothing.contains("got 0 projections"), "{nothing}");
}

#[test]
fn a_round_that_is_trained_again_comes_to_the_same() {
    for (rule, kept) in
        [(json!({"kind": "scaffold"}), "control"), (json!({"kind": "personal", "lambda": 0.5}), "personal")]
    {
        let fixture = Fixture::new(&[ROUTERS], json!({}));
        let zeros = Flat(vec![0.0; fixture.layout.entries()]);
        fs::write(fixture.folder.path().join(CONTROL_FILE), fixture.layout.write(&zeros).unwrap()).unwrap();
        let round = |number: u64| {
            fixture.task(json!({"rule": rule, "round": number}));
            fixture.run().unwrap();
            let state = fs::read(fixture.folder.path().join(format!("state/{kept}-{number}.safetensors"))).unwrap();
            (fixture.read(UPDATE_FILE), state)
        };
        let (first, second) = (round(1), round(2));
        assert_ne!(first.1, second.1, "{kept}: what is kept goes on from round to round");
        assert_eq!(round(2), second, "{kept}");
        round(3);
        let left = fs::read_dir(fixture.folder.path().join("state")).unwrap().count();
        assert_eq!(left, 2, "{kept}: only the last round and the one before");
    }
}

#[test]
fn scaffold_sends_what_its_control_variate_changed_by() {
    let fixture = Fixture::new(&[ROUTERS], json!({"rule": {"kind": "scaffold"}}));
    let zeros = Flat(vec![0.0; fixture.layout.entries()]);
    fs::write(fixture.folder.path().join(CONTROL_FILE), fixture.layout.write(&zeros).unwrap()).unwrap();
    fixture.run().unwrap();
    // Six steps of 0.1 against c = 0: the change is −Δ / 0.6.
    let expected = fixture.read(UPDATE_FILE).0.iter().map(|step| -step / (6.0 * 0.1)).collect::<Vec<_>>();
    let got = fixture.read(CONTROL_UPDATE_FILE).0;
    assert!(expected.iter().zip(&got).all(|(expected, got)| (expected - got).abs() <= 1e-5 * expected.abs().max(1e-3)));
}

#[test]
fn a_proximal_round_stays_closer_to_the_global_model() {
    let length = |rule: Value| {
        let fixture = Fixture::new(&[ROUTERS], json!({"rule": rule}));
        fixture.run().unwrap();
        fixture.read(UPDATE_FILE).0.iter().map(|step| f64::from(*step).powi(2)).sum::<f64>()
    };
    assert!(length(json!({"kind": "proximal", "mu": 5.0})) < length(json!({"kind": "plain"})));
}

#[test]
fn an_evaluation_measures_what_was_asked_and_writes_nothing() {
    let mut fixture = Fixture::new(&[ROUTERS], json!({"action": "evaluate", "metrics": ["accuracy", "loss"]}));
    let held_out = fixture.folder.path().join("held_out.jsonl");
    fs::write(&held_out, "{\"ids\": [1, 2]}\n{\"ids\": [3, 4, 5]}\n").unwrap();
    fixture.data.held_out = Some(held_out);
    let line = fixture.run().unwrap();
    assert_eq!((line.weight, line.metrics.len()), (2, 2));
    assert!(line.metrics["loss"] > 1.0, "random weights know nothing: {line:?}");
    assert!(!fixture.folder.path().join(UPDATE_FILE).exists());
    fixture.task(json!({}));
    assert!(fixture.run().unwrap().metrics.contains_key("accuracy"), "measured on what was not trained on");
}

#[test]
fn what_no_round_can_be_trained_with_is_named() {
    let tensor = |name: &str, shape: Value| json!({"tensors": [{"name": name, "shape": shape}]});
    for (changes, expected) in [
        (tensor("model.layers.9.gate", json!([8, 64])), "model.layers.9.gate is not in the model"),
        (tensor("model.norm.weight", json!([65])), "expected tensor model.norm.weight of shape [64]"),
        (tensor("lm_head.weight[383..385]", json!([2, 64])), "expected rows inside tensor lm_head.weight of 384 rows"),
        (tensor("lm_head.weight.lora_a", json!([2, 64])), "in pairs of .lora_a and .lora_b"),
        (json!({"training": {"rates": 1}}), "expected settings out of epochs, steps"),
        (json!({"training": {"rate": -1}}), "expected rate to be a number above 0, got -1"),
        (json!({"training": {"batch": 1.5}}), "expected batch to be a whole number"),
        (json!({"training": {"optimiser": "lion"}}), "expected optimiser to be \"sgd\" or \"adam\", got \"lion\""),
        (json!({"rule": {"kind": "scaffold"}, "training": {"optimiser": "adam"}}), "control.safetensors"),
        (json!({"action": "evaluate", "metrics": ["f1"]}), "expected metrics out of loss, accuracy, got f1"),
        (json!({"contract": 2}), "expected contract 1, got 2"),
        (json!({"deadline_s": 0}), "expected 6 steps within"),
        (json!({"round": "one"}), "task.json: "),
    ] {
        let fixture = Fixture::new(&[ROUTERS], changes.clone());
        let error = fixture.run().unwrap_err().to_string();
        assert!(error.contains(expected), "{changes}: {error}");
    }
}

#[test]
fn training_that_diverges_gives_no_update() {
    let fixture = Fixture::new(&["lm_head.weight"], json!({"training": {"rate": 1e38, "epochs": 9}}));
    assert!(fixture.run().unwrap_err().to_string().contains("expected finite numbers in step"));
    assert!(!fixture.folder.path().join(UPDATE_FILE).exists());
}

#[test]
fn examples_that_teach_nothing_are_named_with_their_line() {
    for (text, expected) in [
        ("", "expected at least one example"),
        ("\n{\"prompt\": \"a\"}", "line 2: expected prompt and answer"),
        ("{\"question\": \"a\"}", "line 1: unknown field `question`"),
        ("{\"ids\": [1]}", "line 1: expected a token to learn, got 1 tokens"),
        ("{\"ids\": [1, 384]}", "line 1: expected tokens below 384, got 384"),
        ("rubbish", "line 1: "),
        ("{\"text\": \"\"}", "line 1: expected a token to learn"),
    ] {
        let fixture = Fixture::new(&[ROUTERS], json!({}));
        fs::write(&fixture.data.examples, text).unwrap();
        let error = fixture.data.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert_eq!(fixture.run().unwrap_err().to_string(), error);
    }
    let long = json!({"ids": vec![1; 4097]}).to_string();
    let fixture = Fixture::new(&[ROUTERS], json!({}));
    fs::write(&fixture.data.examples, long).unwrap();
    assert!(fixture.data.check().unwrap_err().to_string().contains("expected at most 4096 tokens"));
}

#[test]
fn weights_of_another_type_are_refused_on_both_sides() {
    let fixture = Fixture::new(&["model.norm.weight"], json!({}));
    let path = fixture.folder.path().join(GLOBAL_FILE);
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|window| window == b"F32").unwrap();
    fs::write(&path, [&bytes[..at], b"I32", &bytes[at + 3..]].concat()).unwrap();
    let error = fixture.run().unwrap_err().to_string();
    assert!(error.contains("global.safetensors") && error.contains("I32"), "{error}");

    let mut fixture = Fixture::new(&["model.norm.weight"], json!({}));
    fixture.data.model = Path::new(MODEL).parent().unwrap().join("gguf/mixtral-7-q8_0.gguf");
    let error = fixture.run().unwrap_err().to_string();
    assert!(error.contains("in f32, f16 or bf16"), "{error}");
}
