//! The built-in trainer in rounds of real processes: the router, adapters, chosen experts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use neuro_model::tensor_file::TensorTable;
use serde_json::{Value, json};

use crate::federation::Federation;
use crate::models;
use crate::process::Process;
use crate::stage::{Stage, names_in};

/// Two rounds of a plan with eight participants, who train a tiny model.
struct Taught<'a> {
    stage: &'a Stage,
    federation: Federation<'a>,
    /// What they train: Mixtral, two layers of eight experts, f32.
    model: PathBuf,
    data: PathBuf,
    participants: Vec<Process>,
    /// The hashes of the weights before, between and after.
    hashes: [String; 3],
}

impl<'a> Taught<'a> {
    /// Rounds that begin with the file `weights` and train `tensors` of it, as the plan writes them.
    fn run(stage: &'a Stage, weights: &Path, tensors: &str) -> Self {
        let model = base();
        let plan = format!(
            "task = \"taught\"\n[model]\nweights = \"{}\"\n{tensors}\n[rounds]\ncount = 2\n[training]\nepochs = 2\nbatch = \
             2\nrate = 0.2\n[cohort]\nleast = 8\ndropout = 0.25\n",
            weights.display()
        );
        let federation = Federation::with_plan(stage, &plan, &["--start-at", "8"]);
        let [first] = names_in(&federation.aggregated().join("models")).try_into().unwrap();
        let data = examples(stage);
        let arguments = ["--model", &model.display().to_string(), "--examples", &data.display().to_string()];
        let participants: Vec<Process> = (0..8).map(|number| federation.participant(number, &arguments)).collect();
        let rounds: Vec<Value> = (0..2).map(|_| federation.ended()).collect();
        assert!(rounds.iter().all(|round| round["done"] == true && round["weight"] == 32), "{rounds:?}");
        let after = |round: usize| rounds[round]["model"].as_str().unwrap().to_owned();
        let hashes = [first.trim_end_matches(".safetensors").to_owned(), after(0), after(1)];
        Self { stage, federation, model, data, participants, hashes }
    }

    /// Each round lowers the loss.
    fn check_losses(&self) {
        let losses = self.hashes.each_ref().map(|hash| self.loss_of(hash));
        assert!(losses[2] < losses[1] && losses[1] < losses[0], "{losses:?}");
    }

    /// The last round's weights in a copy of the model: how many values, and which tensors are others than before.
    fn applied(&self) -> (u64, Vec<String>) {
        let (base, applied) = (self.model.display().to_string(), self.stage.path("applied").display().to_string());
        let apply = self.federation.command(&["model", "apply", "--model", &base, "--out", &applied]);
        assert_eq!(apply["round"], 2);
        let inspected = self.stage.run(&["model", "inspect", &applied]);
        assert_eq!(inspected.code, Some(0), "a checkpoint like any other: {}", inspected.stderr);
        let (before, after) = (tensors(&self.model), tensors(self.stage.path("applied").as_ref()));
        assert!(before.keys().eq(after.keys()));
        let changed = before.iter().filter(|(name, bytes)| after[*name] != **bytes).map(|(name, _)| name.clone());
        (apply["values"].as_u64().unwrap(), changed.collect())
    }
}

fn base() -> PathBuf {
    models::fixture("mixtral-7-float32")
}

/// The bytes of every tensor of a model in one file.
fn tensors(model: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = fs::read(model.join("model.safetensors")).unwrap();
    let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..start]).unwrap();
    let bytes = |entry: &Value| {
        let at = |end: usize| start + entry["data_offsets"][end].as_u64().unwrap() as usize;
        file[at(0)..at(1)].to_vec()
    };
    header
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(name, entry)| (name.clone(), bytes(entry)))
        .collect()
}

#[test]
fn two_rounds_of_the_router_lower_the_loss() {
    let stage = Stage::new();
    let taught = Taught::run(&stage, &base().join("model.safetensors"), "tensors = [\"*.gate.weight\"]");
    assert_eq!(taught.participants[0].event("trained")["weight"], 4);
    taught.check_losses();
    let (values, changed) = taught.applied();
    assert_eq!(values, 2 * 8 * 64);
    let gate = |layer| format!("model.layers.{layer}.block_sparse_moe.gate.weight");
    assert_eq!(changed, [gate(0), gate(1)]);
    let curves = taught.federation.command(&["curves"]);
    assert_eq!(curves["round/weight"], json!([[1, 32.0], [2, 32.0]]));
}

