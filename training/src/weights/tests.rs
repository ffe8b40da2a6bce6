//! Tensors in files and back.

use neuro_model::Checkpoint;

use super::*;
use crate::tests::{TINY, tiny};

fn written(weights: &Weights) -> (tempfile::TempDir, Result<Checkpoint, neuro_model::CheckpointError>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), TINY).unwrap();
    weights.write_bf16(&folder.path().join("model.safetensors"), |_| true).unwrap();
    let checkpoint = Checkpoint::open(folder.path());
    (folder, checkpoint)
}

#[test]
fn what_is_written_is_read_rounded_to_bf16() {
    let mut weights = tiny().weights().clone();
    let (_folder, checkpoint) = written(&weights);
    let read = Weights::read(&checkpoint.unwrap()).unwrap();
    assert_ne!(read, weights, "bf16 cannot hold these values");
    weights.round_to_bf16();
    assert_eq!(read, weights);
}

#[test]
fn only_what_is_kept_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.safetensors");
    tiny().weights().write_bf16(&path, |name| name.contains("experts.1.")).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 2 * 3);
}

#[test]
fn a_value_that_is_no_number_is_named() {
    let mut weights = tiny().weights().clone();
    weights.get_mut("model.norm.weight").unwrap().values[3] = f32::NAN;
    let (_folder, checkpoint) = written(&weights);
    let error = Weights::read(&checkpoint.unwrap()).expect_err("it must be refused");
    assert!(matches!(&error, ModelError::NotFinite { name, index: 3, .. } if name == "model.norm.weight"), "{error}");
}

#[test]
fn weights_in_blocks_are_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gpt_oss-16-bfloat16");
    let Err(error) = Weights::read(&Checkpoint::open(&folder).unwrap()) else { panic!("it must be refused") };
    assert!(error.to_string().contains("in f32, f16 or bf16"), "{error}");
}
