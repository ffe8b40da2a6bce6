//! A participant that speaks the protocol by hand, and leaves it where an honest one would not.

use std::sync::Arc;

use futures::StreamExt;
use neuro_fl_aggregator::{EncodingPlan, Flat, encode_update, modulus_rule};
use neuro_network::FederatedClient;
use neuro_node::data_dir::DataDir;
use neuro_node::unix_now;
use neuro_primitives::{Hash, NodeId, NodeKey};
use neuro_privacy::NoiseRng;
use neuro_protocol::federated::aggregator_message::Body;
use neuro_protocol::federated::{EnrolRequest, ParticipantMessage, SignedInvitation, UploadStart};
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::fields::Signed;
use neuro_secagg::floors::{Floors, Past};
use neuro_secagg::kdf::RoundSecret;
use neuro_secagg::masks::{MaskJob, apply_parallel};
use neuro_secagg::messages::{Announcement, Cohort, Message, Shape, ShareStatement};
use neuro_secagg::packing::Modulus;
use neuro_secagg::participant::{PartEffect, PartEnd, PartInput, Participant};
use neuro_secagg::roster::{Pin, Roster, SignedRoster, task_id};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Kinds of messages.
const SHARES: u8 = 3;
const ANSWER: u8 = 7;

/// Where a twin leaves the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It attends and does not even join.
    NoJoin,
    /// It deals shares of another self-mask than it commits to.
    BadDealer,
    /// It commits to another polynomial than its shares lie on.
    OtherCommitments,
    /// It is masked, and then silent.
    NoUpload,
    /// Its payload has a one behind the last entry.
    TrailingBit,
    /// It votes, and does not answer.
    NoAnswer,
}

struct Twin {
    fault: Fault,
    aggregator: NodeId,
    key: NodeKey,
    client: FederatedClient,
    messages: mpsc::Sender<ParticipantMessage>,
    part: Option<Participant>,
    /// The cohort's shape, once it is announced: what reads its shares.
    shape: Option<Shape>,
    payload: Vec<u8>,
    ends: mpsc::UnboundedSender<PartEnd>,
}

/// Attends, and does as the protocol says with zeros for an update, but for the fault. Returns where it tells how its parts
/// end.
pub async fn attend(data_dir: &DataDir, invitation: &str, fault: Fault) -> mpsc::UnboundedReceiver<PartEnd> {
    let key = data_dir.node_key().unwrap();
    let invited = SignedInvitation::from_text(invitation).unwrap().verify_signature().unwrap().clone();
    let client = FederatedClient::connect(&invited.addresses[0], &key, invited.aggregator).await.unwrap();
    let pin = Pin { owner: invited.owner, task: task_id(invited.owner, &invited.task), newest: None };
    enrol(&client, invitation, &pin).await;
    let (messages, outgoing) = mpsc::channel(64);
    let mut incoming = client.attend(ReceiverStream::new(outgoing)).await.unwrap();
    let invitation = invitation.to_owned();
    let (ends, ended) = mpsc::unbounded_channel();
    let mut twin = Twin {
        fault,
        aggregator: invited.aggregator,
        key,
        client,
        messages,
        part: None,
        shape: None,
        payload: Vec::new(),
        ends,
    };
    tokio::spawn(async move {
        while let Some(Ok(message)) = incoming.next().await {
            match message.body {
                Some(Body::Config(bytes)) if fault != Fault::NoJoin && !twin.knows(message.round) => {
                    let roster = enrol(&twin.client, &invitation, &pin).await;
                    twin.join(&bytes, roster).await;
                }
                Some(Body::Announcement(bytes)) => twin.step(PartInput::Message(bytes)).await,
                _ => {}
            }
        }
    });
    ended
}

async fn enrol(client: &FederatedClient, invitation: &str, pin: &Pin) -> Arc<Roster> {
    let request = EnrolRequest { invitation: invitation.to_owned(), ..EnrolRequest::default() };
    let reply = client.enrol(request).await.unwrap();
    let roster = SignedRoster::decode(&reply.signed_roster).unwrap();
    Arc::new(roster.verify(|signed| signed.check(pin, unix_now())).unwrap())
}

impl Twin {
    fn knows(&self, round: u64) -> bool {
        self.part.as_ref().is_some_and(|part| part.config().round == round)
    }

