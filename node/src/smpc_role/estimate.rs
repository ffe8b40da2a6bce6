//! What a session will take, told before it: all three parties are played here, as threads, on zeros, over links whose
//! delay and bandwidth are calculated.
//!
//! A program's steps depend on lengths alone. So rounds and bytes are those of the session to come, frames included; time
//! is that of parties whose processors are as fast as this one, and of links as they were said to be. Of long answers the
//! first tokens are played, and what a token takes later is drawn on in a straight line: keys and values of the text
//! before it grow by one each.

use std::cell::Cell;
use std::time::Duration;

use neuro_network::smpc::HEADER_BYTES;
use neuro_smpc::channel::{Channel, Spent};
use neuro_smpc::computation::{Computation, Security};
use neuro_smpc::memory::{Link, NetworkModel, network, run_over};
use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;

use super::SessionError;
use super::agreement::{Agreement, Lengths};
use super::messages;
use super::preparation::TOKENS_AHEAD;
use super::program::{ProgramMaker, Turn, Watch};
use super::seeds::Seeds;

/// Tokens after the first that are played; a multiple of those whose masks are made together.
const PLAYED: usize = 3 * TOKENS_AHEAD;

/// Round trips before the first and after the last turn: connections and TLS of the client and between parties, terms,
/// statements.
const OTHER_ROUND_TRIPS: u32 = 7;

/// What some turns take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Rounds of the party that waits most often.
    pub rounds: u64,
    /// Bytes that the three send each other.
    pub bytes: u64,
    /// Time until the client has the logits.
    pub time: Duration,
}

/// What one turn takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TurnEffort {
    /// Making its masks, beforehand; its time is a part of that of the turn.
    pub masks: Effort,
    /// All of the turn.
    pub all: Effort,
}

/// What a session takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The prompt, then one turn for each further token.
    pub turns: Vec<TurnEffort>,
    /// Connections, terms, seeds and statements.
    pub setting_up: Effort,
}

impl Estimate {
    /// The whole session.
    #[must_use]
    pub fn total(&self) -> Effort {
        self.turns.iter().fold(self.setting_up, |sum, turn| sum.plus(turn.all))
    }

    /// The turns after the prompt.
    #[must_use]
    pub fn tokens(&self) -> TurnEffort {
        self.turns.iter().skip(1).fold(TurnEffort::default(), |sum, turn| sum.plus(*turn))
    }
}

impl Effort {
    const fn plus(self, other: Self) -> Self {
        let (rounds, bytes) = (self.rounds + other.rounds, self.bytes + other.bytes);
        Self { rounds, bytes, time: self.time.saturating_add(other.time) }
    }

    /// The step after `self`, if the one before was `earlier`.
    fn continued(self, earlier: Self) -> Self {
        Self {
            rounds: (2 * self.rounds).saturating_sub(earlier.rounds),
            bytes: (2 * self.bytes).saturating_sub(earlier.bytes),
            time: (2 * self.time).saturating_sub(earlier.time),
        }
    }
}

impl TurnEffort {
    const fn plus(self, other: Self) -> Self {
        Self { masks: self.masks.plus(other.masks), all: self.all.plus(other.all) }
    }

    fn continued(self, earlier: Self) -> Self {
        Self { masks: self.masks.continued(earlier.masks), all: self.all.continued(earlier.all) }
    }
}

/// What a session of `lengths` takes whose answers end after `turns` tokens, their end counted, over links as `model` says. Takes
/// as long as the computing of the three together.
///
/// # Errors
/// A model that does not serve such lengths.
pub fn estimate(
    programs: &dyn ProgramMaker,
    lengths: Lengths,
    turns: u32,
    security: Security,
    model: NetworkModel,
) -> Result<Estimate, SessionError> {
    let facts = programs.model();
    if let Some(refusal) = lengths.refusal(facts.context) {
        return Err(SessionError::Terms(vec![refusal]));
    }
    let agreement = Agreement::rehearsal(facts.hash, programs.program(), lengths, security);
    let turns = turns.min(lengths.tokens) as usize;
    let played = turns.min(1 + PLAYED);
    let parties = run_over(network(model), |party, link| play(programs, &agreement, played, party, link))
        .map(|(played, _)| played);
    let [first, second, third] = parties;
    let mut estimate = joined([first?, second?, third?], &agreement, model);
    for turn in &mut estimate.turns {
        turn.all.time += client_time(&lengths, facts.vocab_size, model);
    }
    // All turns whose masks are made together are continued together.
    for turn in estimate.turns.len()..turns {
        let next = estimate.turns[turn - TOKENS_AHEAD].continued(estimate.turns[turn - 2 * TOKENS_AHEAD]);
        estimate.turns.push(next);
    }
    Ok(estimate)
}

