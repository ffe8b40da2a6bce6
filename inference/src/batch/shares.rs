//! Who was served how much: the virtual token counter of "Fairness in Serving Large Language Models", Sheng et al., arXiv
//! 2401.00588, section 4.
//!
//! Each account has a counter of rows computed for it, and the one with the least is served next. An account that asked
//! for nothing meanwhile does not save up: it comes in at the count of whoever was served last.

use std::collections::BTreeMap;

use super::Account;

/// What a generated token counts, in rows of a prompt. A token takes a pass, a prompt's row a part of one; the paper's
/// weight.
const TOKEN_ROWS: u64 = 2;

/// Accounts that are remembered. Those at the floor need no memory, so this many must be ahead of it at once before one
/// is forgotten, and key files hold fewer.
const ACCOUNTS_KEPT: usize = 4_096;

/// The counters.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    counts: BTreeMap<Account, u64>,
    /// The count of whoever was served last.
    floor: u64,
}

impl Shares {
    /// Rows computed for `account`, as far as they count.
    #[must_use]
    pub fn standing(&self, account: &Account) -> u64 {
        self.counts.get(account).map_or(self.floor, |count| *count.max(&self.floor))
    }

    /// A job of `account` with a prompt of `tokens` starts: `account` was next.
    pub fn start(&mut self, account: &Account, tokens: usize) {
        let standing = self.standing(account);
        self.floor = standing;
        self.add(account, tokens as u64);
    }

    /// A token was generated for `account`.
    pub fn token(&mut self, account: &Account) {
        self.add(account, TOKEN_ROWS);
    }

    fn add(&mut self, account: &Account, rows: u64) {
        let count = self.standing(account).saturating_add(rows);
        self.counts.insert(account.clone(), count);
        if self.counts.len() > ACCOUNTS_KEPT {
            let floor = self.floor;
            self.counts.retain(|_, count| *count > floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_idle_comes_in_level_and_saves_up_nothing() {
        let (busy, idle) = (Account::named("busy"), Account::named("idle"));
        let mut shares = Shares::default();
        shares.start(&busy, 100);
        shares.token(&busy);
        assert_eq!((shares.standing(&busy), shares.standing(&idle)), (102, 0));
        shares.start(&busy, 10);
        assert_eq!((shares.standing(&busy), shares.standing(&idle)), (112, 102), "level with who was served last");
        shares.start(&idle, 5);
        assert!(shares.standing(&idle) < shares.standing(&busy), "and served before who had more");
    }
}