#[test]
fn two_rounds_of_adapters_lower_the_loss_and_are_applied_to_their_projections_alone() {
    let stage = Stage::new();
    let (model, file) = (base().display().to_string(), stage.path("adapters.safetensors"));
    let out = file.display().to_string();
    let projections = ["--projections", "*.q_proj.weight", "--projections", "*.v_proj.weight"];
    let fixed = ["fl", "model", "adapters", "--model", &model, "--rank", "4", "--json", "--out", &out];
    let made = stage.run(&[&fixed[..], &projections].concat());
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert_eq!(serde_json::from_str::<Value>(&made.stdout).unwrap()["projections"], 4);
    let taught = Taught::run(&stage, &file, "");
    taught.check_losses();
    let (values, changed) = taught.applied();
    // Rank 4: q_proj is [64, 64], v_proj [32, 64], in two layers.
    assert_eq!(values, 2 * 4 * (64 + 64 + 32 + 64));
    let projection = |layer: u32, name| format!("model.layers.{layer}.self_attn.{name}_proj.weight");
    assert_eq!(changed, [projection(0, "q"), projection(0, "v"), projection(1, "q"), projection(1, "v")]);
}

#[test]
fn two_rounds_of_chosen_experts_lower_the_loss_and_change_nothing_else() {
    let stage = Stage::new();
    let chosen = "tensors = [\"*.experts.2.*\", \"*.experts.3.*\", \"*.gate.weight[2..4]\"]";
    let taught = Taught::run(&stage, &base().join("model.safetensors"), chosen);
    taught.check_losses();
    let (values, changed) = taught.applied();
    assert_eq!(values, 2 * 2 * (3 * 96 * 64 + 64));
    assert!(changed.iter().any(|name| name.contains(".experts.")), "{changed:?}");
    let allowed = |name: &&String| [".experts.2.", ".experts.3.", ".gate."].iter().any(|part| name.contains(part));
    assert_eq!(changed.iter().filter(allowed).count(), changed.len(), "{changed:?}");
    // Of the router only the rows of these two.
    let (before, after) = (tensors(&taught.model), tensors(stage.path("applied").as_ref()));
    let gate = "model.layers.0.block_sparse_moe.gate.weight";
    let rows = before[gate].chunks(4 * 64).zip(after[gate].chunks(4 * 64));
    let moved: Vec<usize> = rows.enumerate().filter(|(_, (old, new))| old != new).map(|(row, _)| row).collect();
    assert_eq!(moved, [2, 3]);
}

#[test]
fn a_model_or_examples_that_cannot_be_trained_are_named_before_any_round() {
    let stage = Stage::new();
    let (model, data) = (models::fixture("mixtral-7-float32").display().to_string(), examples(&stage));
    let (empty, missing) = (stage.path("empty"), stage.path("missing"));
    fs::write(&empty, "\n").unwrap();
    let quantised = models::fixture("gguf/qwen3_moe-7-q8_0.gguf").display().to_string();
    for (model, examples, expected) in [
        (&model, &empty, "expected at least one example"),
        (&model, &missing, "missing"),
        (&missing.display().to_string(), &data, "missing"),
        (&quantised, &data, "f32, f16 or bf16"),
    ] {
        let examples = examples.display().to_string();
        let refused = stage.run(&["fl", "join", "a-task", "--model", model, "--examples", &examples]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(expected), "{expected}: {}", refused.stderr);
    }
    let neither = stage.run(&["fl", "join", "a-task"]);
    assert_eq!(neither.code, Some(2));
    assert!(neither.stderr.contains("--trainer"), "{}", neither.stderr);
}

/// Four texts to learn by heart.
pub fn examples(stage: &Stage) -> PathBuf {
    let path = stage.path("examples.jsonl");
    let text = "{\"prompt\": \"2+2=\", \"answer\": \"4\"}\n{\"text\": \"to be or not to be\"}\n{\"ids\": [5, 9, 2, 9]}\n{\"ids\": \
                [7, 7, 7, 7]}\n";
    fs::write(&path, text).unwrap();
    path
}

impl Taught<'_> {
    /// What the trainer measures in an evaluation of the weights with this hash.
    fn loss_of(&self, hash: &str) -> f64 {
        let folder = self.stage.path(hash);
        fs::create_dir(&folder).unwrap();
        let weights = fs::read(self.federation.aggregated().join(format!("models/{hash}.safetensors"))).unwrap();
        let table = TensorTable::from_bytes(&weights).unwrap();
        let tensors: Vec<Value> =
            table.iter().map(|(name, entry)| json!({"name": name, "shape": entry.shape})).collect();
        let task = json!({
            "contract": 1, "task": "routers", "round": 1, "model": hash, "action": "evaluate", "tensors": tensors,
            "rule": {"kind": "plain"}, "seed": 1, "deadline_s": 600, "weight_cap": 1, "training": {}, "metrics": ["loss"],
        });
        fs::write(folder.join("task.json"), task.to_string()).unwrap();
        fs::write(folder.join("global.safetensors"), weights).unwrap();
        let mut command = self.stage.command(&["fl", "train", "--model"]);
        command.arg(&self.model).arg("--examples").arg(&self.data).current_dir(folder);
        let done = crate::stage::finish(command, "");
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let line: Value = serde_json::from_str(&done.stdout).unwrap();
        line["metrics"]["loss"].as_f64().unwrap()
    }
}
