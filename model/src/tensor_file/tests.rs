//! Files that are cut, that lie about themselves, or that were mutated at random.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::*;

const SKILLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/skills/checkpoint/model.safetensors");

/// A small good file: three tensors of three types, and metadata.
fn good() -> Vec<u8> {
    let bytes: Vec<u8> = (0..48).collect();
    let view =
        |dtype, shape: &[usize], length: usize| TensorView::new(dtype, shape.to_vec(), &bytes[..length]).unwrap();
    let tensors = [
        ("alpha", view(Dtype::F32, &[2, 3], 24)),
        ("beta", view(Dtype::BF16, &[5], 10)),
        ("gamma", view(Dtype::I64, &[1, 2], 16)),
        ("empty", view(Dtype::F16, &[0, 4], 0)),
    ];
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(tensors, Some(metadata)).unwrap()
}

/// A file with this header, and `data` bytes after it.
fn with_header(json: &str, data: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn error(json: &str, data: usize) -> HeaderError {
    TensorTable::from_bytes(&with_header(json, data)).unwrap_err()
}

#[test]
fn a_file_by_the_format_s_own_library_is_read_as_that_library_reads_it() {
    let file = good();
    check_same(&file, &TensorTable::from_bytes(&file).unwrap());
}

#[test]
fn the_shipped_model_is_read_as_the_format_s_own_library_reads_it() {
    let (file, table) = open(Path::new(SKILLS)).unwrap();
    assert_eq!(table.iter().count(), 127);
    check_same(file.bytes(), &table);
}

/// Both readers see the same tensors with the same bytes.
#[track_caller]
fn check_same(file: &[u8], ours: &TensorTable) {
    let theirs = SafeTensors::deserialize(file).unwrap();
    let names: BTreeSet<&str> = theirs.names().into_iter().collect();
    assert_eq!(ours.iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), names);
    for (name, entry) in ours.iter() {
        let view = theirs.tensor(name).unwrap();
        assert_eq!(entry.shape, view.shape(), "{name}");
        assert_eq!(&file[entry.place.clone()], view.data(), "{name}");
        assert_eq!(entry.type_name, format!("{:?}", view.dtype()), "{name}");
    }
}

