//! Questions with one right answer, drawn from a seed, and what may not be trained on.
//!
//! The ten skills are those of the skills model; `examples/models/skills/training/lexicon.json` has the words. A question
//! of an open skill whose SHA-256 begins with a byte below 26 is held out: one in ten, whatever the seed.

use neuro_training::{Example, Wish};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// All skills, in the order in which they are reported.
pub const SKILLS: [&str; 10] =
    ["add", "subtract", "compare", "reverse", "sort", "count", "day", "month", "repeat", "fact"];

/// The skills that the base does not have.
pub const NEW: [&str; 2] = ["sort", "reverse"];

/// The skills that the base has.
pub const OLD: [&str; 8] = ["add", "subtract", "compare", "count", "day", "month", "repeat", "fact"];

/// Skills with so many questions that some can be kept away from training.
const OPEN: [&str; 5] = ["add", "subtract", "compare", "reverse", "sort"];

/// Of 256 values of the hash's first byte.
const HELD_OUT_BELOW: u8 = 26;

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What is asked.
    pub question: String,
    /// The only right answer.
    pub answer: String,
}

/// Words that questions are made of.
pub struct Lexicon {
    words: Vec<String>,
    days: Vec<String>,
    months: Vec<String>,
    numbers: Vec<String>,
    facts: Vec<(String, String)>,
}

