//! The client's side: splits rows for three parties, and alone joins what they give back.

use std::time::{Duration, Instant};

use neuro_network::smpc::{ConnectError, Ending, Link, LinkError, LinkTraffic, SessionId, connect};
use neuro_primitives::{Hash, NodeKey};
use neuro_smpc::computation::Security;
use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;

use super::PROTOCOL_VERSION;
use super::agreement::{Agreement, Lengths, Profile, Routes};
use super::comparison::ComparisonError;
use super::fixed_point::{self, NoRandomness, random_bytes};
use super::messages::{ClientMessage, MessageError, PartyMessage, TurnShares};
pub use super::messages::{Cost, Working};
use super::model::{ModelError, ModelFacts};
use super::parties::Parties;
use super::transcript::{Receipt, Transcript, TranscriptError};

/// How long a client waits for the three to come together.
const SETUP_DEADLINE: Duration = Duration::from_secs(30);

/// What a client asks for.
pub struct Terms<'a> {
    /// The parties.
    pub parties: &'a Parties,
    /// The model.
    pub model: &'a ModelFacts,
    /// The program.
    pub program: Hash,
    /// The range profile.
    pub ranges: Hash,
    /// How much is computed; rows of a prompt are padded.
    pub lengths: Lengths,
    /// Whether the parties may see which experts each token meets: it tells them the text.
    pub reveals_routes: bool,
    /// Whether to be told what each layer hands the next; programs with secret weights do not.
    pub tells_layers: bool,
    /// What the parties are held to.
    pub security: Security,
}

/// Why a session ended at the client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A party that cannot be reached.
    #[error("party {party}: {source}")]
    Connect {
        /// Which.
        party: PartyId,
        /// Why.
        source: ConnectError,
    },
    /// A link that ended, or the reason that a party gave.
    #[error("party {party}: {source}")]
    Link {
        /// Which.
        party: PartyId,
        /// Why.
        source: LinkError,
    },
    /// A party that said something else.
    #[error("party {party}: {source}")]
    Message {
        /// Which.
        party: PartyId,
        /// What is wrong with it.
        source: MessageError,
    },
    /// A party that is out of turn.
    #[error("party {party}: expected {expected}")]
    Unexpected {
        /// Which.
        party: PartyId,
        /// What was due.
        expected: &'static str,
    },
    /// Two parties tell different things of one component: one of them lies.
    #[error("parties {first} and {second} tell different logits: one of the two is wrong, and the answer is not shown")]
    Differ {
        /// One.
        first: PartyId,
        /// The other.
        second: PartyId,
    },
    /// A token that the model does not have.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model in the open, or layers that do not fit it.
    #[error("comparison: {0}")]
    Comparison(#[from] ComparisonError),
    /// See [`NoRandomness`].
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Accounts that do not fit.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
}

impl ClientError {
    /// Whether a new session with the same parties may succeed: somebody was lost, and nobody was wrong.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Link { source, .. } => !matches!(
                source,
                LinkError::Fault(_) | LinkError::TooLong { .. } | LinkError::Aborted { ending: Ending::Fault, .. }
            ),
            _ => false,
        }
    }

    /// Whether a party could not be reached at all.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }
}

/// A session, as its client has it.
pub struct ClientSession {
    key: NodeKey,
    agreement: Agreement,
    d_model: usize,
    vocab_size: usize,
    links: [Link; 3],
    deadline: Duration,
    turn: u32,
    /// Told how far a turn has come, as party 0 says it.
    heard: Heard,
}

/// Who is told how a turn goes.
type Heard = Box<dyn FnMut(Working) + Send>;

/// The logits of one token of each prompt, and what the session has cost so far.
pub struct Logits {
    /// `[prompts, vocab]`, f32.
    pub values: Vec<f32>,
    /// Where the terms tell layers: what each hands the next of the same rows, `[layers, prompts, d_model]`, f32.
    pub layers: Vec<f32>,
    /// Most rounds of any party, and all bytes between them.
    pub cost: Cost,
}

