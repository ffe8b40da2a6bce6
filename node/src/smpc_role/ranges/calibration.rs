//! The model in the open, over some texts.
//!
//! Each text is asked as a question and answered by the model itself for some tokens, so that rows of answers count as
//! well. Some rows of random tokens follow: what nobody would ask goes further than what somebody would.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use neuro_model::ChatMessage;
use neuro_smpc::nn::{ModelWeights, Noted, Operation, PlainDecoder, embedding};

use super::{Known, MOST_FAILURES, ProfileOf, RangeFileError, RangeProfile};
use crate::data_dir::{DataDir, DataDirError};
use crate::smpc_role::model::{ClientModel, ModelError};

/// Tokens of an answer.
const ANSWER_TOKENS: usize = 12;

/// Sequences of random tokens.
const RANDOM_SEQUENCES: u64 = 4;

/// Tokens of each.
const RANDOM_TOKENS: usize = 64;

/// Full contexts that the longest session has at most when nobody says how long it may be: so many prompts go through
/// together. It has one at least.
const CONTEXTS: u64 = 8;

/// Where profiles that the program made by itself are kept in the data folder.
const RANGES: &str = "smpc-ranges";

/// The texts that are taken when there are no others: one a line.
const TEXTS: &str = include_str!("texts.txt");

/// What is calibrated.
pub struct Calibration<'a> {
    /// Tokenizer and embeddings.
    pub client: &'a ClientModel,
    /// The weights that parties compute with.
    pub weights: &'a Arc<ModelWeights>,
    /// Names both, and the program.
    pub whose: ProfileOf,
    /// The longest session in rows; without it, as many full contexts as the profile holds for, from one to eight.
    pub longest_rows: Option<u64>,
}

/// The texts that come with the program.
pub fn own_texts() -> impl Iterator<Item = &'static str> {
    TEXTS.lines().filter(|line| !line.is_empty())
}

impl Calibration<'_> {
    /// Runs `texts`. Hears after each one.
    ///
    /// # Errors
    /// A text that the model's template or tokenizer refuses.
    pub fn run(&self, texts: &[&str], done: &(dyn Fn() + Sync)) -> Result<RangeProfile, ModelError> {
        let prompts: Vec<Vec<u32>> = texts.iter().map(|text| self.prompt(text)).collect::<Result<_, _>>()?;
        let random = (0..RANDOM_SEQUENCES).map(|seed| self.random(seed));
        let sequences: Vec<(Vec<u32>, usize)> =
            prompts.into_iter().map(|ids| (ids, ANSWER_TOKENS)).chain(random.map(|ids| (ids, 0))).collect();
        let mut all = Noted::default();
        for noted in self.sequences(&sequences, done) {
            all.append(noted?);
        }
        let context = self.client.facts().context as u64;
        let mut profile = RangeProfile::of(self.whose, &self.weights.shape, context, (&all, &self.embeddings()?));
        let mut lengths = (1..=CONTEXTS).rev().map(|contexts| contexts * context);
        let held = lengths.find(|rows| profile.expected_failures(*rows) <= MOST_FAILURES);
        profile.longest_rows = self.longest_rows.or(held).unwrap_or(context);
        Ok(profile)
    }

    /// What the first norm makes of every token, and of padding, which is a row of zeros in front of every norm.
    fn embeddings(&self) -> Result<Known, ModelError> {
        let (mut sums, mut smallness) = (Vec::new(), Vec::new());
        let facts = self.client.facts();
        let mut note = |row: &[f32]| {
            let [(_, sum), (_, small)] = embedding(row, self.weights.rms_eps);
            sums.push(sum);
            smallness.push(small);
        };
        note(&vec![0.0; facts.d_model]);
        for id in 0..u32::try_from(facts.vocab_size).unwrap_or(u32::MAX) {
            note(&self.client.rows(&[id])?);
        }
        Ok(vec![(Operation::EmbeddingSum, sums), (Operation::EmbeddingSmallness, smallness)])
    }

    /// How many sequences are run for `texts`: so often the end of one is heard.
    #[must_use]
    pub const fn sequences_of(&self, texts: &[&str]) -> u64 {
        texts.len() as u64 + RANDOM_SEQUENCES
    }

    /// Every sequence, on all cores; in the order of sequences.
    fn sequences(&self, all: &[(Vec<u32>, usize)], done: &(dyn Fn() + Sync)) -> Vec<Result<Noted, ModelError>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((ids, more)) = all.get(at) else { return found };
                found.push((at, self.sequence(ids, *more)));
                done();
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut found = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut found = work();
            found.extend(others.into_iter().flat_map(|other| other.join().unwrap_or_default()));
            found
        });
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, noted)| noted).collect()
    }

    /// `ids`, and what the model says next, `more` tokens at most.
    fn sequence(&self, ids: &[u32], more: usize) -> Result<Noted, ModelError> {
        let (mut noted, mut decoder) = (Noted::default(), PlainDecoder::new(Arc::clone(self.weights)));
        let width = self.client.facts().d_model;
        let mut logits = Vec::new();
        for row in self.client.rows(ids)?.chunks_exact(width) {
            logits = decoder.advance(row, &mut noted);
        }
        for _ in 0..more.min(self.client.facts().context.saturating_sub(ids.len())) {
            let token = likeliest(&logits);
            if self.client.ends(token) {
                break;
            }
            logits = decoder.advance(&self.client.rows(&[token])?, &mut noted);
        }
        Ok(noted)
    }

    fn prompt(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let message = ChatMessage { role: "user".to_owned(), content: text.to_owned() };
        let mut ids = match self.client.prompt(&[message]) {
            Err(ModelError::NoTemplate) => self.client.tokenizer().encode(text, false)?,
            ids => ids?,
        };
        ids.truncate(self.client.facts().context);
        Ok(ids)
    }

    /// Tokens from a fixed sequence of numbers.
    fn random(&self, seed: u64) -> Vec<u32> {
        let (vocabulary, context) = (self.client.facts().vocab_size as u64, self.client.facts().context);
        let mut state = seed;
        let mut draw = || {
            // Knuth's linear congruential generator.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((state >> 33) % vocabulary).unwrap_or(0)
        };
        (0..RANDOM_TOKENS.min(context)).map(|_| draw()).collect()
    }
}

/// Where the profile of a model is kept that the program made by itself.
///
/// # Errors
/// A folder that cannot be made.
pub fn kept_at(data_dir: &DataDir, whose: ProfileOf) -> Result<PathBuf, DataDirError> {
    Ok(data_dir.folder(RANGES)?.join(format!("{}.json", whose.model)))
}

/// The profile kept there, if it is one of this program and version.
#[must_use]
pub fn kept(path: &std::path::Path, whose: ProfileOf) -> Option<RangeProfile> {
    let profile = RangeProfile::read(path).ok()?;
    profile.check_name(whose).is_ok().then_some(profile)
}

/// Keeps it there.
///
/// # Errors
/// Those of the operating system.
pub fn keep(path: &std::path::Path, profile: &RangeProfile) -> Result<(), RangeFileError> {
    profile.write(path)
}

fn likeliest(logits: &[f64]) -> u32 {
    let best = (0_u32..).zip(logits).max_by(|(one, x), (other, y)| x.total_cmp(y).then(other.cmp(one)));
    best.map_or(0, |(id, _)| id)
}
