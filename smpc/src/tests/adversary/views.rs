//! What one party sees of a gadget, against a simulator that draws uniform bytes.
//!
//! All that the party has is the same in every run: its shares of the inputs, and the two seeds that it knows. Only the
//! third component of the inputs and the seed of the other two differ. So a message that the party could unmask by
//! itself, or whose mask is used twice, shows: conditioned on what the party knows, each byte that it receives must be
//! uniform, and so must be the difference to the value before it; whatever the inputs are.
//!
//! Halves of bytes are counted over many runs, and Pearson's statistic of the counts is held against a limit, of each
//! input against the uniform distribution and of both inputs against each other. Seeds are fixed, so outcomes are too.
//! With fresh seeds fewer than one of 10^6 runs of all these tests would fail: there are below 2·10^7 statistics, and one
//! of 256 draws of 16 equal chances exceeds a deviate of 8 with a chance of 2.8·10^-14 (added up over all outcomes).

use std::sync::{Arc, LazyLock, Mutex};

use super::{Random, for_each, functions};
use crate::channel::Message;
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::lookup::curve::Cells;
use crate::lookup::{Curve, Table};
use crate::memory::{Fate, Link, NetworkModel, run_over, tampered_network};
use crate::party::PartyId;
use crate::prss::Prss;
use crate::share::{NEXT, Shares};
use crate::supply::Request;

/// A gadget: what it is called, and what is done with the inputs.
type Gadget = (&'static str, fn(&mut Computation<&mut Link>, &Shares) -> Result<(), SmpcError>);

const GADGETS: [Gadget; 12] = [
    ("products", |party, x| party.products("test", x, x, 64).and_then(|z| party.replicate(z)).map(drop)),
    ("products under masks", |party, x| {
        let products = party.products("test", x, x, 64)?;
        party.truncate_products(products, 16).map(drop)
    }),
    ("truncation", |party, x| party.truncate(x, 24, 8).map(drop)),
    ("signs", |party, x| party.is_negative(x, 16).map(drop)),
    ("signs as numbers", |party, x| {
        let plane = party.is_negative(x, 16)?;
        party.plane_to_numbers(&plane, x.len()).map(drop)
    }),
    ("lookup", |party, x| {
        let table = Table::of(|x| x * x / 4.0 - x, -(1 << 15), 16, 4, 8);
        party.look_up(x, &table).map(drop)
    }),
    ("softmax", |party, x| party.softmax(x, 2, &[true; VALUES]).map(drop)),
    ("largest", |party, x| party.largest(x, 4, 2, 16).map(drop)),
    ("largest in few rounds", |party, x| party.largest_of_few(x, 4, 2, 16).map(drop)),
    ("curve", |party, x| {
        let cells = Cells { low: -128, width_log: 4, bits: 4, fraction: 7 };
        party.read_curve(&Curve::of(|x| x * x / 4.0 - x, cells, 4), x, 8).map(drop)
    }),
    ("opening under a mask", |party, x| {
        let mask = party.eda_bits(x.len(), 16)?.mask;
        party.open_masked("test", x, mask).map(drop)
    }),
    ("tokens", |party, x| {
        party.prepare(&TOKEN_MASKS)?;
        functions::tokens(party, x, PROMPTS).map(drop)
    }),
];

/// Masks are made together: more runs in the same time.
static TOKEN_MASKS: LazyLock<Vec<Request>> =
    LazyLock::new(|| functions::masks(|alone| functions::tokens(alone, &Shares::zeros(VALUES), PROMPTS)));

/// Gadgets that are done otherwise where all are honest.
const OF_HONEST: [Gadget; 4] = [
    ("truncated products", |party, x| {
        let products = party.products("test", x, x, 64)?;
        party.truncate_products(products, 16).map(drop)
    }),
    ("truncation", |party, x| party.truncate(x, 24, 8).map(drop)),
    ("truncation to a smaller ring", |party, x| {
        let products = party.products("test", x, x, 64)?;
        party.truncate_narrow(products, 16).map(drop)
    }),
    ("lookup", |party, x| {
        let table = Table::of(|x| x * x / 4.0 - x, -(1 << 15), 16, 6, 8);
        party.look_up(x, &table).map(drop)
    }),
];

/// Gadgets as they must not be: what they send shows x.
const LEAKING: [Gadget; 3] = [
    ("no mask", |party, x| {
        let step = party.begin("test");
        party.send_values(step, party.party().previous(), &x.parts[NEXT], 64)?;
        party.receive_values(step, party.party().next(), x.len(), 64).map(drop)
    }),
    ("a mask that the receiver knows", |party, x| {
        let step = party.begin("test");
        let [mask, _] = party.random(step, x.len())?;
        let masked: Vec<u64> = x.parts[NEXT].iter().zip(&mask).map(|(x, r)| x.wrapping_add(*r)).collect();
        party.send_values(step, party.party().previous(), &masked, 64)?;
        party.receive_values(step, party.party().next(), x.len(), 64).map(drop)
    }),
    ("one mask for all values", |party, x| {
        let step = party.begin("test");
        let [_, mask] = party.random(step, 1)?;
        let masked: Vec<u64> = x.parts[NEXT].iter().map(|x| x.wrapping_add(mask[0])).collect();
        party.send_values(step, party.party().previous(), &masked, 64)?;
        party.receive_values(step, party.party().next(), x.len(), 64).map(drop)
    }),
];

/// Values of a run. Eight of them fill whole bytes in any ring, and leave lanes of planes unused.
const VALUES: usize = 16;

/// Prompts of one token of two values each: eight rows fill whole bytes in any ring, too.
const PROMPTS: usize = VALUES / 2;

/// Runs of each gadget, party and input: 16 are expected in each cell.
const RUNS: u64 = 256;

/// Values of half a byte.
const CELLS: usize = 16;

/// Bytes between one that may have the mask of the other: values of 8, 16, 24 and 64 bits.
const STRIDES: [usize; 4] = [1, 2, 3, 8];

/// Earlier messages of the same sender and length that may have the mask of one.
const EARLIER: usize = 1;

/// Of a normal deviate.
const LIMIT: f64 = 8.0;

/// Inputs that have as little in common as can be.
const INPUTS: [[i64; VALUES]; 2] =
    [[0; VALUES], [-8000, 8000, -1, 1, 4095, -4096, 7777, -7777, 2, -2, 31, 32, 33, -127, -128, -129]];

/// What the parties are held to, and what they do.
type Case<'a> = (Security, &'a Gadget);

