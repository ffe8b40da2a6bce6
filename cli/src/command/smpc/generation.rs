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
use neuro_node::smpc_role::secret_weights::Reservation;
use neuro_node::smpc_role::transcript::Transcript;
use neuro_primitives::{Hash, NodeKey};
use neuro_smpc::computation::Security;

use super::ask::failure;
use super::pace::Pace;
use super::prompts::Prompts;
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
    /// The most tokens, which the parties are told; at least one. So they must not depend on the prompts' lengths.
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
    /// Where tokens that a private model tells are counted, one of every prompt a turn.
    pub counted: Option<&'a RefCell<Reservation>>,
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
    /// Its transcript; answers are complete and proved without one.
    pub transcript: Result<Transcript, ClientError>,
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
    /// Prompt and answer so far.
    fn tokens(&self) -> Vec<u32> {
        [self.prompt, &self.answer].concat()
    }

    fn add(&mut self, token: u32, model: &ClientModel) {
        if self.ended || model.ends(token) {
            self.ended = true;
        } else {
            self.answer.push(token);
        }
    }
}

/// Asks until all answers end. A new session has fresh keys and shares, and takes prompts and finished tokens: of all
/// texts, so that nobody learns which have ended.
///
/// # Errors
/// The failure of the last session.
pub async fn generate(asking: &Asking<'_>, prompts: &Prompts) -> Result<Given, Failure> {
    let pace = Pace::new(asking.max_tokens.min(prompts.room()) as u64);
    let text = |prompt| Text { prompt, answer: Vec::new(), ended: false };
    let mut texts: Vec<_> = prompts.tokens().iter().map(|prompt| text(prompt)).collect();
    let (mut sessions, mut spent) = (1, Spending::default());
    loop {
        match session(asking, prompts, &mut texts, &pace, &mut spent).await {
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

/// One session, which adds to `texts` as it goes, and what it costs to `spent`. Its answers stand without a transcript.
async fn session(
    asking: &Asking<'_>,
    prompts: &Prompts,
    texts: &mut [Text<'_>],
    pace: &Pace,
    spent: &mut Spending,
) -> Result<(SessionId, Result<Transcript, ClientError>), Lost> {
    let terms = asking.terms(lengths(prompts, spent.turns, asking.max_tokens)?);
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
    let left = asking.max_tokens.min(prompts.room()).saturating_sub(spent.turns as usize);
    let outcome = converse(asking, texts, left, &mut session, |cost| {
        spent.cost = Cost { rounds: before.rounds + cost.rounds, bytes: before.bytes + cost.bytes };
        spent.turns += 1;
        if let Some(counted) = asking.counted {
            counted.borrow_mut().spend(prompts.count() as u64);
        }
        pace.token(cost);
    });
    if let Err(error) = outcome.await {
        let again = error.is_retryable();
        let failure = failure(session.give_up(error).await);
        return Err(if again { Lost::Again(failure) } else { Lost::Over(failure) });
    }
    Ok((id, session.finish().await))
}

/// Token by token, until all texts have ended or are full. `spent` hears of every turn that was told.
async fn converse(
    asking: &Asking<'_>,
    texts: &mut [Text<'_>],
    left: usize,
    session: &mut ClientSession,
    mut spent: impl FnMut(Cost),
) -> Result<(), ClientError> {
    let rows = |tokens: &[u32]| asking.model.rows(tokens);
    let prompts = texts.iter().map(|text| rows(&text.tokens()));
    let mut logits = session.begin(&prompts.collect::<Result<Vec<_>, _>>()?).await?;
    for turn in 1..=left {
        spent(logits.cost);
        if let Some(comparison) = asking.comparison {
            let open = texts.iter().map(|text| (!text.ended).then(|| text.tokens())).collect::<Vec<_>>();
            comparison.borrow_mut().compare(&open, &logits)?;
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
        if turn == left || texts.iter().all(|text| text.ended) {
            break;
        }
        logits = session.advance(&rows(&last)?).await?;
    }
    Ok(())
}

/// The lengths of a session after one that told `answered` tokens of at most `tokens`. The parties know both numbers, and
/// of the prompts they learn the bucket of the longest, the same in every session.
fn lengths(prompts: &Prompts, answered: u32, tokens: usize) -> Result<Lengths, Failure> {
    let count = |number: usize| {
        u32::try_from(number).map_err(|_| Failure::message(Outcome::Usage, "so many tokens fit no model"))
    };
    Ok(Lengths {
        prompts: count(prompts.count())?,
        rows: count(prompts.longest())?.saturating_add(answered),
        answered,
        tokens: count(tokens)?.saturating_sub(answered),
    })
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

#[cfg(test)]
mod tests;
