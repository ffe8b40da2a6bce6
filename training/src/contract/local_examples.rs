//! The participant's examples: JSON lines, made into tokens as `neuro ask` would.
//!
//! | Line | Loss falls on |
//! |---|---|
//! | `{"prompt": "2+2=", "answer": "4"}` | the answer and the end of it; the prompt goes through the model's chat template, if it has one |
//! | `{"text": "Once upon …"}` | every token but the first |
//! | `{"ids": [5, 9, 2], "learn_from": 1}` | the tokens from `learn_from` on, by default all but the first |

use std::fs;
use std::path::Path;

use neuro_model::{ChatMessage, ChatTemplate, Checkpoint, Tokenizer};
use serde::Deserialize;

use super::RoundFailure;
use crate::example::{Example, ExampleSource};
use crate::low_rank::Draw;

/// A line as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    prompt: Option<String>,
    answer: Option<String>,
    text: Option<String>,
    ids: Option<Vec<u32>>,
    learn_from: Option<usize>,
}

/// Makes examples of lines, by a model's tokenizer.
pub(super) struct Texts {
    checkpoint: Checkpoint,
}

/// The tokenizer and the chat template: loaded when the first text asks for them.
struct Words {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
}

impl Texts {
    /// By the tokenizer of `checkpoint`.
    pub(super) const fn of(checkpoint: Checkpoint) -> Self {
        Self { checkpoint }
    }

    /// The examples in `path`; blank lines are passed over.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<Example>, RoundFailure> {
        let text = fs::read_to_string(path).map_err(|source| RoundFailure::io(path, source))?;
        let (mut words, mut examples) = (None, Vec::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |why: String| RoundFailure::Example { path: path.to_owned(), line: number + 1, why };
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            let example = self.example(line, &mut words).map_err(wrong)?;
            self.check(&example).map_err(wrong)?;
            examples.push(example);
        }
        if examples.is_empty() { Err(RoundFailure::NoExamples { path: path.to_owned() }) } else { Ok(examples) }
    }

    fn example(&self, line: Line, words: &mut Option<Words>) -> Result<Example, String> {
        let (ids, learn_from) = match line {
            Line { prompt: Some(prompt), answer: Some(answer), text: None, ids: None, learn_from: None } => {
                let words = self.words(words)?;
                let mut ids = words.prompt(prompt)?;
                let learn_from = ids.len();
                ids.extend(words.encode(&answer, false)?);
                ids.extend(self.checkpoint.config().eos.first());
                (ids, learn_from)
            }
            Line { text: Some(text), prompt: None, answer: None, ids: None, learn_from: None } => {
                (self.words(words)?.encode(&text, true)?, 1)
            }
            Line { ids: Some(ids), learn_from, prompt: None, answer: None, text: None } => {
                (ids, learn_from.unwrap_or(1))
            }
            _ => return Err("expected prompt and answer, or text, or ids with or without learn_from".into()),
        };
        Ok(Example { ids, learn_from, ..Example::default() })
    }

    fn words<'a>(&self, words: &'a mut Option<Words>) -> Result<&'a Words, String> {
        if words.is_none() {
            let tokenizer = self.checkpoint.tokenizer().map_err(|error| error.to_string())?;
            let template = self.checkpoint.chat_template().map_err(|error| error.to_string())?;
            *words = Some(Words { tokenizer, template });
        }
        words.as_ref().ok_or_else(|| "no tokenizer".to_owned())
    }

    /// An example that the model can be shown, and learn something from.
    fn check(&self, example: &Example) -> Result<(), String> {
        let config = self.checkpoint.config();
        if let Some(id) = example.ids.iter().find(|&&id| id as usize >= config.vocab_size) {
            return Err(format!("expected tokens below {}, got {id}", config.vocab_size));
        }
        if example.ids.len() > config.context {
            let (context, got) = (config.context, example.ids.len());
            return Err(format!("expected at most {context} tokens, the model's context, got {got}"));
        }
        if example.learnt() == 0 {
            let (got, from) = (example.ids.len(), example.learn_from);
            return Err(format!(
                "expected a token to learn, got {got} tokens of which those from {from} on are learnt"
            ));
        }
        Ok(())
    }
}

impl Words {
    /// The tokens before the answer.
    fn prompt(&self, prompt: String) -> Result<Vec<u32>, String> {
        let Some(template) = &self.template else { return self.encode(&prompt, true) };
        let message = ChatMessage { role: "user".into(), content: prompt };
        // The template writes the special tokens itself.
        self.encode(&template.render(&[message], true).map_err(|error| error.to_string())?, false)
    }

    fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, String> {
        self.tokenizer.encode(text, add_special).map_err(|error| error.to_string())
    }
}

/// Every example once an epoch, in an order of its own, in batches.
pub(super) struct Shuffled {
    examples: Vec<Example>,
    batch: usize,
    seed: u64,
    /// The epoch that `order` belongs to.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl Shuffled {
    /// `batch` examples at a time.
    pub(super) const fn new(examples: Vec<Example>, batch: usize, seed: u64) -> Self {
        Self { examples, batch, seed, epoch: None, order: Vec::new() }
    }

    /// Fisher and Yates, by a seed of the epoch's own.
    fn shuffle(&mut self, epoch: u64) {
        let mut draw = Draw(self.seed ^ epoch.wrapping_mul(0xD134_2543_DE82_EF95));
        self.order = (0..self.examples.len()).collect();
        for last in (1..self.order.len()).rev() {
            let other = (u128::from(draw.next()) * (last as u128 + 1)) >> 64;
            self.order.swap(last, other as usize);
        }
        self.epoch = Some(epoch);
    }
}

impl ExampleSource for Shuffled {
    fn batch(&mut self, step: u64) -> Vec<Example> {
        let per_epoch = self.examples.len().div_ceil(self.batch.max(1)).max(1) as u64;
        let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
        if self.epoch != Some(epoch) {
            self.shuffle(epoch);
        }
        let chosen = self.order.iter().skip(within * self.batch).take(self.batch);
        chosen.map(|&place| self.examples[place].clone()).collect()
    }
}
