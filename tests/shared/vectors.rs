//! Committed bytes as text: lines of hexadecimal digits, and lines of explanation after `#`. `secagg` and `protocol` include
//! this file; the vectors lie in their own folders.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "a test uses a part of it and fails by panicking")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What an encoder writes, to be compared with what is committed.
pub struct Vector {
    /// The file's name without `.hex`.
    pub name: &'static str,
    /// For people: the first line.
    pub about: String,
    /// What the encoder writes now.
    pub bytes: Vec<u8>,
}

/// Where the vectors of the crate that is tested lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Where the vector `name` lies.
pub fn path(name: &str) -> PathBuf {
    folder().join(name).with_extension("hex")
}

/// The bytes of the vector in the file at `path`.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let text = fs::read_to_string(path)?;
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    data_encoding::HEXLOWER.decode(digits.as_bytes()).map_err(io::Error::other)
}

/// Every vector is committed as it is; `NEURO_BLESS=1` writes the files anew.
pub fn check_committed(vectors: &[Vector]) {
    let bless = std::env::var_os("NEURO_BLESS").is_some_and(|value| value == "1");
    for vector in vectors {
        let (path, text) = (path(vector.name), render(vector));
        if bless {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(committed, text, "{} changed", vector.name);
    }
}

fn render(vector: &Vector) -> String {
    let lines = vector.bytes.chunks(32).map(|line| data_encoding::HEXLOWER.encode(line) + "\n");
    format!("# {}\n{}", vector.about, lines.collect::<String>())
}
