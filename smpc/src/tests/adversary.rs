//! One party that does not keep to the protocol, and what the other two then have: the right answer, or an error with its
//! reason. A wrong answer, a share of a wrong one, a panic and a wait without end are what these tests look for.

mod bytes;
mod functions;
mod mutations;
mod order;
mod twins;
mod views;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use self::functions::{every_function, functions};
use super::{Party, Random, share};
use crate::channel::{Channel, Message};
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::exchange::Item;
use crate::lookup::curve::Cells;
use crate::lookup::{Curve, Table};
use crate::memory::{Fate, NetworkModel, Tampering, run_over, tampered_network};
use crate::party::PartyId;
use crate::proof::ProofError;
use crate::prss::Prss;
use crate::ring::Shape;
use crate::share::{BitShares, Shares};

/// What an honest party has when it is done.
#[derive(Clone)]
pub struct Ending {
    /// What it let go after all checks: its components of the result.
    pub released: Option<[Vec<u64>; 2]>,
    /// What it opened.
    pub opened: Result<Vec<u64>, SmpcError>,
}

/// What is run: by an honest party, and by one that lies.
pub type Program = fn(&mut Party<'_>) -> Result<Shares, SmpcError>;

/// Runs `program` to its end: proof, comparison of openings, and the opening of the result.
pub fn finish<C: Channel>(
    computation: &mut Computation<C>,
    program: impl FnOnce(&mut Computation<C>) -> Result<Shares, SmpcError>,
) -> Ending {
    let mut released = None;
    let opened = program(computation).and_then(|result| {
        let mut verified = computation.verify()?;
        released = Some(verified.release(result.clone()));
        verified.open(&result)
    });
    Ending { released, opened }
}

/// A run of `program` in `session`, where every message goes through `tampering`.
pub fn attacked(program: Program, session: u8, tampering: impl Tampering + 'static) -> [Ending; 3] {
    let ran = run_over(tampered_network(NetworkModel::INSTANT, tampering), |party, link| {
        finish(&mut Computation::new(party, link, seeds(party, session), Security::Malicious), program)
    });
    ran.map(|(ending, _)| ending)
}

/// Common randomness of a session.
pub fn seeds(party: PartyId, session: u8) -> Prss {
    let seed = |component: PartyId| [3 * session + component.index() as u8 + 1; 32];
    Prss::new(&seed(party), &seed(party.next()))
}

/// Whether what the two honest parties have is right. How many of them aborted, or what is wrong.
pub fn judge(honest: &[Ending; 3], liar: PartyId, attacked: &[Ending; 3]) -> Result<usize, String> {
    let mut aborted = 0;
    for party in [liar.next(), liar.previous()] {
        let (right, got) = (&honest[party.index()], &attacked[party.index()]);
        match &got.opened {
            Ok(answer) if Ok(answer) == right.opened.as_ref() => {}
            Ok(_) => return Err(format!("party {party} has a wrong answer")),
            Err(reason) if is_of_the_protocol(reason) => aborted += 1,
            Err(reason) => return Err(format!("party {party} blames itself: {reason}")),
        }
        if got.released.is_some() && got.released != right.released {
            return Err(format!("party {party} lets a wrong share go"));
        }
    }
    Ok(aborted)
}

/// Whether the reason is one that a peer can cause. The others are our own bugs.
const fn is_of_the_protocol(reason: &SmpcError) -> bool {
    !matches!(
        reason,
        SmpcError::StepReused(_)
            | SmpcError::OutOfRandomness { .. }
            | SmpcError::Proof(ProofError::Tape { .. } | ProofError::Coins(_))
    )
}

/// The same, where the lie must be noticed.
pub fn expect_an_end(case: &str, honest: &[Ending; 3], liar: PartyId, attacked: &[Ending; 3]) {
    match judge(honest, liar, attacked) {
        Ok(0) => panic!("{case}: nobody noticed"),
        Ok(_) => {
            let reasons = [liar.next(), liar.previous()].map(|party| attacked[party.index()].opened.as_ref().err());
            let said: Vec<String> = reasons.into_iter().flatten().map(ToString::to_string).collect();
            let named = said.iter().any(|reason| reason.contains(&format!("party {liar}")));
            assert!(named, "{case}: nobody names the liar: {said:?}");
        }
        Err(wrong) => panic!("{case}: {wrong}"),
    }
}

/// What is attacked: gadgets one by one, and what is made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Gadgets,
    Functions,
}

impl Work {
    pub const ALL: [Self; 2] = [Self::Gadgets, Self::Functions];

    pub const fn program(self) -> Program {
        match self {
            Self::Gadgets => gadgets,
            Self::Functions => functions,
        }
    }

    /// The same over links of any kind.
    pub fn run<C: Channel>(self, party: &mut Computation<C>) -> Result<Shares, SmpcError> {
        match self {
            Self::Gadgets => every_gadget(party),
            Self::Functions => every_function(party),
        }
    }

