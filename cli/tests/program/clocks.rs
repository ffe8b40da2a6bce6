//! Processes whose clocks are wrong, by libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library that gives a process another time. Under `CI` it must be there; elsewhere a machine without it still passes
/// the tests, and is told what it left out.
pub fn library() -> Option<PathBuf> {
    let below = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let at = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    let found = below.map(at).chain([at("/usr/lib".into())]).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "there is no libfaketime (Debian's package is faketime)");
        eprintln!("not run: this test sets clocks wrong and needs libfaketime (Debian's package is faketime)");
    }
    found
}

/// Lets `command` run with a clock that is off by `offset`, as libfaketime reads it. Time of day alone is wrong: spans are
/// measured on another clock, and files keep their times.
pub fn set(command: &mut Command, library: &Path, offset: &str) {
    command.env("LD_PRELOAD", library).env("FAKETIME", offset);
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1").env("FAKETIME_DISABLE_SHM", "1");
}
