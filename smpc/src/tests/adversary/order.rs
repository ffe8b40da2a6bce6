//! Messages lost, swapped, doubled, played again and mixed in from another session, at every step of a program that has
//! every gadget.
//!
//! A channel promises order and one session, and frames hold it to that; here is what the parties do if it does not. Each
//! message is due at one step, with one length, on one link, so whatever comes in its place is refused. What comes behind
//! the last message of a link is read by nobody.

use std::sync::{Arc, Mutex};

use super::{Ending, attacked, expect_an_end, for_each, gadgets, judge};
use crate::channel::Message;
use crate::memory::Fate;
use crate::party::PartyId;

/// What becomes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trick {
    /// It never comes.
    Lost,
    /// Nor does any later one of the party.
    Silent,
    /// It comes after the next one of its link.
    Swapped,
    /// It comes twice.
    Doubled,
    /// The one before it on its link comes again behind it.
    Again,
    /// The one before it on its link comes in its place.
    Before,
    /// The body of an older one of the same length comes in its place, under its name.
    Relabelled,
    /// That of the same step of another session comes in its place.
    Foreign,
    /// It belongs to the step behind.
    NextStep,
    /// It is another part of its step.
    NextPart,
    /// It has a byte more.
    Longer,
    /// It has a byte less.
    Shorter,
}

const TRICKS: [Trick; 12] = [
    Trick::Lost,
    Trick::Silent,
    Trick::Swapped,
    Trick::Doubled,
    Trick::Again,
    Trick::Before,
    Trick::Relabelled,
    Trick::Foreign,
    Trick::NextStep,
    Trick::NextPart,
    Trick::Longer,
    Trick::Shorter,
];

/// Who receives it, and what.
type Sent = Vec<(PartyId, Message)>;

/// An honest run of a session, and what each party sent.
fn session(number: u8) -> ([Ending; 3], [Sent; 3]) {
    let sent: Arc<Mutex<[Sent; 3]>> = Arc::default();
    let log = Arc::clone(&sent);
    let ending = attacked(gadgets, number, move |from: PartyId, to: PartyId, message: &mut Message| {
        log.lock().unwrap()[from.index()].push((to, message.clone()));
        Fate::Deliver
    });
    let sent = sent.lock().unwrap().clone();
    (ending, sent)
}

/// The messages that the liar sends, and in which the trick is done.
struct Plan<'a> {
    sent: &'a Sent,
    foreign: &'a Sent,
    at: usize,
}

impl Plan<'_> {
    /// Those before it on its link, the last one first.
    fn older(&self) -> impl Iterator<Item = &Message> {
        let to = self.sent[self.at].0;
        self.sent[..self.at].iter().rev().filter(move |(other, _)| *other == to).map(|(_, message)| message)
    }

    /// Whether nothing follows it on its link.
    fn is_last(&self) -> bool {
        let to = self.sent[self.at].0;
        self.sent[self.at + 1..].iter().all(|(other, _)| *other != to)
    }

    /// What comes in the place of the message, and its fate. None where the trick would change nothing.
    fn play(&self, trick: Trick) -> Option<(Message, Fate)> {
        let mut message = self.sent[self.at].1.clone();
        let mut fate = Fate::Deliver;
        match trick {
            Trick::Lost | Trick::Silent => fate = Fate::Drop,
            Trick::Swapped => fate = Fate::HoldBack,
            Trick::Doubled => fate = Fate::Duplicate,
            Trick::Again => fate = Fate::Follow(self.older().next()?.clone()),
            Trick::Before => message = self.older().next()?.clone(),
            Trick::Relabelled => {
                let length = message.body.len();
                message.body.clone_from(&self.older().find(|older| older.body.len() == length)?.body);
            }
            Trick::Foreign => message = self.foreign[self.at].1.clone(),
            Trick::NextStep => message.step += 1,
            Trick::NextPart => message.part += 1,
            Trick::Longer => message.body.push(0),
            Trick::Shorter => drop(message.body.pop()),
        }
        let is_changed = message != self.sent[self.at].1 || fate != Fate::Deliver;
        is_changed.then_some((message, fate))
    }
}

#[test]
fn whatever_comes_in_the_place_of_a_message_ends_the_session() {
    let (honest, sent) = session(0);
    let (_, foreign) = session(1);
    for liar in PartyId::ALL {
        let (sent, foreign) = (&sent[liar.index()], &foreign[liar.index()]);
        for_each(sent.len() * TRICKS.len(), |case| {
            let (at, trick) = (case / TRICKS.len(), TRICKS[case % TRICKS.len()]);
            let plan = Plan { sent, foreign, at };
            let Some((instead, fate)) = plan.play(trick) else { return };
            let mut count = 0;
            let ending = attacked(gadgets, 0, move |from: PartyId, _: PartyId, message: &mut Message| {
                if from != liar {
                    return Fate::Deliver;
                }
                count += 1;
                if trick == Trick::Silent && count > at {
                    return Fate::Drop;
                }
                if count != at + 1 {
                    return Fate::Deliver;
                }
                *message = instead.clone();
                fate.clone()
            });
            let case = format!("party {liar}, message {at} ({}), {trick:?}", sent[at].1.name);
            if plan.is_last() && matches!(trick, Trick::Doubled | Trick::Again) {
                assert_eq!(judge(&honest, liar, &ending), Ok(0), "{case}: nobody reads it");
            } else {
                expect_an_end(&case, &honest, liar, &ending);
            }
        });
    }
}

#[test]
fn two_sessions_have_the_same_steps_and_no_message_in_common() {
    let [(_, one), (_, other)] = [session(0), session(1)];
    for (one, other) in one.iter().flatten().zip(other.iter().flatten()) {
        let ((to, one), (other_to, other)) = (one, other);
        assert!(to == other_to && one.step == other.step && one.part == other.part && one.name == other.name);
        assert!(one.body.len() == other.body.len() && (one.body != other.body || one.body.len() < 8), "{}", one.name);
    }
}
