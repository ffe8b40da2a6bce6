//! The swarm: transports, behaviours and their settings.

use libp2p::core::upgrade::Version;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Swarm, SwarmBuilder, connection_limits, identify, identity, noise, ping, tcp, yamux};
use neuro_primitives::NodeKey;

use super::error::NetworkError;
use super::limits;
use super::streams::Streams;
use crate::identity::key_pair;

/// What `identify` says that we are. It is told, not checked: our protocols' names decide who can talk to whom.
const NETWORK_NAME: &str = "/neuro/1";

/// All that runs over a connection. The limits come first, so that what they refuse is never admitted elsewhere.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(super) streams: Streams,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

pub(super) fn build(key: &NodeKey) -> Result<Swarm<Behaviour>, NetworkError> {
    let pair = key_pair(key).ok_or_else(|| NetworkError::Key { reason: "it is no ed25519 seed".into() })?;
    let swarm = SwarmBuilder::with_existing_identity(pair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, multiplexing)
        .map_err(|error| NetworkError::Transport { reason: error.to_string() })?
        .with_quic_config(quic)
        .with_behaviour(behaviour)
        .map_err(|error| NetworkError::Transport { reason: error.to_string() })?
        .with_swarm_config(settings)
        .with_connection_timeout(limits::HANDSHAKE_TIME_LIMIT)
        .build();
    Ok(swarm)
}

fn multiplexing() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(limits::MAX_STREAMS_PER_CONNECTION);
    config
}

fn quic(mut config: libp2p::quic::Config) -> libp2p::quic::Config {
    let idle_ms = u32::try_from(limits::QUIC_IDLE_TIME_LIMIT.as_millis()).unwrap_or(u32::MAX);
    config.handshake_timeout = limits::HANDSHAKE_TIME_LIMIT;
    config.max_idle_timeout = idle_ms;
    config.keep_alive_interval = limits::QUIC_IDLE_TIME_LIMIT / 3;
    config.max_concurrent_stream_limit = u32::try_from(limits::MAX_STREAMS_PER_CONNECTION).unwrap_or(u32::MAX);
    config
}

fn behaviour(pair: &identity::Keypair) -> Behaviour {
    let identify = identify::Config::new(NETWORK_NAME.into(), pair.public())
        .with_agent_version(concat!("neuro/", env!("CARGO_PKG_VERSION")).into())
        // Addresses that a peer tells are hearsay; we dial only those that came with a ticket.
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(limits::PING_INTERVAL).with_timeout(limits::PING_TIME_LIMIT);
    Behaviour {
        limits: connection_limits::Behaviour::new(connection_limits()),
        streams: Streams::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping),
    }
}

fn connection_limits() -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits::MAX_PENDING_INCOMING))
        .with_max_pending_outgoing(Some(limits::MAX_PENDING_OUTGOING))
        .with_max_established_per_peer(Some(limits::MAX_CONNECTIONS_PER_PEER))
        .with_max_established(Some(limits::MAX_CONNECTIONS))
}

/// Lazy negotiation sends a stream's protocol name with its first bytes, which saves a round trip per stream. It is
/// safe because this swarm runs only protocols that all its peers speak (ours, identify, ping): in an open network a
/// dialer would take silence for consent.
fn settings(config: libp2p::swarm::Config) -> libp2p::swarm::Config {
    config
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_idle_connection_timeout(limits::IDLE_CONNECTION_TIME_LIMIT)
        .with_max_negotiating_inbound_streams(limits::MAX_NEGOTIATING_STREAMS)
        .with_smart_dial()
}
