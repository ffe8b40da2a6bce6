//! gpt-oss as it is published, against values that `transformers` and `gguf` read from the same files, and the other
//! families' fixtures.

use std::borrow::Cow;

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
const FLOAT: &str = "gpt_oss-7-bfloat16";
const PACKED: &str = "gpt_oss-16-bfloat16";

fn fixture(name: &str) -> Checkpoint {
    Checkpoint::open(&Path::new(FIXTURES).join(name)).unwrap()
}

/// The first elements of row `row` of a bfloat16 tensor.
fn start<const N: usize>(checkpoint: &Checkpoint, name: &str, row: usize) -> [f32; N] {
    let tensor = checkpoint.tensor(name).unwrap();
    assert_eq!(tensor.tensor_type, TensorType::BF16);
    let width = if tensor.shape.len() == 1 { 0 } else { tensor.shape[1] };
    std::array::from_fn(|at| {
        let at = 2 * (row * width + at);
        half::bf16::from_le_bytes([tensor.bytes[at], tensor.bytes[at + 1]]).to_f32()
    })
}

#[test]
fn float_experts_are_turned_and_told_apart() {
    let checkpoint = fixture(FLOAT);
    let name = |rest: &str| format!("model.layers.2.mlp.experts.4.{rest}");
    let gate = checkpoint.tensor(&name("gate_proj.weight")).unwrap();
    assert_eq!((gate.shape.clone(), gate.count(), gate.bytes.len()), (vec![32, 64], 2048, 4096));
    assert_eq!(
        start(&checkpoint, &name("gate_proj.weight"), 9),
        [0.127_929_69, 0.149_414_06, 0.022_827_148, -0.003_784_179_7, 0.106_445_31]
    );
    assert_eq!(
        start(&checkpoint, &name("up_proj.weight"), 9),
        [-0.217_773_44, -0.225_585_94, 0.006_378_174, -0.177_734_38, 0.091_796_875]
    );
    assert_eq!(
        start(&checkpoint, &name("down_proj.weight"), 9),
        [0.004_425_049, 0.312_5, -0.068_847_656, -0.172_851_56, -0.202_148_44]
    );
    assert_eq!(start(&checkpoint, &name("gate_proj.bias"), 0), [0.085_449_22, 0.075_683_594, 0.247_070_31]);
    assert_eq!(start(&checkpoint, &name("up_proj.bias"), 0), [-0.039_306_64, 0.255_859_38, 0.208_007_81]);
    let down = checkpoint.tensor(&name("down_proj.bias")).unwrap();
    assert!(matches!(down.bytes, Cow::Borrowed(_)), "it lies as it is asked for");
    assert_eq!(start(&checkpoint, down.name, 0), [0.158_203_13, -0.097_656_25, 0.345_703_13]);
}

/// The values of an MXFP4 block as the other engines of the format have them: element `j` in the low half of byte `j`,
/// `j + 16` in the high half, times 2 to the scale less 127.
fn values(block: &[u8]) -> Vec<f32> {
    let code = |code: u8| {
        let value = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
        if code & 8 == 0 { value } else { -value }
    };
    let codes = block[1..].iter().map(|byte| byte & 15).chain(block[1..].iter().map(|byte| byte >> 4));
    codes.map(|nibble| code(nibble) * 2.0_f32.powi(i32::from(block[0]) - 127)).collect()
}

#[test]
fn packed_experts_are_blocks_in_the_order_of_gguf() {
    let checkpoint = fixture(PACKED);
    let up = checkpoint.tensor("model.layers.1.mlp.experts.3.up_proj.weight").unwrap();
    assert_eq!((up.tensor_type, &up.shape[..], up.bytes.len()), (TensorType::Mxfp4, &[64, 64][..], 64 * 2 * 17));
    let row = &up.bytes[5 * 34..6 * 34];
    assert_eq!(row[..17], [123, 80, 92, 98, 63, 29, 220, 206, 187, 22, 228, 108, 236, 149, 37, 177, 22]);
    let read_by_gguf = [
        0.0, -0.125, 0.0625, -0.375, -0.1875, -0.125, -0.25, -0.09375, 0.25, 0.125, -0.125, -0.125, 0.1875, 0.1875,
        0.03125, 0.25, 0.1875, 0.1875, 0.25, 0.09375, 0.03125, -0.1875, -0.125, -0.09375, 0.03125, -0.25, 0.25, -0.25,
        -0.03125, 0.0625, -0.09375, 0.03125,
    ];
    assert_eq!(values(&row[..17]), read_by_gguf);
    let down = checkpoint.tensor("model.layers.1.mlp.experts.7.down_proj.weight").unwrap();
    let read_by_gguf = [
        0.0625, 0.03125, -0.03125, -0.25, 0.0, -0.25, 0.1875, -0.25, 0.375, 0.1875, 0.125, -0.0625, 0.09375, -0.0625,
        -0.25, -0.25, -0.03125, 0.1875, 0.25, 0.0625, 0.25, -0.25, 0.25, 0.125, 0.1875, 0.25, -0.375, 0.09375, -0.125,
        -0.0625, 0.0, 0.0,
    ];
    assert_eq!(values(&down.bytes[2 * 34 + 17..3 * 34]), read_by_gguf);
}

