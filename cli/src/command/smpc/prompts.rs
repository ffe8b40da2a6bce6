//! Questions as tokens, which fit the model.

use neuro_model::ChatMessage;
use neuro_node::smpc_role::model::ClientModel;

use crate::exit_code::Outcome;
use crate::failure::Failure;

/// Prompts of one session; at least one.
pub struct Prompts {
    tokens: Vec<Vec<u32>>,
    longest: usize,
    context: usize,
}

impl Prompts {
    /// Each text as what a user says.
    ///
    /// # Errors
    /// A text that the model cannot take, or one that leaves no room for an answer.
    pub fn of<'a>(model: &ClientModel, texts: impl IntoIterator<Item = &'a String>) -> Result<Self, Failure> {
        let message = |text: &String| ChatMessage { role: "user".to_owned(), content: text.clone() };
        let tokens = texts.into_iter().map(|text| model.prompt(&[message(text)]));
        Self::fitting(tokens.collect::<Result<Vec<_>, _>>()?, model.facts().context)
    }

    /// Prompts for a model with room for `context` tokens.
    ///
    /// # Errors
    /// See [`Self::of`].
    pub fn fitting(tokens: Vec<Vec<u32>>, context: usize) -> Result<Self, Failure> {
        let longest = tokens.iter().map(Vec::len).max().unwrap_or_default();
        if longest >= context {
            let message =
                format!("the prompt has {longest} tokens; prompt and answer together have room for {context}");
            return Err(Failure::message(Outcome::Refused, message).hint("ask about less text at a time"));
        }
        Ok(Self { tokens, longest, context })
    }

    /// The tokens of each.
    pub fn tokens(&self) -> &[Vec<u32>] {
        &self.tokens
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens of the longest.
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// Tokens that fit behind the longest. It says how long that is, so no party is told.
    pub const fn room(&self) -> usize {
        self.context - self.longest
    }
}
