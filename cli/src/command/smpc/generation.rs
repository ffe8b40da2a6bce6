//! Token by token: share rows, join logits, choose. A session that is lost is followed by a new one.

use std::cell::RefCell;
use std::time::Duration;

use neuro_inference::SamplingParams;
use neuro_network::smpc::SessionId;
use neuro_node::smpc_role::agreement::Lengths;
use neuro_node::smpc_role::client::{ClientError, ClientSession, Cost, Terms};
use neuro_node::smpc_role::comparison::Comparison;
use neuro_node::smpc_role::model::ClientModel;
use neuro_node::smpc_role::parties::Parties;
use neuro_node::smpc_role::transcript::Transcript;
use neuro_primitives::{Hash, NodeKey};
use neuro_smpc::computation::Security;

use super::ask::failure;
use super::pace::Pace;
use crate::command::ask::SamplingArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;

/// The pause before the second session; each further one waits as much longer.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// What is asked, of whom.
#[derive(Clone)]
pub struct Asking<'a> {
    /// The client's key.
    pub key: NodeKey,
    /// The parties.
    pub parties: &'a Parties,
    /// The client's half of the model.
    pub model: &'a ClientModel,
    /// The program.
    pub program: Hash,
    /// The range profile.
    pub ranges: Hash,
    /// What the parties are held to.
    pub security: Security,
    /// The most tokens; at least one.
    pub max_tokens: usize,
    /// How to sample.
    pub sampling: &'a SamplingArgs,
    /// The longest wait for a token.
    pub deadline: Duration,
    /// Further sessions that may be begun.
    pub restarts: u32,
    /// Whether the parties may see which experts each token meets.
    pub reveals_routes: bool,
    /// The same model in the open, where layers are compared with it.
    pub comparison: Option<&'a RefCell<Comparison>>,
}

impl Asking<'_> {
    fn terms(&self, lengths: Lengths) -> Terms<'_> {
        Terms {
            parties: self.parties,
            model: self.model.facts(),
            program: self.program,
            ranges: self.ranges,
            lengths,
            reveals_routes: self.reveals_routes,
            tells_layers: self.comparison.is_some(),
            security: self.security,
        }
    }
}

/// What came of it.
pub struct Given {
    /// The answers' tokens, in the order of the prompts.
    pub answers: Vec<Vec<u32>>,
    /// What all sessions have cost.
    pub cost: Cost,
    /// The last session.
    pub session: SessionId,
    /// Its transcript.
    pub transcript: Transcript,
    /// Sessions in all.
    pub sessions: u32,
    /// Turns in all: tokens of the longest answer, its end included.
    pub turns: u32,
}

/// One prompt and as much of its answer as there is.
struct Text<'a> {
    prompt: &'a [u32],
    answer: Vec<u32>,
    ended: bool,
}

impl Text<'_> {
    /// Prompt and answer so far; nothing once the answer has ended.
    fn tokens(&self) -> Option<Vec<u32>> {
        (!self.ended).then(|| [self.prompt, &self.answer].concat())
    }

    fn add(&mut self, token: u32, model: &ClientModel) {
        if self.ended || model.ends(token) {
            self.ended = true;
        } else {
            self.answer.push(token);
        }
    }
}

/// Asks until all answers end. A new session has fresh keys and shares, and takes prompts and finished tokens.
///
/// # Errors
/// The failure of the last session.
pub async fn generate(asking: &Asking<'_>, prompts: &[Vec<u32>]) -> Result<Given, Failure> {
    let pace = Pace::new(asking.max_tokens as u64);
    let mut texts: Vec<_> = prompts.iter().map(|prompt| Text { prompt, answer: Vec::new(), ended: false }).collect();
    let (mut sessions, mut spent) = (1, Spending::default());
    loop {
        let mut open: Vec<_> = texts.iter_mut().filter(|text| !text.ended).collect();
        match session(asking, &mut open, &pace, &mut spent).await {
            Ok((session, transcript)) => {
                pace.end();
                let answers = texts.into_iter().map(|text| text.answer).collect();
                let Spending { cost, turns, .. } = spent;
                return Ok(Given { answers, cost, session, transcript, sessions, turns });
            }
            Err(Lost::Again(failure)) if sessions <= asking.restarts => {
                sessions += 1;
                let pause = RESTART_PAUSE * (sessions - 1);
                pace.note(&format!("{}; a new session begins in {} s", failure.text(), pause.as_secs()));
                tokio::time::sleep(pause).await;
            }
            Err(Lost::Again(failure) | Lost::Over(failure)) => return Err(failure),
        }
    }
}

