//! The journal file of one cohort: entries of the core, framed, appended and flushed.
//!
//! An entry is a u32 length, little-endian, and the core's bytes, which carry their own chain of hashes. A crash in the
//! middle of a write leaves a torn last entry, which [`JournalFile::open`] cuts off: nothing that depends on it was done. Its
//! length may be on disk and its bytes not: that shows when the chain is followed, and [`JournalFile::keep`] cuts it off.
//! Where a file system leaves zeros, the length is 0, which no entry has.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of one entry: the largest message, a share package, and a little.
const MAX_ENTRY_BYTES: u32 = 1 << 20;

/// What stands before each.
const LENGTH_BYTES: u64 = 4;

/// An open journal.
#[derive(Debug)]
pub struct JournalFile {
    file: File,
    /// Whether entries were written that are not on disk for certain.
    dirty: bool,
}

impl JournalFile {
    /// Opens the journal at `path`, made where it is missing, and reads the entries that were written whole.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, whole) = entries_of(&bytes);
        if whole < bytes.len() {
            tracing::warn!(path = %path.display(), torn_bytes = bytes.len() - whole, "the journal's last entry was torn");
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(whole as u64))?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok((Self { file, dirty: false }, entries))
    }

    /// Cuts off what lies behind `entries`, the first of those that were read.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn keep(&mut self, entries: &[Vec<u8>]) -> io::Result<()> {
        let kept = entries.iter().map(|entry| LENGTH_BYTES + entry.len() as u64).sum();
        let length = self.file.metadata()?.len();
        if kept < length {
            tracing::warn!(torn_bytes = length - kept, "the journal's last entry was torn");
            self.file.set_len(kept)?;
            self.file.sync_all()?;
            self.file.seek(SeekFrom::Start(kept))?;
        }
        Ok(())
    }

    /// Appends an entry. It counts once [`Self::flush`] has returned.
    ///
    /// # Errors
    /// Those of the operating system; an entry larger than any, or empty.
    pub fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        let length = u32::try_from(entry.len()).ok().filter(|&length| is_entry(length));
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        self.dirty = true;
        self.file.write_all(&[&length.to_le_bytes(), entry].concat())
    }

    /// Waits until every entry is on disk; at once if it is.
    ///
    /// # Errors
    /// Those of the operating system: then nothing that depends on an entry may be done.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}

const fn is_entry(length: u32) -> bool {
    0 < length && length <= MAX_ENTRY_BYTES
}

/// The entries that are whole, and how many bytes they take.
fn entries_of(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let (mut entries, mut rest) = (Vec::new(), bytes);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        let Some((entry, after)) = after.split_at_checked(length as usize).filter(|_| is_entry(length)) else {
            break;
        };
        entries.push(entry.to_vec());
        rest = after;
    }
    (entries, bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn entries_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, none) = JournalFile::open(&path).unwrap();
        assert!(none.is_empty());
        for entry in [&b"start"[..], b"1", b"join"] {
            journal.append(entry).unwrap();
        }
        journal.flush().unwrap();
        let (mut journal, entries) = JournalFile::open(&path).unwrap();
        assert_eq!(entries, [&b"start"[..], b"1", b"join"]);
        journal.append(b"more").unwrap();
        assert_eq!(JournalFile::open(&path).unwrap().1.len(), 4);
        assert!(journal.append(&vec![0; (1 << 20) + 1]).is_err());
        assert!(journal.append(b"").is_err());
    }

    #[test]
    fn zeros_behind_the_entries_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = JournalFile::open(&path).unwrap();
        journal.append(b"first").unwrap();
        let whole = fs::read(&path).unwrap();
        for zeros in 1..20 {
            fs::write(&path, [whole.clone(), vec![0; zeros]].concat()).unwrap();
            let (mut journal, entries) = JournalFile::open(&path).unwrap();
            assert_eq!(entries, [b"first"], "{zeros} zeros");
            journal.append(b"again").unwrap();
            assert_eq!(JournalFile::open(&path).unwrap().1, [b"first", b"again"]);
        }
    }

    #[test]
    fn an_entry_that_does_not_follow_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = JournalFile::open(&path).unwrap();
        for entry in [b"first", b"wrong"] {
            journal.append(entry).unwrap();
        }
        let (mut journal, entries) = JournalFile::open(&path).unwrap();
        journal.keep(&entries[..1]).unwrap();
        journal.append(b"again").unwrap();
        assert_eq!(JournalFile::open(&path).unwrap().1, [b"first", b"again"]);
    }

    #[test]
    fn a_torn_entry_is_cut_off_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = JournalFile::open(&path).unwrap();
        journal.append(b"first").unwrap();
        journal.append(b"second").unwrap();
        let whole = fs::read(&path).unwrap();
        for kept in 9..whole.len() {
            fs::write(&path, &whole[..kept]).unwrap();
            let (mut journal, entries) = JournalFile::open(&path).unwrap();
            assert_eq!(entries, [b"first"], "{kept} bytes");
            journal.append(b"again").unwrap();
            assert_eq!(JournalFile::open(&path).unwrap().1, [b"first", b"again"]);
        }
    }
}
