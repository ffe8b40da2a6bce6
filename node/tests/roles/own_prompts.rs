//! Prompts that belong to nobody, for checks that show rows to one more worker.

use serde_json::json;

use crate::network::Network;

/// Answers in which users get more tokens than the node waits for, however short they are.
const MANY: u64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_node_asks_something_of_its_own_once_users_got_enough() {
    let network = Network::start().await;
    let _worker = network.worker("one").await;
    let mut asked = 0;
    while network.status().await.totals.unwrap().jobs_done == asked {
        let answer = network.request(json!({ "n": 8, "temperature": 1 }), "What is 12+35?").await;
        assert_eq!(answer.status(), 200);
        asked += 8;
        assert!(asked < MANY, "the node asked nothing of its own");
    }
    let totals = network.status().await.totals.unwrap();
    assert!(totals.tokens >= 600, "{totals:?}");
}