    /// What an honest run ends with.
    pub fn honest(self) -> [Ending; 3] {
        attacked(self.program(), 0, |_: PartyId, _: PartyId, _: &mut Message| Fate::Deliver)
    }

    /// Sender, name and length of every message of an honest run.
    pub fn messages(self) -> Vec<(PartyId, &'static str, usize)> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let seeing = Arc::clone(&seen);
        attacked(self.program(), 0, move |from: PartyId, _: PartyId, message: &mut Message| {
            seeing.lock().unwrap().push((from, message.name, message.body.len()));
            Fate::Deliver
        });
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    /// Number, name and length of the messages of `liar` to be attacked, counting those that `counts`: of functions those that
    /// gadgets do not have, so that none is attacked twice.
    pub fn targets(self, liar: PartyId, counts: fn(&str) -> bool) -> Vec<(usize, &'static str, usize)> {
        let known: BTreeSet<&str> = match self {
            Self::Gadgets => BTreeSet::new(),
            Self::Functions => Self::Gadgets.messages().into_iter().map(|(_, name, _)| name).collect(),
        };
        let sent = self.messages().into_iter().filter(|(from, name, _)| *from == liar && counts(name));
        let numbered = sent.enumerate().map(|(at, (_, name, length))| (at, name, length));
        numbered.filter(|(_, name, _)| !known.contains(name)).collect()
    }
}

/// Calls `check` for every number below `count`, on all processors; a panic goes on to the caller.
pub fn for_each(count: usize, check: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    check(at);
                }
            });
        }
    });
}

/// See [`every_gadget`].
pub fn gadgets(party: &mut Party<'_>) -> Result<Shares, SmpcError> {
    every_gadget(party)
}

/// Every gadget, on as few values as there can be. Proofs begin on the way, more than one is under way, and the last of them
/// are over at the end.
pub fn every_gadget<C: Channel>(party: &mut Computation<C>) -> Result<Shares, SmpcError> {
    party.tape_words = 1 << 12;
    let x = share(party.party(), &[3, 5_u64.wrapping_neg(), 7]);
    let products = party.products("product", &x, &x, 64)?;
    let squares = party.replicate(products)?;
    let narrow = party.products("narrow", &x, &x, 12)?;
    let narrow = party.truncate_narrow(narrow, 2)?.times(1 << 54);
    let cut = party.truncate(&x.times(40), 12, 3)?;
    let table = Table::of(|x| x * x / 4.0 - x, -128, 8, 3, 4);
    let found = party.look_up(&x, &table)?;
    let shape = Shape { rows: 1, inner: 3, columns: 1 };
    let mixed = party.matrix_products("matrix", &x, &found, &[shape])?;
    let mixed = party.truncate_products(mixed, 3)?;
    let best = party.largest(&x, 3, 2, 6)?;
    let highest = party.maximum(&x, 3, 6)?;
    let many = signs_of_many(party)?;
    let few = in_few_rounds(party, &x)?;
    Ok(Shares::concat(&[&squares, &narrow, &cut, &found, &mixed, &best, &highest, &many, &few]))
}

/// What is done in few rounds for few values.
fn in_few_rounds<C: Channel>(party: &mut Computation<C>, x: &Shares) -> Result<Shares, SmpcError> {
    let cells = Cells { low: -4, width_log: -1, bits: 4, fraction: 4 };
    let read = party.read_curve(&Curve::of(|x| x * x / 4.0 - x, cells, 4), &x.times(4), 6)?;
    // Three digits, so that they take a round beside the last one.
    let best = party.largest_of_few(x, 3, 2, 14)?;
    let one = best.range(0..3);
    let [told, cut, handed] = [64, 12, 64].map(|bits| party.products("exchanged", x, &one, bits));
    let mask = party.eda_bits(3, 64)?.mask;
    let values_mask = party.eda_bits(3, 8)?.mask;
    let items = [
        Item::Open(told?, mask),
        Item::OpenValues("exchanged: values", x.clone(), values_mask),
        Item::Truncate(cut?, 2),
        Item::Replicate(handed?),
    ];
    let [told, values, cut, handed] = party.exchange(items)?;
    let values = Shares::public(party.party(), &values.opened);
    Ok(Shares::concat(&[&read, &best, &told.shares, &values, &cut.shares, &handed.shares]))
}

/// What is compared without masks, and converted without daBits: three values of them all, since more show no more.
fn signs_of_many<C: Channel>(party: &mut Computation<C>) -> Result<Shares, SmpcError> {
    let values: Vec<u64> = (0..4097).map(|at: u64| (at % 16).wrapping_sub(8)).collect();
    let plane: BitShares = party.is_negative(&share(party.party(), &values), 4)?.lanes(0, 3);
    let numbers = party.to_numbers(&[crate::conversion::Conversion { planes: &plane, n: 3, bits: 64 }])?;
    Ok(Shares::concat(&numbers.iter().collect::<Vec<_>>()))
}
