//! Token by token: share rows, join logits, choose. A session that is lost is followed by a new one.

use std::time::Duration;

use indicatif::ProgressBar;
use neuro_inference::SamplingParams;
use neuro_network::smpc::SessionId;
use neuro_node::smpc_role::client::{ClientSession, Cost, Terms};
use neuro_node::smpc_role::model::ClientModel;
use neuro_node::smpc_role::parties::Parties;
use neuro_node::smpc_role::transcript::Transcript;
use neuro_primitives::{Hash, NodeKey};
use neuro_smpc::computation::Security;

use super::ask::failure;
use crate::command::ask::SamplingArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::output::bytes;
use crate::progress;

/// What is asked, of whom.
pub struct Asking<'a> {
    /// The client's key.
    pub key: NodeKey,
    /// The parties.
    pub parties: &'a Parties,
    /// The client's half of the model.
    pub model: &'a ClientModel,
    /// The program.
    pub program: Hash,
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
}

/// What came of it.
pub struct Given {
    /// The answer's tokens.
    pub tokens: Vec<u32>,
    /// What the last session has cost.
    pub cost: Cost,
    /// The last session.
    pub session: SessionId,
    /// Its transcript.
    pub transcript: Transcript,
    /// Sessions in all.
    pub sessions: u32,
}

/// Asks until the answer ends. A new session has fresh keys and shares, and takes prompt and finished tokens.
///
/// # Errors
/// The failure of the last session.
pub async fn generate(asking: &Asking<'_>, prompt: &[u32]) -> Result<Given, Failure> {
    let bar = progress::items("computing on shares", asking.max_tokens as u64);
    let mut tokens = Vec::new();
    let mut sessions = 1;
    loop {
        match session(asking, prompt, &mut tokens, &bar).await {
            Ok((session, cost, transcript)) => {
                bar.finish_and_clear();
                return Ok(Given { tokens, cost, session, transcript, sessions });
            }
            Err(Lost::Again(failure)) if sessions <= asking.restarts => {
                sessions += 1;
                bar.suspend(|| eprintln!("{}; a new session begins", failure.text()));
            }
            Err(Lost::Again(failure) | Lost::Over(failure)) => return Err(failure),
        }
    }
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

/// One session, which adds to `tokens` as it goes.
async fn session(
    asking: &Asking<'_>,
    prompt: &[u32],
    tokens: &mut Vec<u32>,
    bar: &ProgressBar,
) -> Result<(SessionId, Cost, Transcript), Lost> {
    let text = [prompt, tokens].concat();
    let left = asking.max_tokens - tokens.len();
    let count = |number: usize| {
        u32::try_from(number).map_err(|_| Failure::message(Outcome::Usage, "so many tokens fit no model"))
    };
    let terms = Terms {
        parties: asking.parties,
        model: asking.model.facts(),
        program: asking.program,
        prompt_rows: count(text.len())?,
        max_tokens: count(left)?,
        security: asking.security,
    };
    let mut session = ClientSession::open(&asking.key, &terms, asking.deadline).await.map_err(failure)?;
    let mut rows = asking.model.rows(&text)?;
    let mut cost = Cost::default();
    for _ in 0..left {
        let logits = match session.advance(&rows).await {
            Ok(logits) => logits,
            Err(error) => {
                let again = error.is_retryable();
                let failure = failure(session.give_up(error).await);
                return Err(if again { Lost::Again(failure) } else { Lost::Over(failure) });
            }
        };
        cost = logits.cost;
        let logits = asking.model.logits(&logits.values)?;
        let token = sampling(asking.sampling).sample(&logits, prompt.len() + tokens.len());
        bar.inc(1);
        bar.set_message(format!("computing on shares: {} rounds, {}", cost.rounds, bytes(cost.bytes)));
        if asking.model.ends(token) {
            break;
        }
        tokens.push(token);
        rows = asking.model.rows(&[token])?;
    }
    let id = session.agreement().session;
    let transcript = session.finish().await.map_err(failure)?;
    Ok((id, cost, transcript))
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