/// What all sessions have taken so far.
#[derive(Default)]
struct Spending {
    /// Whether the parties were together once.
    has_begun: bool,
    cost: Cost,
    turns: u32,
}

/// Why a session gave nothing.
enum Lost {
    /// It began and lost a party: another one may go on.
    Again(Failure),
    /// Another one would end as this did.
    Over(Failure),
}

impl<E: Into<Failure>> From<E> for Lost {
    fn from(cause: E) -> Self {
        Self::Over(cause.into())
    }
}

/// One session, which adds to `texts` as it goes, and what it costs to `cost`.
async fn session(
    asking: &Asking<'_>,
    texts: &mut [&mut Text<'_>],
    pace: &Pace,
    spent: &mut Spending,
) -> Result<(SessionId, Transcript), Lost> {
    let left = asking.max_tokens - texts.iter().map(|text| text.answer.len()).max().unwrap_or_default();
    let terms = asking.terms(lengths(texts, left)?);
    let opened = ClientSession::open(&asking.key, &terms, asking.deadline).await;
    let mut session = opened.map_err(|error| {
        // A party that was there before may come back.
        let again = spent.has_begun && error.is_retryable();
        if again { Lost::Again(failure(error)) } else { Lost::Over(failure(error)) }
    })?;
    spent.has_begun = true;
    let id = session.agreement().session;
    pace.begin();
    let heard = pace.clone();
    session.listen(move |working| heard.heard(working));
    let before = spent.cost;
    let outcome = converse(asking, texts, left, &mut session, |cost| {
        spent.cost = Cost { rounds: before.rounds + cost.rounds, bytes: before.bytes + cost.bytes };
        spent.turns += 1;
        pace.token(cost);
    });
    if let Err(error) = outcome.await {
        let again = error.is_retryable();
        let failure = failure(session.give_up(error).await);
        return Err(if again { Lost::Again(failure) } else { Lost::Over(failure) });
    }
    let transcript = session.finish().await.map_err(failure)?;
    Ok((id, transcript))
}

/// Token by token, until all texts have ended or are full.
async fn converse(
    asking: &Asking<'_>,
    texts: &mut [&mut Text<'_>],
    left: usize,
    session: &mut ClientSession,
    mut spent: impl FnMut(Cost),
) -> Result<(), ClientError> {
    let rows = |tokens: &[u32]| asking.model.rows(tokens);
    let prompts = texts.iter().map(|text| rows(&[text.prompt, &text.answer].concat()));
    let mut logits = session.begin(&prompts.collect::<Result<Vec<_>, _>>()?).await?;
    for turn in 1..=left {
        if let Some(comparison) = asking.comparison {
            let tokens = texts.iter().map(|text| text.tokens()).collect::<Vec<_>>();
            comparison.borrow_mut().compare(&tokens, &logits)?;
        }
        let vocabulary = logits.values.len() / texts.len();
        let mut last = Vec::new();
        for (text, logits) in texts.iter_mut().zip(logits.values.chunks_exact(vocabulary)) {
            let position = text.prompt.len() + text.answer.len();
            let logits = asking.model.logits(logits)?;
            let token = sampling(asking.sampling).sample(&logits, position);
            text.add(token, asking.model);
            last.push(token);
        }
        spent(logits.cost);
        if turn == left || texts.iter().all(|text| text.ended) {
            break;
        }
        logits = session.advance(&rows(&last)?).await?;
    }
    Ok(())
}

/// The lengths of a session for `texts`.
fn lengths(texts: &[&mut Text<'_>], tokens: usize) -> Result<Lengths, Failure> {
    let count = |number: usize| {
        u32::try_from(number).map_err(|_| Failure::message(Outcome::Usage, "so many tokens fit no model"))
    };
    let rows = texts.iter().map(|text| text.prompt.len() + text.answer.len()).max().unwrap_or_default();
    Ok(Lengths { prompts: count(texts.len())?, rows: count(rows)?, tokens: count(tokens)? })
}

fn sampling(args: &SamplingArgs) -> SamplingParams {
    SamplingParams {
        temperature: args.temperature,
        top_p: 1.0,
        seed: args.seed.unwrap_or_default(),
        choice: 0,
        top_logprobs: None,
    }
}
