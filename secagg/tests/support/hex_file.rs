//! Vectors as text: lines of hexadecimal digits, and lines of explanation after `#`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the vectors lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The bytes of the vector in the file at `path`.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let text = fs::read_to_string(path)?;
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    data_encoding::HEXLOWER.decode(digits.as_bytes()).map_err(io::Error::other)
}
