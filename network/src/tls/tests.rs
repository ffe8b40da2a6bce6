//! Handshakes in memory: who gets through, and with what.

use rustls::{ClientConnection, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

type ServerSide = Result<tokio_rustls::server::TlsStream<DuplexStream>, io::Error>;
type ClientSide = Result<tokio_rustls::client::TlsStream<DuplexStream>, io::Error>;

async fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> (ClientSide, ServerSide) {
    let (ours, theirs) = duplex(64 << 10);
    let connect = TlsConnector::from(client).connect(server_name().unwrap(), ours);
    let accept = TlsAcceptor::from(server).accept(theirs);
    // In TLS 1.3 a client is done before the server has judged it: its verdict shows at the first read.
    let (client, server) = tokio::join!(connect, accept);
    (client, server)
}

#[tokio::test]
async fn both_sides_learn_whom_they_talk_to_and_agree_on_the_strongest() {
    let (orchestrator, worker) = (key(1), key(2));
    let config = client(&worker, orchestrator.node_id()).unwrap();
    let (client, server) = handshake(config, super::server(&orchestrator).unwrap()).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let (client_state, server_state): (&ClientConnection, &ServerConnection) = (client.get_ref().1, server.get_ref().1);
    assert_eq!(peer_of(client_state).unwrap(), orchestrator.node_id());
    assert_eq!(peer_of(server_state).unwrap(), worker.node_id());
    assert_eq!(server_state.alpn_protocol(), Some(ALPN));
    assert_eq!(server_state.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = server_state.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    let mut heard = [0; 5];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_client_refuses_a_server_with_another_key_and_says_which() {
    let config = client(&key(2), key(1).node_id()).unwrap();
    let (client, server) = handshake(config, super::server(&key(3)).unwrap()).await;
    let error = TlsError::of_handshake(client.unwrap_err());
    let TlsError::WrongNode { expected, got } = error else { panic!("{error}") };
    assert_eq!((expected, got), (key(1).node_id(), key(3).node_id()));
    assert!(!error.is_retryable());
    assert!(server.is_err());
}

#[tokio::test]
async fn a_client_without_a_key_is_refused() {
    let provider = provider();
    let verifier = OneNode::new(Arc::clone(&provider), key(1).node_id());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let (_, server) = handshake(Arc::new(config), super::server(&key(1)).unwrap()).await;
    assert!(server.is_err());
}

#[tokio::test]
async fn a_client_that_shows_a_key_it_does_not_own_is_refused() {
    let (victim, thief) = (key(4), key(5));
    let provider = provider();
    let public = [&PUBLIC_KEY_PREFIX[..], &victim.node_id().0].concat();
    let signer = Arc::clone(&certified(&thief).unwrap().key);
    let stolen = Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], signer));
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneNode::new(provider, key(1).node_id())))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(stolen)));
    let (_, server) = handshake(Arc::new(config), super::server(&key(1)).unwrap()).await;
    assert!(server.is_err());
}

#[test]
fn only_an_ed25519_key_is_a_node() {
    let good = [&PUBLIC_KEY_PREFIX[..], &[7; 32]].concat();
    assert_eq!(node_of(&good), Some(NodeId([7; 32])));
    for length in 0..good.len() {
        assert_eq!(node_of(&good[..length]), None, "{length} bytes");
    }
    assert_eq!(node_of(&[&good[..], &[0]].concat()), None);
    for at in 0..PUBLIC_KEY_PREFIX.len() {
        let mut other = good.clone();
        other[at] ^= 1;
        assert_eq!(node_of(&other), None, "byte {at}");
    }
}

/// What a client of ours says first.
async fn first_words() -> Vec<u8> {
    let (ours, mut theirs) = duplex(64 << 10);
    let config = client(&key(2), key(1).node_id()).unwrap();
    let connecting = tokio::spawn(TlsConnector::from(config).connect(server_name().unwrap(), ours));
    let mut words = vec![0; 64 << 10];
    let length = theirs.read(&mut words).await.unwrap();
    connecting.abort();
    words.truncate(length);
    words
}

#[tokio::test]
async fn spoilt_first_words_let_nobody_in() {
    let words = first_words().await;
    let config = super::server(&key(1)).unwrap();
    let mut state = 0x5eed_u64;
    for round in 0..2_000 {
        let mut spoilt = words.clone();
        for _ in 0..3 {
            // Knuth's MMIX constants: any seeded sequence will do.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % spoilt.len();
            spoilt[at] ^= (state >> 25) as u8 | 1;
        }
        spoilt.truncate(1 + (state >> 40) as usize % (2 * spoilt.len()));
        let (mut ours, theirs) = duplex(64 << 10);
        ours.write_all(&spoilt).await.unwrap();
        ours.shutdown().await.unwrap();
        let accepted = TlsAcceptor::from(Arc::clone(&config)).accept(theirs).await;
        assert!(accepted.is_err(), "round {round}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_not_worth_another_try() {
    let (ours, mut theirs) = duplex(64 << 10);
    theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let config = client(&key(2), key(1).node_id()).unwrap();
    let error = TlsConnector::from(config).connect(server_name().unwrap(), ours).await.unwrap_err();
    let error = TlsError::of_handshake(error);
    assert!(matches!(error, TlsError::Handshake(_)) && !error.is_retryable(), "{error}");
}
