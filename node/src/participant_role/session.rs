//! A participant's conversations with its aggregator, and its parts in rounds, which outlive each of them.

use std::collections::BTreeMap;
use std::fs;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use neuro_network::FederatedClient;
use neuro_network::federated::ConnectError;
use neuro_network::federated::limits::MAX_ROSTER_BYTES;
use neuro_primitives::{Hash, UnixMillis};
use neuro_protocol::federated::{
    AggregatorMessage, EnrolRequest, ParticipantMessage, RoundEnded, RoundLine, aggregator_message::Body,
};
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::floors::Floors;
use neuro_secagg::kdf::RoundSecret;
use neuro_secagg::messages::EndReason;
use neuro_secagg::participant::{PartEnd, PartInput, Participant, Record};
use neuro_secagg::roster::{Pin, Registry, Roster, SignedRoster};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::fetching::fetch_document;
use super::offer::offer;
use super::part::{Line, Note, Part, Surroundings, Work, told_end};
use super::past::Foreseen;
use super::record_store::RecordStore;
use super::task_folder::TaskFolder;
use super::{JoinError, ParticipantEvent, Report};
use crate::clock::unix_now;

/// Messages of ours that wait to be sent.
const WAITING_MESSAGES: usize = 16;

/// One participant.
pub(super) struct Session {
    pub(super) folder: TaskFolder,
    pub(super) floors: Floors,
    pub(super) name: String,
    pub(super) around: Surroundings,
    pub(super) finished: mpsc::Receiver<Work>,
    pub(super) report: Report,
    pub(super) rounds_left: Option<u64>,
    parts: BTreeMap<(u64, u16), Part>,
    roster: Option<(Arc<Roster>, Vec<u8>)>,
    line: Option<Line>,
    /// How many there were.
    lines: u64,
}

/// Why a conversation ended well.
pub(super) enum Ended {
    /// As many rounds were taken part in as were asked for.
    Enough,
}

impl Session {
    pub(super) fn new(
        folder: TaskFolder,
        floors: Floors,
        name: String,
        around: Surroundings,
        finished: mpsc::Receiver<Work>,
        report: Report,
        rounds_left: Option<u64>,
    ) -> Self {
        let (parts, roster, line, lines) = (BTreeMap::new(), None, None, 0);
        Self { folder, floors, name, around, finished, report, rounds_left, parts, roster, line, lines }
    }

    /// Whether the aggregator has ever let it in.
    pub(super) const fn ever_attended(&self) -> bool {
        self.lines > 0
    }