#[test]
fn every_truncation_of_a_good_file_is_an_error() {
    let file = good();
    for length in 0..file.len() {
        assert!(TensorTable::from_bytes(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
}

#[test]
fn a_truncated_file_says_so() {
    assert!(matches!(TensorTable::from_bytes(&[1, 2, 3]), Err(HeaderError::NoLength { got: 3 })));
    let cut = &good()[..good().len() - 1];
    let message = TensorTable::from_bytes(cut).unwrap_err().to_string();
    assert!(message.contains("truncated"), "{message}");
}

#[test]
fn a_header_longer_than_the_file_is_an_error() {
    for length in [100, u64::MAX, i64::MAX as u64] {
        let mut file = length.to_le_bytes().to_vec();
        file.extend_from_slice(b"{}");
        let error = TensorTable::from_bytes(&file).unwrap_err();
        assert!(matches!(error, HeaderError::HeaderPastEnd { header, got: 2 } if header == length), "{error}");
    }
}

#[test]
fn offsets_past_the_end_name_the_tensor() {
    let error = error(r#"{"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}"#, 12);
    assert!(matches!(&error, HeaderError::PastEnd { name, end: 16, available: 12 } if name == "w"), "{error}");
}

#[test]
fn overlapping_tensors_are_both_named() {
    let json = r#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                   "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}"#;
    let error = error(json, 12);
    assert!(matches!(&error, HeaderError::Overlap { first, second } if first == "a" && second == "b"), "{error}");
}

#[test]
fn bytes_of_no_tensor_are_an_error() {
    let json = r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}"#;
    assert!(matches!(error(json, 8), HeaderError::Hole { begin: 0, end: 4 }));
    let json = r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#;
    assert!(matches!(error(json, 8), HeaderError::Hole { begin: 4, end: 8 }));
}

#[test]
fn a_shape_that_does_not_fill_its_bytes_is_an_error() {
    let wrong = error(r#"{"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 16]}}"#, 16);
    assert!(matches!(&wrong, HeaderError::Length { expected: Some(12), got: 16, .. }), "{wrong}");
    let huge = r#"{"w": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}"#;
    assert!(matches!(error(huge, 0), HeaderError::Length { expected: None, .. }));
    let backwards = r#"{"w": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}}"#;
    assert!(matches!(error(backwards, 8), HeaderError::Backwards { begin: 8, end: 4, .. }));
}

#[test]
fn json_that_is_not_a_header_is_an_error_that_names_the_tensor() {
    for json in ["", "[]", "{", r#"{"w": 3}"#, r#"{"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}"#] {
        assert!(matches!(error(json, 4), HeaderError::Json(_)), "{json}");
    }
    let missing = error(r#"{"weight": {"dtype": "F32", "shape": [1]}}"#, 4).to_string();
    assert!(missing.contains("\"weight\"") && missing.contains("data_offsets"), "{missing}");
    let entry = r#"{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}"#;
    let twice = error(&format!(r#"{{"w": {entry}, "w": {entry}}}"#), 4).to_string();
    assert!(twice.contains("twice"), "{twice}");
}

/// A small generator (SplitMix64): what it gives depends on the seed alone.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    /// One change of the kinds that break parsers: a bit, a byte, a digit, a number's edge, a cut, a repeat.
    fn mutate(&mut self, file: &mut Vec<u8>) {
        let at = self.below(file.len().max(1)).min(file.len().saturating_sub(1));
        match self.below(7) {
            _ if file.is_empty() => file.push(0),
            0 => file[at] ^= 1 << self.below(8),
            1 => file[at] = self.below(256) as u8,
            2 => self.change_digit(file, at),
            3 => file.truncate(at),
            4 => drop(file.splice(at..at, *b"18446744073709551615")),
            5 => drop(file.drain(at..(at + 1 + self.below(8)).min(file.len()))),
            _ => file.extend_from_within(at..(at + 16).min(file.len())),
        }
    }

    fn change_digit(&mut self, file: &mut [u8], from: usize) {
        let digit = self.below(10) as u8;
        if let Some(byte) = file[from..].iter_mut().find(|byte| byte.is_ascii_digit()) {
            *byte = b'0' + digit;
        }
    }
}

/// Half of the inputs keep a header length that fits, so that changes reach the JSON and the offsets.
fn mutated(seed: u64, good: &[u8]) -> Vec<u8> {
    let mut chance = Chance(seed);
    let mut file = good.to_vec();
    for _ in 0..=chance.below(3) {
        chance.mutate(&mut file);
    }
    if chance.below(2) == 0 && file.len() > 8 {
        let end = file.iter().rposition(|byte| *byte == b'}').unwrap_or(8).max(8);
        let length = (end + 1).min(file.len()) as u64 - 8;
        file[..8].copy_from_slice(&length.to_le_bytes());
    }
    file
}

#[test]
fn mutated_files_are_refused_or_read_within_bounds_and_never_panic() {
    let good = good();
    let end = Instant::now() + Duration::from_secs(5);
    let mut accepted = 0;
    for seed in 0..100_000 {
        if seed % 1000 == 0 && Instant::now() > end {
            break;
        }
        let file = mutated(seed, &good);
        let Ok(table) = TensorTable::from_bytes(&file) else { continue };
        accepted += 1;
        let inside = |entry: &Entry| file.get(entry.place.clone()).is_some();
        assert!(table.iter().all(|(_, entry)| inside(entry)), "seed {seed}");
        check_no_more_lenient(&file, &table, seed);
    }
    assert!(accepted > 100, "the mutations should leave some files good, got {accepted}");
}

/// What we take, the format's own library takes, where it knows the types.
fn check_no_more_lenient(file: &[u8], table: &TensorTable, seed: u64) {
    if table.iter().all(|(_, entry)| entry.stored_type().is_some()) {
        assert!(SafeTensors::deserialize(file).is_ok(), "seed {seed}: {:?}", SafeTensors::deserialize(file).err());
    }
}