/// Messages that a party received in a run.
type View = Vec<(PartyId, Message)>;

/// What `viewer` receives in run `number` on `inputs`.
fn view((security, gadget): Case<'_>, viewer: PartyId, inputs: &[i64; VALUES], number: u64) -> View {
    let seen = Arc::new(Mutex::new(View::new()));
    let log = Arc::clone(&seen);
    let listen = move |from: PartyId, to: PartyId, message: &mut Message| {
        if to == viewer {
            log.lock().unwrap().push((from, message.clone()));
        }
        Fate::Deliver
    };
    // The component that the viewer does not know.
    let unknown = viewer.previous();
    let seed = |component: PartyId| {
        let mut seed = [component.index() as u8 + 1; 32];
        if component == unknown {
            seed[..8].copy_from_slice(&number.to_le_bytes());
        }
        seed
    };
    run_over(tampered_network(NetworkModel::INSTANT, listen), |party, link| {
        let prss = Prss::new(&seed(party), &seed(party.next()));
        let x = dealt(party, unknown, inputs);
        gadget.1(&mut Computation::new(party, link, prss, security), &x).unwrap();
    });
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    // Those of two senders come in any order.
    seen.sort_by_key(|(from, message)| (message.step, *from));
    seen
}

/// Shares of `inputs` whose components are the same for all inputs, but for `unknown`.
fn dealt(party: PartyId, unknown: PartyId, inputs: &[i64; VALUES]) -> Shares {
    let mut random = Random(99);
    let known: Vec<[u64; 2]> = inputs.iter().map(|_| [random.word(), random.word()]).collect();
    let component = |of: PartyId| -> Vec<u64> {
        let values = inputs.iter().zip(&known);
        match () {
            () if of == unknown => {
                values.map(|(x, [one, other])| (*x as u64).wrapping_sub(*one).wrapping_sub(*other)).collect()
            }
            () if of == unknown.next() => known.iter().map(|[one, _]| *one).collect(),
            () => known.iter().map(|[_, other]| *other).collect(),
        }
    };
    Shares::new(component(party), component(party.next()))
}

/// What is looked at in a view: its bytes, and how bytes differ that stand a few places apart in one message, or at the
/// same place of messages that are alike. By message, each of one length in all runs.
fn looked_at(view: &View) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (at, (from, Message { body, .. })) in view.iter().enumerate() {
        all.push(body.clone());
        let apart = STRIDES.into_iter().filter(|stride| *stride < body.len());
        all.extend(apart.map(|stride| difference(&body[stride..], body)));
        let alike = view[..at].iter().rev().filter(|(other, of)| other == from && of.body.len() == body.len());
        all.extend(alike.take(EARLIER).map(|(_, of)| difference(body, &of.body)));
    }
    all
}

