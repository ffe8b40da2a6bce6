//! What is kept of a run: curves, marks and hashes, and the new tensors.

use std::fs;
use std::path::Path;

use neuro_training::{MoeModel, Weights};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::corpus::{Chat, Lexicon, SKILLS};
use crate::marking;

/// The file with the new experts and the routers that know of them.
pub const ADDED: &str = "added.safetensors";

/// Lines of `curves.csv`.
pub struct Curves(String);

impl Curves {
    /// Nothing but the heading.
    pub fn new() -> Self {
        Self("run,cohort,step,loss,held_out_loss,held_out_right,held_out_of\n".to_owned())
    }

    /// One point; also printed.
    pub fn add(&mut self, run: &str, cohort: &str, step: u32, loss: f32, marks: marking::Marks) {
        let marking::Marks { right, of, loss: held_out } = marks;
        let line = format!("{run},{cohort},{step},{loss:.5},{held_out:.5},{right},{of}\n");
        print!("{line}");
        self.0 += &line;
    }

    /// Writes the file.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        Ok(fs::write(folder.join("curves.csv"), &self.0)?)
    }
}

/// The marks of all skills, with their sum, as the record has them.
pub fn all_marks(name: &str, model: &MoeModel, texts: (&Lexicon, &Chat), each: usize) -> anyhow::Result<Value> {
    let mut marks = serde_json::Map::new();
    for skill in SKILLS {
        let got = marking::mark(model, texts, skill, each, true)?;
        println!("{name}: {skill} {} of {}", got.right, got.of);
        marks.insert(skill.to_owned(), json!(got.right));
    }
    Ok(json!({ "of": each, "right": marks }))
}

/// Writes what `weights` have beyond or unlike `base` as `added.safetensors`, and the configuration.
pub fn write_added(folder: &Path, config: &[u8], weights: &Weights, base: &Weights) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("config.json"), config)?;
    let is_new = |name: &str| match (base.get(name), weights.get(name)) {
        (Ok(old), Ok(new)) => old != new,
        _ => true,
    };
    Ok(weights.write_bf16(&folder.join(ADDED), is_new)?)
}

/// SHA-256 of a file, in hexadecimal.
pub fn hash(path: &Path) -> anyhow::Result<String> {
    Ok(Sha256::digest(fs::read(path)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A whole folder of the new model: two files of weights with an index, and the small files of the base.
pub fn assemble(base: &Path, record: &Path, folder: &Path, names: impl Iterator<Item = String>) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(base.join(name), folder.join(name))?;
    }
    fs::copy(record.join("config.json"), folder.join("config.json"))?;
    let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    fs::copy(base.join("model.safetensors"), folder.join(files[0]))?;
    fs::copy(record.join(ADDED), folder.join(files[1]))?;
    let added = added_names(&record.join(ADDED))?;
    let map: serde_json::Map<String, Value> =
        names.map(|name| (name.clone(), json!(files[usize::from(added.contains(&name))]))).collect();
    let index = json!({ "metadata": {}, "weight_map": map });
    Ok(fs::write(folder.join("model.safetensors.index.json"), serde_json::to_vec_pretty(&index)?)?)
}

fn added_names(path: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = fs::read(path)?;
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    Ok(file.names().into_iter().map(|name| name.to_string()).collect())
}
