//! The trainer in numpy keeps the contract, and its local rules are those of the benchmark's own participants.
//!
//! It needs a python3 with numpy. Without one these tests say so and pass, unless `TRAINER_PYTHON` names the
//! interpreter: then they must run.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use neuro_federated_digits::data::{Digits, Example};
use neuro_federated_digits::draw;
use neuro_federated_digits::participant::{LocalSettings, Participant, Trained};
use neuro_federated_digits::perceptron;
use neuro_fl_aggregator::trainer_contract::{
    Action, CONTRACT_VERSION, CONTROL_FILE, CONTROL_UPDATE_FILE, GLOBAL_FILE, ResultLine, TASK_FILE, TaskFile,
    UPDATE_FILE, read_result, read_update, tensor_entries,
};
use neuro_fl_aggregator::{Flat, LocalRule, Parts, RoundPlan};
use neuro_primitives::Hash;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../numpy");
/// All examples in one batch, so that their order does not matter, and more than one step.
const LOCAL: LocalSettings = LocalSettings { epochs: 3, batch: 4096, rate: 0.2 };

/// The interpreter, if there is one with numpy.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("TRAINER_PYTHON").map(PathBuf::from);
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import numpy"]).output().is_ok_and(|output| output.status.success());
    assert!(found || named.is_none(), "expected numpy in {}, which TRAINER_PYTHON names", python.display());
    if !found {
        eprintln!("not run: no python3 with numpy here; set TRAINER_PYTHON to one");
    }
    found.then_some(python)
}

/// A participant's folder, its examples and the model that it gets.
struct Round {
    folder: tempfile::TempDir,
    model: Flat,
    examples: Vec<Example>,
}

impl Round {
    fn new() -> Self {
        let examples = Digits::load(5).training.split_off(1400);
        Self { folder: tempfile::tempdir().unwrap(), model: perceptron::initial(5), examples }
    }

    fn hash(&self) -> Hash {
        Hash::of(b"the model of this round")
    }