/// What was spent at the end of each piece of one party's session: seeds, then masks and all of every turn.
struct Played {
    seeds: Spent,
    turns: Vec<[Spent; 2]>,
}

/// As a party's session, without its client.
fn play(
    programs: &dyn ProgramMaker,
    agreement: &Agreement,
    turns: usize,
    party: PartyId,
    link: &mut Link,
) -> Result<Played, SessionError> {
    let seeds = Seeds::exchange(party, link, agreement.hash())?;
    let mut played = Played { seeds: link.spent(), turns: Vec::new() };
    let link: &mut dyn Channel = link;
    let mut computation = Computation::new(party, link, seeds.randomness(), agreement.security);
    let mut program = programs.start(agreement)?;
    for turn in 0..u32::try_from(turns).unwrap_or(u32::MAX) {
        let inputs = Shares::zeros(agreement.lengths.values(turn, programs.model().d_model));
        let prepared = Prepared(Cell::new(computation.link().spent()));
        seeds.compare_inputs(computation.link(), turn, &inputs)?;
        program.advance(&mut computation, &Turn::of(&inputs, &agreement.lengths, turn, &prepared))?;
        computation.verify()?;
        played.turns.push([prepared.0.get(), computation.link().spent()]);
    }
    Ok(played)
}

/// Notes when masks were ready; until then, what was spent at the beginning of the turn.
struct Prepared(Cell<Spent>);

impl Watch for Prepared {
    fn foresee(&self, _: u64) {}

    fn prepared(&self, spent: Spent) {
        self.0.set(spent);
    }
}

/// The three parties' accounts as one.
fn joined(parties: [Played; 3], agreement: &Agreement, model: NetworkModel) -> Estimate {
    let mut marks = parties.each_ref().map(|party| party.seeds);
    // Each party tells both others the terms, in a frame.
    let terms = 6 * (messages::join(agreement).len() + HEADER_BYTES) as u64;
    let mut setting_up = between([Spent::default(); 3], marks);
    setting_up.bytes += terms;
    setting_up.time += 2 * model.delay * OTHER_ROUND_TRIPS;
    let turns = (0..parties[0].turns.len()).map(|turn| {
        let [prepared, over] = [0, 1].map(|mark| parties.each_ref().map(|party| party.turns[turn][mark]));
        let effort = TurnEffort { masks: between(marks, prepared), all: between(marks, over) };
        marks = over;
        effort
    });
    Estimate { turns: turns.collect(), setting_up }
}

fn between(from: [Spent; 3], to: [Spent; 3]) -> Effort {
    let each = |of: fn(&Spent) -> u64| from.iter().zip(&to).map(move |(from, to)| of(to) - of(from));
    let times = from.iter().zip(&to).map(|(from, to)| to.elapsed.saturating_sub(from.elapsed));
    Effort {
        rounds: each(|spent| spent.rounds).max().unwrap_or_default(),
        bytes: each(|spent| spent.bytes + spent.messages * HEADER_BYTES as u64).sum(),
        time: times.max().unwrap_or_default(),
    }
}

/// How long shares take to the parties, and those of the logits back.
fn client_time(lengths: &Lengths, vocab_size: usize, model: NetworkModel) -> Duration {
    let logits = lengths.prompts as usize * vocab_size * 2 * size_of::<u64>();
    let transfer = model.bytes_per_second.map_or(0.0, |rate| logits as f64 / rate as f64);
    2 * model.delay + Duration::from_secs_f64(transfer)
}
