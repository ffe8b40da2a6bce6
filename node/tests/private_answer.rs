//! The skills model answers on secret shares as it does in plaintext: three threads, masks, proofs, a client that joins.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use neuro_model::Checkpoint;
use neuro_node::private_model;
use neuro_smpc::computation::{Computation, Security};
use neuro_smpc::memory::{NetworkModel, network, run_over};
use neuro_smpc::nn::Decoder;
use neuro_smpc::party::PartyId;
use neuro_smpc::prss::Prss;
use neuro_smpc::share::Shares;

/// Replicated shares of `values` for `party`, from a generator that all three run: good enough for a test.
fn share(party: PartyId, values: &[u64]) -> Shares {
    let mut state = values.len() as u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ state >> 29
    };
    let split = values.iter().map(|value| {
        let (first, second) = (word(), word());
        [first, second, value.wrapping_sub(first).wrapping_sub(second)]
    });
    let parts: Vec<[u64; 3]> = split.collect();
    let component = |at: usize| parts.iter().map(|parts| parts[at]).collect();
    Shares::new(component(party.index()), component(party.next().index()))
}

#[test]
fn a_question_is_answered_on_shares() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint");
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let weights = Arc::new(private_model::weights(&checkpoint).unwrap());
    let tokenizer = checkpoint.tokenizer().unwrap();
    let template = checkpoint.chat_template().unwrap().expect("a chat template");
    let message = neuro_model::ChatMessage { role: "user".into(), content: "12+35=".into() };
    let prompt = tokenizer.encode(&template.render(&[message], true).unwrap(), false).unwrap();
    let ran = run_over(network(NetworkModel::INSTANT), |party, link| {
        let seed = |component: PartyId| [component.index() as u8 + 1; 32];
        let prss = Prss::new(&seed(party), &seed(party.next()));
        let mut computation = Computation::new(party, link, prss, Security::Malicious);
        let mut decoder = Decoder::new(Arc::clone(&weights), 1);
        let (mut tokens, mut answer) = (prompt.clone(), Vec::new());
        for _ in 0..4 {
            let embeddings = share(party, &private_model::embeddings(&checkpoint, &tokens).unwrap());
            let logits = decoder.advance(&mut computation, &embeddings).unwrap();
            let logits = computation.verify().unwrap().open(&logits).unwrap();
            let best = (0..logits.len()).max_by_key(|at| (logits[*at] as i64, std::cmp::Reverse(*at))).unwrap();
            tokens = vec![best as u32];
            answer.push(best as u32);
        }
        answer
    });
    for (answer, _) in ran {
        assert_eq!(tokenizer.decode(&answer, true).unwrap().trim(), "47");
    }
}
