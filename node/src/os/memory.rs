//! Memory of this process and of the machine, read from Linux's `/proc`; unknown elsewhere.

use std::fs;

/// Memory of this process that no file backs, in bytes (`RssAnon`).
#[must_use]
pub fn anonymous_bytes() -> Option<u64> {
    anonymous_bytes_of(std::process::id())
}

/// The same of another process.
#[must_use]
pub fn anonymous_bytes_of(process: u32) -> Option<u64> {
    kilobytes(&format!("/proc/{process}/status"), "RssAnon:")
}

/// The most memory that this process has held, mapped files included, in bytes (`VmHWM`).
#[must_use]
pub fn peak_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// Memory that programs can still get without swapping, in bytes (`MemAvailable`).
#[must_use]
pub fn available_bytes() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// All of the machine's main memory, in bytes (`MemTotal`).
#[must_use]
pub fn total_bytes() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemTotal:")
}

/// The figure after `label` in a file of `Label:   123 kB` lines, in bytes.
fn kilobytes(path: &str, label: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells() {
        assert!(anonymous_bytes().is_some_and(|bytes| bytes > 4096));
        assert!(peak_bytes() >= anonymous_bytes());
        assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
