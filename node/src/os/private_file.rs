//! Files that only their owner may read, and writes that are whole or not there at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes the folder (and its parents) with mode 0700. Leaves an existing folder's mode alone.
///
/// # Errors
/// Those of the operating system.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file that must not exist yet, mode 0600. The file appears whole or not at all, and durably.
///
/// # Errors
/// `AlreadyExists` when somebody was first; those of the operating system. The draft is removed then.
pub fn create_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft_beside(path);
    let linked = write_draft(&draft, content).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    linked.and(removed)?;
    flush_entry(path)
}

/// Writes a file, mode 0600, in the place of any older one. Readers see the old file or the new one; when this returns, a
/// crash of the machine does not bring the old one back.
///
/// # Errors
/// Those of the operating system; the draft is removed then.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft_beside(path);
    write_draft(&draft, content).and_then(|()| fs::rename(&draft, path)).inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })?;
    flush_entry(path)
}

/// Adds a line at the end of a file, mode 0600, and waits until it is on disk.
///
/// # Errors
/// Those of the operating system.
pub fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let mut file = owner_only(&mut options).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

/// The permission bits of the file where they let others in; `None` where they do not.
///
/// # Errors
/// Those of the operating system.
pub fn exposed_mode(path: &Path) -> io::Result<Option<u32>> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions()) & 0o777;
        Ok((mode & 0o077 != 0).then_some(mode))
    }
    #[cfg(not(unix))]
    {
        fs::metadata(path).map(|_| None)
    }
}

fn write_draft(draft: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file: File = owner_only(&mut options).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Flushes the folder that `path` lies in: which file has the name is written there.
fn flush_entry(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
    #[cfg(not(unix))]
    {
        // There is no such call; the file system's journal orders renames.
        let _ = path;
        Ok(())
    }
}

/// A name no other process or thread uses, in the same folder, so that a rename stays on one file system.
fn draft_beside(path: &Path) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("draft-{}-{number}", std::process::id()))
}

fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_writer_of_a_new_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create_new(&path, b"first").unwrap();
        assert_eq!(create_new(&path, b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("file");
        assert!(replace(&path, b"x").is_err());
        let path = folder.path().join("file");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(exposed_mode(&path).unwrap(), None);
    }
}
