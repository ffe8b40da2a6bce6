//! Memory for weights: zeroed, from a cache line's address, on large pages where the system has them.
//!
//! A processor's own prefetching stops at the end of a page, and every page must be looked up; with pages of 2 MiB
//! instead of 4 KiB both happen five hundred times less often. Only whole large pages are asked for, so that no memory is
//! taken beyond what is used.

use memmap2::MmapMut;

/// A cache line, and what the widest registers load.
pub(super) const ALIGNMENT: usize = 64;

/// A large page on x86-64 and AArch64. From this size on, memory comes from the system and not from the allocator.
const LARGE_PAGE: usize = 2 << 20;

/// Bytes that start at a multiple of [`ALIGNMENT`].
pub(super) struct Memory {
    source: Source,
    start: usize,
    length: usize,
}

enum Source {
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Memory {
    /// `length` zeros. Its pages are first written by the threads that fill them.
    pub(super) fn zeroed(length: usize) -> Self {
        Self::mapped(length).unwrap_or_else(|| {
            let heap = vec![0; length + ALIGNMENT];
            let start = heap.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
            Self { source: Source::Heap(heap), start, length }
        })
    }

    /// Memory from the system, with large pages as far as whole ones go; `None` for what is smaller than one.
    fn mapped(length: usize) -> Option<Self> {
        if length < LARGE_PAGE {
            return None;
        }
        // What is never touched takes no memory, so there is room to begin at a large page's address and to fill up the
        // last one.
        let map = MmapMut::map_anon(length + 2 * LARGE_PAGE).ok()?;
        let start = map.as_ptr().align_offset(LARGE_PAGE).min(LARGE_PAGE);
        // A wish: without it everything works, more slowly.
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(memmap2::Advice::HugePage, start, (length + LARGE_PAGE / 8) / LARGE_PAGE * LARGE_PAGE);
        Some(Self { source: Source::Mapped(map), start, length })
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        let all: &[u8] = match &self.source {
            Source::Heap(heap) => heap,
            Source::Mapped(map) => map,
        };
        &all[self.start..self.start + self.length]
    }

    /// The bytes, to be written.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let all: &mut [u8] = match &mut self.source {
            Source::Heap(heap) => heap,
            Source::Mapped(map) => map,
        };
        &mut all[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_any_size_is_zeroed_aligned_and_writable() {
        for length in [1, 100, LARGE_PAGE - 1, LARGE_PAGE, 3 * LARGE_PAGE + 17] {
            let mut memory = Memory::zeroed(length);
            assert!(memory.bytes().iter().all(|byte| *byte == 0), "{length}");
            assert_eq!((memory.bytes().len(), memory.bytes().as_ptr().align_offset(ALIGNMENT)), (length, 0));
            memory.bytes_mut()[length - 1] = 7;
            assert_eq!(memory.bytes()[length - 1], 7);
        }
    }
}
