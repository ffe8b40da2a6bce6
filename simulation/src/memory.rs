//! Memory of this process while the aggregator works, as the system counts it (Linux; unknown elsewhere).

use std::fs;

/// The most resident memory that any piece of the aggregator's work has needed, less what the process held before it.
///
/// The process' high-water mark is set back before each piece, so what participants do in between does not count.
#[derive(Debug)]
pub(crate) struct PeakMemory {
    base: Option<u64>,
    peak: Option<u64>,
}

impl PeakMemory {
    /// From here on; `measures` nothing if not asked to.
    pub(crate) fn new(measures: bool) -> Self {
        Self { base: if measures { status("VmRSS:") } else { None }, peak: None }
    }

    /// What `work` returns; its high-water mark is noted.
    pub(crate) fn watch<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let Some(base) = self.base else { return work() };
        // Where that is not allowed, the mark is the whole process': too high, never too low.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let result = work();
        self.peak = self.peak.max(status("VmHWM:").map(|mark| mark.saturating_sub(base)));
        result
    }

    /// Bytes, if measured.
    pub(crate) const fn bytes(&self) -> Option<u64> {
        self.peak
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status(label: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_large_vector_shows_in_the_peak() {
        let mut memory = PeakMemory::new(true);
        let vector = memory.watch(|| vec![1_u8; 64 << 20]);
        assert!(memory.bytes().is_some_and(|bytes| bytes >= vector.len() as u64 / 2), "{memory:?}");
    }

    #[test]
    fn nothing_is_measured_unasked() {
        let mut memory = PeakMemory::new(false);
        memory.watch(|| ());
        assert_eq!(memory.bytes(), None);
    }
}
