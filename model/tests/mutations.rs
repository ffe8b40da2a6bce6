//! A seeded mutator over small files: no reader panics, makes more room than its input warrants, or gives a tensor that
//! lies outside its file.
//!
//! One process of its own, because it counts what the allocator hands out.

use std::alloc::System;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use neuro_model::Checkpoint;
use neuro_model::gguf::GgufHeader;
use neuro_model::tensor_file::TensorTable;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "../../tests/shared/mutator.rs"]
mod mutator;

use mutator::{INPUTS, Random, TIME, mutated};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEED: u64 = 0x6767_7566;

/// A table's entry takes more room than its bytes (a key of 13 bytes a node of a tree), and messages name what is wrong.
const ROOM_PER_BYTE: usize = 64;
const ROOM: usize = 16 << 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutations")
}

#[cfg(test)]
fn corpus(extension: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let mut paths: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|own| own == extension)).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Hands mutated files to `read`, which says whether it took them.
#[cfg(test)]
fn withstands(extension: &str, read: impl Fn(&[u8]) -> bool + std::panic::RefUnwindSafe) {
    let (corpus, start, mut random) = (corpus(extension), Instant::now(), Random(SEED));
    let mut accepted = 0;
    for number in 0..INPUTS {
        if start.elapsed() > TIME / 2 {
            break;
        }
        let bytes = mutated(&corpus, usize::MAX, &mut random);
        let region = Region::new(ALLOCATOR);
        let outcome = catch_unwind(|| read(&bytes));
        let room = region.change().bytes_allocated;
        let taken = outcome.unwrap_or_else(|_| panic!("seed {SEED:#x}, input {number}: {bytes:02x?}"));
        assert!(
            room <= ROOM_PER_BYTE * bytes.len() + ROOM,
            "seed {SEED:#x}, input {number}: {room} for {}",
            bytes.len()
        );
        accepted += usize::from(taken);
    }
    assert!(accepted > 100, "the mutations should leave some files good, got {accepted}");
}

/// Hands whole models with spoiled headers to the checkpoint reader, settings and tokenizer included.
#[cfg(test)]
fn checkpoints_withstand() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf");
    let models = ["mixtral-f32.gguf", "qwen3_moe-f32.gguf"].map(|name| fs::read(fixtures.join(name)).unwrap());
    let (dir, start, mut random) = (tempfile::tempdir().unwrap(), Instant::now(), Random(SEED));
    let path = dir.path().join("model.gguf");
    let mut opened = 0;
    for number in 0..1000 {
        // However slow the disk is, some are looked at.
        if number > 100 && start.elapsed() > TIME / 2 {
            break;
        }
        let bytes = mutated(&models, HEADER, &mut random);
        fs::write(&path, &bytes).unwrap();
        let outcome = catch_unwind(|| {
            Checkpoint::open(&path).is_ok_and(|checkpoint| {
                let (tokenizer, template) = (checkpoint.tokenizer(), checkpoint.chat_template());
                drop((tokenizer, template));
                checkpoint.tensor_names().all(|name| checkpoint.tensor(name).is_ok())
            })
        });
        opened += usize::from(outcome.unwrap_or_else(|_| panic!("seed {SEED:#x}, input {number}")));
    }
    assert!(opened > 10, "some of the models should open, got {opened}");
}

/// Metadata and table of the fixtures end about here.
const HEADER: usize = 14 << 10;

#[test]
fn readers_withstand_mutated_files() {
    withstands("gguf", |bytes| {
        let Ok(header) = GgufHeader::from_bytes(bytes) else { return false };
        header.tensors().all(|tensor| bytes.get(tensor.place.clone()).is_some() || panic!("{tensor:?}"))
    });
    withstands("safetensors", |bytes| {
        let Ok(table) = TensorTable::from_bytes(bytes) else { return false };
        table.iter().all(|(name, entry)| bytes.get(entry.place.clone()).is_some() || panic!("{name}"))
    });
    checkpoints_withstand();
}
