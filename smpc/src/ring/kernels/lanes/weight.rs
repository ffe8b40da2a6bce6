//! What a share is multiplied by: another word, or a small public integer as it is stored.

use super::Lanes;

/// An element type of weights.
pub(in super::super::super) trait Weight: Copy {
    /// The element as a ring element.
    fn widened(self) -> u64;

    /// # Safety
    /// As [`Lanes`] asks.
    unsafe fn share<L: Lanes>(words: L::Words) -> L::Factor;
    /// `WIDTH` weights.
    ///
    /// # Safety
    /// As [`Lanes`] asks.
    unsafe fn load<L: Lanes>(source: *const Self) -> L::Words;
    /// # Safety
    /// As [`Lanes`] asks.
    unsafe fn product<L: Lanes>(sum: L::Sum, share: L::Factor, weights: L::Words) -> L::Sum;
}

impl Weight for u64 {
    #[inline(always)]
    fn widened(self) -> u64 {
        self
    }

    #[inline(always)]
    unsafe fn share<L: Lanes>(words: L::Words) -> L::Factor {
        // SAFETY: as the caller says.
        unsafe { L::factor(words) }
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const Self) -> L::Words {
        // SAFETY: as the caller says.
        unsafe { L::load(source) }
    }

    #[inline(always)]
    unsafe fn product<L: Lanes>(sum: L::Sum, share: L::Factor, weights: L::Words) -> L::Sum {
        // SAFETY: as the caller says.
        unsafe { L::product(sum, share, L::factor(weights)) }
    }
}

/// A signed integer of at most 32 bits.
macro_rules! narrow {
    ($type:ty, $load:ident) => {
        impl Weight for $type {
            #[inline(always)]
            fn widened(self) -> u64 {
                i64::from(self) as u64
            }

            #[inline(always)]
            unsafe fn share<L: Lanes>(words: L::Words) -> L::Factor {
                // SAFETY: as the caller says.
                unsafe { L::narrow_factor(words) }
            }

            #[inline(always)]
            unsafe fn load<L: Lanes>(source: *const Self) -> L::Words {
                // SAFETY: as the caller says.
                unsafe { L::$load(source) }
            }

            #[inline(always)]
            unsafe fn product<L: Lanes>(sum: L::Sum, share: L::Factor, weights: L::Words) -> L::Sum {
                // SAFETY: as the caller says; what was loaded is a sign extension.
                unsafe { L::narrow_product(sum, share, weights) }
            }
        }
    };
}

narrow!(i32, load_i32);
narrow!(i16, load_i16);
