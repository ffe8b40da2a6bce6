//! A slice that several threads fill, each its own part.

use std::marker::PhantomData;

/// A slice whose parts are lent to threads that write them.
pub(super) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a slice of T lent for 'a; whoever takes a part vouches that nobody else has it.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: as a mutable slice.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// Elements `from..from + len`.
    ///
    /// # Safety
    /// Nobody else has one of these elements while the returned slice lives.
    ///
    /// # Panics
    /// When they are not all elements of the slice: a bug of ours.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches that nobody else has the part")]
    #[inline]
    pub(super) unsafe fn range(&self, from: usize, len: usize) -> &mut [T] {
        assert!(from <= self.len && len <= self.len - from, "{len} elements from {from} of {}", self.len);
        // SAFETY: the part lies in the slice, which is borrowed for 'a, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}
