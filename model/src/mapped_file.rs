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

    /// Tells the system that `part` of this file's bytes is not needed for now: its pages then do not count as this
    /// process's memory until they are touched again. Whether `part` is of this file; other bytes are left alone.
    pub fn release(&self, part: &[u8]) -> bool {
        let (start, at) = (self.map.as_ptr() as usize, part.as_ptr() as usize);
        let Some(offset) = at.checked_sub(start).filter(|offset| offset + part.len() <= self.map.len()) else {
            return false;
        };
        // Best effort: pages that stay are memory that the system takes when it needs it.
        #[cfg(unix)]
        if !part.is_empty() {
            // SAFETY: the advice may discard what was written to pages of a private map. This map is read-only and
            // its bytes are the file's, so a page that is touched again is read from the file again: slices that
            // point into it stay valid and have the same bytes.
            let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, part.len()) };
        }
        #[cfg(not(unix))]
        let _ = offset;
        true
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
    fn released_pages_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        let bytes: Vec<u8> = (0..100_000_u32).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        for range in [0..0, 5..6, 4_096..8_192, 50_001..100_000, 0..100_000] {
            let part = &mapped.bytes()[range.clone()];
            assert_eq!(part, &bytes[range.clone()]);
            assert!(mapped.release(part), "{range:?} is of the file");
            assert_eq!(part, &bytes[range], "the slice stays what it was");
        }
        assert!(!mapped.release(&bytes[..10]), "bytes of elsewhere");
    }

    /// What the process has of the file in memory, in KiB.
    #[cfg(target_os = "linux")]
    fn resident_kib(path: &Path) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let of_file = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
        let line = of_file.into_iter().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn released_pages_are_no_memory_of_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("weights");
        std::fs::write(&path, vec![1; 1 << 20]).unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        assert_eq!(mapped.bytes().iter().map(|&byte| usize::from(byte)).sum::<usize>(), 1 << 20);
        assert_eq!(resident_kib(&path), 1024);
        mapped.release(&mapped.bytes()[1 << 19..]);
        assert_eq!(resident_kib(&path), 512);
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