#[test]
fn the_fixtures_of_all_families_open_and_every_tensor_is_as_long_as_it_should_be() {
    for name in ["qwen2_moe-7-bfloat16", "deepseek_v2-7-bfloat16", "deepseek_v3-7-bfloat16", FLOAT, PACKED] {
        let checkpoint = fixture(name);
        let mut bytes = 0;
        for tensor in checkpoint.tensor_names().map(|name| checkpoint.tensor(name).unwrap()) {
            assert_eq!(tensor.count(), tensor.shape.iter().product::<usize>(), "{}", tensor.name);
            bytes += tensor.bytes.len() as u64;
        }
        assert_eq!(bytes, checkpoint.trunk_bytes() + checkpoint.expert_bytes(), "{name}");
    }
}

/// A good folder of gpt-oss in MXFP4 with zeros for weights.
fn packed() -> Folder {
    let mut folder = Folder::new(json!({
        "model_type": "gpt_oss", "hidden_size": 32, "intermediate_size": 32, "head_dim": 16,
        "quantization_config": {"quant_method": "mxfp4"}
    }));
    folder.tensors.retain(|name, _| !name.contains(".experts."));
    for layer in 0..2 {
        let mut put = |name: &str, dtype, shape: &[usize]| {
            folder.tensors.insert(format!("model.layers.{layer}.mlp.experts.{name}"), Written::zeros(dtype, shape));
        };
        put("gate_up_proj_blocks", Dtype::U8, &[3, 64, 1, 16]);
        put("gate_up_proj_scales", Dtype::U8, &[3, 64, 1]);
        put("gate_up_proj_bias", Dtype::BF16, &[3, 64]);
        put("down_proj_blocks", Dtype::U8, &[3, 32, 1, 16]);
        put("down_proj_scales", Dtype::U8, &[3, 32, 1]);
        put("down_proj_bias", Dtype::BF16, &[3, 32]);
    }
    folder
}

#[test]
fn packed_experts_that_are_not_whole_are_refused() {
    let scales = "model.layers.1.mlp.experts.down_proj_scales";
    assert!(Checkpoint::open(packed().write().path()).is_ok());

    let mut folder = packed();
    folder.tensors.remove(scales);
    refused(folder.write(), &[scales, "missing", "gpt_oss"]);

    folder.tensors.insert(scales.into(), Written::zeros(Dtype::U8, &[3, 32, 2]));
    refused(folder.write(), &[scales, "[3, 32, 2]", "[3, 32, 1]"]);

    folder.tensors.insert(scales.into(), Written::zeros(Dtype::F32, &[3, 32, 1]));
    refused(folder.write(), &[scales, "F32", "U8"]);

    folder.tensors.insert(scales.into(), Written::zeros(Dtype::U8, &[3, 32, 1]));
    let float = "model.layers.1.mlp.experts.down_proj";
    folder.tensors.insert(float.into(), Written::zeros(Dtype::BF16, &[3, 32, 32]));
    refused(folder.write(), &[float, "unknown"]);
}

#[test]
fn one_tensor_per_expert_is_taken_too() {
    let folder = Folder::new(json!({"model_type": "gpt_oss", "head_dim": 4}));
    let checkpoint = Checkpoint::open(folder.write().path()).unwrap();
    let name = "model.layers.1.mlp.experts.2.down_proj.bias";
    assert_eq!(checkpoint.tensor(name).unwrap().bytes.as_ref(), &folder.tensors[name].bytes[..]);
}