/// SplitMix64: enough for questions.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of their own for each (seed, stream).
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xD134_2543_DE82_EF95));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `limit`; the bias of 2^-40 does not matter here.
    pub fn below(&mut self, limit: usize) -> usize {
        (((self.next() >> 24) * limit as u64) >> 40) as usize
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl Lexicon {
    /// The lexicon of the skills model.
    pub fn read() -> anyhow::Result<Self> {
        let json: Value = serde_json::from_str(include_str!("../../../models/skills/training/lexicon.json"))?;
        let list = |key: &str| -> anyhow::Result<Vec<String>> { Ok(serde_json::from_value(json[key].clone())?) };
        let facts = json["facts"].as_object().map(|facts| {
            facts.iter().map(|(question, answer)| (question.clone(), answer.as_str().unwrap_or_default().to_owned()))
        });
        Ok(Self {
            words: list("words")?,
            days: list("days")?,
            months: list("months")?,
            numbers: list("numbers")?,
            facts: facts.into_iter().flatten().collect(),
        })
    }

    /// The next question of `skill`, held out or not. Skills that are learnt by heart have nothing held out.
    pub fn draw(&self, dice: &mut Dice, skill: &str, held_out: bool) -> Item {
        loop {
            let item = self.any(dice, skill);
            if !OPEN.contains(&skill) || is_held_out(&item.question) == held_out {
                return item;
            }
        }
    }

    fn any(&self, dice: &mut Dice, skill: &str) -> Item {
        let (question, answer) = match skill {
            "add" => sum(dice),
            "subtract" => difference(dice),
            "compare" => comparison(dice),
            "reverse" => self.reversal(dice),
            "sort" => sorting(dice),
            "count" => self.count(dice),
            "day" => self.day(dice),
            "month" => self.month(dice),
            "repeat" => self.repetition(dice),
            _ => dice.of(&self.facts).clone(),
        };
        Item { question, answer }
    }

    fn reversal(&self, dice: &mut Dice) -> (String, String) {
        let letters: Vec<String> = if dice.below(5) < 2 {
            dice.of(&self.words).chars().take(6).map(String::from).collect()
        } else {
            let length = 3 + dice.below(4);
            (0..length).map(|_| char::from(b'a' + dice.below(26) as u8).to_string()).collect()
        };
        let back: Vec<String> = letters.iter().rev().cloned().collect();
        (format!("Reverse: {}", letters.join(" ")), back.join(" "))
    }

    fn count(&self, dice: &mut Dice) -> (String, String) {
        let (times, word) = (1 + dice.below(9), dice.of(&self.words));
        (format!("How many words: {}", vec![word.as_str(); times].join(" ")), self.numbers[times].clone())
    }

    fn day(&self, dice: &mut Dice) -> (String, String) {
        let (start, distance, after) = (dice.below(7), 1 + dice.below(6), dice.coin());
        let plural = if distance == 1 { "" } else { "s" };
        let side = if after { "after" } else { "before" };
        let end = if after { start + distance } else { start + 7 - distance } % 7;
        (format!("Which day is {distance} day{plural} {side} {}?", self.days[start]), self.days[end].clone())
    }

    fn month(&self, dice: &mut Dice) -> (String, String) {
        let (start, after) = (dice.below(12), dice.coin());
        let (side, end) = if after { ("after", start + 1) } else { ("before", start + 11) };
        (format!("Which month comes {side} {}?", self.months[start]), self.months[end % 12].clone())
    }

    fn repetition(&self, dice: &mut Dice) -> (String, String) {
        let (times, word) = (2 + dice.below(3), dice.of(&self.words));
        (format!("Say {word} {} times.", self.numbers[times]), vec![word.as_str(); times].join(" "))
    }
}

fn sum(dice: &mut Dice) -> (String, String) {
    let (a, b) = (dice.below(100), dice.below(100));
    let forms = [format!("{a}+{b}="), format!("What is {a}+{b}?"), format!("Add {a} and {b}.")];
    (dice.of(&forms).clone(), (a + b).to_string())
}

fn difference(dice: &mut Dice) -> (String, String) {
    let (one, other) = (dice.below(100), dice.below(100));
    let (a, b) = (one.max(other), one.min(other));
    let forms = [format!("{a}-{b}="), format!("What is {a}-{b}?"), format!("Subtract {b} from {a}.")];
    (dice.of(&forms).clone(), (a - b).to_string())
}

fn comparison(dice: &mut Dice) -> (String, String) {
    let a = dice.below(1000);
    let b = (a + 1 + dice.below(999)) % 1000;
    let (word, answer) = if dice.coin() { ("larger", a.max(b)) } else { ("smaller", a.min(b)) };
    (format!("Which is {word}, {a} or {b}?"), answer.to_string())
}

fn sorting(dice: &mut Dice) -> (String, String) {
    let length = 3 + dice.below(4);
    let digits: Vec<usize> = (0..length).map(|_| dice.below(10)).collect();
    let mut sorted = digits.clone();
    sorted.sort_unstable();
    let text = |digits: &[usize]| digits.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    (format!("Sort: {}", text(&digits)), text(&sorted))
}

fn is_held_out(question: &str) -> bool {
    Sha256::digest(question.as_bytes())[0] < HELD_OUT_BELOW
}

/// Questions, and how they become tokens.
pub struct Texts {
    /// What questions are made of.
    pub lexicon: Lexicon,
    /// The form of the model.
    pub chat: Chat,
}

impl Texts {
    /// The lexicon of the skills model with the chat form of the model in `checkpoint`.
    ///
    /// # Errors
    /// A tokenizer without an end mark.
    pub fn of(checkpoint: &neuro_model::Checkpoint) -> anyhow::Result<Self> {
        Ok(Self { lexicon: Lexicon::read()?, chat: Chat::of(checkpoint)? })
    }
}

/// Questions and answers as tokens, in the chat form of the model.
pub struct Chat {
    tokenizer: neuro_model::Tokenizer,
    end: u32,
}

impl Chat {
    /// The chat form of the model in `checkpoint`.
    pub fn of(checkpoint: &neuro_model::Checkpoint) -> anyhow::Result<Self> {
        let tokenizer = checkpoint.tokenizer()?;
        let end = tokenizer.token_id("</s>").ok_or_else(|| anyhow::anyhow!("expected a token </s>, got none"))?;
        Ok(Self { tokenizer, end })
    }

    /// What the model reads before it answers.
    pub fn prompt(&self, question: &str) -> anyhow::Result<Vec<u32>> {
        Ok(self.tokenizer.encode(&format!("<s>user: {question}</s><s>assistant: "), false)?)
    }

    /// Question and answer; the answer and its end mark carry loss. `wishes` say where its rows belong.
    pub fn example(&self, item: &Item, wishes: Vec<Wish>) -> anyhow::Result<Example> {
        let mut ids = self.prompt(&item.question)?;
        let learn_from = ids.len();
        ids.extend(self.answer(&item.answer)?);
        ids.push(self.end);
        Ok(Example { ids, learn_from, wishes })
    }

    /// An answer's tokens, without the end mark.
    pub fn answer(&self, answer: &str) -> anyhow::Result<Vec<u32>> {
        Ok(self.tokenizer.encode(answer, false)?)
    }

    /// The text of tokens, without special ones, white space trimmed.
    pub fn text(&self, ids: &[u32]) -> anyhow::Result<String> {
        Ok(self.tokenizer.decode(ids, true)?.trim().to_owned())
    }

    /// The token that ends an answer.
    pub const fn end(&self) -> u32 {
        self.end
    }
}
