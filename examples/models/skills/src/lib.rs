//! A small trained mixture-of-experts model with ten checkable skills, carried inside the program.
//!
//! The files of the checkpoint folder are compiled in, so a program that depends on this crate can lay a complete
//! Hugging Face folder anywhere ([`write_to`]) and mark a run of the model against its own questions ([`QUESTIONS`]).
//! What the model is and is not is told in the model card, `README.md` beside `Cargo.toml`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Every file of the checkpoint folder: its name and its bytes, small files first.
pub const FILES: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("../checkpoint/config.json")),
    ("eval.json", include_bytes!("../checkpoint/eval.json")),
    ("tokenizer_config.json", include_bytes!("../checkpoint/tokenizer_config.json")),
    ("tokenizer.json", include_bytes!("../checkpoint/tokenizer.json")),
    ("test.jsonl", include_bytes!("../checkpoint/test.jsonl")),
    ("model.safetensors", include_bytes!("../checkpoint/model.safetensors")),
];

/// The 400 questions: one JSON object a line with `skill`, `question` and `answer`, 40 a skill.
pub const QUESTIONS: &str = include_str!("../checkpoint/test.jsonl");

/// How many questions the stored weights answer right in float32 arithmetic: JSON with `right` and `of` per skill.
pub const EVALUATION: &str = include_str!("../checkpoint/eval.json");

/// Lays the checkpoint down in `dir`, which is made if it is missing.
///
/// A file that already has the right bytes is left alone, so calling this at every start costs one read. Any other
/// file is written beside its place and renamed into it: a reader sees the old file or the new one, never a part,
/// and a second process that does the same at the same moment does no harm.
///
/// # Errors
///
/// The operating system's error, with the path in its text: a folder that cannot be made, a full disk, no permission.
/// What was written of the failing file is removed; files already in place stay.
pub fn write_to(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir).map_err(|e| at(dir, &e))?;
    FILES.iter().try_for_each(|(name, bytes)| place(&dir.join(name), bytes))
}

/// Puts `bytes` at `path` unless they lie there already.
fn place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if holds(path, bytes) {
        return Ok(());
    }
    let part = part_path(path);
    write_new(&part, bytes).and_then(|()| fs::rename(&part, path)).map_err(|e| {
        // The first error is the one worth telling; the part file may not even exist.
        let _ = fs::remove_file(&part);
        at(path, &e)
    })
}

/// Whether the file at `path` has exactly these bytes. An unreadable file counts as different: writing will tell why.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    if !file.metadata().is_ok_and(|m| m.is_file() && m.len() == bytes.len() as u64) {
        return false;
    }
    let mut found = Vec::with_capacity(bytes.len());
    file.read_to_end(&mut found).is_ok() && found == bytes
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name beside `path` that no other process or thread uses.
fn part_path(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".part-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    PathBuf::from(name)
}

/// The same error with the path it happened at.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(name: &str) -> &'static [u8] {
        FILES.iter().find(|(n, _)| *n == name).map(|(_, b)| *b).expect("no such file")
    }

    fn names_in(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn expected_names() -> Vec<String> {
        let mut names: Vec<_> = FILES.iter().map(|(n, _)| (*n).to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_empty_folder_becomes_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("deeper").join("model");
        write_to(&target).unwrap();
        assert_eq!(names_in(&target), expected_names());
        for (name, bytes) in FILES {
            assert_eq!(fs::read(target.join(name)).unwrap(), *bytes, "{name}");
        }
    }

    #[test]
    fn a_damaged_file_is_mended_and_a_good_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        write_to(dir.path()).unwrap();
        let kept = fs::metadata(dir.path().join("tokenizer.json")).unwrap().modified().unwrap();
        let mut flipped = bytes_of("model.safetensors").to_vec();
        flipped[100_000] ^= 1;
        fs::write(dir.path().join("model.safetensors"), &flipped).unwrap();
        fs::write(dir.path().join("config.json"), "{").unwrap();
        write_to(dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("model.safetensors")).unwrap(), bytes_of("model.safetensors"));
        assert_eq!(fs::read(dir.path().join("config.json")).unwrap(), bytes_of("config.json"));
        assert_eq!(fs::metadata(dir.path().join("tokenizer.json")).unwrap().modified().unwrap(), kept);
        assert_eq!(names_in(dir.path()), expected_names());
    }

    #[test]
    fn an_error_names_the_path_and_leaves_no_part_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("eval.json")).unwrap();
        let error = write_to(dir.path()).unwrap_err();
        assert!(error.to_string().contains("eval.json"), "{error}");
        assert!(!names_in(dir.path()).iter().any(|n| n.contains(".part-")));
    }

    #[test]
    fn many_writers_at_once_leave_one_whole_copy() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|s| {
            let writers: Vec<_> = (0..4).map(|_| s.spawn(|| write_to(dir.path()))).collect();
            for writer in writers {
                writer.join().unwrap().unwrap();
            }
        });
        assert_eq!(names_in(dir.path()), expected_names());
        assert_eq!(fs::read(dir.path().join("model.safetensors")).unwrap(), bytes_of("model.safetensors"));
    }

    #[test]
    fn the_questions_are_forty_a_skill() {
        let mut counts = std::collections::BTreeMap::new();
        for line in QUESTIONS.lines() {
            let skill = line.split('"').nth(3).unwrap();
            *counts.entry(skill).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 10);
        assert!(counts.values().all(|&n| n == 40), "{counts:?}");
    }

    #[test]
    fn the_weights_are_a_whole_safetensors_file() {
        let weights = bytes_of("model.safetensors");
        let header_len = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&weights[8..8 + header_len]).unwrap();
        let last = header.match_indices("\"data_offsets\":[").map(|(i, m)| &header[i + m.len()..]);
        let ends = last.map(|rest| rest.split([',', ']']).nth(1).unwrap().trim().parse::<usize>().unwrap());
        assert_eq!(8 + header_len + ends.max().unwrap(), weights.len());
    }
}
