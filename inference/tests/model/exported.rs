//! GGUF files made of fixtures: one model in every type of tensor, and other families.

#![allow(dead_code, reason = "each program uses a part of it")]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use neuro_expert_runtime::{Conversion, TypeChoice};
use neuro_model::{Checkpoint, TensorType};

/// A file that can be made of a fixture. The same fixture gives the same bytes.
#[derive(Debug, Clone)]
pub struct ExportedFile {
    /// The file's name without its ending, and that of what llama.cpp makes of it.
    pub name: String,
    /// The fixture that it is made of, below `tests/fixtures`.
    pub source: &'static str,
    /// The types of its tensors.
    pub choice: TypeChoice,
}

/// The wide model once in every type.
pub fn every_type() -> Vec<ExportedFile> {
    TensorType::ALL
        .into_iter()
        .map(|tensor_type| file(tensor_type.name(), "llama_cpp/source", tensor_type, &[]))
        .collect()
}

/// The families that have no GGUF fixtures of their own.
pub fn families() -> Vec<ExportedFile> {
    let f32 = |name, source| file(name, source, TensorType::F32, &[]);
    vec![
        f32("deepseek_v2", "llama_cpp/deepseek_v2"),
        f32("deepseek_v3", "deepseek_v3-7-bfloat16"),
        f32("gpt_oss", "llama_cpp/gpt_oss"),
        file("gpt_oss-mxfp4", "gpt_oss-16-bfloat16", TensorType::F32, &["*_exps.weight=mxfp4"]),
        f32("qwen2_moe", "llama_cpp/qwen2_moe"),
    ]
}

/// What is made of the fixture `source`: floats in `tensor_type`, and what `overrides` says.
pub fn file(name: &str, source: &'static str, tensor_type: TensorType, overrides: &[&str]) -> ExportedFile {
    let overrides = overrides.iter().map(|text| text.parse().expect("a good override")).collect();
    ExportedFile { name: name.to_owned(), source, choice: TypeChoice { tensor_type: Some(tensor_type), overrides } }
}

/// The folder with all fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

impl ExportedFile {
    /// The folder that it is made of.
    pub fn source(&self) -> PathBuf {
        fixtures().join(self.source)
    }

    /// Where it lies in `folder`.
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.name).with_extension("gguf")
    }

    /// Makes it in `folder`, over one that may be there.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = self.path(folder);
        let checkpoint = Checkpoint::open(&self.source()).expect("the fixture is good");
        let conversion = Conversion::plan(&checkpoint, &self.choice).expect("the format has words for it");
        conversion.write(&path, &mut |_| {}).expect("room for a file");
        path
    }
}
