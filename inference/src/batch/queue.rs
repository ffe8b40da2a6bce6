//! Jobs that wait to be started: bounded in all and for each account, and taken fairly.

use std::collections::BTreeMap;

use super::{Account, Priority, Shares};

/// Rows by which an urgent job's account is taken to have been served less than it was, and an unhurried one's more. A
/// prompt of a few hundred tokens: enough to pass those who wait with a usual prompt, too little to keep anyone out.
const HEAD_START_ROWS: i64 = 512;

/// How many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// In all.
    pub total: usize,
    /// Of one named account.
    pub per_account: usize,
}

/// No more may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The queue is full.
    Full,
    /// The account has its share of it.
    AccountFull,
}

/// Waiting jobs with what belongs to them.
#[derive(Debug)]
pub struct FairQueue<T> {
    limits: QueueLimits,
    /// By arrival.
    waiting: BTreeMap<u64, Waiting<T>>,
    next: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    account: Account,
    priority: Priority,
    job: T,
}

impl<T> FairQueue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new(limits: QueueLimits) -> Self {
        Self { limits, waiting: BTreeMap::new(), next: 0 }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether one more job of `account` may come, when `running` jobs run in all and `running_own` of them are its own,
    /// and `slots` may. A job that finds a slot waits for a moment only, so free slots count as room.
    ///
    /// # Errors
    /// What is full.
    pub fn admit(&self, account: &Account, slots: usize, running: usize, running_own: usize) -> Result<(), Refused> {
        if self.len() + running >= slots.saturating_add(self.limits.total) {
            return Err(Refused::Full);
        }
        let own = self.waiting.values().filter(|waiting| waiting.account == *account).count() + running_own;
        if account.is_named() && own >= self.limits.per_account {
            return Err(Refused::AccountFull);
        }
        Ok(())
    }

    /// Puts a job at the end of its account's.
    pub fn push(&mut self, account: Account, priority: Priority, job: T) {
        self.waiting.insert(self.next, Waiting { account, priority, job });
        self.next += 1;
    }

    /// Looks at the job that [`Self::pop`] would take.
    #[must_use]
    pub fn peek(&self, shares: &Shares) -> Option<&T> {
        self.waiting.get(&self.first(shares)?).map(|waiting| &waiting.job)
    }

    /// Takes the job that is next: of the account that was served least, more urgent ones a head start before others, and
    /// among equals the one that came first.
    pub fn pop(&mut self, shares: &Shares) -> Option<T> {
        let first = self.first(shares)?;
        self.waiting.remove(&first).map(|waiting| waiting.job)
    }

    /// Takes out all jobs that `unwanted` chooses, oldest first.
    pub fn take_out(&mut self, mut unwanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let arrivals: Vec<u64> =
            self.waiting.iter().filter(|(_, waiting)| unwanted(&waiting.job)).map(|(arrival, _)| *arrival).collect();
        arrivals.iter().filter_map(|arrival| self.waiting.remove(arrival)).map(|waiting| waiting.job).collect()
    }

    /// The arrival of the job that is next.
    fn first(&self, shares: &Shares) -> Option<u64> {
        let order = |(arrival, waiting): (&u64, &Waiting<T>)| {
            let standing = i64::try_from(shares.standing(&waiting.account)).unwrap_or(i64::MAX);
            (standing.saturating_sub(HEAD_START_ROWS * waiting.priority.level()), *arrival)
        };
        self.waiting.iter().map(order).min().map(|(_, arrival)| arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QueueLimits = QueueLimits { total: 3, per_account: 2 };

    fn names() -> (Account, Account) {
        (Account::named("many"), Account::named("few"))
    }

    #[test]
    fn who_asks_for_a_thousand_is_served_in_turns_with_who_asks_for_one() {
        let (many, few) = names();
        let (mut queue, mut shares) =
            (FairQueue::new(QueueLimits { total: 2_000, per_account: 2_000 }), Shares::default());
        (0..1_000).for_each(|_| queue.push(many.clone(), Priority::Normal, "many"));
        queue.push(few.clone(), Priority::Normal, "few");
        assert_eq!(queue.pop(&shares), Some("many"), "all level: the first that came");
        shares.start(&many, 10);
        assert_eq!(queue.pop(&shares), Some("few"));
        shares.start(&few, 10);
        assert_eq!((queue.pop(&shares), queue.len()), (Some("many"), 998));
    }

    #[test]
    fn urgency_is_a_head_start_and_no_more() {
        let (many, few) = names();
        let (mut queue, mut shares) = (FairQueue::new(LIMITS), Shares::default());
        shares.start(&many, 400);
        queue.push(few.clone(), Priority::Normal, "usual");
        queue.push(many.clone(), Priority::High, "urgent");
        assert_eq!(queue.peek(&shares), Some(&"urgent"));
        shares.start(&few, 1);
        (0..400).for_each(|_| shares.token(&many));
        assert_eq!(queue.pop(&shares), Some("usual"), "its account had far more");
    }

    #[test]
    fn own_jobs_come_by_urgency_and_then_by_age() {
        let mut queue = FairQueue::new(LIMITS);
        for (priority, name) in [(Priority::Low, "low"), (Priority::Normal, "usual"), (Priority::High, "urgent")] {
            queue.push(Account::LOCAL, priority, name);
        }
        queue.push(Account::LOCAL, Priority::Normal, "later");
        let shares = Shares::default();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(&shares)).collect();
        assert_eq!(order, ["urgent", "usual", "later", "low"]);
    }

    #[test]
    fn one_account_cannot_fill_the_queue_and_all_together_can() {
        let (many, few) = names();
        let mut queue = FairQueue::new(LIMITS);
        let admit = |queue: &FairQueue<()>, account: &Account| queue.admit(account, 1, 1, 0);
        queue.push(many.clone(), Priority::Normal, ());
        queue.push(many.clone(), Priority::Normal, ());
        assert_eq!(admit(&queue, &many), Err(Refused::AccountFull));
        assert_eq!(admit(&queue, &few), Ok(()));
        assert_eq!(admit(&queue, &Account::LOCAL), Ok(()), "who sits at the machine is kept from nobody");
        queue.push(few.clone(), Priority::Normal, ());
        assert_eq!(admit(&queue, &few), Err(Refused::Full));
        assert_eq!(queue.take_out(|()| true).len(), 3);
        assert_eq!(queue.admit(&many, 1, 2, 2), Err(Refused::AccountFull), "what runs counts, too");
    }
}
