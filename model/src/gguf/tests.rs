//! The format: a good file, and one test for each way of being wrong.

pub(crate) mod writer;

use neuro_primitives::TensorType;

use super::*;
use crate::gguf::tests::writer::{Writer, text};

/// The committed files, which another program wrote.
pub(crate) fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf").join(name)
}

fn good() -> Writer {
    let nested = [&8_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &text("a"), &text("bc")].concat();
    Writer::new()
        .text("general.architecture", "llama")
        .raw("u8", 0, &[200])
        .raw("i8", 1, &[0xFF])
        .raw("u16", 2, &[0, 1])
        .raw("i16", 3, &[0xFE, 0xFF])
        .u32("u32", 7)
        .raw("i32", 5, &(-3_i32).to_le_bytes())
        .f32("f32", 0.1)
        .bool("bool", true)
        .texts("texts", &["one", "", "三"])
        .array("nested", 9, 1, &nested)
        .raw("u64", 10, &u64::MAX.to_le_bytes())
        .raw("i64", 11, &i64::MIN.to_le_bytes())
        .raw("f64", 12, &0.5_f64.to_le_bytes())
        .counting("a", &[2, 3], 0)
        .tensor("b", TensorType::Q8_0, &[3, 2, 32], &[1; 6 * 34])
}

/// Opens what `writer` writes, which must fail, and checks that the message has the file and every one of `words`.
#[track_caller]
fn refused(bytes: &[u8], words: &[&str]) -> FormatError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spoiled.gguf");
    std::fs::write(&path, bytes).unwrap();
    let error = GgufFile::open(&path).expect_err("this file should be refused");
    let message = error.to_string();
    for word in ["spoiled.gguf"].iter().chain(words) {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    assert!(!error.is_retryable());
    match error {
        GgufError::Format { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[track_caller]
fn opened(writer: &Writer) -> (tempfile::TempDir, GgufFile) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let file = GgufFile::open(writer.write(&path).path_of(&path)).unwrap();
    (dir, file)
}

impl Writer {
    fn path_of<'a>(&self, path: &'a Path) -> &'a Path {
        path
    }

    /// The last tensor, to be spoiled.
    fn spoil(mut self, change: impl FnOnce(&mut writer::Written)) -> Vec<u8> {
        change(self.tensors.last_mut().unwrap());
        self.bytes()
    }
}

#[test]
fn every_type_of_value_is_read() {
    let (_dir, file) = opened(&good());
    for (key, number) in [("u8", 200), ("u16", 256), ("u32", 7), ("u64", u64::MAX)] {
        assert_eq!(file.u64(key).unwrap(), Some(number), "{key}");
    }
    for (key, number) in [("i8", -1), ("i16", -2), ("i32", -3), ("i64", i64::MIN)] {
        assert_eq!(file.header().value(key), Some(&Value::Signed(number)), "{key}");
    }
    assert_eq!((file.f32("f32").unwrap(), file.f32("f64").unwrap()), (Some(0.1), Some(0.5)));
    assert_eq!(file.bool("bool").unwrap(), Some(true));
    assert_eq!(file.text("general.architecture").unwrap(), Some("llama"));
    assert_eq!(file.texts("texts").unwrap().unwrap().collect::<Vec<_>>(), ["one", "", "三"]);
    assert!(matches!(file.header().value("nested"), Some(Value::Array(array)) if array.element == ValueType::Array));
    assert_eq!(file.u64("nothing").unwrap(), None);
}

#[test]
fn tensors_lie_where_the_table_says_with_the_slowest_dimension_first() {
    for version in [2, 3] {
        let (_dir, file) = opened(&Writer { version, ..good() });
        let [a, b] = ["a", "b"].map(|name| file.tensor(name).unwrap());
        assert_eq!((a.tensor_type, &a.shape[..]), (TensorType::F32, &[2, 3][..]));
        assert_eq!(file.bytes()[a.place.clone()][4..8], 1.0_f32.to_le_bytes());
        assert_eq!((b.tensor_type, &b.shape[..], b.place.len()), (TensorType::Q8_0, &[3, 2, 32][..], 204));
        assert_eq!(b.place.start % 32, 0);
        assert_eq!(file.tensors().count(), 2);
    }
}

