//! A malicious twin of each party: it computes as the others do on shares of its own choice, says what it likes, and as a
//! verifier forges whatever makes the checks of the other two pass.

use super::{Ending, Party, Work, attacked, every_gadget, expect_an_end, finish, for_each, gadgets, judge, seeds};
use crate::channel::{Channel, ChannelError, Message, Spent};
use crate::computation::{Computation, Security};
use crate::conversion::Conversion;
use crate::error::SmpcError;
use crate::memory::{Fate, Link, NetworkModel, network, run_over};
use crate::party::PartyId;
use crate::share::{BitShares, NEXT, OWN, Shares};
use crate::tests::share;

/// Bytes of an element of the ring of proofs, and of the field.
const RING: usize = 512;
const FIELD: usize = 8;

/// The links of a liar.
///
/// What it says to the other verifier of an instance, and what it says that it was told, it says only when it has heard the
/// other: then the one is the product and target that fit, and the other the same words back. So whoever checks against
/// the liar alone is deceived. What the liar is told it hears as it likes, and goes on.
struct Twin<'a> {
    link: &'a mut Link,
    /// Changes the message of this number; the last that was sent.
    lie: Lie,
    sent: usize,
    /// What it would say if it were honest, until it has heard the peer.
    kept: Vec<(PartyId, Message)>,
    /// What it has heard meanwhile, as it likes it.
    heard: Vec<(PartyId, Message)>,
    /// Calls to the link after which it is gone.
    calls_left: usize,
}

/// What becomes of the message of a number.
type Lie = Option<(usize, fn(&mut Message))>;

impl<'a> Twin<'a> {
    fn new(link: &'a mut Link, lie: Lie) -> Self {
        Self { link, lie, sent: 0, kept: Vec::new(), heard: Vec::new(), calls_left: usize::MAX }
    }

    fn call(&mut self, peer: PartyId) -> Result<(), ChannelError> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or(ChannelError::Aborted { peer })?;
        Ok(())
    }

    /// Says to `peer` what it has kept, after it has heard what `peer` says of the same.
    fn answer(&mut self, peer: PartyId) -> Result<(), ChannelError> {
        let Some(at) = self.kept.iter().position(|(to, _)| *to == peer) else { return Ok(()) };
        let (_, kept) = self.kept.remove(at);
        let pleasing = |body: &[u8]| if kept.name == "proof end" { fitting(body) } else { body.to_vec() };
        loop {
            let heard = self.link.receive(peer)?;
            if (heard.step, heard.name) != (kept.step, kept.name) {
                self.heard.push((peer, heard));
                continue;
            }
            self.heard.push((peer, Message { body: pleasing(&kept.body), ..heard.clone() }));
            return self.link.send(peer, Message { body: pleasing(&heard.body), ..kept });
        }
    }
}

impl Channel for Twin<'_> {
    fn send(&mut self, to: PartyId, mut message: Message) -> Result<(), ChannelError> {
        self.call(to)?;
        self.answer(to)?;
        if matches!(message.name, "proof end" | "compare openings") {
            self.kept.push((to, message));
            return Ok(());
        }
        if let Some((_, lie)) = self.lie.filter(|(at, _)| *at == self.sent) {
            lie(&mut message);
        }
        self.sent += 1;
        self.link.send(to, message)
    }

    fn receive(&mut self, from: PartyId) -> Result<Message, ChannelError> {
        self.call(from)?;
        let of_peer = |heard: &[(PartyId, Message)]| heard.iter().position(|(peer, _)| *peer == from);
        if of_peer(&self.heard).is_none() {
            self.answer(from)?;
        }
        of_peer(&self.heard).map_or_else(|| self.link.receive(from), |at| Ok(self.heard.remove(at).1))
    }

    fn spent(&self) -> Spent {
        self.link.spent()
    }
}

/// With the folded value 0 any target fits that is the other's, negated.
fn fitting(end: &[u8]) -> Vec<u8> {
    let (words, bits) = if end.len() >= 2 * RING { end.split_at(2 * RING) } else { end.split_at(0) };
    let mut forged = vec![0; end.len()];
    if !words.is_empty() {
        let target = words[RING..].as_chunks().0.iter().map(|word| u64::from_le_bytes(*word).wrapping_neg());
        forged[RING..2 * RING].copy_from_slice(&target.flat_map(u64::to_le_bytes).collect::<Vec<_>>());
    }
    if !bits.is_empty() {
        let from = words.len() + FIELD;
        forged[from..].copy_from_slice(&bits[FIELD..]);
    }
    forged
}