impl ClientSession {
    /// Begins a session with all three. `deadline` bounds every wait for a turn.
    ///
    /// # Errors
    /// A party that cannot be reached, has other terms, or does not agree with the others.
    pub async fn open(key: &NodeKey, terms: &Terms<'_>, deadline: Duration) -> Result<Self, ClientError> {
        let id = SessionId(random_bytes()?);
        let agreement = Agreement {
            version: PROTOCOL_VERSION,
            session: id,
            client: key.node_id(),
            model: terms.model.hash,
            program: terms.program,
            profile: Profile::DEFAULT,
            ranges: terms.ranges,
            lengths: terms.lengths.padded(),
            routes: if terms.reveals_routes { Routes::revealed(key, id) } else { Routes::Hidden },
            tells_layers: terms.tells_layers,
            security: terms.security,
            parties: terms.parties.nodes(),
            registry: terms.parties.hash(),
        };
        let call = |party: PartyId| {
            let (entry, session) = (terms.parties.entry(party), agreement.session);
            let connecting = async move { connect(key, entry.node, &entry.address, session).await };
            async move { connecting.await.map_err(|source| ClientError::Connect { party, source }) }
        };
        let [first, second, third] = PartyId::ALL;
        let (first, second, third) = futures::try_join!(call(first), call(second), call(third))?;
        let mut session = Self {
            key: key.clone(),
            agreement,
            d_model: terms.model.d_model,
            vocab_size: terms.model.vocab_size,
            links: [first, second, third],
            deadline,
            turn: 0,
            heard: Box::new(|_| ()),
        };
        match session.propose().await {
            Ok(()) => Ok(session),
            Err(error) => Err(session.give_up(error).await),
        }
    }

    async fn propose(&mut self) -> Result<(), ClientError> {
        let proposal = [(); 3].map(|()| ClientMessage::Propose(Box::new(self.agreement.clone())));
        self.send(proposal).await?;
        let terms = self.agreement.hash();
        for (party, answer) in PartyId::ALL.into_iter().zip(self.receive(SETUP_DEADLINE).await?) {
            if !matches!(answer, PartyMessage::Ready(hash) if hash == terms) {
                return Err(ClientError::Unexpected { party, expected: "its word that all three agree" });
            }
        }
        Ok(())
    }

    /// The terms.
    #[must_use]
    pub const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// Calls `heard` while a turn takes its time.
    pub fn listen(&mut self, heard: impl FnMut(Working) + Send + 'static) {
        self.heard = Box::new(heard);
    }

    /// The first turn: shares the prompts' embeddings (f32, `[rows, d_model]` each, at least a row, at most as many as were
    /// agreed), padded to the bucket by rows of zeros before it, and joins the logits after the last row of each.
    ///
    /// # Errors
    /// A party that is gone or late, or logits that differ. The session is then of no further use.
    pub async fn begin(&mut self, prompts: &[Vec<f32>]) -> Result<Logits, ClientError> {
        let (mut values, mut marks) = (Vec::new(), Vec::new());
        for prompt in prompts {
            let padding = (self.agreement.lengths.rows as usize).saturating_sub(prompt.len() / self.d_model);
            values.resize(values.len() + padding * self.d_model, 0.0);
            values.extend(prompt);
            marks.extend((0..self.agreement.lengths.rows as usize).map(|row| u64::from(row < padding)));
        }
        let mut elements = fixed_point::encode(&values, self.agreement.profile.fraction_bits);
        elements.extend(marks);
        self.advance_shares(fixed_point::split(elements)?).await
    }