fn difference(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// How often each half of each byte of a message had each value.
type Counts = Vec<Vec<[f64; CELLS]>>;

fn count(gadget: Case<'_>, viewer: PartyId, inputs: &[i64; VALUES]) -> Counts {
    let mut counts = Counts::new();
    for number in 0..RUNS {
        let messages = looked_at(&view(gadget, viewer, inputs, number));
        counts.resize_with(messages.len(), Vec::new);
        for (counts, message) in counts.iter_mut().zip(&messages) {
            counts.resize(2 * message.len(), [0.0; CELLS]);
            for (halves, byte) in counts.chunks_exact_mut(2).zip(message) {
                halves[0][usize::from(byte & 15)] += 1.0;
                halves[1][usize::from(byte >> 4)] += 1.0;
            }
        }
    }
    counts
}

/// Pearson's statistic of counts that are expected to be alike.
fn uniform(counts: &[f64; CELLS]) -> f64 {
    let expected = RUNS as f64 / CELLS as f64;
    counts.iter().map(|count| (count - expected).powi(2) / expected).sum()
}

/// That of two samples of one distribution.
fn alike(one: &[f64; CELLS], other: &[f64; CELLS]) -> f64 {
    one.iter().zip(other).filter(|(a, b)| *a + *b > 0.0).map(|(a, b)| (a - b).powi(2) / (a + b)).sum()
}

/// The largest deviate of statistics with 15 degrees of freedom each (Wilson and Hilferty 1931), and that of their sum.
fn deviate(statistics: &[f64]) -> f64 {
    let freedom = (CELLS - 1) as f64;
    let variance = 2.0 / (9.0 * freedom);
    let of = |statistic: f64| ((statistic / freedom).cbrt() - (1.0 - variance)) / variance.sqrt();
    let n = statistics.len() as f64;
    let sum = (statistics.iter().sum::<f64>() - freedom * n) / (2.0 * freedom * n).sqrt();
    statistics.iter().map(|statistic| of(*statistic)).fold(sum, f64::max)
}

/// The largest deviate of all that `viewer` sees, and how many statistics there are.
fn largest_deviate(gadget: Case<'_>, viewer: PartyId) -> (f64, usize) {
    let [one, other] = INPUTS.map(|inputs| count(gadget, viewer, &inputs));
    let (mut largest, mut looks) = (0.0_f64, 0);
    for (one, other) in one.iter().zip(&other) {
        let statistics: [Vec<f64>; 3] = [
            one.iter().map(uniform).collect(),
            other.iter().map(uniform).collect(),
            one.iter().zip(other).map(|(one, other)| alike(one, other)).collect(),
        ];
        largest = statistics.iter().map(|statistics| deviate(statistics)).fold(largest, f64::max);
        looks += 3 * (one.len() + 1);
    }
    (largest, looks)
}

#[test]
fn what_a_party_receives_of_a_gadget_is_uniform_whatever_the_inputs_are() {
    let looks = Mutex::new(0);
    let proved = GADGETS.iter().map(|gadget| (Security::Malicious, gadget));
    let cases: Vec<Case<'_>> = proved.chain(OF_HONEST.iter().map(|gadget| (Security::SemiHonest, gadget))).collect();
    for_each(cases.len() * 3, |case| {
        let ((security, gadget), viewer) = (cases[case / 3], PartyId::ALL[case % 3]);
        let (deviate, looked) = largest_deviate((security, gadget), viewer);
        assert!(deviate < LIMIT, "{security:?}, {}, party {viewer}: {deviate}", gadget.0);
        *looks.lock().unwrap() += looked;
    });
    let looks = looks.into_inner().unwrap();
    assert!((100_000..20_000_000).contains(&looks), "{looks} statistics");
}

#[test]
fn a_gadget_that_masks_nothing_is_seen() {
    for_each(LEAKING.len() * 3, |case| {
        let (gadget, viewer) = (&LEAKING[case / 3], PartyId::ALL[case % 3]);
        let (deviate, _) = largest_deviate((Security::Malicious, gadget), viewer);
        assert!(deviate > LIMIT, "{}, party {viewer}: {deviate}", gadget.0);
    });
}