    /// Writes what a participant writes before it starts the command, and the examples as CSV.
    fn prepare(&self, action: Action, rule: &LocalRule) {
        let layout = perceptron::layout().unwrap();
        let settings = json!({"epochs": LOCAL.epochs, "batch": LOCAL.batch, "rate": LOCAL.rate});
        let task = TaskFile {
            contract: CONTRACT_VERSION,
            task: "digits-numpy".into(),
            round: 3,
            model: self.hash().to_string(),
            action,
            tensors: tensor_entries(&layout),
            rule: rule.into(),
            seed: u64::MAX,
            deadline_s: 60,
            weight_cap: 30,
            training: settings.as_object().unwrap().clone(),
            metrics: vec!["accuracy".into()],
        };
        self.write(TASK_FILE, &serde_json::to_vec(&task).unwrap());
        self.write(GLOBAL_FILE, &layout.write(&self.model).unwrap());
        if let LocalRule::Scaffold { control } = rule {
            self.write(CONTROL_FILE, &layout.write(control).unwrap());
        }
        let row = |e: &Example| {
            let pixels: Vec<String> = e.pixels.iter().map(f32::to_string).collect();
            format!("{},{}\n", pixels.join(","), e.digit)
        };
        let title = (0..64).map(|pixel| format!("p{pixel},")).collect::<String>() + "digit\n";
        let table = title + &self.examples.iter().map(row).collect::<String>();
        self.write("mine.csv", table.as_bytes());
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(name)).ok()
    }

    fn started(&self, python: &Path, arguments: &[&str]) -> Output {
        let script = Path::new(EXAMPLE).join("train.py");
        Command::new(python).arg(script).args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// Runs the command as a participant would and reads what it left.
    fn train(&self, python: &Path, rule: &LocalRule) -> (ResultLine, Trained) {
        self.prepare(Action::Train, rule);
        let output = self.started(python, &["--csv", "mine.csv", "--held-out", "0"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result = read_result(&String::from_utf8(output.stdout).unwrap(), &self.hash(), 30).unwrap();
        let scaffold = matches!(rule, LocalRule::Scaffold { .. });
        let parts = if scaffold { Parts::ModelAndControl { rho: 1.0 } } else { Parts::Model };
        let (update, control) = (self.read(UPDATE_FILE), self.read(CONTROL_UPDATE_FILE));
        let layout = perceptron::layout().unwrap();
        let (update, control_change) = read_update(&layout, parts, update.as_deref(), control.as_deref()).unwrap();
        (result, Trained { update, control_change })
    }

    /// The benchmark's own participant, on the same examples.
    fn expected(&self, participant: &Participant, rule: &LocalRule) -> Trained {
        participant.train(&self.model, rule, LOCAL, &mut draw::stream("any", 0, 0))
    }
}

fn assert_close(what: &str, got: &Flat, expected: &Flat) {
    let greatest = expected.0.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(greatest > 1e-3, "{what} is not all zero");
    for (entry, (got, expected)) in got.0.iter().zip(&expected.0).enumerate() {
        assert!((got - expected).abs() <= 2e-5 * (1.0 + greatest), "{what}, entry {entry}: {got}, expected {expected}");
    }
}

#[test]
fn plain_and_proximal_steps_are_those_of_the_benchmark() {
    let Some(python) = python() else { return };
    let round = Round::new();
    let participant = Participant::new(round.examples.clone());
    for rule in [LocalRule::Plain, LocalRule::Proximal { mu: 0.7 }] {
        let (result, trained) = round.train(&python, &rule);
        assert_close("the update", &trained.update, &round.expected(&participant, &rule).update);
        assert_eq!(result.weight, 30, "38 examples, of which the cap lets 30 count");
        assert!(result.loss.unwrap() > 0.0 && result.metrics["accuracy"] > 0.0);
    }
}

#[test]
fn scaffold_keeps_its_own_control_variate_from_round_to_round() {
    let Some(python) = python() else { return };
    let round = Round::new();
    let mut participant = Participant::new(round.examples.clone());
    for number in 1..=2 {
        let control = Flat(perceptron::initial(number).0.iter().map(|value| value / 10.0).collect());
        let rule = LocalRule::Scaffold { control };
        let expected = round.expected(&participant, &rule);
        let (_, trained) = round.train(&python, &rule);
        assert_close("the update", &trained.update, &expected.update);
        assert_close("the control", &trained.control_change.unwrap(), expected.control_change.as_ref().unwrap());
        participant.counted(&expected);
    }
}

#[test]
fn a_personal_model_stays_in_the_state_folder() {
    let Some(python) = python() else { return };
    let round = Round::new();
    let rule = LocalRule::Personal { lambda: 0.5 };
    let (_, trained) = round.train(&python, &rule);
    let plain = round.expected(&Participant::new(round.examples.clone()), &LocalRule::Plain);
    assert_close("the update", &trained.update, &plain.update);
    let layout = perceptron::layout().unwrap();
    let personal = layout.read(&round.read("state/personal.safetensors").unwrap()).unwrap();
    assert_ne!(personal, round.model);
}

#[test]
fn an_evaluation_measures_and_writes_no_update() {
    let Some(python) = python() else { return };
    let round = Round::new();
    round.prepare(Action::Evaluate, &LocalRule::Plain);
    let output = round.started(&python, &["--csv", "mine.csv", "--held-out", "0.25"]);
    let result = read_result(&String::from_utf8(output.stdout).unwrap(), &round.hash(), 30).unwrap();
    assert!((0.0..=1.0).contains(&result.metrics["accuracy"]));
    assert_eq!(result.weight, 10, "a quarter of 38, rounded up");
    assert_eq!(round.read(UPDATE_FILE), None);
}

#[test]
fn without_data_or_with_another_model_it_ends_with_a_reason() {
    let Some(python) = python() else { return };
    let round = Round::new();
    round.prepare(Action::Train, &LocalRule::Plain);
    let no_data = round.started(&python, &[]);
    assert!(!no_data.status.success() && String::from_utf8_lossy(&no_data.stderr).contains("name your data"));
    round.write(GLOBAL_FILE, &fs::read(Path::new(EXAMPLE).join("initial.safetensors")).unwrap()[..]);
    let text = fs::read_to_string(round.folder.path().join(TASK_FILE)).unwrap().replace("output.bias", "output.bent");
    round.write(TASK_FILE, text.as_bytes());
    let other = round.started(&python, &["--csv", "mine.csv"]);
    assert!(!other.status.success() && String::from_utf8_lossy(&other.stderr).contains("output.bent"));
    assert_eq!(round.read(UPDATE_FILE), None);
}

#[test]
fn the_plans_of_the_examples_are_plans_and_their_models_can_be_trained() {
    for name in ["numpy", "pytorch"] {
        let folder = Path::new(EXAMPLE).with_file_name(name);
        let plan = RoundPlan::parse(&fs::read_to_string(folder.join("round.toml")).unwrap()).unwrap();
        let weights = fs::read(folder.join(&plan.weights)).unwrap();
        let table = neuro_model::tensor_file::TensorTable::from_bytes(&weights).unwrap();
        let layout = neuro_fl_aggregator::Layout::of(&table, &plan.tensors).unwrap();
        let encoding = plan.encoding(layout.entries(), 1.0, &[0; 32]).unwrap();
        assert!(encoding.modulus(plan.cohort.most, plan.cohort.least, 1).is_ok(), "{name}");
    }
}
