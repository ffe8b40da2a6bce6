//! A seeded mutator over small files: no reader panics, makes more room than its input warrants, or gives a tensor that
//! lies outside its file.
//!
//! One process of its own, because it counts what the allocator hands out.

use std::alloc::System;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use neuro_model::Checkpoint;
use neuro_model::gguf::GgufHeader;
use neuro_model::tensor_file::TensorTable;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEED: u64 = 0x6767_7566;

/// Inputs that are tried, unless the time is over first: slow machines try fewer, and the first ones are the same.
const INPUTS: usize = 100_000;
const TIME: Duration = Duration::from_secs(5);

/// A table's entry takes more room than its bytes (a key of 13 bytes a node of a tree), and messages name what is wrong.
const ROOM_PER_BYTE: usize = 64;
const ROOM: usize = 16 << 10;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Changes `bytes`, before `end`, in one of the ways that find mistakes in readers.
fn mutate(bytes: &mut Vec<u8>, end: usize, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(end.min(bytes.len()) + 1);
    match random.below(8) {
        0 if random.below(4) == 0 => bytes.truncate(at),
        1 => bytes.insert(at, random.next() as u8),
        2 | 3 => {
            let extreme = EXTREMES[random.below(EXTREMES.len())].to_le_bytes();
            let width = 1 << random.below(4);
            bytes[at..].iter_mut().zip(&extreme[..width]).for_each(|(byte, &new)| *byte = new);
        }
        4 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
        5 => {
            let other = &corpus[random.below(corpus.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        6 => {
            let piece = bytes[at..(at + random.below(64)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
    }
}

const EXTREMES: [u64; 12] =
    [0, 1, 2, 9, 0x7f, 0xff, 0x201, 0x8000, 1 << 20, u32::MAX as u64, i64::MAX as u64, u64::MAX];

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
        let mut bytes = corpus[random.below(corpus.len())].clone();
        for _ in 0..random.below(4) {
            mutate(&mut bytes, usize::MAX, &corpus, &mut random);
        }
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
        if start.elapsed() > TIME / 2 {
            break;
        }
        let mut bytes = models[random.below(models.len())].clone();
        mutate(&mut bytes, HEADER, &models, &mut random);
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
