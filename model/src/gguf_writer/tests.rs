//! What is written is read back, and what cannot be written is refused.

use super::*;
use crate::gguf::{GgufFile, Value};

fn entry(name: &str, tensor_type: TensorType, shape: &[usize]) -> TensorEntry {
    TensorEntry { name: name.to_owned(), tensor_type, shape: shape.to_vec() }
}

/// Every type of value, and tensors whose lengths are not multiples of the alignment.
fn sample() -> FileHeader {
    let metadata = [
        ("general.architecture", "llama".into()),
        ("a.u8", MetadataValue::U8(250)),
        ("a.i8", MetadataValue::I8(-5)),
        ("a.u16", MetadataValue::U16(65_000)),
        ("a.i16", MetadataValue::I16(-300)),
        ("a.u32", MetadataValue::U32(4_000_000_000)),
        ("a.i32", MetadataValue::I32(-70_000)),
        ("a.f32", MetadataValue::F32(0.1)),
        ("a.bool", MetadataValue::Bool(true)),
        ("a.u64", MetadataValue::U64(u64::MAX)),
        ("a.i64", MetadataValue::I64(i64::MIN)),
        ("a.f64", MetadataValue::F64(0.1)),
        ("a.texts", MetadataValue::texts(["Ġa", "", "日本"])),
        ("a.integers", MetadataValue::integers([1, -2, 3])),
        ("a.floats", MetadataValue::floats([0.5, -0.25])),
        ("a.empty", MetadataValue::texts(Vec::<String>::new())),
    ];
    let tensors = vec![
        entry("token_embd.weight", TensorType::F32, &[3, 5]),
        entry("blk.0.ffn_up_exps.weight", TensorType::Q8_0, &[2, 3, 64]),
        entry("output_norm.weight", TensorType::BF16, &[7]),
    ];
    FileHeader { metadata: metadata.map(|(key, value)| (key.to_owned(), value)).to_vec(), tensors }
}

fn content(tensor: &TensorEntry) -> Vec<u8> {
    let length = tensor.bytes().expect("the shape is good");
    (0..length).map(|at| (at * 7 + tensor.name.len() as u64) as u8).collect()
}

fn write_sample(path: &Path) {
    write::<GgufWriteError>(path, &sample(), |tensor, sink| {
        content(tensor).chunks(50).try_for_each(|piece| sink.put(piece))
    })
    .expect("the file is written");
}

/// `gguf.GGUFReader` of gguf 0.19 reads this file as it is meant: every key with its value, and every tensor. Another
/// hash is another file: read it with that again.
#[test]
fn the_file_is_the_one_that_another_reader_has_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sample.gguf");
    write_sample(&path);
    let bytes = fs::read(&path).expect("the file is there");
    assert_eq!(bytes.len() as u64, sample().file_bytes().expect("it can be written"));
    let hash = neuro_primitives::Hash::of(&bytes);
    assert_eq!(hash.to_string(), "197afcd8a500ecfbbf457738498bd4815db8157a6bee68f7571e07ac544637a1");
}

#[test]
fn our_reader_finds_every_value_and_tensor() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sample.gguf");
    write_sample(&path);
    let file = GgufFile::open(&path).expect("the file can be read");
    for tensor in sample().tensors {
        let found = file.tensor(&tensor.name).expect("the tensor is there");
        assert_eq!((found.tensor_type, &found.shape), (tensor.tensor_type, &tensor.shape));
        assert_eq!(&file.bytes()[found.place.clone()], content(&tensor));
    }
    let value = |key| file.header().value(key).cloned();
    assert_eq!(value("a.i16"), Some(Value::Signed(-300)));
    assert_eq!(value("a.u64"), Some(Value::Unsigned(u64::MAX)));
    assert_eq!(value("a.f64"), Some(Value::Float(0.1)));
    assert!(matches!(value("a.texts"), Some(Value::Array(array)) if array.length == 3));
}

#[track_caller]
fn check_refused(header: &FileHeader, expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("refused.gguf");
    let error = write::<GgufWriteError>(&path, header, |tensor, sink| sink.put(&content(tensor))).expect_err("refused");
    assert_eq!(error.to_string(), expected);
    assert!(!error.is_retryable());
    assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 0, "nothing is left behind");
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let with = |tensors: Vec<TensorEntry>| FileHeader { metadata: Vec::new(), tensors };
    let tensor = entry("a", TensorType::Q4K, &[2, 128]);
    check_refused(&with(vec![tensor]), "a: shape [2, 128] has no rows of whole q4_k blocks");
    let deep = entry("a", TensorType::F32, &[1, 1, 1, 1, 1]);
    check_refused(&with(vec![deep]), "a: 5 dimensions, expected at most 4");
    let twin = entry("a", TensorType::F32, &[1]);
    check_refused(&with(vec![twin.clone(), twin]), "\"a\" occurs twice, expected one of each name");
    let long = entry(&"x".repeat(64), TensorType::F32, &[1]);
    let expected = format!("{:?}: expected a tensor name of 1 to 63 bytes", long.name);
    check_refused(&with(vec![long]), &expected);
    let mixed = MetadataValue::Array(MetadataType::U32, vec![1_u32.into(), true.into()]);
    let header = FileHeader { metadata: vec![("k".to_owned(), mixed)], tensors: Vec::new() };
    check_refused(&header, "k: expected an array of one plain type");
}

#[test]
fn a_tensor_of_another_length_leaves_the_old_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    fs::write(&path, "old").expect("written");
    let header = FileHeader { metadata: Vec::new(), tensors: vec![entry("a", TensorType::F16, &[8])] };
    for (length, got) in [(15, 15), (17, 17)] {
        let error = write::<GgufWriteError>(&path, &header, |_, sink| sink.put(&vec![0; length])).expect_err("refused");
        assert_eq!(error.to_string(), format!("a: expected 16 bytes, got {got}"));
    }
    assert_eq!(fs::read(&path).expect("still there"), b"old");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 1);
    write::<GgufWriteError>(&path, &header, |_, sink| sink.put(&[1; 16])).expect("written");
    assert!(fs::read(&path).expect("replaced").ends_with(&[[1; 16], [0; 16]].concat()), "padded to the alignment");
}
