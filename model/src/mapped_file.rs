//! A file in memory without a copy: the one place that maps files.
//!
//! Weights are tens of gigabytes. Mapped, they are read from disk when touched, shared between processes, and given
//! up by the kernel under pressure, since their pages are clean.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// A regular file, mapped read-only in its whole length at the time of opening.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps the file at `path`. Links are followed: download caches are full of them.
    ///
    /// # Errors
    ///
    /// Those of opening and mapping; a path that is not a regular file (a folder, a pipe) is `InvalidInput`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: the bytes behind a `&[u8]` must neither change nor vanish while it lives, and another process can
        // do both to a mapped file. We cannot rule that out, so we bound what it does:
        // - The file is opened for reading and mapped privately and read-only, so this process never writes to it.
        // - Only plain bytes are handed out. Any bit pattern is a valid u8, so bytes that change under us give wrong
        //   numbers (which the hash in the manifest shows), not invalid values. All offsets are checked against the
        //   length below, which never changes, and never read again from the file.
        // - A file that is truncated under us makes reads past its new end raise SIGBUS, which ends the process. It
        //   is not handled: a signal handler could only guess. Replacing a file (rename over it) is safe, since the
        //   map keeps the old one; editing weights in place while a node runs is documented as forbidden.
        let map = unsafe { Mmap::map(&file)? };
        Self::checked(map, about.len())
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// A file that changed its length between looking and mapping is being written right now.
    fn checked(map: Mmap, length: u64) -> io::Result<Self> {
        if map.len() as u64 == length {
            return Ok(Self { map });
        }
        let text = format!("length changed while opening: expected {length} bytes, got {}", map.len());
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

/// Whether a file that could not be read may be readable a moment later: the system was at fault.
pub(crate) fn is_retryable(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, ResourceBusy, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock | ResourceBusy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, b"seven b").unwrap();
        assert_eq!(MappedFile::open(&path).unwrap().bytes(), b"seven b");
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert!(MappedFile::open(&path).unwrap().bytes().is_empty());
    }

    #[test]
    fn a_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(MappedFile::open(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_replaced_by_another_keeps_its_old_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("weights"), dir.path().join("new"));
        std::fs::write(&path, b"old").unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        std::fs::write(&new, b"").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(mapped.bytes(), b"old");
    }
}
