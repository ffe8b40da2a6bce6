//! What all parts of a running orchestrator share.

use std::sync::Arc;

use neuro_inference::Trunk;
use neuro_network::peer_to_peer::PeerToPeer;
use neuro_primitives::{NodeKey, UnixMillis};

use super::Addresses;
use super::cases::Cases;
use super::dispatch::Dispatch;
use super::members::Members;
use super::receipts::Receipts;
use super::recorder::Recorder;
use super::roster::Roster;
use crate::jobs::JobRunner;
use crate::publish::Publication;

/// One orchestrator. Every field is shared by `&self`; nothing here is replaced while it runs.
pub struct Shared {
    /// The node's key.
    pub key: NodeKey,
    /// Where it listens.
    pub addresses: Addresses,
    /// When it started.
    pub started: UnixMillis,
    /// The model's trunk.
    pub trunk: Arc<Trunk>,
    /// The checkpoint and its manifest.
    pub publication: Arc<Publication>,
    /// The core and the calls.
    pub dispatch: Arc<Dispatch>,
    /// Jobs of the API.
    pub runner: Arc<JobRunner>,
    /// What workers are owed.
    pub receipts: Arc<Receipts>,
    /// Evidence against workers.
    pub cases: Arc<Cases>,
    /// Who may attend.
    pub members: Members,
    /// What workers say of themselves.
    pub roster: Roster,
    /// What outlives this run.
    pub recorder: Recorder,
    /// Peer-to-peer.
    pub network: PeerToPeer,
}

impl Shared {
    /// Ends waiting calls and jobs, and takes no more.
    pub fn end_calls(&self) {
        self.dispatch.stop();
        self.runner.close();
    }
}
