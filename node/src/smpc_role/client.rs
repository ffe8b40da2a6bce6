//! The client's side: splits rows for three parties, and alone joins what they give back.

use std::time::Duration;

use neuro_network::smpc::{ConnectError, Link, LinkError, LinkTraffic, SessionId, connect};
use neuro_primitives::{Hash, NodeKey};
use neuro_smpc::computation::Security;
use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;

use super::PROTOCOL_VERSION;
use super::agreement::{Agreement, Profile};
use super::fixed_point::{self, NoRandomness, random_bytes};
pub use super::messages::Cost;
use super::messages::{ClientMessage, MessageError, PartyMessage, TurnShares};
use super::model::ModelFacts;
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
    /// Rows of the prompt.
    pub prompt_rows: u32,
    /// The most tokens.
    pub max_tokens: u32,
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
    /// See [`NoRandomness`].
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Accounts that do not fit.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
}

impl ClientError {
    /// Whether a new session with the same parties may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Link { .. })
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
    links: [Link; 3],
    deadline: Duration,
    turn: u32,
}

/// The logits of one token, and what the session has cost so far.
pub struct Logits {
    /// `[vocab]`, f32.
    pub values: Vec<f32>,
    /// Most rounds of any party, and all bytes between them.
    pub cost: Cost,
}

impl ClientSession {
    /// Begins a session with all three. `deadline` bounds every wait for a turn.
    ///
    /// # Errors
    /// A party that cannot be reached, has other terms, or does not agree with the others.
    pub async fn open(key: &NodeKey, terms: &Terms<'_>, deadline: Duration) -> Result<Self, ClientError> {
        let agreement = Agreement {
            version: PROTOCOL_VERSION,
            session: SessionId(random_bytes()?),
            client: key.node_id(),
            model: terms.model.hash,
            program: terms.program,
            profile: Profile::DEFAULT,
            prompt_rows: terms.prompt_rows,
            max_tokens: terms.max_tokens,
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
        let mut session = Self { key: key.clone(), agreement, links: [first, second, third], deadline, turn: 0 };
        match session.propose().await {
            Ok(()) => Ok(session),
            Err(error) => Err(session.give_up(error).await),
        }
    }

    async fn propose(&mut self) -> Result<(), ClientError> {
        let proposal = [(); 3].map(|()| ClientMessage::Propose(self.agreement.clone()));
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

    /// Shares `rows` (f32, `[rows, d_model]`), the whole prompt in the first turn and one row afterwards, and joins the
    /// logits of the last one.
    ///
    /// # Errors
    /// A party that is gone or late, or logits that differ. The session is then of no further use.
    pub async fn advance(&mut self, rows: &[f32]) -> Result<Logits, ClientError> {
        let shares = fixed_point::split(rows, self.agreement.profile)?;
        self.advance_shares(shares).await
    }

    /// As [`Self::advance`], of rows that were split already.
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
        Ok(Logits { values: fixed_point::decode(&joined, self.agreement.profile.logit_fraction_bits), cost })
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
        for (party, answer) in PartyId::ALL.into_iter().zip(self.receive(SETUP_DEADLINE).await?) {
            let PartyMessage::Statement(signed) = answer else {
                return Err(ClientError::Unexpected { party, expected: "its statement" });
            };
            transcript.statements.push(signed);
        }
        for statement in transcript.verified()? {
            let at = statement.party.index();
            let link = &statement.links[at];
            if statement.agreement != self.agreement || statement.tokens != self.turn {
                return Err(TranscriptError::NotOneSession.into());
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
            statements: transcript.statements_hash(),
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
        futures::future::join_all(self.links.into_iter().map(|link| link.abort("the client has ended the session")))
            .await;
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
            message_of(one, first, deadline),
            message_of(two, second, deadline),
            message_of(three, third, deadline)
        )?;
        Ok([first, second, third])
    }
}

async fn message_of(party: PartyId, link: &mut Link, deadline: Duration) -> Result<PartyMessage, ClientError> {
    let frame = link.receive(deadline).await.map_err(|source| ClientError::Link { party, source })?;
    PartyMessage::decode(&frame.body).map_err(|source| ClientError::Message { party, source })
}
