//! A party that computes as it should and lies of it: party 1 runs behind a twin that has its key, and that changes what it
//! says to party 0 and to the client.

use std::sync::Arc;

use neuro_network::smpc::{Frame, Incoming, Link, LinkError, connect, serve};
use neuro_node::smpc_role::transcript::{Signed, Statement};
use neuro_primitives::{NodeId, Signature};

use super::*;

/// Changes a frame of party 1; whether it goes to the client.
type Lie = Arc<dyn Fn(&mut Frame, bool) + Send + Sync>;

/// Tags of messages to a client: docs/spec/smpc-session.md.
const LOGITS: u8 = 17;
const STATEMENT: u8 = 18;

/// The step in which inputs of turn 0 are compared.
const INPUTS: u64 = (1 << 63) + (1 << 32);

/// The twin of party 1: it answers where party 1 should, and knows everybody's keys as far as it needs them.
struct Twin {
    own: NodeKey,
    others: Vec<NodeKey>,
    /// Where party 1 is.
    hidden: String,
    lie: Lie,
}

impl Twin {
    /// Hands on what comes to `listener`.
    async fn stand(self, listener: tokio::net::TcpListener, stop: CancellationToken) {
        let (sender, mut incoming) = mpsc::channel(8);
        let (own, twin) = (self.own.clone(), Arc::new(self));
        tokio::spawn(async move { serve(listener, &own, sender, stop).await });
        while let Some(Incoming { peer, link, first }) = incoming.recv().await {
            let twin = Arc::clone(&twin);
            tokio::spawn(async move { twin.between(peer, link, first).await });
        }
    }

    async fn between(&self, peer: NodeId, link: Link, first: Frame) {
        let key = self.others.iter().find(|key| key.node_id() == peer).unwrap();
        let mut hidden = connect(key, self.own.node_id(), &self.hidden, first.session).await.unwrap();
        hidden.send(first.step, first.part, first.body, PATIENCE).await.unwrap();
        let is_client = peer == self.others[CLIENT].node_id();
        let (mut theirs, mut ours) = (link, hidden);
        loop {
            tokio::select! {
                frame = theirs.receive(PATIENCE) => match frame {
                    Ok(frame) => hand_on(&mut ours, frame).await,
                    Err(end) => return over(end, ours).await,
                },
                frame = ours.receive(PATIENCE) => match frame {
                    Ok(mut frame) => {
                        (self.lie)(&mut frame, is_client);
                        hand_on(&mut theirs, frame).await;
                    }
                    Err(end) => return over(end, theirs).await,
                },
            }
        }
    }
}

/// The client's place among those whose keys a twin has; party 0 is first.
const CLIENT: usize = 1;

async fn hand_on(to: &mut Link, frame: Frame) {
    // Who is gone is found when it is waited for.
    drop(to.send(frame.step, frame.part, frame.body, PATIENCE).await);
}

/// Tells `other` how the link ended.
async fn over(end: LinkError, other: Link) {
    match end {
        LinkError::Aborted { reason, ending } => other.abort(ending, &reason).await,
        _ => other.close().await,
    }
}

impl Trio {
    /// Three parties, of which the second lies.
    async fn with_twin(lie: impl Fn(&mut Frame, bool, &NodeKey) + Send + Sync + 'static) -> Self {
        let places = Places::new();
        let hidden = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let [first, own] = [0, 1].map(|at: usize| places.key(at));
        let key = own.clone();
        let lie: Lie = Arc::new(move |frame: &mut Frame, to_client: bool| lie(frame, to_client, &key));
        let twin = Twin { own, others: vec![first, NodeKey::from_secret(&[7; 32])], hidden: hidden.clone(), lie };
        let listener = tokio::net::TcpListener::bind(&places.parties.entry(PartyId::ALL[1]).address).await.unwrap();
        let model = ClientModel::load(&skills()).unwrap();
        let trio = Self::at(places, model, |_, _| head(), |at| (at == 1).then(|| hidden.clone())).await;
        tokio::spawn(twin.stand(listener, trio.stop.clone()));
        trio
    }

    /// A session of one turn, whose answer is right if there is one.
    async fn asked(&self) -> Result<(), ClientError> {
        let rows = self.model.rows(&[5]).unwrap();
        let mut session = self.session(7, 1, Security::Malicious).await?;
        let logits = match session.begin(std::slice::from_ref(&rows)).await {
            Ok(logits) => logits,
            Err(error) => return Err(session.give_up(error).await),
        };
        let expected = plain(&rows, self.model.facts().d_model);
        let worst = logits.values.iter().zip(&expected).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-3, "a wrong answer: {worst}");
        session.finish().await.map(drop)
    }
}

/// The party's statement in a message, as `change` makes it, signed again.
fn restated(body: &[u8], key: &NodeKey, change: fn(&mut Statement)) -> Vec<u8> {
    let (document, signature) = body[5..].split_at(body.len() - 5 - 64);
    let signed = Signed { document: document.to_vec(), signature: Signature(signature.try_into().unwrap()) };
    let mut statement = Statement::verified(&signed).unwrap();
    change(&mut statement);
    let Signed { document, signature } = statement.sign(key);
    let length = u32::try_from(document.len()).unwrap().to_le_bytes();
    [&[STATEMENT][..], &length, &document, &signature.0].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_twin_that_says_what_it_should_all_is_well() {
    let mut trio = Trio::with_twin(|_, _, _| ()).await;
    trio.asked().await.unwrap();
    for at in 0..3 {
        assert_eq!(trio.failure(at).await, None, "party {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_of_other_logits_are_no_answer_and_both_holders_are_named() {
    // The first word of its first component, and of its second.
    for (place, holders) in [(0, "parties 1 and 0"), (1, "parties 2 and 1")] {
        let trio = Trio::with_twin(move |frame, to_client, _| {
            if to_client && frame.body[0] == LOGITS {
                let words = (frame.body.len() - 25) / 2;
                frame.body[25 + place * words] ^= 1;
            }
        })
        .await;
        let said = trio.asked().await.err().unwrap().to_string();
        assert!(said.contains(holders) && said.contains("one of the two is wrong"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_hash_of_inputs_is_not_laid_to_the_client_alone() {
    let mut trio = Trio::with_twin(|frame, to_client, _| {
        if !to_client && frame.step == INPUTS {
            frame.body[0] ^= 1;
        }
    })
    .await;
    let said = trio.asked().await.err().unwrap().to_string();
    let known = "inputs of component 1 differ between parties 1 and 0: the client, party 1 or party 0 is at fault";
    assert!(said.contains(known), "{said}");
    let signed = trio.failure(0).await.unwrap();
    assert_eq!(signed, known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_fits_nobody_s_is_found() {
    type Change = fn(&mut Statement);
    let cases: [(Change, &str); 4] = [
        (|said| said.links[1].sent_hash[0] ^= 1, "this client and party 1 tell different things of the link"),
        (|said| said.links[0].sent_hash[0] ^= 1, "party 0 and party 1 tell different things of the link"),
        (|said| said.links[2].received_hash[0] ^= 1, "party 1 and party 2 tell different things of the link"),
        (|said| said.tokens += 1, "party 1 signs for 2 tokens, and this client got 1"),
    ];
    for (change, expected) in cases {
        let trio = Trio::with_twin(move |frame, to_client, key| {
            if to_client && frame.body[0] == STATEMENT {
                frame.body = restated(&frame.body, key, change);
            }
        })
        .await;
        let said = trio.asked().await.err().unwrap().to_string();
        assert!(said.contains(expected), "{said}");
    }
}
