//! The orchestrator's side: what was answered, what is disputed, and what the worker signed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use neuro_primitives::receipt::{Offer, Proof, SignedVoucher, Totals, Voucher, VoucherError, root};
use neuro_primitives::{Hash, Moment, NodeKey, TaskId, UnixMillis};

use super::{Answered, MAX_ANSWERS, MAX_RECORDS, Pair, ReceiptSettings, SEQUENCE_GAP};

/// What an orchestrator knows of its vouchers with one worker.
#[derive(Debug)]
pub struct Payer {
    pair: Pair,
    settings: ReceiptSettings,
    last: Option<SignedVoucher>,
    next_sequence: u64,
    /// Answered and in no offer yet.
    pending: Pendings,
    /// Covered and held back, in the order of their tasks.
    held: BTreeMap<TaskId, Held>,
    /// Covered and held back, of which the single answers are not known any more.
    carried: Carried,
    /// Disputed and not denied in a signed voucher yet.
    disputed: BTreeSet<TaskId>,
    /// Being checked: not accepted before it is known what the check shows.
    checked: BTreeSet<TaskId>,
    /// The offer that the worker has not answered.
    open: Option<Open>,
    /// Offers after `last` that the worker forfeited, newest last. If it signed one after all, that one goes on.
    given_up: VecDeque<Open>,
    /// Offers whose answers are offered anew. No voucher is made of them, or these answers would be covered twice.
    void: Vec<Offer>,
    offered_at: Option<Moment>,
    /// Intervals whose answers may still have to be shown, oldest first.
    shown: VecDeque<Interval>,
    forfeited_units: u64,
}

/// Answers in the order of their tasks, which is that of the offer's tree.
type Pendings = BTreeMap<TaskId, Pending>;

#[derive(Debug, Clone, Copy)]
struct Pending {
    answered: Answered,
    at: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    units: u32,
    since: Moment,
}

#[derive(Debug, Clone, Copy, Default)]
struct Carried {
    units: u64,
    since: Moment,
}

#[derive(Debug, Clone)]
struct Open {
    offer: Offer,
    since: Moment,
    covering: Pendings,
    settling: Settling,
}

/// What an offer counts as accepted or denied of what was held back.
#[derive(Debug, Clone, Default)]
struct Settling {
    accepted: Vec<TaskId>,
    denied: Vec<TaskId>,
    accepted_units: u64,
    denied_units: u64,
    carried_units: u64,
}

#[derive(Debug)]
struct Interval {
    voucher: SignedVoucher,
    answers: Vec<Answered>,
    since: Moment,
}

/// What a worker sent is no voucher of this pair, or not the one that was offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// It is not signed by those that it names.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
    /// It belongs to other nodes.
    #[error("the voucher belongs to the orchestrator {} and the worker {}", .0.orchestrator.short(), .0.worker.short())]
    OtherPair(Pair),
    /// A voucher with this or a higher sequence number is signed already.
    #[error("no voucher with the sequence {got} waits for a signature")]
    NotOpen {
        /// The sequence number.
        got: u64,
    },
}

impl ReceiptFault {
    /// Always false: the same voucher is refused again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// What to do when a worker has told its last voucher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumption {
    /// The worker's voucher is newer than the one here: to be written down.
    pub adopted: Option<SignedVoucher>,
    /// The worker's is older, or it has none: to be told this one.
    pub tell: Option<SignedVoucher>,
    /// The offer that was open, to be made once more, with its tasks.
    pub again: Option<(Offer, Vec<TaskId>)>,
}

impl Payer {
    /// Goes on from `last`, the voucher that was written down last. Units of it that were held back are held for a whole
    /// window from `now` on: nobody remembers to which answers they belong.
    #[must_use]
    pub fn new(pair: Pair, settings: ReceiptSettings, last: Option<SignedVoucher>, now: Moment) -> Self {
        let next_sequence = last.map_or(1, |last| last.voucher().sequence.saturating_add(SEQUENCE_GAP));
        let mut payer = Self {
            pair,
            settings,
            last,
            next_sequence,
            pending: Pendings::new(),
            held: BTreeMap::new(),
            carried: Carried::default(),
            disputed: BTreeSet::new(),
            checked: BTreeSet::new(),
            open: None,
            given_up: VecDeque::new(),
            void: Vec::new(),
            offered_at: None,
            shown: VecDeque::new(),
            forfeited_units: 0,
        };
        payer.carry(now);
        payer
    }