    /// Waits for `pause` without a line. What ends meanwhile is in the records then, and goes out over the next line.
    pub(super) async fn rest(&mut self, pause: Duration) -> Result<(), JoinError> {
        self.line = None;
        let mut rested = pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut rested => return Ok(()),
                Some(work) = self.finished.recv() => self.work(work).await?,
            }
        }
    }

    /// Takes up the rounds that have a record on disk. One that cannot be taken up is out for good.
    pub(super) async fn resume(&mut self) -> Result<(), JoinError> {
        for (round, cohort) in RecordStore::open_rounds(self.folder.path())? {
            let store = RecordStore::open(self.folder.path(), round, cohort)?;
            match self.resumed(&store) {
                Some((core, rostered)) => {
                    self.parts.insert((round, cohort), Part::new(core, store, rostered));
                    (self.report)(ParticipantEvent::Resumed { round });
                }
                None => {
                    store.wipe()?;
                    (self.report)(ParticipantEvent::GaveUp { round, reason: "its record cannot be used".into() });
                }
            }
        }
        Ok(())
    }

    /// What was sent last is sent again when there is a line; the effects of resuming say the same.
    fn resumed(&self, store: &RecordStore) -> Option<(Participant, u32)> {
        let record = Record::decode(&store.load().ok()??).ok()?;
        let pin = Pin { owner: self.folder.invitation().owner, task: self.folder.task(), newest: None };
        let roster = SignedRoster::decode(&fs::read(store.roster()).ok()?).ok()?;
        // It held when the round was joined: a clock that is wrong today shall not cost the record.
        let roster = roster.verify(|signed| signed.check(&pin, UnixMillis::default())).ok()?;
        let rostered = roster.rostered(&record.config().batches);
        let resumed = Participant::resume(record, Arc::new(roster), self.around.key.clone());
        resumed.ok().map(|(core, _)| (core, rostered))
    }

    /// One conversation, until it breaks or enough rounds were taken part in.
    pub(super) async fn attend(&mut self) -> Result<Ended, JoinError> {
        self.line = None;
        if self.rounds_left == Some(0) {
            return Ok(Ended::Enough);
        }
        let client = self.connect().await?;
        self.enrol(&client).await?;
        self.learn_ends(&client).await?;
        let (messages, outgoing) = mpsc::channel::<ParticipantMessage>(WAITING_MESSAGES);
        let mut incoming = client.attend(ReceiverStream::new(outgoing)).await?;
        self.lines += 1;
        self.line = Some(Line { number: self.lines, client, messages });
        (self.report)(ParticipantEvent::Attending { task: self.folder.invitation().task.clone() });
        self.again().await?;
        loop {
            tokio::select! {
                message = incoming.next() => match message {
                    Some(message) => self.told(message?).await?,
                    None => return Err(JoinError::Gone),
                },
                Some(work) = self.finished.recv() => self.work(work).await?,
            }
            if self.rounds_left == Some(0) {
                return Ok(Ended::Enough);
            }
        }
    }

    async fn connect(&self) -> Result<FederatedClient, ConnectError> {
        let (aggregator, mut last) = (self.folder.aggregator(), None);
        for address in &self.folder.invitation().addresses {
            match FederatedClient::connect(address, &self.around.key, aggregator).await {
                Ok(client) => return Ok(client),
                Err(error) => last = Some(error),
            }
        }
        // An invitation has at least one address.
        let source = std::io::ErrorKind::NotFound.into();
        Err(last.unwrap_or(ConnectError::Unreachable { address: String::new(), source }))
    }

    /// Shows the invitation and takes the newest roster.
    async fn enrol(&mut self, client: &FederatedClient) -> Result<(), JoinError> {
        let request = EnrolRequest {
            invitation: self.folder.invitation_text().to_owned(),
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capability: self.around.capability,
        };
        let reply = client.enrol(request).await?;
        let roster = self.folder.take_roster(&reply.signed_roster, unix_now())?;
        if roster.batch_of(self.around.key.node_id()).is_none() {
            return Err(JoinError::NotListed(self.around.key.node_id()));
        }
        self.roster = Some((Arc::new(roster), reply.signed_roster));
        Ok(())
    }

    /// Asks how older rounds than the newest ended. Whoever comes back is called to the newest first, and what a trainer is
    /// given for it depends on what became of its last update.
    async fn learn_ends(&mut self, client: &FederatedClient) -> Result<(), JoinError> {
        if self.parts.is_empty() {
            return Ok(());
        }
        // Without an answer the ends are told later.
        let history = client.round_status(0).await.map(|status| status.history).unwrap_or_default();
        let newest = history.last().map_or(0, |line| line.number);
        for RoundLine { number, outcome, done, .. } in history.into_iter().filter(|line| line.number < newest) {
            let Some(reason) = outcome else { continue };
            let cohorts: Vec<_> = self.parts.range((number, 0)..=(number, u16::MAX)).map(|(key, _)| *key).collect();
            for key in cohorts {
                self.over(key, RoundEnded { done, reason: reason.clone() }).await?;
            }
        }
        Ok(())
    }

    /// A new line: everything that was under way is said again.
    async fn again(&mut self) -> Result<(), JoinError> {
        let keys: Vec<_> = self.parts.keys().copied().collect();
        for key in keys {
            self.step(key, PartInput::Reconnected).await?;
            if let (Some(part), Some(line)) = (self.parts.get_mut(&key), &self.line) {
                part.train(&self.around, line)?;
            }
        }
        Ok(())
    }

    async fn told(&mut self, message: AggregatorMessage) -> Result<(), JoinError> {
        let AggregatorMessage { round, cohort, body } = message;
        let Ok(cohort) = u16::try_from(cohort) else { return Ok(()) };
        match body {
            Some(Body::Config(bytes)) => self.offered(&bytes).await,
            Some(Body::Announcement(bytes)) => self.step((round, cohort), PartInput::Message(bytes)).await,
            Some(Body::Dismissed(dismissed)) => Err(JoinError::Dismissed { reason: dismissed.reason }),
            Some(Body::Ended(ended)) => self.over((round, cohort), ended).await,
            None => Ok(()),
        }
    }

    /// The round ended while this participant was away, and nobody is left there who signs its end.
    async fn over(&mut self, key: (u64, u16), ended: RoundEnded) -> Result<(), JoinError> {
        let Some(part) = self.parts.get_mut(&key) else { return Ok(()) };
        if ended.done {
            part.count(&mut self.around)?;
        }
        part.step(PartInput::Stop, &mut self.around, self.line.as_ref()).await?;
        self.parts.remove(&key);
        self.rounds_left = self.rounds_left.map(|left| left.saturating_sub(1));
        (self.report)(ParticipantEvent::Ended { round: key.0, done: ended.done, reason: ended.reason });
        Ok(())
    }

    /// A configuration: joined, unless it is joined already or a floor forbids it.
    async fn offered(&mut self, bytes: &[u8]) -> Result<(), JoinError> {
        let Some((config, roster, encoded)) = self.judged(bytes).await? else { return Ok(()) };
        let key = (config.round, config.cohort);
        if self.parts.contains_key(&key) {
            return Ok(());
        }
        let rostered = roster.rostered(&config.batches);
        let next = Foreseen::of(&config, rostered);
        let (past, account) = self.around.past.at(unix_now(), &next, &self.pending());
        (self.report)(ParticipantEvent::Offered(offer(&config, &roster, &self.floors, account)));
        if self.around.verify_on_receipt && !config.feldman {
            let reason = "expected dealers that publish commitments (cohort.feldman), got a plan without".to_owned();
            (self.report)(ParticipantEvent::Refused { round: key.0, reason });
            return Ok(());
        }
        let secret = RoundSecret::generate().map_err(|error| JoinError::Entropy(error.to_string()))?;
        let untrusted = SignedConfig::decode(bytes)?;
        let joined = Participant::join(untrusted, roster, &self.floors, &past, self.around.key.clone(), secret);
        let (core, effects) = match joined {
            Ok(joined) => joined,
            Err(refused) => {
                (self.report)(ParticipantEvent::Refused { round: key.0, reason: refused.to_string() });
                return Ok(());
            }
        };
        self.around.past.joined(key.0, key.1)?;
        let store = RecordStore::open(self.folder.path(), key.0, key.1)?;
        store.keep_roster(&encoded)?;
        let mut part = Part::new(core, store, rostered);
        let notes = part.carry_out(effects, &mut self.around, self.line.as_ref()).await?;
        if let Some(line) = &self.line {
            part.train(&self.around, line)?;
        }
        self.parts.insert(key, part);
        (self.report)(ParticipantEvent::Joined { round: key.0 });
        self.note(key, notes);
        Ok(())
    }

    /// What the parts that have not answered yet will release.
    fn pending(&self) -> Vec<Foreseen> {
        let open = self.parts.iter().filter(|((round, cohort), _)| !self.around.past.is_charged(*round, *cohort));
        open.map(|(_, part)| part.foreseen()).collect()
    }

    /// The configuration, if it is our aggregator's for our task; the roster that it names is fetched for it first.
    async fn judged(&mut self, bytes: &[u8]) -> Result<Option<(RoundConfig, Arc<Roster>, Vec<u8>)>, JoinError> {
        for fetched in [false, true] {
            let Some((roster, encoded)) = self.roster.clone() else { break };
            match SignedConfig::decode(bytes)?.verify(|signed| signed.check(&*roster)) {
                Ok(config) => return Ok(Some((config, roster, encoded))),
                Err(error) if fetched => {
                    tracing::warn!(%error, "a configuration is not for this participant");
                }
                Err(_) => {
                    // Whose it is will be checked with the roster that it names.
                    let named =
                        SignedConfig::decode(bytes)?.verify(|signed| Ok::<_, JoinError>(signed.config().roster_hash));
                    self.follow_roster(named?).await?;
                }
            }
        }
        Ok(None)
    }

    /// Takes the owner's roster with this hash, or if there is none that is newer than what was seen, the newest.
    async fn follow_roster(&mut self, named: Hash) -> Result<(), JoinError> {
        let client = self.line.as_ref().map(|line| line.client.clone()).ok_or(JoinError::Gone)?;
        if let Ok(encoded) = fetch_document(&client, named, MAX_ROSTER_BYTES as u64).await
            && let Ok(roster) = self.folder.take_roster(&encoded, unix_now())
        {
            self.roster = Some((Arc::new(roster), encoded));
            return Ok(());
        }
        self.enrol(&client).await
    }

    async fn work(&mut self, work: Work) -> Result<(), JoinError> {
        let key = (work.round, work.cohort);
        let Some(part) = self.parts.get_mut(&key) else { return Ok(()) };
        let notes = part.take(work.outcome, &mut self.around, self.line.as_ref()).await?;
        self.note(key, notes);
        Ok(())
    }

    async fn step(&mut self, key: (u64, u16), input: PartInput) -> Result<(), JoinError> {
        let Some(part) = self.parts.get_mut(&key) else { return Ok(()) };
        let notes = part.step(input, &mut self.around, self.line.as_ref()).await?;
        self.note(key, notes);
        Ok(())
    }

    /// Tells the user; an ended part is forgotten.
    fn note(&mut self, key: (u64, u16), notes: Vec<Note>) {
        let round = key.0;
        for note in notes {
            let event = match note {
                Note::Trained { loss, weight } => ParticipantEvent::Trained { round, loss, weight },
                Note::Masked { bytes } => ParticipantEvent::Masked { round, bytes },
                Note::Uploaded { bytes } => ParticipantEvent::Uploaded { round, bytes },
                Note::GaveUp { reason } => ParticipantEvent::GaveUp { round, reason },
                Note::Ended(end) => {
                    self.parts.remove(&key);
                    // A round that the operator ends, or calls again, is none.
                    let counts = !matches!(end, PartEnd::Round(EndReason::Stopped));
                    self.rounds_left = self.rounds_left.map(|left| left.saturating_sub(counts.into()));
                    let (done, reason) = told_end(&end);
                    ParticipantEvent::Ended { round, done, reason }
                }
            };
            (self.report)(event);
        }
    }
}
