//! The way from a data folder to the orchestrator that counts its credit.

use neuro_network::control::{ConnectError, ControlClient};
use neuro_node::data_dir::DataDir;
use neuro_node::worker_role::TICKET_FILE;
use neuro_primitives::NodeKey;
use neuro_protocol::control::{CreditReply, CreditRequest, credit_request};
use neuro_protocol::ticket::SignedTicket;

use crate::args::GlobalArgs;
use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::runtime;

/// The orchestrator that runs on the data folder, or the one that admitted the folder's worker last.
///
/// # Errors
/// When there is neither, or it does not answer.
pub async fn orchestrator(global: &GlobalArgs) -> Result<ControlClient, Failure> {
    let data_dir = runtime::data_dir(global)?;
    let key = data_dir.node_key()?;
    match data_dir.running()?.and_then(|running| running.control) {
        Some(address) => {
            ControlClient::connect_tls(&address, &key, key.node_id()).await.map_err(|error| unreachable(&error))
        }
        None => by_ticket(&data_dir, &key).await,
    }
}

/// Asks the orchestrator.
///
/// # Errors
/// As [`orchestrator`], and when it refuses or its store does not answer.
pub async fn ask(global: &GlobalArgs, about: credit_request::About, limit: u32) -> Result<CreditReply, Failure> {
    let request = CreditRequest { about: Some(about), limit };
    orchestrator(global).await?.credit(request).await.map_err(Failure::refused)
}

async fn by_ticket(data_dir: &DataDir, key: &NodeKey) -> Result<ControlClient, Failure> {
    let Some(text) = data_dir.recall(TICKET_FILE)? else {
        let folder = data_dir.path().display();
        let message = format!("no orchestrator runs on {folder}, and no worker of it was ever admitted");
        return Err(Failure::message(Outcome::Unreachable, message)
            .hint("join a network with `neuro worker start --join TICKET`, or name a node's folder with --data-dir"));
    };
    // It may have expired: it is asked for addresses alone.
    let signed = SignedTicket::from_text(text.trim())?;
    let ticket = signed.verify_signature()?;
    let mut last = Failure::message(Outcome::Unreachable, "the ticket names no control address")
        .hint("ask on the orchestrator's machine: control services over peer-to-peer are the worker's alone");
    for address in &ticket.control {
        match ControlClient::connect_tls(address, key, ticket.orchestrator).await {
            Ok(client) => return Ok(client),
            Err(error) => last = unreachable(&error),
        }
    }
    Err(last)
}

fn unreachable(error: &ConnectError) -> Failure {
    Failure::message(Outcome::Unreachable, error.to_string()).hint("check that the orchestrator runs")
}
