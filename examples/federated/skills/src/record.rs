//! What is kept of a run: curves, marks and hashes, and the new tensors.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use neuro_simulation::CohortReport;
use neuro_training::{Flat, MoeModel};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::corpus::{NEW, SKILLS};
use crate::marking;
use crate::run::Setting;

/// The file with the new experts and the routers that know of them.
pub const ADDED: &str = "added.safetensors";

/// The same of the run with noise.
pub const ADDED_PRIVATE: &str = "added-private.safetensors";

/// The new model's configuration.
pub const CONFIG: &str = "config.json";

/// Which file of the new model holds which tensor.
pub const INDEX: &str = "model.safetensors.index.json";

/// The files of the new model: the base's weights, and what was added.
const FILES: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// The lines of `curves.csv`, on disk as soon as they are known.
pub struct Curves {
    lines: String,
    path: Option<PathBuf>,
}

impl Curves {
    /// The lines in `folder`, or nothing but the heading.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let heading = "run,cohort,step,loss,held_out_loss,held_out_right,held_out_of\n";
        fs::create_dir_all(folder)?;
        let path = folder.join("curves.csv");
        let lines = if path.exists() { fs::read_to_string(&path)? } else { heading.to_owned() };
        Ok(Self { lines, path: Some(path) })
    }

    /// Curves that nobody looks at.
    #[must_use]
    pub const fn silent() -> Self {
        Self { lines: String::new(), path: None }
    }

    /// One point; also printed.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn add(&mut self, run: &str, cohort: &str, step: u32, loss: f32, marks: marking::Marks) -> anyhow::Result<()> {
        let marking::Marks { right, of, loss: held_out } = marks;
        let line = format!("{run},{cohort},{step},{loss:.5},{held_out:.5},{right},{of}\n");
        let Some(path) = &self.path else { return Ok(()) };
        print!("{line}");
        self.lines += &line;
        Ok(fs::write(path, &self.lines)?)
    }
}

/// Keeps what a cohort trained: `[entries]`, f32, little-endian.
///
/// # Errors
/// A folder that cannot be written.
pub fn keep(path: &Path, values: &Flat) -> anyhow::Result<()> {
    let bytes: Vec<u8> = values.0.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(fs::write(path, bytes)?)
}

/// What [`keep`] kept, if it did.
///
/// # Errors
/// A file of another length.
pub fn read_kept(path: &Path, entries: usize) -> anyhow::Result<Option<Flat>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(path)?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    anyhow::ensure!(values.len() == entries, "{}: expected {entries} entries, got {}", path.display(), values.len());
    Ok(Some(Flat(values)))
}

/// Writes what `model` has beyond or unlike the base as file `name`, the configuration, and the index of all tensors.
///
/// # Errors
/// A folder that cannot be written.
pub fn write_added(folder: &Path, name: &str, setting: &Setting, model: &MoeModel) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(CONFIG), &setting.config)?;
    let (weights, base) = (model.weights(), setting.base.weights());
    // All routers have new rows and all new experts new names, so the same tensors are added by every run.
    let is_new = |name: &str| match (base.get(name), weights.get(name)) {
        (Ok(old), Ok(new)) => old != new,
        _ => true,
    };
    weights.write_bf16(&folder.join(name), is_new)?;
    let map: serde_json::Map<String, Value> =
        weights.iter().map(|(name, _)| (name.to_owned(), json!(FILES[usize::from(is_new(name))]))).collect();
    let index = json!({ "metadata": {}, "weight_map": map });
    Ok(fs::write(folder.join(INDEX), format!("{}\n", serde_json::to_string_pretty(&index)?))?)
}

/// A whole folder of the new model from the example in `home`: the base's weights and `added`, with configuration and index
/// of the record, and the small files of the base.
///
/// # Errors
/// A file that is missing, a folder that cannot be written.
pub fn assemble(home: &Path, added: &str, folder: &Path) -> anyhow::Result<()> {
    let (base, record) = (home.join("base"), home.join("record"));
    fs::create_dir_all(folder)?;
    let files = [
        (base.join("tokenizer.json"), "tokenizer.json"),
        (base.join("tokenizer_config.json"), "tokenizer_config.json"),
        (base.join("model.safetensors"), FILES[0]),
        (record.join(added), FILES[1]),
        (record.join(CONFIG), CONFIG),
        (record.join(INDEX), INDEX),
    ];
    for (from, to) in files {
        fs::copy(&from, folder.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// A file that cannot be read.
pub fn hash(path: &Path) -> anyhow::Result<String> {
    Ok(Sha256::digest(fs::read(path)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What `marks` miss of the aims: new skills within 5 points of central training, old ones at most 2 points below the
/// base. One line a skill, in the order of the skills.
#[must_use]
pub fn missed(marks: &serde_json::Map<String, Value>) -> Vec<String> {
    let points = |run: &str, skill: &str| {
        let marks = marks.get(run)?;
        Some(100.0 * marks["right"][skill].as_f64()? / marks["of"].as_f64()?)
    };
    let check = |skill: &&str| {
        let (against, most) = if NEW.contains(skill) { ("central", 5.0) } else { ("base", 2.0) };
        let below = points(against, skill)? - points("federated", skill)?;
        (below > most).then(|| format!("{skill}: {below:.2} points below {against}"))
    };
    SKILLS.iter().filter_map(check).collect()
}

/// What a masked round showed, as the record has it.
#[must_use]
pub fn masked(phase: &str, entries: usize, report: &CohortReport) -> Value {
    json!({
        "phase": phase, "round": 0, "entries": entries, "members": report.n, "survivors": report.survivors,
        "neighbours": report.k, "threshold": report.t, "quorum": report.q, "modulus_bits": report.modulus_bits,
        "payload_bytes": report.bytes.up.get("payload"), "masked_sum_is_plain_sum": true,
        "transcript_blake3": report.transcript,
    })
}
