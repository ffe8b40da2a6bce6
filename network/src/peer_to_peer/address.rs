//! Multiaddrs as texts: parsing, host names, and what an address says about the path.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::time::timeout;

use super::error::NetworkError;
use super::limits::MAX_DIAL_ADDRESSES;

/// Time to resolve one host name. A resolver that is down must not hold up the addresses that need none for long.
const RESOLVE_TIME_LIMIT: Duration = Duration::from_secs(3);

/// Parses `text`.
pub(super) fn parse(text: &str) -> Result<Multiaddr, NetworkError> {
    text.parse().map_err(|error: libp2p::multiaddr::Error| bad(text, error))
}

/// An address that this node cannot use, and why.
pub(super) fn bad(address: &str, reason: impl ToString) -> NetworkError {
    NetworkError::BadAddress { address: address.to_owned(), reason: reason.to_string() }
}

/// The transport that an address names: `quic`, `tcp`, or nothing known.
pub(super) fn transport_of(address: &Multiaddr) -> &'static str {
    address
        .iter()
        .find_map(|protocol| match protocol {
            Protocol::QuicV1 => Some("quic"),
            Protocol::Tcp(_) => Some("tcp"),
            _ => None,
        })
        .unwrap_or("")
}

/// Whether `address` is TCP on this machine or in a network that this node is in too, by its own addresses `own`.
pub(super) fn is_near_tcp(address: &Multiaddr, own: &[Multiaddr]) -> bool {
    let Some(ip) = ip_of(address) else { return false };
    let near = ip.is_loopback() || own.iter().filter_map(ip_of).any(|own| same_network(ip, own));
    near && transport_of(address) == "tcp"
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Home and office networks are a /24 of IPv4 or a /64 of IPv6; a wrong guess costs one failed attempt.
fn same_network(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..4] == b.segments()[..4],
        _ => false,
    }
}

/// Whether an address leads through a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|protocol| matches!(protocol, Protocol::P2pCircuit))
}

/// The addresses that `texts` stand for, host names resolved, at most [`MAX_DIAL_ADDRESSES`].
///
/// One text that is wrong or cannot be resolved does not spoil the others; when none is left, its error is returned.
pub(super) async fn resolve_all(texts: &[String]) -> Result<Vec<Multiaddr>, NetworkError> {
    let (mut resolved, mut wrong) = (Vec::new(), None);
    for text in texts.iter().take(MAX_DIAL_ADDRESSES) {
        match resolve(text).await {
            Ok(addresses) => resolved.extend(addresses),
            Err(error) => wrong = Some(error),
        }
    }
    resolved.truncate(MAX_DIAL_ADDRESSES);
    match wrong {
        Some(error) if resolved.is_empty() => Err(error),
        _ => Ok(resolved),
    }
}

async fn resolve(text: &str) -> Result<Vec<Multiaddr>, NetworkError> {
    let address = parse(text)?;
    let Some((name, meant)) = host_name(&address) else { return Ok(vec![address]) };
    let looked_up = timeout(RESOLVE_TIME_LIMIT, tokio::net::lookup_host((name.as_str(), 0))).await;
    let found = looked_up.map_err(|_| bad(text, "its name was not resolved in time"))?;
    let found = found.map_err(|error| bad(text, error))?;
    Ok(found.map(|socket| socket.ip()).filter(meant).map(|ip| with_host(&address, ip)).collect())
}

/// Which of a name's IP addresses are meant.
type Meant = fn(&IpAddr) -> bool;

/// The host name that `address` begins with, and which of its IP addresses are meant.
fn host_name(address: &Multiaddr) -> Option<(String, Meant)> {
    match address.iter().next()? {
        Protocol::Dns(name) => Some((name.into_owned(), |_| true)),
        Protocol::Dns4(name) => Some((name.into_owned(), IpAddr::is_ipv4)),
        Protocol::Dns6(name) => Some((name.into_owned(), IpAddr::is_ipv6)),
        _ => None,
    }
}

