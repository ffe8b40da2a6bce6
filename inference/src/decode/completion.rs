//! An answer while it grows: tokens become text, and the text is watched for its end.

use neuro_model::{TokenStream, Tokenizer};

use super::{FinishReason, GenerateRequest, Generated, Usage};
use crate::stop::StopMatcher;

/// The answer so far.
pub(crate) struct Completion<'m> {
    stream: TokenStream<'m>,
    stops: StopMatcher,
    stop_ids: Vec<u32>,
    prompt_tokens: usize,
    /// The most tokens it may have.
    budget: usize,
    ids: Vec<u32>,
    text: String,
}

impl<'m> Completion<'m> {
    /// An empty answer of at most `budget` tokens.
    pub(crate) fn new(request: &GenerateRequest, tokenizer: &'m Tokenizer, budget: usize) -> Self {
        Self {
            stream: TokenStream::new(tokenizer, request.skip_special),
            stops: StopMatcher::new(&request.stop),
            stop_ids: request.stop_ids.clone(),
            prompt_tokens: request.prompt.len(),
            budget,
            ids: Vec::new(),
            text: String::new(),
        }
    }

    /// Whether it has all the tokens that it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.ids.len() >= self.budget
    }

    /// Takes the next token. Returns the text that became certain, and why the answer ends if it does.
    pub(crate) fn push(&mut self, id: u32) -> (String, Option<FinishReason>) {
        self.ids.push(id);
        let (text, finish) =
            if self.stop_ids.contains(&id) { (self.flush().0, Some(FinishReason::Stop)) } else { self.push_text(id) };
        self.text.push_str(&text);
        (text, finish)
    }

    /// The finished answer.
    pub(crate) fn finish(&self, finish: FinishReason) -> Generated {
        let usage = Usage { prompt_tokens: self.prompt_tokens, completion_tokens: self.ids.len() };
        Generated { text: self.text.clone(), ids: self.ids.clone(), finish, usage }
    }

    fn push_text(&mut self, id: u32) -> (String, Option<FinishReason>) {
        let decoded = self.stream.push(id).unwrap_or_default();
        let step = self.stops.push(&decoded);
        if step.stopped {
            return (step.text, Some(FinishReason::Stop));
        }
        if !self.is_full() {
            return (step.text, None);
        }
        let (rest, stopped) = self.flush();
        (step.text + &rest, Some(if stopped { FinishReason::Stop } else { FinishReason::Length }))
    }

    /// All text that was held back, since no more tokens come; and whether a stop string ends in it.
    fn flush(&mut self) -> (String, bool) {
        let decoded = self.stream.finish().unwrap_or_default();
        let step = self.stops.push(&decoded);
        (step.text + &self.stops.finish(), step.stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::SamplingParams;

    /// A byte-level tokenizer with merges, so that characters and words are cut in many places.
    fn tokenizer() -> Tokenizer {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/skills/checkpoint/tokenizer.json");
        Tokenizer::from_bytes(&std::fs::read(path).expect("the skills model is there")).expect("a tokenizer")
    }

    fn request(stop: &[&str]) -> GenerateRequest {
        GenerateRequest {
            prompt: vec![5],
            max_tokens: 1000,
            sampling: SamplingParams::default(),
            stop: stop.iter().map(|stop| (*stop).to_owned()).collect(),
            stop_ids: vec![1],
            skip_special: true,
        }
    }

    /// Pushes `ids` until the answer ends: the texts of the events, and the answer.
    fn run(tokenizer: &Tokenizer, request: &GenerateRequest, ids: &[u32]) -> (Vec<String>, Generated) {
        let (mut completion, mut texts) = (Completion::new(request, tokenizer, request.max_tokens), Vec::new());
        for &id in ids {
            let (text, finish) = completion.push(id);
            texts.push(text);
            if let Some(finish) = finish {
                return (texts, completion.finish(finish));
            }
        }
        (texts, completion.finish(FinishReason::Cancelled))
    }

    #[test]
    fn a_character_appears_with_its_last_byte() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("a🙂é", false).expect("any text encodes");
        assert!(ids.len() > 3, "the characters take several tokens");
        let (texts, generated) = run(&tokenizer, &request(&[]), &[ids.as_slice(), &[1]].concat());
        assert_eq!(generated.text, "a🙂é");
        assert_eq!(texts.concat(), generated.text);
        assert!(texts.iter().all(|text| !text.contains('\u{fffd}')), "{texts:?}");
        assert!(texts.iter().any(String::is_empty), "some tokens are parts of characters: {texts:?}");
        assert_eq!(generated.finish, FinishReason::Stop);
        assert_eq!(generated.usage, Usage { prompt_tokens: 1, completion_tokens: ids.len() + 1 });
    }

    #[test]
    fn a_stop_string_across_tokens_is_never_shown() {
        let tokenizer = tokenizer();
        for (text, stop, expected) in
            [("one two three", "two", "one "), ("a🙂b", "🙂", "a"), ("aaab", "ab", "aa"), ("xyz", "x", "")]
        {
            let ids = tokenizer.encode(text, false).expect("any text encodes");
            let (texts, generated) = run(&tokenizer, &request(&[stop]), &ids);
            assert_eq!((generated.text.as_str(), generated.finish), (expected, FinishReason::Stop), "{text}");
            assert_eq!(texts.concat(), expected);
        }
    }

    #[test]
    fn held_text_comes_with_the_last_token() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("hello EN", false).expect("any text encodes");
        let mut asked = request(&["END"]);
        let (_, stopped) = run(&tokenizer, &asked, &[ids.as_slice(), &[1]].concat());
        assert_eq!((stopped.text.as_str(), stopped.finish), ("hello EN", FinishReason::Stop));
        asked.max_tokens = ids.len();
        let (texts, full) = run(&tokenizer, &asked, &ids);
        assert_eq!((full.text.as_str(), full.finish), ("hello EN", FinishReason::Length));
        assert!(texts.last().is_some_and(|text| text.ends_with("EN")), "{texts:?}");
    }

    #[test]
    fn half_a_character_at_the_end_becomes_a_replacement() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("🙂", false).expect("any text encodes");
        let mut asked = request(&[]);
        asked.max_tokens = 1;
        let (texts, generated) = run(&tokenizer, &asked, &ids[..1]);
        assert_eq!(texts, ["\u{fffd}"]);
        assert_eq!(generated.finish, FinishReason::Length);
        assert_eq!(generated.text, tokenizer.decode(&ids[..1], true).expect("any tokens decode"));
    }

    #[test]
    fn special_tokens_are_text_only_when_asked_for() {
        let tokenizer = tokenizer();
        let ids = [tokenizer.encode("a", false).expect("any text encodes")[0], 0];
        let mut asked = request(&[]);
        assert_eq!(run(&tokenizer, &asked, &ids).1.text, "a");
        asked.skip_special = false;
        assert_eq!(run(&tokenizer, &asked, &ids).1.text, "a<s>");
    }
}
