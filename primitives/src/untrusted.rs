//! A value that came from outside and was not checked yet.

/// Something received. Only [`Untrusted::verify`] lets it out, so that a check cannot be forgotten.
#[derive(Debug, Clone)]
pub struct Untrusted<T>(T);

impl<T> Untrusted<T> {
    /// Wraps what a peer sent.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Hands the value to `check`, which returns what may be used.
    ///
    /// # Errors
    /// Whatever `check` finds wrong.
    pub fn verify<V, E>(self, check: impl FnOnce(T) -> Result<V, E>) -> Result<V, E> {
        check(self.0)
    }
}
