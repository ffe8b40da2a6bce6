//! Converted files have the types that were asked for, whole or in parts.

use std::path::PathBuf;

use neuro_model::gguf::{GgufFile, GgufModel};

use super::*;
use crate::blocks;

fn fixture(name: &str) -> Checkpoint {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    Checkpoint::open(&folder).expect("the fixture is good")
}

const FIXTURES: [&str; 3] = ["mixtral-7-float32", "qwen3_moe-8-bfloat16", "olmoe-9-float16"];

fn choice(tensor_type: TensorType, overrides: &[&str]) -> TypeChoice {
    let overrides = overrides.iter().map(|text| text.parse().expect("a good override")).collect();
    TypeChoice { tensor_type: Some(tensor_type), overrides }
}

/// The root of the mean squared difference over that of the mean square.
fn relative_error(ours: &[f32], theirs: &[f32]) -> f64 {
    let sum = |of: &dyn Fn(usize) -> f64| (0..ours.len()).map(of).sum::<f64>();
    let difference = sum(&|i| (f64::from(ours[i]) - f64::from(theirs[i])).powi(2));
    (difference / sum(&|i| f64::from(theirs[i]).powi(2))).sqrt()
}

fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = checkpoint.tensor(name).expect("it is there");
    blocks::to_f32(tensor.tensor_type, &tensor.bytes).expect("whole blocks")
}

#[test]
fn a_quantised_file_holds_the_checkpoint_s_weights() {
    for name in FIXTURES {
        for (tensor_type, bound) in [(TensorType::F32, 0.0), (TensorType::Q8_0, 0.01), (TensorType::Iq4Nl, 0.1)] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("model.gguf");
            let original = fixture(name);
            let conversion = Conversion::plan(&original, &choice(tensor_type, &[])).expect("it can be planned");
            let mut taken = 0;
            conversion.write(&path, &mut |bytes| taken += bytes).expect("it can be written");
            assert_eq!(taken, conversion.source_bytes());
            let again = Checkpoint::open(&path).expect("it can be read");
            // Mixtral's queries and keys have another order of rows there.
            for tensor in
                original.tensor_names().filter(|tensor| !tensor.contains("q_proj") && !tensor.contains("k_proj"))
            {
                let error = relative_error(&values(&again, tensor), &values(&original, tensor));
                assert!(error <= bound, "{name}, {tensor_type}: {tensor} is off by {error}");
            }
            assert!(conversion.tensors().iter().all(|tensor| !tensor.fell_back()));
        }
    }
}

#[test]
fn rows_that_no_block_divides_fall_back_and_overrides_count() {
    let checkpoint = fixture(FIXTURES[0]);
    let choice = choice(TensorType::Q4K, &["blk.1.*=f16", "*.ffn_down_exps.weight=q4_0", "*norm*=q4_0"]);
    let conversion = Conversion::plan(&checkpoint, &choice).expect("it can be planned");
    let of = |name: &str| {
        let tensor = conversion.tensors().iter().find(|tensor| tensor.export.name == name).expect("it is there");
        (tensor.wanted, tensor.tensor_type)
    };
    assert_eq!(of("blk.0.attn_q.weight"), (TensorType::Q4K, TensorType::Q8_0));
    assert_eq!(of("blk.0.ffn_down_exps.weight"), (TensorType::Q4_0, TensorType::Q4_0));
    assert_eq!(of("blk.1.ffn_down_exps.weight"), (TensorType::F16, TensorType::F16), "the first match counts");
    assert_eq!(of("blk.0.attn_norm.weight"), (TensorType::F32, TensorType::F32));
    assert_eq!(of("blk.1.ffn_gate_inp.weight"), (TensorType::F32, TensorType::F32));
    assert_eq!((fitting(TensorType::Q8_0, 40), fitting(TensorType::Q6K, 96)), (TensorType::F16, TensorType::Q8_0));
}

