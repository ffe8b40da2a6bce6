//! The way from a command to the aggregator that runs on the same data folder.

use neuro_network::FederatedClient;
use neuro_protocol::federated::RoundStatus;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::runtime;

/// Connects with the data folder's own key.
///
/// # Errors
/// When no aggregator runs on the folder, or it does not answer.
pub async fn own_aggregator(global: &GlobalArgs) -> Result<FederatedClient, Failure> {
    let data_dir = runtime::data_dir(global)?;
    let nobody = || {
        Failure::message(Outcome::Unreachable, "no aggregator runs on this data folder")
            .hint("start one with: neuro fl serve --config round.toml")
    };
    let address = data_dir.running()?.and_then(|running| running.control).ok_or_else(nobody)?;
    let key = data_dir.node_key()?;
    let connected = FederatedClient::connect(&address, &key, key.node_id()).await;
    connected.map_err(|error| Failure::new(Outcome::Unreachable, error))
}

/// A snapshot, with round `round` or the newest if 0.
///
/// # Errors
/// As [`own_aggregator`], and when there was no such round.
pub async fn snapshot(global: &GlobalArgs, round: u64) -> Result<RoundStatus, Failure> {
    own_aggregator(global).await?.round_status(round).await.map_err(Failure::refused)
}