    /// The last voucher that both signed.
    #[must_use]
    pub const fn last(&self) -> Option<&SignedVoucher> {
        self.last.as_ref()
    }

    /// The totals that both signed last.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.last.map_or(Totals::default(), |last| last.voucher().totals)
    }

    /// Units that the worker forfeited by refusing or by silence, since this side started.
    #[must_use]
    pub const fn forfeited_units(&self) -> u64 {
        self.forfeited_units
    }

    /// An answer came in time and fits its task. Right or wrong: what is wrong is said by [`Payer::disputed`]. One about a
    /// task that waits already changes nothing.
    pub fn answered(&mut self, answered: Answered, now: Moment) {
        if self.waits(answered.task) {
            return;
        }
        self.pending.insert(answered.task, Pending { answered, at: now });
        self.bound_pending();
    }

    /// An answer was found wrong: it is not paid unless it was accepted before. Unknown tasks are ignored.
    pub fn disputed(&mut self, task: TaskId) {
        if self.waits(task) {
            self.disputed.insert(task);
        }
    }

    /// A check of an answer begins: until [`Payer::check_ended`] it is held back, however long that takes. Unknown tasks are
    /// ignored.
    pub fn check_began(&mut self, task: TaskId) {
        if self.waits(task) {
            self.checked.insert(task);
        }
    }

    /// The check of an answer has ended. What it showed was said before.
    pub fn check_ended(&mut self, task: TaskId) {
        self.checked.remove(&task);
    }

    /// The next voucher and its tasks in the order of its tree, if the interval is over, no offer is open, and there is
    /// something to say.
    pub fn offer(&mut self, key: &NodeKey, now: Moment, wall: UnixMillis) -> Option<(Offer, Vec<TaskId>)> {
        let early = self.offered_at.is_some_and(|last| now.since(last) < self.settings.interval);
        if early || self.open.is_some() {
            return None;
        }
        let settling = self.settling(now);
        if self.pending.is_empty() && settling.is_empty() {
            return None;
        }
        let covering = self.take_pending();
        let offer = self.next_voucher(&covering, &settling, wall).offer(key);
        self.next_sequence = self.next_sequence.saturating_add(1);
        self.offered_at = Some(now);
        let tasks = tasks(&covering);
        self.open = Some(Open { offer, since: now, covering, settling });
        Some((offer, tasks))
    }

    /// The next offer does not wait for the end of the interval.
    pub const fn hurry(&mut self) {
        self.offered_at = None;
    }

    /// The worker signed an offer: the open one, or one that was given up or forgotten in a crash meanwhile. Returns the
    /// voucher, to be written down.
    ///
    /// # Errors
    /// When it is none of them, or not signed by both.
    pub fn countersigned(&mut self, signed: SignedVoucher, now: Moment) -> Result<SignedVoucher, ReceiptFault> {
        let got = signed.voucher().sequence;
        if self.last.is_some_and(|last| last.voucher().sequence >= got) {
            return Err(ReceiptFault::NotOpen { got });
        }
        if self.open.as_ref().is_some_and(|open| open.offer == signed.offer) {
            signed.verify_worker()?;
        } else {
            self.check(&signed)?;
        }
        self.adopt(signed, now);
        Ok(signed)
    }

    /// The worker does not sign the offer with this sequence number: its interval is forfeited. Whether it was open.
    pub fn refused(&mut self, sequence: u64) -> bool {
        let open = self.open.take_if(|open| open.offer.voucher.sequence == sequence);
        open.is_some_and(|open| {
            self.forfeited_units += units(&open.covering);
            self.given_up.push_back(open);
            if self.given_up.len() > MAX_GIVEN_UP {
                self.given_up.pop_front();
            }
            true
        })
    }

    /// Forfeits the interval of an offer that has been open for too long. Whether there was one. Not to be asked while
    /// the worker is not attending.
    pub fn overdue(&mut self, now: Moment) -> bool {
        let patience = self.settings.patience;
        let late = self.open.as_ref().is_some_and(|open| now.since(open.since) > patience);
        late && self.refused(self.open.as_ref().map_or(0, |open| open.offer.voucher.sequence))
    }

    /// The worker attends, and this is the last voucher that it knows of. The newer of both goes on.
    ///
    /// # Errors
    /// When it is not signed by both, or belongs to others.
    pub fn attached(&mut self, theirs: Option<SignedVoucher>, now: Moment) -> Result<Resumption, ReceiptFault> {
        let ours = self.last.map_or(0, |last| last.voucher().sequence);
        let mut resumption = Resumption::default();
        let told = theirs.map_or(0, |theirs| theirs.voucher().sequence);
        if let Some(theirs) = theirs.filter(|_| told > ours) {
            self.check(&theirs)?;
            self.adopt(theirs, now);
            resumption.adopted = Some(theirs);
        }
        resumption.tell = self.last.filter(|_| told < ours);
        if let Some(open) = &mut self.open {
            open.since = now;
            resumption.again = Some((open.offer, tasks(&open.covering)));
        }
        Ok(resumption)
    }

    /// The voucher that covers `task` and the way from the task's leaf to its root, while the challenge window is open
    /// and for as long again.
    #[must_use]
    pub fn proof(&self, task: TaskId) -> Option<(SignedVoucher, Proof)> {
        self.shown.iter().find_map(|interval| {
            let place = interval.answers.iter().position(|answered| answered.task == task)?;
            let leaves: Vec<Hash> = interval.answers.iter().map(|answered| answered.leaf).collect();
            Some((interval.voucher, Proof::of(&leaves, place)?))
        })
    }

    /// What of the units held back is due: disputed ones at once, the others when their window is over.
    fn settling(&self, now: Moment) -> Settling {
        let window = self.settings.challenge_window;
        let mut settling = Settling::default();
        for (&task, held) in &self.held {
            if self.disputed.contains(&task) {
                settling.denied.push(task);
                settling.denied_units += u64::from(held.units);
            } else if now.since(held.since) >= window && !self.checked.contains(&task) {
                settling.accepted.push(task);
                settling.accepted_units += u64::from(held.units);
            }
        }
        if now.since(self.carried.since) >= window {
            settling.carried_units = self.carried.units;
        }
        settling
    }

    /// The first answers that fit into one offer.
    fn take_pending(&mut self) -> Pendings {
        let rest = self.pending.keys().nth(MAX_ANSWERS).copied();
        let rest = rest.map_or_else(Pendings::new, |first| self.pending.split_off(&first));
        std::mem::replace(&mut self.pending, rest)
    }

    /// Whether the task was answered and neither accepted nor denied.
    fn waits(&self, task: TaskId) -> bool {
        let mut offers = self.open.iter().chain(&self.given_up);
        self.pending.contains_key(&task)
            || self.held.contains_key(&task)
            || offers.any(|open| open.covering.contains_key(&task))
    }

    fn next_voucher(&self, covering: &Pendings, settling: &Settling, wall: UnixMillis) -> Voucher {
        let (last, totals) = (self.last.map(|last| last.voucher().hash()), self.totals());
        let leaves: Vec<Hash> = covering.values().map(|pending| pending.answered.leaf).collect();
        let validity_ms = u64::try_from(self.settings.validity.as_millis()).unwrap_or(u64::MAX);
        Voucher {
            orchestrator: self.pair.orchestrator,
            worker: self.pair.worker,
            sequence: self.next_sequence,
            totals: Totals {
                covered: totals.covered + units(covering),
                accepted: totals.accepted + settling.accepted_units + settling.carried_units,
                denied: totals.denied + settling.denied_units,
            },
            answers: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
            root: root(&leaves),
            previous: last.unwrap_or(Hash([0; 32])),
            expires: UnixMillis(wall.0.saturating_add(validity_ms)),
        }
    }

    fn check(&self, theirs: &SignedVoucher) -> Result<(), ReceiptFault> {
        let Voucher { orchestrator, worker, sequence: got, .. } = *theirs.voucher();
        if !self.pair.owns(theirs.voucher()) {
            return Err(ReceiptFault::OtherPair(Pair { orchestrator, worker }));
        }
        if self.void.contains(&theirs.offer) {
            return Err(ReceiptFault::NotOpen { got });
        }
        Ok(theirs.verify()?)
    }

    /// Goes on from a newer voucher that both signed. Later offers do not follow it: the worker could not sign them, so
    /// what they cover is offered again. Earlier ones it passed over: they stay forfeited.
    fn adopt(&mut self, signed: SignedVoucher, now: Moment) {
        let sequence = signed.voucher().sequence;
        self.next_sequence = self.next_sequence.max(sequence.saturating_add(1));
        self.last = Some(signed);
        self.void.retain(|void| void.voucher.sequence > sequence);
        for given_up in std::mem::take(&mut self.given_up) {
            if given_up.offer.voucher.sequence >= sequence {
                self.forfeited_units -= units(&given_up.covering);
                self.follow(given_up, &signed, now);
            }
        }
        if let Some(open) = self.open.take() {
            self.follow(open, &signed, now);
        }
        self.bound_pending();
        self.carry(now);
        self.forget_settled();
    }

    /// What becomes of an offer once `signed` is the last voucher: it is settled if it is that one, and void otherwise.
    fn follow(&mut self, open: Open, signed: &SignedVoucher, now: Moment) {
        if open.offer == signed.offer {
            return self.settle(open, now);
        }
        self.void.push(open.offer);
        self.pending.extend(open.covering);
    }

    /// Moves on what the offer that both signed covers and settles.
    fn settle(&mut self, open: Open, now: Moment) {
        for task in open.settling.accepted.iter().chain(&open.settling.denied) {
            self.held.remove(task);
        }
        self.carried.units -= open.settling.carried_units.min(self.carried.units);
        for (&task, Pending { answered, at }) in &open.covering {
            self.held.insert(task, Held { units: answered.units, since: *at });
        }
        let answers = open.covering.into_values().map(|pending| pending.answered).collect();
        if let Some(voucher) = self.last {
            self.show(Interval { voucher, answers, since: now }, now);
        }
    }

    /// Makes what is held back add up to the last voucher's totals. Where it does not, the voucher was found with the
    /// worker, and what it settled is not known answer by answer: what is disputed or being checked stays, the
    /// others become a sum that is held for a whole window from now on.
    fn carry(&mut self, now: Moment) {
        let units = self.totals().held().unwrap_or_default();
        if held_units(&self.held) + self.carried.units == units {
            return;
        }
        let (disputed, checked) = (&self.disputed, &self.checked);
        self.held.retain(|task, _| disputed.contains(task) || checked.contains(task));
        if held_units(&self.held) > units {
            self.held.clear();
        }
        self.carried = Carried { units: units - held_units(&self.held), since: now };
    }

    /// Drops disputes and checks of answers that are settled or forfeited.
    fn forget_settled(&mut self) {
        let (mut disputed, mut checked) = (std::mem::take(&mut self.disputed), std::mem::take(&mut self.checked));
        disputed.retain(|&task| self.waits(task));
        checked.retain(|&task| self.waits(task));
        (self.disputed, self.checked) = (disputed, checked);
    }

    /// Forfeits the oldest answers that wait beyond their bound.
    fn bound_pending(&mut self) {
        while self.pending.len() > MAX_RECORDS
            && let Some((task, lost)) = self.pending.pop_first()
        {
            self.forfeited_units += u64::from(lost.answered.units);
            self.disputed.remove(&task);
            self.checked.remove(&task);
        }
    }

    fn show(&mut self, interval: Interval, now: Moment) {
        let kept = self.settings.challenge_window.saturating_mul(2);
        self.shown.push_back(interval);
        let answers: usize = self.shown.iter().map(|interval| interval.answers.len()).sum();
        let mut spare = answers.saturating_sub(MAX_RECORDS);
        while let Some(oldest) = self.shown.front()
            && (spare > 0 || now.since(oldest.since) > kept)
        {
            spare = spare.saturating_sub(oldest.answers.len());
            self.shown.pop_front();
        }
    }
}

impl Settling {
    const fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.denied.is_empty() && self.carried_units == 0
    }
}

fn units(answers: &Pendings) -> u64 {
    answers.values().map(|pending| u64::from(pending.answered.units)).sum()
}

fn held_units(held: &BTreeMap<TaskId, Held>) -> u64 {
    held.values().map(|held| u64::from(held.units)).sum()
}

fn tasks(answers: &Pendings) -> Vec<TaskId> {
    answers.keys().copied().collect()
}

/// Offers that were given up and may still come back signed. A worker that is silent for longer than that many keeps
/// its units, but single answers of them can no longer be disputed where they were not before.
const MAX_GIVEN_UP: usize = 8;