#[test]
fn a_value_of_another_type_names_key_expected_and_got() {
    let (_dir, file) = opened(&good());
    let messages = [
        file.u64("f32").unwrap_err().to_string(),
        file.u64("i8").unwrap_err().to_string(),
        file.u32("u64").unwrap_err().to_string(),
        file.f32("u8").unwrap_err().to_string(),
        file.text("bool").unwrap_err().to_string(),
        file.bool("general.architecture").unwrap_err().to_string(),
        file.texts("u8").map(|_| ()).unwrap_err().to_string(),
        file.u64s("texts").unwrap_err().to_string(),
    ];
    let expected = [
        ["f32", "0.1"],
        ["i8", "-1"],
        ["u64", "32 bits"],
        ["u8", "finite number, got 200"],
        ["bool", "a text, got true"],
        ["general.architecture", "\"llama\""],
        ["u8", "array of texts"],
        ["texts", "array of 3 Text"],
    ];
    for (message, words) in messages.iter().zip(expected) {
        assert!(message.contains("model.gguf"), "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "{message:?} does not say {word:?}"));
    }
}

#[test]
fn every_truncation_of_a_good_file_is_an_error() {
    let file = good().bytes();
    // The last tensor is followed by padding, which may be missing.
    for length in 0..file.len() - 20 {
        assert!(GgufHeader::from_bytes(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
    refused(&file[..20], &["truncated", "number of tensors", "offset 16", "4 are left"]);
    refused(&file[..file.len() - 30], &["tensor \"b\"", "truncated"]);
}

#[test]
fn other_files_versions_and_byte_orders_are_named() {
    let refused_as = |bytes: &[u8], words: &[&str]| refused(bytes, words);
    refused_as(b"version https://git-lfs", &["not a GGUF file", "vers"]);
    refused_as(&Writer { version: 1, ..good() }.bytes(), &["version 1", "2 and 3"]);
    refused_as(&Writer { version: 4, ..good() }.bytes(), &["version 4"]);
    let big = Writer { version: 3_u32.swap_bytes(), ..good() };
    assert!(matches!(refused_as(&big.bytes(), &["big-endian"]), FormatError::BigEndian));
}

#[test]
fn absurd_counts_are_errors_before_anything_is_made_for_them() {
    let with = |at: usize, count: u64| {
        let mut bytes = good().bytes();
        bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
        bytes
    };
    refused(&with(8, u64::MAX), &["number of tensors", "at most 262144"]);
    refused(&with(8, 200_000), &["number of tensors", "truncated"]);
    refused(&with(16, u64::MAX), &["number of keys", "65536"]);
    refused(&with(16, 60_000), &["number of keys", "truncated"]);
    let array = |element: u32, length: u64| {
        let bytes = [&element.to_le_bytes()[..], &length.to_le_bytes()].concat();
        good().raw("list", 9, &bytes).bytes()
    };
    refused(&array(4, 1 << 60), &["list", "at most 16777216"]);
    refused(&array(8, 1 << 20), &["list", "truncated"]);
    refused(&good().raw("long", 8, &u64::MAX.to_le_bytes()).bytes(), &["long", "bytes of a text"]);
    refused(&good().raw("long", 8, &(1_u64 << 20).to_le_bytes()).bytes(), &["long", "truncated"]);
    refused(&Writer::new().counting(&"n".repeat(300), &[1], 0).bytes(), &["name of tensor 0", "at most 256"]);
}

#[test]
fn bad_values_name_their_key() {
    refused(&good().raw("odd", 13, &[0; 8]).bytes(), &["\"odd\"", "unknown value type 13"]);
    refused(&good().raw("odd", 7, &[2]).bytes(), &["\"odd\"", "bool", "got 2"]);
    refused(&good().array("odd", 7, 3, &[0, 1, 9]).bytes(), &["\"odd\"", "got 9"]);
    refused(&good().raw("odd", 8, &[2, 0, 0, 0, 0, 0, 0, 0, b'a', 0xC3]).bytes(), &["odd", "UTF-8", "byte 1"]);
    refused(&good().array("odd", 8, 1, &[1, 0, 0, 0, 0, 0, 0, 0, 0xFF]).bytes(), &["odd", "UTF-8"]);
    let deep: Vec<u8> = [9_u32.to_le_bytes().to_vec(), 1_u64.to_le_bytes().to_vec()].concat().repeat(6);
    assert!(matches!(refused(&good().raw("odd", 9, &deep).bytes(), &["odd", "deeper"]), FormatError::Nesting { .. }));
    let mut twice = good();
    twice.keys.push(twice.keys[5].clone());
    refused(&twice.bytes(), &["\"u32\"", "twice"]);
    let mut unreadable = Writer::new().u32("ab", 1).bytes();
    unreadable[32] = 0xFF;
    refused(&unreadable, &["key 0", "UTF-8"]);
}

#[test]
fn an_alignment_that_is_none_is_refused_and_another_one_is_followed() {
    for (code, value) in [(4, 0_u32), (4, 48), (4, u32::MAX), (4, 1 << 30), (6, 0x4200_0000)] {
        let bytes = good().raw("general.alignment", code, &value.to_le_bytes()).bytes();
        assert!(matches!(refused(&bytes, &["general.alignment", "power of two"]), FormatError::Alignment { .. }));
    }
    let unaligned = good().spoil(|tensor| tensor.offset = Some(48));
    refused(&unaligned, &["tensor \"b\"", "offset 48", "multiple of 32"]);
    let mut wide = good().u32("general.alignment", 8).bytes();
    wide.extend([0; 64]);
    assert!(GgufHeader::from_bytes(&wide).is_ok());
}

#[test]
fn tensors_that_cannot_be_are_named() {
    refused(&good().spoil(|tensor| tensor.shape = vec![1; 5]), &["\"b\"", "5 dimensions", "1 to 4"]);
    refused(&good().spoil(|tensor| tensor.shape.clear()), &["\"b\"", "0 dimensions"]);
    refused(&good().spoil(|tensor| tensor.shape[0] = 0), &["\"b\"", "[0, 2, 32]"]);
    refused(&good().spoil(|tensor| tensor.shape[2] = 48), &["\"b\"", "rows of 48", "multiple of 32", "q8_0"]);
    refused(&good().spoil(|tensor| tensor.shape = vec![1 << 40, 1 << 40]), &["\"b\"", "no file can hold"]);
    refused(&good().spoil(|tensor| tensor.shape[0] = 1 << 50), &["\"b\"", "the file has only"]);
    refused(&good().spoil(|tensor| tensor.offset = Some(1 << 40)), &["\"b\"", "ends at byte", "truncated"]);
    refused(&good().spoil(|tensor| tensor.offset = Some(u64::MAX - 31)), &["\"b\"", "ends at byte"]);
    refused(&good().spoil(|tensor| tensor.code = 6), &["\"b\"", "q5_0", "supported are f32"]);
    refused(&good().spoil(|tensor| tensor.code = 0x1_0000), &["\"b\"", "unknown type 65536"]);
    refused(&good().spoil(|tensor| tensor.offset = Some(0)), &["\"a\" and \"b\" overlap"]);
    refused(&good().spoil(|tensor| tensor.name = "a".into()), &["\"a\"", "twice"]);
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let error = GgufFile::open(Path::new("/nowhere/model.gguf")).unwrap_err();
    assert!(matches!(error, GgufError::Io { .. }) && error.to_string().contains("/nowhere/model.gguf"));
}

/// The parts of a split model: tensors `a` and `b` in parts 2 and 3, metadata alone in part 1.
fn parts(dir: &Path, spoil: impl Fn(usize, Writer) -> Writer) {
    for number in 0..3 {
        let part = if number == 0 { good() } else { Writer::new() };
        let tensors = good().tensors.into_iter().skip(number).take(1);
        let mut part = Writer { tensors: if number == 0 { Vec::new() } else { tensors.collect() }, ..part };
        if number == 1 {
            part = Writer { tensors: good().tensors[..1].to_vec(), ..part };
        } else if number == 2 {
            part = Writer { tensors: good().tensors[1..].to_vec(), ..part };
        }
        let count = |key: &str, value: u32, part: Writer| part.raw(key, 2, &(value as u16).to_le_bytes());
        let part = count("split.no", number as u32, count("split.count", 3, part)).u32("split.tensors.count", 2);
        spoil(number, part).write(&dir.join(format!("m-0000{}-of-00003.gguf", number + 1)));
    }
}

#[track_caller]
fn refused_parts(words: &[&str], spoil: impl Fn(usize, Writer) -> Writer) {
    let dir = tempfile::tempdir().unwrap();
    parts(dir.path(), spoil);
    let message = GgufModel::open(&dir.path().join("m-00002-of-00003.gguf")).unwrap_err().to_string();
    words.iter().for_each(|word| assert!(message.contains(word), "{message:?} does not say {word:?}"));
}

#[test]
fn a_model_in_parts_opens_by_any_of_them() {
    let dir = tempfile::tempdir().unwrap();
    parts(dir.path(), |_, part| part);
    for number in 1..=3 {
        let model = GgufModel::open(&dir.path().join(format!("m-0000{number}-of-00003.gguf"))).unwrap();
        assert_eq!(model.first().text("general.architecture").unwrap(), Some("llama"));
        assert_eq!(model.files().map(|file| file.tensors().count()).collect::<Vec<_>>(), [0, 1, 1]);
        assert!(model.tensor("a").is_some() && model.tensor("b").is_some() && model.tensor("c").is_none());
    }
}

#[test]
fn parts_that_do_not_fit_each_other_are_refused() {
    refused_parts(&["m-00003-of-00003.gguf", "split.no", "expected 2, got 1"], |number, part| match number {
        2 => part.u32("split.no", 1),
        _ => part,
    });
    refused_parts(&["m-00001-of-00003.gguf", "split.count", "expected 3"], |number, part| match number {
        0 => part.without("split.count"),
        _ => part,
    });
    refused_parts(&["split.tensors.count", "expected 2, got 5"], |_, part| part.u32("split.tensors.count", 5));
    refused_parts(&["tensor \"b\"", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"], |number, part| match number {
        1 => part.counting("b", &[1], 0),
        _ => part,
    });
    refused_parts(&["m-00002-of-00003.gguf", "split.count", "at most 2048"], |_, part| part.u32("split.count", 9999));
}

#[test]
fn a_part_without_the_others_or_under_another_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    parts(dir.path(), |_, part| part);
    for name in ["m.gguf", "m-00002-of-00004.gguf", "-of-00003.gguf", "m-0x002-of-00003.gguf"] {
        let renamed = dir.path().join(name);
        std::fs::copy(dir.path().join("m-00002-of-00003.gguf"), &renamed).unwrap();
        let error = GgufModel::open(&renamed).unwrap_err();
        assert!(matches!(error, GgufError::PartName { count: 3, .. }), "{error}");
    }
    std::fs::remove_file(dir.path().join("m-00001-of-00003.gguf")).unwrap();
    let error = GgufModel::open(&dir.path().join("m-00003-of-00003.gguf")).unwrap_err();
    assert!(matches!(&error, GgufError::Io { file, .. } if file.ends_with("m-00001-of-00003.gguf")), "{error}");
}
