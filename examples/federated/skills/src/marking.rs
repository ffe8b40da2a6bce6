//! How many held-out questions a model answers right.
//!
//! The rule of the skills model: greedy decoding of at most the answer's tokens plus four, special tokens dropped, white
//! space trimmed at both ends, exact match. Where every likeliest token after the question and the right answer's
//! beginning is the right one, greedy decoding gives the right answer, so only the others are decoded.

use neuro_training::MoeModel;
use serde_json::{Value, json};

use crate::corpus::{Chat, Dice, Item, Lexicon, SKILLS, Texts};

/// The seed of the questions that models are marked on. Every model gets the same ones.
const SEED: u64 = 99;

/// Questions that go through the model together.
const TOGETHER: usize = 50;

/// What a model got right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marks {
    /// Right answers.
    pub right: usize,
    /// Questions.
    pub of: usize,
    /// Mean loss, in nats per token of the right answer.
    pub loss: f32,
}

/// The first `each` held-out questions of `skill`.
pub fn questions(lexicon: &Lexicon, skill: &str, each: usize) -> Vec<Item> {
    let stream = SKILLS.iter().position(|known| *known == skill).unwrap_or_default();
    let mut dice = Dice::new(SEED, stream as u64);
    (0..each).map(|_| lexicon.draw(&mut dice, skill, true)).collect()
}

/// Marks `model` on the first `each` held-out questions of `skill`. `decode` asks again, by greedy decoding, what was
/// not right token by token; without it the number may be a little too low.
///
/// # Errors
/// A question that has tokens which the model does not know.
pub fn mark(model: &MoeModel, texts: &Texts, skill: &str, each: usize, decode: bool) -> anyhow::Result<Marks> {
    let Texts { lexicon, chat } = texts;
    let (mut right, mut loss) = (0, 0.0);
    for items in questions(lexicon, skill, each).chunks(TOGETHER) {
        let examples: Vec<_> =
            items.iter().map(|item| chat.example(item, Vec::new())).collect::<anyhow::Result<_>>()?;
        let evaluation = model.evaluate(&examples)?;
        loss += evaluation.loss * items.len() as f32 / each as f32;
        for (item, exact) in items.iter().zip(evaluation.exact) {
            right += usize::from(exact || (decode && reply(model, chat, item)? == item.answer));
        }
    }
    Ok(Marks { right, of: each, loss })
}

/// What `model` answers, as far as it goes like the right answer: what comes after the first difference does not matter.
///
/// # Errors
/// A question that has tokens which the model does not know.
pub fn reply(model: &MoeModel, chat: &Chat, item: &Item) -> anyhow::Result<String> {
    let mut ids = chat.prompt(&item.question)?;
    let (start, limit) = (ids.len(), chat.answer(&item.answer)?.len() + 4);
    while ids.len() < start + limit {
        let logits = model.next_logits(&[ids.clone()])?;
        let best = (0..logits.len()).fold(0, |best, at| if logits[at] > logits[best] { at } else { best });
        if best as u32 == chat.end() {
            break;
        }
        ids.push(best as u32);
        if !item.answer.starts_with(&chat.text(&ids[start..])?) {
            break;
        }
    }
    chat.text(&ids[start..])
}

/// The marks of all skills by greedy decoding, as the record has them; also printed.
///
/// # Errors
/// As [`mark`].
pub fn all_marks(name: &str, model: &MoeModel, texts: &Texts, each: usize) -> anyhow::Result<Value> {
    let mut marks = serde_json::Map::new();
    for skill in SKILLS {
        let got = mark(model, texts, skill, each, true)?;
        println!("{name}: {skill} {} of {}", got.right, got.of);
        marks.insert(skill.to_owned(), json!(got.right));
    }
    Ok(json!({ "of": each, "right": marks }))
}
