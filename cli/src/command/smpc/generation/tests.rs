//! What parties learn of lengths, and what is left of answers and counts when one is lost.

mod trio;

use std::sync::Arc;

use neuro_node::smpc_role::program::PartyComputation;
use neuro_node::smpc_role::secret_weights::QueryLedger;
use neuro_primitives::NodeId;
use neuro_smpc::channel::ChannelError;
use neuro_smpc::error::SmpcError;
use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;
use tokio::sync::Notify;

use self::trio::{Moment, Plot, Quiet, Trio};
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

const LIKELIEST: SamplingArgs = SamplingArgs { max_tokens: None, temperature: 0.0, seed: None };

/// Party 2 loses its peers at one moment.
struct LostAt(Moment);

impl Plot for LostAt {
    fn turn(&self, _: &mut PartyComputation<'_>, party: PartyId, moment: Moment) -> Result<(), SmpcError> {
        if party == PartyId::ALL[2] && moment == self.0 {
            return Err(ChannelError::Lost { peer: PartyId::ALL[0] }.into());
        }
        Ok(())
    }
}

/// Party 2 dies when all its tokens are told.
struct DiesAtTheEnd;

impl Plot for DiesAtTheEnd {
    fn dies(&self, party: PartyId) -> bool {
        party == PartyId::ALL[2]
    }
}

/// The client's link to party 0 is cut in the first session's second turn, which goes on until that is seen.
struct CutInTurn(Arc<Notify>);

impl Plot for CutInTurn {
    fn turn(&self, computation: &mut PartyComputation<'_>, party: PartyId, moment: Moment) -> Result<(), SmpcError> {
        if moment != (Moment { session: 0, token: 1 }) {
            return Ok(());
        }
        if party == PartyId::ALL[0] {
            self.0.notify_one();
        }
        loop {
            computation.truncate(&Shares::zeros(1), 48, 16)?;
        }
    }
}

/// Prompts of so many tokens.
fn prompts(trio: &Trio, lengths: &[usize]) -> Prompts {
    Prompts::fitting(lengths.iter().map(|tokens| vec![5; *tokens]).collect(), trio.model().facts().context).unwrap()
}

/// The token that ends answers.
fn end_of_skills() -> u32 {
    let model = ClientModel::load(&trio::skills()).unwrap();
    (0..model.facts().vocab_size as u32).find(|token| model.ends(*token)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_of_one_bucket_look_the_same() {
    let trio = Trio::start(vec![vec![end_of_skills()]], Quiet).await;
    for tokens in [17, 30] {
        generate(&trio.asking(512), &prompts(&trio, &[tokens])).await.unwrap();
    }
    let lengths = Lengths { prompts: 1, rows: 32, answered: 0, tokens: 512 };
    assert_eq!(trio.seen(), [lengths, lengths]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_where_the_context_does() {
    let trio = Trio::start(vec![vec![7]], Quiet).await;
    let given = generate(&trio.asking(512), &prompts(&trio, &[509])).await.unwrap();
    assert_eq!((given.answers, given.turns), (vec![vec![7; 3]], 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_after_a_lost_one_tells_nothing_more_of_the_prompts() {
    let end = end_of_skills();
    let script = vec![vec![7, 8, 9, 10, 11, end], vec![6, end]];
    let mut seen = Vec::new();
    // With the three tokens that are told when the session is lost, one of the prompts has more than its bucket's 16 rows.
    for tokens in [9, 14] {
        let trio = Trio::start(script.clone(), LostAt(Moment { session: 0, token: 3 })).await;
        let given = generate(&trio.asking(40), &prompts(&trio, &[tokens, 3])).await.unwrap();
        assert_eq!(given.answers, [vec![7, 8, 9, 10, 11], vec![6]]);
        assert_eq!((given.sessions, given.turns), (2, 6));
        seen.push(trio.seen());
    }
    let first = Lengths { prompts: 2, rows: 16, answered: 0, tokens: 40 };
    let second = Lengths { prompts: 2, rows: 16 + 3, answered: 3, tokens: 40 - 3 };
    assert_eq!(seen, [[first, second], [first, second]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_stands_without_a_transcript() {
    let trio = Trio::start(vec![vec![7, 8, end_of_skills()]], DiesAtTheEnd).await;
    let given = generate(&trio.asking(40), &prompts(&trio, &[9])).await.unwrap();
    assert_eq!((given.answers, given.sessions), (vec![vec![7, 8]], 1));
    let error = given.transcript.unwrap_err().to_string();
    assert!(error.contains("party 2: the connection was lost"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_s_link_that_is_cut_in_a_turn_is_a_loss() {
    let cut = Arc::new(Notify::new());
    let script = vec![vec![7, 8, end_of_skills()]];
    let trio = Trio::start_with_cut(script, CutInTurn(Arc::clone(&cut)), cut).await;
    let given = generate(&trio.asking(40), &prompts(&trio, &[9])).await.unwrap();
    assert_eq!((given.answers, given.sessions), (vec![vec![7, 8]], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_that_was_told_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (model, client) = (Hash([1; 32]), NodeId([2; 32]));
    let ledger = QueryLedger::open(folder.path().to_owned());
    let script = vec![vec![7, 8, 9, end_of_skills()], vec![6]];
    // Two turns are told before the loss: of the next session the other two, or nothing where there is none.
    for (restarts, used) in [(0, 2 * 2), (1, 2 * 2 + 2 * 6)] {
        let trio = Trio::start(script.clone(), LostAt(Moment { session: 0, token: 2 })).await;
        let counted = RefCell::new(ledger.reserve(model, client, 2 * 6, u64::MAX).unwrap());
        let asking = Asking { restarts, counted: Some(&counted), ..trio.asking(6) };
        let given = generate(&asking, &prompts(&trio, &[9, 3])).await;
        assert_eq!(given.map(|given| given.turns).ok(), (restarts > 0).then_some(6));
        drop(counted);
        assert_eq!(ledger.used(model, client).unwrap(), used);
    }
}
