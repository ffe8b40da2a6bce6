//! That a type cannot be printed: what holds shares, keys or messages belongs into no log.

/// Compiles only where none of the types implements `Debug`: for one that does, which `check` is meant is not known.
macro_rules! assert_not_debug {
    ($($type:ty),+ $(,)?) => {$(
        const _: fn() = || {
            trait Ambiguous<A> {
                fn check() {}
            }
            struct Printed;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + std::fmt::Debug> Ambiguous<Printed> for T {}
            let _ = <$type as Ambiguous<_>>::check;
        };
    )+};
}

pub(crate) use assert_not_debug;