    /// A later turn: shares one row of each prompt (f32, `[prompts, d_model]`), and joins the logits after it.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn advance(&mut self, rows: &[f32]) -> Result<Logits, ClientError> {
        let elements = fixed_point::encode(rows, self.agreement.profile.fraction_bits);
        self.advance_shares(fixed_point::split(elements)?).await
    }

    /// Either turn, of values that were split already.
    ///
    /// # Errors
    /// As there.
    pub async fn advance_shares(&mut self, shares: [Shares; 3]) -> Result<Logits, ClientError> {
        let turn = self.turn;
        self.send(shares.map(|shares| ClientMessage::Inputs(TurnShares { turn, shares }))).await?;
        let answers = self.receive(self.deadline).await?;
        self.turn += 1;
        let mut cost = Cost::default();
        let mut given: [Shares; 3] = Default::default();
        for ((party, answer), place) in PartyId::ALL.into_iter().zip(answers).zip(&mut given) {
            let PartyMessage::Logits(logits, spent) = answer else {
                return Err(ClientError::Unexpected { party, expected: "logits" });
            };
            if logits.turn != turn {
                return Err(ClientError::Unexpected { party, expected: "logits of this turn" });
            }
            cost = Cost { rounds: cost.rounds.max(spent.rounds), bytes: cost.bytes.saturating_add(spent.bytes) };
            *place = logits.shares;
        }
        let joined = fixed_point::join(&given).map_err(|component| ClientError::Differ {
            first: PartyId::ALL[component],
            second: PartyId::ALL[component].previous(),
        })?;
        let logits = match self.agreement.tells_layers {
            true => joined.len().min(self.agreement.lengths.prompts as usize * self.vocab_size),
            false => joined.len(),
        };
        let (logits, layers) = joined.split_at(logits);
        let Profile { fraction_bits, logit_fraction_bits, .. } = self.agreement.profile;
        let values = fixed_point::decode(logits, logit_fraction_bits);
        Ok(Logits { values, layers: fixed_point::decode(layers, fraction_bits), cost })
    }

    /// Ends the session: takes the parties' signed accounts, checks them against each other and against what this client
    /// saw, and signs a receipt.
    ///
    /// # Errors
    /// A party that is gone, or accounts that do not fit.
    pub async fn finish(mut self) -> Result<Transcript, ClientError> {
        let saw = self.links.each_ref().map(|link| link.received().hash());
        self.send([ClientMessage::Finish, ClientMessage::Finish, ClientMessage::Finish]).await?;
        let sent = self.links.each_ref().map(LinkTraffic::of);
        let mut transcript = Transcript { statements: Vec::new(), receipt: None };
        let mut hashes = [Hash([0; 32]); 3];
        for (party, answer) in PartyId::ALL.into_iter().zip(self.receive(SETUP_DEADLINE).await?) {
            let PartyMessage::Statement(signed) = answer else {
                return Err(ClientError::Unexpected { party, expected: "its statement" });
            };
            hashes[party.index()] = signed.hash();
            transcript.statements.push(signed);
        }
        for statement in transcript.verified()?.statements {
            let (party, at) = (statement.party, statement.party.index());
            let link = &statement.links[at];
            if statement.failure.is_some() {
                return Err(ClientError::Unexpected { party, expected: "a statement of a session that went well" });
            }
            if statement.agreement != self.agreement {
                return Err(TranscriptError::NotOneSession.into());
            }
            if statement.tokens != self.turn {
                let (said, got) = (statement.tokens, self.turn);
                return Err(TranscriptError::Tokens { party, said, got }.into());
            }
            if link.sent_hash != saw[at] || link.received_hash != sent[at].sent_hash {
                let (one, other) = ("this client".to_owned(), format!("party {at}"));
                return Err(TranscriptError::LinksDiffer { one, other }.into());
            }
        }
        let receipt = Receipt {
            session: self.agreement.session,
            agreement: self.agreement.hash(),
            client: self.agreement.client,
            tokens: self.turn,
            statements: hashes,
        };
        let signed = receipt.sign(&self.key);
        self.send([(); 3].map(|()| ClientMessage::Receipt(signed.clone()))).await?;
        transcript.receipt = Some(signed);
        for link in self.links {
            link.close().await;
        }
        Ok(transcript)
    }

    /// Tells the parties that the session is over because of `error`, which is given back.
    pub async fn give_up(self, error: ClientError) -> ClientError {
        let ending = if error.is_retryable() { Ending::Loss } else { Ending::Fault };
        let ends = self.links.into_iter().map(|link| link.abort(ending, "the client has ended the session"));
        futures::future::join_all(ends).await;
        error
    }

    async fn send(&mut self, messages: [ClientMessage; 3]) -> Result<(), ClientError> {
        for ((party, link), message) in PartyId::ALL.into_iter().zip(&mut self.links).zip(messages) {
            let sent = link.send(0, 0, message.encode(), self.deadline).await;
            // A party that has ended the session has said why: that is read next.
            if !matches!(sent, Ok(()) | Err(LinkError::Lost)) {
                sent.map_err(|source| ClientError::Link { party, source })?;
            }
        }
        Ok(())
    }

    /// One message from each; the first failure of any ends the wait.
    async fn receive(&mut self, deadline: Duration) -> Result<[PartyMessage; 3], ClientError> {
        let [first, second, third] = &mut self.links;
        let [one, two, three] = PartyId::ALL;
        let (first, second, third) = futures::try_join!(
            message_of(one, first, deadline, Some(&mut self.heard)),
            message_of(two, second, deadline, None),
            message_of(three, third, deadline, None)
        )?;
        Ok([first, second, third])
    }
}

/// The next message that is more than a sign of life, within `deadline` in all.
async fn message_of(
    party: PartyId,
    link: &mut Link,
    deadline: Duration,
    mut heard: Option<&mut Heard>,
) -> Result<PartyMessage, ClientError> {
    let begun = Instant::now();
    loop {
        let left = deadline.saturating_sub(begun.elapsed());
        let frame =
            link.receive(left).await.map_err(|source| ClientError::Link { party, source: late(source, deadline) })?;
        match PartyMessage::decode(&frame.body).map_err(|source| ClientError::Message { party, source })? {
            PartyMessage::Working(working) => drop(heard.as_mut().map(|heard| heard(working))),
            message => return Ok(message),
        }
    }
}

/// The whole wait, where the last piece of it was in vain.
fn late(error: LinkError, deadline: Duration) -> LinkError {
    match error {
        LinkError::Late { .. } => LinkError::Late { deadline },
        error => error,
    }
}