#[test]
fn parts_hold_the_whole_model_and_whole_layers() {
    let checkpoint = fixture(FIXTURES[2]);
    let conversion = Conversion::plan(&checkpoint, &TypeChoice::default()).expect("it can be planned");
    for (rule, count) in [
        (SplitRule::Parts(1), 1),
        (SplitRule::Parts(3), 3),
        (SplitRule::Parts(4), 4),
        (SplitRule::MaxBytes(1 << 30), 2),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let parts = conversion.write_split(folder.path(), "model", rule, &mut |_| {}).expect("it can be split");
        assert_eq!(parts.len(), count, "{rule:?}");
        assert_eq!(parts[0].file, format!("model-00001-of-{count:05}.gguf"));
        let layers: Vec<u16> = parts.iter().flat_map(|part| part.experts.iter().map(|range| range.layer)).collect();
        assert_eq!(layers, [0, 1, 2], "every layer once, in order");
        assert!(parts.iter().flat_map(|part| &part.experts).all(|range| range.experts == (0..8)));
        assert!(parts.iter().all(|part| !part.tensors.is_empty()));
        let again = Checkpoint::open(&folder.path().join(&parts[0].file)).expect("the parts are a model");
        assert_eq!(again.parameters(), checkpoint.parameters());
        assert_eq!(again.expert_bytes(), checkpoint.expert_bytes(), "types stay as they were");
    }
}

#[test]
fn the_first_part_is_the_trunk_alone() {
    let checkpoint = fixture(FIXTURES[2]);
    let conversion = Conversion::plan(&checkpoint, &TypeChoice::default()).expect("it can be planned");
    let folder = tempfile::tempdir().expect("a folder");
    let parts = conversion.write_split(folder.path(), "m", SplitRule::Parts(2), &mut |_| {}).expect("it can be split");
    assert!(parts[0].experts.is_empty() && parts[1].experts.len() == 3);
    let model = GgufModel::open(&folder.path().join(&parts[1].file)).expect("any part leads to all");
    assert_eq!(model.files().count(), 2);
    let last = GgufFile::open(&folder.path().join(&parts[1].file)).expect("it can be read");
    assert!(last.text("general.architecture").expect("a good value").is_none(), "metadata are in the first part");
    assert_eq!(last.tensors().count(), 9);
    let error = conversion.write_split(folder.path(), "m", SplitRule::Parts(5), &mut |_| {}).expect_err("too many");
    assert_eq!(error.to_string(), "5 parts, expected 1 to 4: one for the trunk and one for each layer of experts");
}

#[test]
fn a_part_is_no_larger_than_asked_for_unless_it_cannot_be_cut() {
    let checkpoint = fixture(FIXTURES[0]);
    let conversion = Conversion::plan(&checkpoint, &TypeChoice::default()).expect("it can be planned");
    let bytes = |name: &String| {
        let found = conversion.tensors().iter().find(|tensor| tensor.export.name == *name).expect("it is there");
        found.bytes().expect("its shape is good")
    };
    let limit = 128 << 10;
    let folder = tempfile::tempdir().expect("a folder");
    let parts = conversion.write_split(folder.path(), "m", SplitRule::MaxBytes(limit), &mut |_| {}).expect("split");
    for part in &parts {
        let sum: u64 = part.tensors.iter().map(bytes).sum();
        assert!(sum <= limit || part.tensors.len() == 1 || part.experts.len() == 1, "{part:?}: {sum}");
    }
    assert!(parts.len() > 4);
    assert!(Checkpoint::open(&folder.path().join(&parts[0].file)).is_ok());
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let mut bytes = vec![0_u8; 4 * 70_000];
    bytes[4 * 66_000..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = encoding::convert(TensorType::F32, &bytes[..4 * 69_888], TensorType::Q4K).expect_err("refused");
    assert!(matches!(error, blocks::BlockError::NotFinite { index: 66_000, .. }), "{error}");
}
