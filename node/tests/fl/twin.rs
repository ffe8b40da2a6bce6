//! A participant that speaks the protocol by hand, and leaves it where an honest one would not, or deals what an honest one
//! would not.

use std::sync::Arc;

use futures::StreamExt;
use neuro_fl_aggregator::{EncodingPlan, Flat, encode_update, modulus_rule};
use neuro_network::FederatedClient;
use neuro_node::data_dir::DataDir;
use neuro_node::unix_now;
use neuro_primitives::{Hash, NodeKey};
use neuro_privacy::NoiseRng;
use neuro_protocol::federated::aggregator_message::Body;
use neuro_protocol::federated::{EnrolRequest, ParticipantMessage, SignedInvitation, UploadStart};
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::fields::Signed;
use neuro_secagg::floors::{Floors, Past};
use neuro_secagg::kdf::RoundSecret;
use neuro_secagg::masks::{MaskJob, apply_parallel};
use neuro_secagg::messages::{Message, Shape, ShareStatement};
use neuro_secagg::packing::Modulus;
use neuro_secagg::parameters;
use neuro_secagg::participant::{PartEffect, PartInput, Participant};
use neuro_secagg::roster::{Pin, Roster, SignedRoster, task_id};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The kinds of the messages with shares and with the answer.
const SHARES: u8 = 3;
const ANSWER: u8 = 7;

/// What it does otherwise than an honest participant.
#[derive(Clone, Copy)]
enum Twist {
    NeverAnswers,
    CommitsToOtherShares,
}

struct Twin {
    twist: Twist,
    rostered: u16,
    key: NodeKey,
    client: FederatedClient,
    messages: mpsc::Sender<ParticipantMessage>,
    part: Option<Participant>,
    payload: Vec<u8>,
}

/// Attends, joins, deals, uploads zeros, votes, and sends no answer.
pub async fn vote_and_never_answer(data_dir: &DataDir, invitation: &str) {
    attend(data_dir, invitation, Twist::NeverAnswers).await;
}

/// Attends, joins, and deals under commitments to another polynomial. All that the roster lists must join.
pub async fn commit_to_other_shares(data_dir: &DataDir, invitation: &str) {
    attend(data_dir, invitation, Twist::CommitsToOtherShares).await;
}

async fn attend(data_dir: &DataDir, invitation: &str, twist: Twist) {
    let key = data_dir.node_key().unwrap();
    let invited = SignedInvitation::from_text(invitation).unwrap().verify_signature().unwrap().clone();
    let client = FederatedClient::connect(&invited.addresses[0], &key, invited.aggregator).await.unwrap();
    let pin = Pin { owner: invited.owner, task: task_id(invited.owner, &invited.task), newest: None };
    enrol(&client, invitation, &pin).await;
    let (messages, outgoing) = mpsc::channel(64);
    let mut incoming = client.attend(ReceiverStream::new(outgoing)).await.unwrap();
    let invitation = invitation.to_owned();
    let mut twin = Twin { twist, rostered: 0, key, client, messages, part: None, payload: Vec::new() };
    tokio::spawn(async move {
        while let Some(Ok(message)) = incoming.next().await {
            match message.body {
                Some(Body::Config(bytes)) if twin.part.is_none() => {
                    let roster = enrol(&twin.client, &invitation, &pin).await;
                    twin.join(&bytes, roster).await;
                }
                Some(Body::Announcement(bytes)) => twin.step(PartInput::Message(bytes)).await,
                _ => {}
            }
        }
    });
}

async fn enrol(client: &FederatedClient, invitation: &str, pin: &Pin) -> Arc<Roster> {
    let request = EnrolRequest { invitation: invitation.to_owned(), ..EnrolRequest::default() };
    let reply = client.enrol(request).await.unwrap();
    let roster = SignedRoster::decode(&reply.signed_roster).unwrap();
    Arc::new(roster.verify(|signed| signed.check(pin, unix_now())).unwrap())
}

impl Twin {
    /// A configuration of an older roster is another round's affair.
    async fn join(&mut self, config: &[u8], roster: Arc<Roster>) {
        let (config, listed) = (SignedConfig::decode(config).unwrap(), roster.fields().members.len());
        let (past, secret) = (Past::none(unix_now()), RoundSecret::generate().unwrap());
        let joined = Participant::join(config, roster, &Floors::default(), &past, self.key.clone(), secret);
        let Ok((mut part, effects)) = joined else { return };
        part.check_modulus_by(modulus_rule);
        (self.part, self.rostered) = (Some(part), listed as u16);
        self.carry_out(effects).await;
    }

    async fn step(&mut self, input: PartInput) {
        let Some(part) = &mut self.part else { return };
        let effects = part.step(input);
        Box::pin(self.carry_out(effects)).await;
    }

    async fn carry_out(&mut self, effects: Vec<PartEffect>) {
        let config = self.part.as_ref().unwrap().config().clone();
        for effect in effects {
            match effect {
                PartEffect::Send(body) => {
                    let (round, cohort) = (config.round, config.cohort.into());
                    let Some(body) = self.twisted(&config, body) else { continue };
                    self.messages.send(ParticipantMessage { round, cohort, body }).await.unwrap();
                }
                PartEffect::Mask { jobs, modulus, honest_at_least } => {
                    self.payload = masked(&config, &jobs, modulus, honest_at_least);
                    let (hash, bytes) = (Hash::of(&self.payload), self.payload.len() as u64);
                    self.step(PartInput::Payload { hash, bytes }).await;
                }
                PartEffect::Upload { payload } => self.upload(&config, payload).await,
                _ => {}
            }
        }
    }

    /// The message as it sends it, if it does.
    fn twisted(&self, config: &RoundConfig, body: Vec<u8>) -> Option<Vec<u8>> {
        match (self.twist, body[0]) {
            (Twist::NeverAnswers, ANSWER) => None,
            (Twist::CommitsToOtherShares, SHARES) => Some(self.with_other_commitments(config, &body)),
            _ => Some(body),
        }
    }

    /// The same shares, with two of the committed coefficients in each other's place.
    fn with_other_commitments(&self, config: &RoundConfig, body: &[u8]) -> Vec<u8> {
        let found = parameters::find(&config.demand(self.rostered, self.rostered.into())).unwrap();
        let shape = Shape { n: self.rostered, k: found.k, t: found.t, q: found.q, feldman: true };
        let Message::Shares(mut shares) = Message::decode(body, Some(&shape)).unwrap() else { panic!("shares") };
        shares.feldman.swap(0, 1);
        let honest = shares.statement.statement.clone();
        let statement = ShareStatement { feldman: Hash::of(shares.feldman.as_flattened()), ..honest };
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
        self.client.upload(start, futures::stream::iter([self.payload.clone()])).await.unwrap();
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