    /// A configuration of an older roster is another round's affair.
    async fn join(&mut self, config: &[u8], roster: Arc<Roster>) {
        let config = SignedConfig::decode(config).unwrap();
        let (past, secret) = (Past::none(unix_now()), RoundSecret::generate().unwrap());
        let joined = Participant::join(config, roster, &Floors::default(), &past, self.key.clone(), secret);
        let Ok((mut part, effects)) = joined else { return };
        part.check_modulus_by(modulus_rule);
        self.part = Some(part);
        self.carry_out(effects).await;
    }

    async fn step(&mut self, input: PartInput) {
        if let PartInput::Message(bytes) = &input
            && let Ok(Announcement::Cohort(cohort)) = Announcement::open(bytes, self.aggregator, None)
        {
            let Cohort { k, t, q, .. } = cohort;
            let feldman = self.part.as_ref().is_some_and(|part| part.config().feldman);
            self.shape = Some(Shape { n: cohort.rows.len() as u16, k, t, q, feldman });
        }
        let Some(part) = &mut self.part else { return };
        let effects = part.step(input);
        Box::pin(self.carry_out(effects)).await;
    }

    async fn carry_out(&mut self, effects: Vec<PartEffect>) {
        let config = self.part.as_ref().unwrap().config().clone();
        for effect in effects {
            match effect {
                PartEffect::Send(body) if !(self.fault == Fault::NoAnswer && body[0] == ANSWER) => {
                    let body = self.meddled(body);
                    let (round, cohort) = (config.round, config.cohort.into());
                    self.messages.send(ParticipantMessage { round, cohort, body }).await.unwrap();
                }
                PartEffect::Mask { jobs, modulus, honest_at_least } if self.fault != Fault::NoUpload => {
                    self.payload = masked(&config, &jobs, modulus, honest_at_least);
                    if self.fault == Fault::TrailingBit {
                        *self.payload.last_mut().unwrap() |= 0x80;
                    }
                    let (hash, bytes) = (Hash::of(&self.payload), self.payload.len() as u64);
                    self.step(PartInput::Payload { hash, bytes }).await;
                }
                PartEffect::Upload { payload } => self.upload(&config, payload).await,
                PartEffect::End(end) => drop(self.ends.send(end)),
                _ => {}
            }
        }
    }

    /// Shares that do not fit their signed commitments, or what was to be sent.
    fn meddled(&self, body: Vec<u8>) -> Vec<u8> {
        let deals_badly = matches!(self.fault, Fault::BadDealer | Fault::OtherCommitments);
        if !deals_badly || body[0] != SHARES {
            return body;
        }
        let Message::Shares(mut shares) = Message::decode(&body, self.shape.as_ref()).unwrap() else { unreachable!() };
        let honest = shares.statement.statement.clone();
        let statement = if self.fault == Fault::OtherCommitments {
            shares.feldman.swap(0, 1);
            ShareStatement { feldman: Hash::of(shares.feldman.as_flattened()), ..honest }
        } else {
            ShareStatement { self_mask_commitment: Hash([7; 32]), ..honest }
        };
        shares.statement = Signed::sign(statement, &self.key);
        Message::Shares(shares).encode()
    }

    /// The statement goes over another stream: the upload is open once the aggregator has dealt with it.
    async fn upload(&self, config: &RoundConfig, payload: Hash) {
        let (round, cohort) = (config.round, config.cohort.into());
        while self.client.upload_state(round, cohort).await.is_err() {
            tokio::task::yield_now().await;
        }
        let start = UploadStart { round, cohort, payload: payload.0.to_vec(), offset: 0 };
        let uploaded = self.client.upload(start, futures::stream::iter([self.payload.clone()])).await;
        assert_eq!(uploaded.is_err(), self.fault == Fault::TrailingBit);
    }
}

/// Zeros under the masks, packed.
fn masked(config: &RoundConfig, jobs: &[MaskJob], modulus: Modulus, honest_at_least: u16) -> Vec<u8> {
    let (plan, mut noise) = (EncodingPlan::of(config).unwrap(), NoiseRng::from_system().unwrap());
    let zeros = Flat(vec![0.0; config.entries as usize]);
    let encoded = encode_update(&zeros, None, 1, &plan, honest_at_least, modulus, &mut noise).unwrap();
    let mut vector = encoded.vector;
    apply_parallel(vector.lanes(), jobs, 1);
    vector.to_packed()
}