/// A run in which `liar` has the twin's links, those of the others are as they are.
fn run(
    liar: PartyId,
    twin: impl Fn(&mut Link) -> Ending + Sync,
    honest: impl Fn(&mut Party<'_>) -> Result<Shares, SmpcError> + Sync,
) -> [Ending; 3] {
    run_over(network(NetworkModel::INSTANT), |party, link| {
        if party == liar {
            return twin(link);
        }
        finish(&mut Computation::new(party, link, seeds(party, 0), Security::Malicious), &honest)
    })
    .map(|(ending, _)| ending)
}

/// A party of the computation with the twin's links.
fn lying(twin: Twin<'_>) -> Computation<Twin<'_>> {
    let party = twin.link.party();
    Computation::new(party, twin, seeds(party, 0), Security::Malicious)
}

/// What it does to a message: its first byte, or its last.
const CHANGES: [fn(&mut Message); 2] = [
    |message| message.body[0] ^= 1,
    |message| {
        let last = message.body.len() - 1;
        message.body[last] ^= 0x80;
    },
];

/// Before a proof, a lie concerns values that both others go on with, so neither may let anything go: who noticed nothing
/// would reveal a result that depends on the other's wrong values, to the liar among others.
#[test]
fn a_lie_about_a_value_is_noticed_by_both_whatever_the_liar_says_as_verifier() {
    for (work, liar) in Work::ALL.into_iter().flat_map(|work| PartyId::ALL.map(|liar| (work, liar))) {
        let (honest, targets) = (work.honest(), work.targets(liar, |name| !is_forged(name)));
        for_each(targets.len() * CHANGES.len(), |case| {
            let ((at, name, _), change) = (targets[case / CHANGES.len()], CHANGES[case % CHANGES.len()]);
            let twin =
                |link: &mut Link| finish(&mut lying(Twin::new(link, Some((at, change)))), |party| work.run(party));
            let ending = run(liar, twin, work.program());
            let case = format!("{work:?}, party {liar}, message {at} ({name})");
            let is_value = !name.starts_with("proof") && name != "open";
            if is_value {
                expect_nothing_released(&case, liar, &ending);
            }
            expect_an_end(&case, &honest, liar, &ending);
        });
    }
}

fn is_forged(name: &str) -> bool {
    matches!(name, "proof end" | "compare openings")
}

fn expect_nothing_released(case: &str, liar: PartyId, ending: &[Ending; 3]) {
    for party in [liar.next(), liar.previous()] {
        assert!(ending[party.index()].released.is_none(), "{case}: party {party} lets something go");
    }
}

/// A twin that lies about nothing but as a verifier, where all is right, is not noticed and does no harm.
#[test]
fn forged_checks_of_what_is_right_change_no_answer() {
    let honest = attacked(gadgets, 0, |_: PartyId, _: PartyId, _: &mut Message| Fate::Deliver);
    for liar in PartyId::ALL {
        let ending = run(liar, |link| finish(&mut lying(Twin::new(link, None)), every_gadget), gadgets);
        assert_eq!(judge(&honest, liar, &ending), Ok(0), "party {liar}");
    }
}

/// What a twin has another share of than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Input,
    Product,
    Matrix,
    Bit,
    Gate,
    MaskOfBits,
    BitsOfMask,
    TruncationMask,
    TruncatedMask,
    HighestBit,
}

const PLACES: [Place; 10] = [
    Place::Input,
    Place::Product,
    Place::Matrix,
    Place::Bit,
    Place::Gate,
    Place::MaskOfBits,
    Place::BitsOfMask,
    Place::TruncationMask,
    Place::TruncatedMask,
    Place::HighestBit,
];

/// How wrong.
const ERRORS: usize = 3;

impl Place {
    /// The least, the highest bit of the ring that the place is in, and some other.
    const fn errors(self) -> [u64; ERRORS] {
        let bits = match self {
            Self::MaskOfBits => 8,
            Self::TruncationMask => 12,
            _ => 64,
        };
        [1, 1 << (bits - 1), 0x1234_5678_9abc_def1]
    }
}

/// A share that is wrong: the component that it is of, and by how much.
#[derive(Debug, Clone, Copy)]
struct Spoiled {
    place: Place,
    component: usize,
    error: u64,
}

impl Spoiled {
    fn shares(spoiled: Option<Self>, place: Place, shares: &mut Shares) {
        if let Some(Self { component, error, .. }) = spoiled.filter(|spoiled| spoiled.place == place) {
            shares.parts[component][0] = shares.parts[component][0].wrapping_add(error);
        }
    }

    fn bits(spoiled: Option<Self>, place: Place, bits: &mut BitShares) {
        if let Some(Self { component, .. }) = spoiled.filter(|spoiled| spoiled.place == place) {
            bits.parts[component][0] ^= 1;
        }
    }
}

/// Products, gates, conversions and masks, one after the other, each by hand: a twin has another share somewhere.
fn by_hand<C: Channel>(party: &mut Computation<C>, spoiled: Option<Spoiled>) -> Result<Shares, SmpcError> {
    let mut x = share(party.party(), &[3, 5_u64.wrapping_neg(), 7]);
    Spoiled::shares(spoiled, Place::Input, &mut x);
    let products = party.products("product", &x, &x, 64)?;
    let mut squares = party.replicate(products)?;
    Spoiled::shares(spoiled, Place::Product, &mut squares);
    let shape = crate::ring::Shape { rows: 1, inner: 3, columns: 1 };
    let products = party.matrix_products("matrix", &x, &squares, &[shape])?;
    let mut mixed = party.replicate(products)?;
    Spoiled::shares(spoiled, Place::Matrix, &mut mixed);

    let mut eda = party.eda_bits(3, 8)?;
    Spoiled::shares(spoiled, Place::MaskOfBits, &mut eda.mask.shares);
    Spoiled::bits(spoiled, Place::BitsOfMask, &mut eda.bits);
    let opened = party.open_masked("sign: open", &x, eda.mask)?;
    let mut gates = party.and("gates", &eda.bits.planes(0..4), &eda.bits.planes(4..8))?;
    Spoiled::bits(spoiled, Place::Gate, &mut gates);
    let mut planes = BitShares::stack(&[&eda.bits, &gates]);
    Spoiled::bits(spoiled, Place::Bit, &mut planes);
    let numbers = party.to_numbers(&[Conversion { planes: &planes, n: 3, bits: 64 }])?;
    let hidden = numbers[0].plus_public(party.party(), &opened.repeat(12));

    let mut masks = party.truncation_masks(3, 12, 3)?;
    Spoiled::shares(spoiled, Place::TruncationMask, &mut masks.mask.shares);
    Spoiled::shares(spoiled, Place::TruncatedMask, &mut masks.high);
    Spoiled::shares(spoiled, Place::HighestBit, &mut masks.top);
    let opened = party.open_masked("truncate", &x, masks.mask)?;
    let truncated = masks.top.minus(&masks.high).plus_public(party.party(), &opened);
    let all = Shares::concat(&[&squares, &mixed, &hidden, &truncated]);
    let products = party.products("all", &all, &all, 64)?;
    party.replicate(products)
}

#[test]
fn a_wrong_share_of_anything_is_noticed_by_both() {
    let honest = attacked(|party| by_hand(party, None), 0, |_: PartyId, _: PartyId, _: &mut Message| Fate::Deliver);
    assert!(honest.iter().all(|ending| ending.opened.is_ok()));
    let per_liar = PLACES.len() * 2 * ERRORS;
    for_each(3 * per_liar, |case| {
        let (liar, case) = (PartyId::ALL[case / per_liar], case % per_liar);
        let place = PLACES[case / (2 * ERRORS)];
        let error = place.errors()[case / 2 % ERRORS];
        let spoiled = Spoiled { place, component: [OWN, NEXT][case % 2], error };
        let twin = |link: &mut Link| finish(&mut lying(Twin::new(link, None)), |p| by_hand(p, Some(spoiled)));
        let ending = run(liar, twin, |p| by_hand(p, None));
        let case = format!("party {liar}, {spoiled:?}");
        // A mask that only the liar's own opening has in it: it deceives itself, and sends what is right.
        if matches!(place, Place::MaskOfBits | Place::TruncationMask) && judge(&honest, liar, &ending) == Ok(0) {
            return;
        }
        expect_nothing_released(&case, liar, &ending);
        expect_an_end(&case, &honest, liar, &ending);
    });
}

/// The liar is a client here: the two holders of a component have different shares. Parties compare before they begin; even
/// if they did not, nobody would let anything go.
#[test]
fn shares_that_differ_between_their_holders_let_nobody_release_anything() {
    for (holder, component, error) in
        PartyId::ALL.into_iter().flat_map(|holder| [(holder, OWN, 1), (holder, NEXT, 1_u64 << 63)])
    {
        let spoiled = Spoiled { place: Place::Input, component, error };
        let ending = run_over(network(NetworkModel::INSTANT), |party, link| {
            let mut computation = Computation::new(party, link, seeds(party, 0), Security::Malicious);
            finish(&mut computation, |p| by_hand(p, (party == holder).then_some(spoiled)))
        });
        for (at, (ending, _)) in ending.into_iter().enumerate() {
            assert!(ending.released.is_none() && ending.opened.is_err(), "party {at}, {spoiled:?} at party {holder}");
        }
    }
}

/// A party that is gone at any of its calls: the others end, with a reason, and have nothing wrong.
#[test]
fn a_party_that_leaves_at_any_time_ends_the_session() {
    let honest = attacked(gadgets, 0, |_: PartyId, _: PartyId, _: &mut Message| Fate::Deliver);
    for liar in PartyId::ALL {
        let calls = |link: &mut Link, calls_left| {
            let mut computation = lying(Twin { calls_left, ..Twin::new(link, None) });
            let ending = finish(&mut computation, every_gadget);
            (ending, usize::MAX - computation.link().calls_left)
        };
        let needed = std::sync::atomic::AtomicUsize::new(0);
        let store = |count| needed.store(count, std::sync::atomic::Ordering::Relaxed);
        run(
            liar,
            |link| {
                let (ending, count) = calls(link, usize::MAX);
                store(count);
                ending
            },
            gadgets,
        );
        let needed = needed.into_inner();
        for_each(needed - 1, |at| {
            let ending = run(liar, |link| calls(link, at).0, gadgets);
            let case = format!("party {liar}, gone at call {at} of {needed}");
            match judge(&honest, liar, &ending) {
                Ok(0) => assert!(at >= needed - 2, "{case}: its messages were missed by nobody"),
                Ok(_) => {}
                Err(wrong) => panic!("{case}: {wrong}"),
            }
        });
    }
}
