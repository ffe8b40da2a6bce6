//! When a program's masks are made: those of the prompt with it, those of later tokens some at a time.

use neuro_smpc::channel::Channel as _;
use neuro_smpc::error::SmpcError;
use neuro_smpc::rehearsal::Forecast;

use super::agreement::Lengths;
use super::program::{PartyComputation, Watch};

/// Tokens for which masks are made together after the prompt. Making them for more costs fewer rounds a token, and more
/// for nothing when the answer ends early.
pub(super) const TOKENS_AHEAD: usize = 4;

/// What is prepared in one session, turn by turn.
pub(super) struct Preparation {
    turn: usize,
    rows: usize,
    max_tokens: usize,
    /// Rounds of one turn with its masks made.
    rounds: u64,
}

impl Preparation {
    /// Before the first turn.
    pub(super) const fn new(lengths: &Lengths) -> Self {
        Self { turn: 0, rows: lengths.rows as usize, max_tokens: lengths.tokens as usize, rounds: 0 }
    }

    /// Makes the masks that the next turn lacks; `rehearse` says what passes of so many new tokens take.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub(super) fn before_turn(
        &mut self,
        computation: &mut PartyComputation<'_>,
        watch: &dyn Watch,
        rehearse: impl FnOnce(&[usize]) -> Result<Forecast, SmpcError>,
    ) -> Result<(), SmpcError> {
        let passes = self.passes();
        self.turn += 1;
        if passes.is_empty() {
            watch.foresee(self.rounds);
            return Ok(());
        }
        let forecast = rehearse(&passes)?;
        self.rounds = forecast.online.rounds / passes.len() as u64;
        watch.foresee(self.rounds + forecast.preprocessing.rounds);
        computation.prepare(&forecast.requests)?;
        watch.prepared(computation.link().spent());
        Ok(())
    }

    /// New tokens of the passes whose masks are made before this turn.
    fn passes(&self) -> Vec<usize> {
        match self.turn.checked_sub(1) {
            None => vec![self.rows],
            Some(after) if after.is_multiple_of(TOKENS_AHEAD) => {
                vec![1; TOKENS_AHEAD.min(self.max_tokens - self.turn)]
            }
            Some(_) => Vec::new(),
        }
    }
}
