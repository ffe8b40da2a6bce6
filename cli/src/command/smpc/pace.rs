//! What is seen while parties compute: tokens, rounds, bytes, and when it will be over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar};
use neuro_node::smpc_role::client::{Cost, Working};

use crate::output::bytes;
use crate::progress;

/// The progress of one question, over all its sessions.
#[derive(Clone)]
pub struct Pace {
    bar: ProgressBar,
    turn: Arc<Mutex<Turn>>,
}

/// Where a session is.
struct Turn {
    began: Instant,
    /// Rounds of the session when the turn began.
    past_rounds: u64,
    /// Whether this turn takes the prompt: it says nothing of later ones.
    is_prompt: bool,
    /// How long the tokens after the first took, and how many these are.
    later: (Duration, u32),
}

impl Pace {
    /// For at most `tokens` tokens.
    pub fn new(tokens: u64) -> Self {
        Self { bar: progress::told("computing on shares", tokens), turn: Arc::new(Mutex::new(Turn::first())) }
    }

    /// A session begins, perhaps after another one.
    pub fn begin(&self) {
        *self.turn() = Turn::first();
    }

    /// How far a turn has come.
    pub fn heard(&self, working: Working) {
        let left = self.turn().left(working, self.tokens_left());
        self.say(working.cost, left);
    }

    /// A token of every prompt is there.
    pub fn token(&self, cost: Cost) {
        self.turn().next(cost.rounds);
        self.bar.inc(1);
        let left = self.turn().tokens(self.tokens_left());
        self.say(cost, left);
    }

    /// Says `line` above the bar.
    pub fn note(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, cost: Cost, left: Option<Duration>) {
        let left = left.map_or_else(String::new, |left| format!(", at most {} left", HumanDuration(left)));
        self.bar.set_message(format!("{} rounds, {}{left}", cost.rounds, bytes(cost.bytes)));
    }

    fn tokens_left(&self) -> u32 {
        u32::try_from(self.bar.length().unwrap_or_default().saturating_sub(self.bar.position())).unwrap_or(u32::MAX)
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn first() -> Self {
        Self { began: Instant::now(), past_rounds: 0, is_prompt: true, later: (Duration::ZERO, 0) }
    }

    fn next(&mut self, rounds: u64) {
        if !self.is_prompt {
            self.later = (self.later.0 + self.began.elapsed(), self.later.1 + 1);
        }
        (self.began, self.past_rounds, self.is_prompt) = (Instant::now(), rounds, false);
    }

    /// How long `tokens` more take, as those before did; nothing before there are some.
    fn tokens(&self, tokens: u32) -> Option<Duration> {
        let (time, count) = self.later;
        (count > 0).then(|| time / count * tokens)
    }

    /// How long this turn still takes, if its rounds go on as they went, and the tokens after it.
    fn left(&self, working: Working, tokens: u32) -> Option<Duration> {
        let (done, all) =
            (working.cost.rounds.checked_sub(self.past_rounds)?, working.expected.checked_sub(self.past_rounds)?);
        let turn = self.began.elapsed().mul_f64(all.saturating_sub(done) as f64 / done.max(1) as f64);
        let each = self.tokens(1).unwrap_or_default();
        (all > 0).then(|| turn + each * tokens.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_rounds_and_from_tokens_before() {
        let cost = |rounds| Cost { rounds, bytes: 0 };
        let began = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let turn = Turn { began, past_rounds: 100, is_prompt: false, later: (Duration::from_secs(8), 4) };
        assert_eq!(turn.tokens(3), Some(Duration::from_secs(6)));
        let left = turn.left(Working { expected: 300, cost: cost(200) }, 4).unwrap().as_secs_f64();
        assert!((left - 16.0).abs() < 0.5, "ten seconds of this turn, three tokens of two seconds: {left}");
        assert_eq!(turn.left(Working { expected: 0, cost: cost(200) }, 4), None, "nothing is foreseen");
    }
}
