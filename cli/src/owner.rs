//! The way from a data folder to the orchestrator that runs on it: its key is the owner's.

use neuro_network::control::ControlClient;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::runtime;

/// The orchestrator's control services, as its owner.
///
/// # Errors
/// When no orchestrator runs on the folder, or it does not answer.
pub async fn orchestrator(global: &GlobalArgs) -> Result<ControlClient, Failure> {
    let data_dir = runtime::data_dir(global)?;
    let key = data_dir.node_key()?;
    let Some(address) = data_dir.running()?.and_then(|running| running.control) else {
        let message = format!("no orchestrator runs on {}", data_dir.path().display());
        return Err(Failure::message(Outcome::Unreachable, message)
            .hint("start one with `neuro serve`, or name its folder with --data-dir"));
    };
    let client = ControlClient::connect_tls(&address, &key, key.node_id()).await;
    client.map_err(|error| Failure::message(Outcome::Unreachable, error))
}
