//! A model in one file or in several: `NAME-00001-of-00003.gguf` and so on, metadata in the first.
//!
//! Every part says which one it is (`split.no`, from 0), how many there are (`split.count`) and how many tensors they
//! have in all (`split.tensors.count`). The first may have no tensor at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::gguf::{GgufError, GgufFile, GgufTensor};

/// The greatest number of parts. The largest models in use come in about 30; each takes a mapping, of which Linux gives
/// a process 65,530.
pub const MAX_PARTS: u64 = 2048;

/// A model: all its parts, which fit each other.
#[derive(Debug)]
pub struct GgufModel {
    first: GgufFile,
    others: Vec<GgufFile>,
}

impl GgufModel {
    /// Opens the file at `path` and, where it is one part of several, all others, whichever part it is.
    ///
    /// # Errors
    ///
    /// A file that is missing or cannot be used; parts that contradict each other; a tensor that is in two of them.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let file = GgufFile::open(path)?;
        let count = file.u64(COUNT)?.unwrap_or(1);
        if count <= 1 {
            return Ok(Self { first: file, others: Vec::new() });
        }
        if count > MAX_PARTS {
            return Err(file.wrong_text(COUNT, format_args!("at most {MAX_PARTS} parts"), &count.to_string()));
        }
        let first = GgufFile::open(&part_path(path, 0, count)?)?;
        let others = (1..count).map(|number| GgufFile::open(&part_path(path, number, count)?));
        let model = Self { first, others: others.collect::<Result<_, _>>()? };
        model.check(count)?;
        Ok(model)
    }

    /// The file with the metadata.
    #[must_use]
    pub fn first(&self) -> &GgufFile {
        &self.first
    }

    /// All files, the first one first.
    pub fn files(&self) -> impl Iterator<Item = &GgufFile> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The tensor called `name`, in whichever file it is.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.files().find_map(|file| file.tensor(name))
    }

    pub(crate) fn into_files(self) -> impl Iterator<Item = GgufFile> {
        std::iter::once(self.first).chain(self.others)
    }

    fn check(&self, count: u64) -> Result<(), GgufError> {
        for (number, file) in self.files().enumerate() {
            require(file, NUMBER, number as u64)?;
            require(file, COUNT, count)?;
        }
        let tensors = self.check_apart()?;
        require(&self.first, TENSORS, tensors as u64)
    }

    /// No tensor is in two files. Returns how many there are.
    fn check_apart(&self) -> Result<usize, GgufError> {
        let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
        for file in self.files() {
            for tensor in file.tensors() {
                if let Some(first) = seen.insert(&tensor.name, file.path()) {
                    let (first, second) = (first.to_owned(), file.path().to_owned());
                    return Err(GgufError::Twice { tensor: tensor.name.clone(), first, second });
                }
            }
        }
        Ok(seen.len())
    }
}

fn require(file: &GgufFile, key: &str, expected: u64) -> Result<(), GgufError> {
    match file.u64(key)? {
        Some(got) if got == expected => Ok(()),
        Some(got) => Err(file.wrong_text(key, expected, &got.to_string())),
        None => Err(file.no_key(key, &expected.to_string())),
    }
}

/// The path of part `number`, from 0, in the folder of `path`, which is the path of some part.
fn part_path(path: &Path, number: u64, count: u64) -> Result<PathBuf, GgufError> {
    let ending = format!("-of-{count:05}.gguf");
    let name = path.file_name().and_then(|name| name.to_str());
    let stem = name
        .and_then(|name| name.strip_suffix(&ending))
        .and_then(|stem| stem.split_at_checked(stem.len().checked_sub(6)?));
    let Some((stem, _)) = stem.filter(|(_, digits)| is_part_number(digits)) else {
        return Err(GgufError::PartName { file: path.to_owned(), count });
    };
    Ok(path.with_file_name(format!("{stem}-{:05}{ending}", number + 1)))
}

/// A hyphen and five digits.
fn is_part_number(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";
