//! A pair over a link that loses, delays and repeats messages, between sides that crash.

use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// The worker answers a task of so many units, which arrives or is lost with the link.
    Answer { units: u32, arrives: bool },
    /// The orchestrator finds one of the answers wrong.
    Dispute(usize),
    /// Time passes; the orchestrator offers and looks for what is overdue.
    Pass { ms: u64 },
    /// One of the messages ever sent arrives, for the first time or again.
    Deliver(usize),
    /// The orchestrator loses its memory, and what it had last written down where the store was slow.
    CrashPayer { slow_store: bool },
    /// The worker loses its memory.
    CrashPayee,
    /// The two meet anew.
    Attach,
}

#[derive(Debug, Clone)]
enum Message {
    Offer(Offer, Vec<TaskId>),
    Signed(SignedVoucher),
    Refused(u64),
    Told(SignedVoucher),
}

struct World {
    payer: Payer,
    payee: Payee,
    payer_store: Vec<SignedVoucher>,
    payee_disk: Option<SignedVoucher>,
    /// Every voucher that both signed, each once.
    signed: Vec<SignedVoucher>,
    messages: Vec<Message>,
    now_ms: u64,
    tasks: Vec<Answered>,
}

impl World {
    fn new() -> Self {
        let (payer, payee) = sides(0..0);
        Self {
            payer,
            payee,
            payer_store: vec![],
            payee_disk: None,
            signed: vec![],
            messages: vec![],
            now_ms: 0,
            tasks: vec![],
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Answer { units, arrives } => self.answer(units, arrives),
            Step::Dispute(which) => self.dispute(which),
            Step::Pass { ms } => self.pass(ms),
            Step::Deliver(which) if !self.messages.is_empty() => {
                let message = self.messages[which % self.messages.len()].clone();
                self.deliver(message);
            }
            Step::Deliver(_) => {}
            Step::CrashPayer { slow_store } => {
                if slow_store {
                    self.payer_store.pop();
                }
                self.payer = Payer::new(pair(), settings(), self.payer_store.last().copied(), at(self.now_ms));
            }
            Step::CrashPayee => self.payee = Payee::new(pair(), self.payee_disk),
            Step::Attach => self.attach(),
        }
    }

    fn answer(&mut self, units: u32, arrives: bool) {
        let answer = answered(self.tasks.len() as u64, units);
        self.tasks.push(answer);
        self.payee.answered(answer);
        if arrives {
            self.payer.answered(answer, at(self.now_ms));
            self.payer.answered(answer, at(self.now_ms));
        }
    }

    fn dispute(&mut self, which: usize) {
        if !self.tasks.is_empty() {
            self.payer.disputed(self.tasks[which % self.tasks.len()].task);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.payer.overdue(at(self.now_ms));
        if let Some((offer, tasks)) = self.payer.offer(&payer_key(), at(self.now_ms), WALL) {
            self.messages.push(Message::Offer(offer, tasks));
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Offer(offer, tasks) => {
                let reply = match self.payee.check(offer, &tasks, &payee_key(), WALL) {
                    Ok(signed) => {
                        self.written_down(signed);
                        self.payee.keep(signed, &tasks);
                        Message::Signed(signed)
                    }
                    Err(_) => Message::Refused(offer.voucher.sequence),
                };
                self.messages.push(reply);
            }
            Message::Signed(signed) => {
                if let Ok(signed) = self.payer.countersigned(signed, at(self.now_ms)) {
                    self.payer_store.push(signed);
                }
            }
            Message::Refused(sequence) => {
                self.payer.refused(sequence);
            }
            Message::Told(voucher) => {
                if self.payee.adopt(voucher) == Ok(true) {
                    self.payee_disk = Some(voucher);
                }
            }
        }
    }

    fn written_down(&mut self, signed: SignedVoucher) {
        self.payee_disk = Some(signed);
        if !self.signed.contains(&signed) {
            self.signed.push(signed);
        }
    }

    fn attach(&mut self) {
        let resumption = self.payer.attached(self.payee.last().copied(), at(self.now_ms)).expect("an honest worker");
        self.payer_store.extend(resumption.adopted);
        if let Some(newer) = resumption.tell {
            self.deliver(Message::Told(newer));
        }
        if let Some((offer, tasks)) = resumption.again {
            self.deliver(Message::Offer(offer, tasks));
            let reply = self.messages.last().cloned().expect("a reply");
            self.deliver(reply);
        }
    }

    /// Meets, offers and signs until nothing is left to say.
    fn settle(&mut self) {
        self.attach();
        for _ in 0..4 {
            self.pass(2_500);
            if let Some(offer @ Message::Offer(..)) = self.messages.last().cloned() {
                self.deliver(offer);
                let reply = self.messages.last().cloned().expect("a reply");
                self.deliver(reply);
            }
        }
    }

    fn answered_units(&self) -> u64 {
        self.tasks.iter().map(|task| u64::from(task.units)).sum()
    }

    /// What holds whatever happened.
    fn check(&self) {
        for pair in self.signed.windows(2) {
            let [earlier, later] = [pair[0].voucher(), pair[1].voucher()];
            assert!(later.sequence > earlier.sequence, "sequences rise");
            assert!(later.totals.follows(&earlier.totals), "totals never fall");
            assert_eq!(later.previous, earlier.hash(), "what was signed is one chain");
        }
        for side in [self.payer.last(), self.payee.last()].into_iter().flatten() {
            assert_eq!(side.verify(), Ok(()));
            assert!(side.voucher().totals.covered <= self.answered_units(), "nothing is paid twice");
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..9_u32, prop::bool::weighted(0.95)).prop_map(|(units, arrives)| Step::Answer { units, arrives }),
        1 => any::<usize>().prop_map(Step::Dispute),
        4 => (1..900_u64).prop_map(|ms| Step::Pass { ms }),
        6 => any::<usize>().prop_map(Step::Deliver),
        1 => any::<bool>().prop_map(|slow_store| Step::CrashPayer { slow_store }),
        1 => Just(Step::CrashPayee),
        2 => Just(Step::Attach),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_repeated_or_crashes_nothing_is_paid_twice_and_both_agree_in_the_end(
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        world.settle();
        world.check();
        prop_assert_eq!(world.payer.last(), world.payee.last());
        prop_assert_eq!(world.payer.totals().held(), Some(0), "everything that was covered is settled");
    }

    #[test]
    fn without_crashes_every_answer_that_arrived_is_paid_denied_or_forfeited(
        answers in prop::collection::vec((1..9_u32, any::<bool>()), 1..40),
        refused in prop::collection::vec(any::<bool>(), 40),
    ) {
        let (mut world, mut denied) = (World::new(), 0);
        for (place, (units, wrong)) in answers.into_iter().enumerate() {
            world.answer(units, true);
            if wrong {
                world.dispute(place);
            }
            world.pass(250);
            let Some(Message::Offer(offer, tasks)) = world.messages.pop() else { continue };
            if refused[place] {
                prop_assert!(world.payer.refused(offer.voucher.sequence));
            } else {
                denied += if wrong { u64::from(units) } else { 0 };
                world.deliver(Message::Offer(offer, tasks));
                let reply = world.messages.pop().expect("a reply");
                world.deliver(reply);
            }
            world.check();
        }
        world.settle();
        let totals = world.payer.totals();
        prop_assert_eq!(totals.covered + world.payer.forfeited_units(), world.answered_units());
        prop_assert_eq!((totals.denied, totals.accepted), (denied, totals.covered - denied));
    }
}