fn with_host(address: &Multiaddr, ip: IpAddr) -> Multiaddr {
    std::iter::once(Protocol::from(ip)).chain(address.iter().skip(1)).collect()
}

/// Fails if another program listens at `address`.
///
/// libp2p's TCP listener shares its port on purpose (for hole punching), so that two nodes of one user on one port
/// would both start, and each would get half of the connections. A plain bind finds that out.
pub(super) fn check_free(text: &str, address: &Multiaddr) -> Result<(), NetworkError> {
    let Some(socket) = socket_address(address).filter(|socket| socket.port() != 0) else { return Ok(()) };
    let bound = match transport_of(address) {
        "tcp" => TcpListener::bind(socket).map(drop),
        "quic" => UdpSocket::bind(socket).map(drop),
        _ => Ok(()),
    };
    bound.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => NetworkError::PortInUse { address: text.to_owned() },
        _ => NetworkError::Listen { address: text.to_owned(), reason: error.to_string() },
    })
}

fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip),
        Protocol::Ip6(ip) => IpAddr::from(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_this_machine_or_this_network_over_tcp() {
        let own = [parse("/ip4/192.168.7.20/tcp/4000").unwrap(), parse("/ip6/fd00:1:2:3::5/tcp/4000").unwrap()];
        for (text, near) in [
            ("/ip4/127.0.0.1/tcp/9", true),
            ("/ip4/127.0.0.1/udp/9/quic-v1", false),
            ("/ip4/192.168.7.99/tcp/9", true),
            ("/ip4/192.168.8.99/tcp/9", false),
            ("/ip6/fd00:1:2:3::9/tcp/9", true),
            ("/ip6/fd00:1:2:4::9/tcp/9", false),
            ("/dns4/example.org/tcp/9", false),
        ] {
            assert_eq!(is_near_tcp(&parse(text).unwrap(), &own), near, "{text}");
        }
    }

    #[test]
    fn an_address_says_its_transport_and_whether_it_is_relayed() {
        for (text, transport, relayed) in [
            ("/ip4/127.0.0.1/tcp/4300", "tcp", false),
            ("/ip6/::1/udp/4300/quic-v1", "quic", false),
            ("/ip4/192.0.2.7/tcp/1/p2p-circuit", "tcp", true),
            ("/memory/7", "", false),
        ] {
            let address = parse(text).unwrap();
            assert_eq!((transport_of(&address), is_relayed(&address)), (transport, relayed), "{text}");
        }
    }

    #[tokio::test]
    async fn names_become_addresses_of_the_kind_that_was_asked_for() {
        let addresses = resolve_all(&["/dns4/localhost/tcp/4300".to_owned()]).await.unwrap();
        assert_eq!(addresses, [parse("/ip4/127.0.0.1/tcp/4300").unwrap()]);
    }

    #[tokio::test]
    async fn a_wrong_address_spoils_nothing_unless_it_is_the_only_one() {
        let wrong = "neuro.example:4300".to_owned();
        let right = "/ip4/127.0.0.1/tcp/4300".to_owned();
        assert_eq!(resolve_all(&[wrong.clone(), right]).await.unwrap().len(), 1);
        let error = resolve_all(&[wrong]).await.unwrap_err();
        assert!(error.to_string().contains("\"neuro.example:4300\""), "{error}");
    }

    #[test]
    fn a_taken_port_is_found_on_both_transports() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in [
            format!("/ip4/127.0.0.1/tcp/{}", tcp.local_addr().unwrap().port()),
            format!("/ip4/127.0.0.1/udp/{}/quic-v1", udp.local_addr().unwrap().port()),
        ] {
            let error = check_free(&text, &parse(&text).unwrap()).unwrap_err();
            assert!(matches!(&error, NetworkError::PortInUse { address } if *address == text), "{error}");
        }
    }
}
