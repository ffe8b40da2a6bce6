//! Whose a job is, and how urgent.

use std::sync::Arc;

/// Who asks: the owner of an API key, or everyone who asks without one.
///
/// Accounts share machines fairly, and nothing computed for one is used for another: how fast an answer comes would tell
/// what others asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(Option<Arc<str>>);

impl Account {
    /// Everyone who asks without a key: whoever sits at this machine.
    pub const LOCAL: Self = Self(None);

    /// The account of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Some(Arc::from(name)))
    }

    /// Whether it is one among others, from whom it must be kept apart.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.0.is_some()
    }

    /// Bytes that no other account has.
    pub(super) fn label(&self) -> Vec<u8> {
        self.0.as_ref().map_or_else(Vec::new, |name| [b"=", name.as_bytes()].concat())
    }
}

/// How urgent a job is. It moves a job a bounded way forward or back among others, and no job waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// After others.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before others.
    High,
}

impl Priority {
    /// -1, 0 or 1.
    #[must_use]
    pub const fn level(self) -> i64 {
        match self {
            Self::Low => -1,
            Self::Normal => 0,
            Self::High => 1,
        }
    }
}
