//! TLS 1.3 in which both sides prove their node key. No certificates, no authorities, no names.
//!
//! Keys travel as raw public keys (RFC 7250): a fixed prefix and the 32 bytes of the node id, so nothing of X.509 is
//! parsed. A client connects to one [`NodeId`] and refuses any other; a server accepts any node and learns which one
//! it is. The key exchange is X25519MLKEM768 where both sides have it, else X25519. Sessions are never resumed: every
//! connection proves its keys anew.

mod verifiers;

use std::io;
use std::sync::Arc;

use neuro_primitives::{NodeId, NodeKey};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, CommonState, OtherError, ServerConfig};

use self::verifiers::{AnyNode, OneNode, OtherNode};

/// What both sides say that they speak: HTTP/2, which gRPC needs.
pub const ALPN: &[u8] = b"h2";

/// The DER of an ed25519 public key up to its 32 bytes (RFC 8410): a sequence of the algorithm and a bit string.
const PUBLIC_KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The DER of an ed25519 private key up to its 32 bytes (RFC 8410, PKCS #8 version 1).
const PRIVATE_KEY_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What a client would call the server; never sent, because keys name nodes.
const NO_NAME: &str = "node.invalid";

/// Why TLS cannot be set up with a key, or a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The node's own key or the settings were refused: a bug of ours.
    #[error("the node key cannot be used for TLS: {0}")]
    Setup(#[from] rustls::Error),
    /// Somebody else answered.
    #[error("expected node {expected}, got {got}")]
    WrongNode {
        /// Whom we wanted to reach.
        expected: NodeId,
        /// Who proved to be there.
        got: NodeId,
    },
    /// The other side showed something other than an ed25519 key.
    #[error("expected an ed25519 node key of {PUBLIC_KEY_BYTES} bytes, got {got_bytes} bytes of something else")]
    NotANode {
        /// How many bytes were shown.
        got_bytes: usize,
    },
    /// The handshake failed: no TLS 1.3 there, no key, or the connection broke.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
}

/// Bytes of a raw public key.
const PUBLIC_KEY_BYTES: usize = PUBLIC_KEY_PREFIX.len() + 32;

impl TlsError {
    /// Whether the same attempt may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Handshake(error) if error.kind() != io::ErrorKind::InvalidData)
    }

    /// What a failed handshake was about.
    pub(crate) fn of_handshake(error: io::Error) -> Self {
        let other = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::Other(OtherError(reason))) => reason.downcast_ref::<OtherNode>(),
            _ => None,
        };
        match other {
            Some(&OtherNode { expected, got }) => Self::WrongNode { expected, got },
            None => Self::Handshake(error),
        }
    }
}

/// The settings of a server with `key`, which admits every node that proves its key.
///
/// # Errors
/// Only by a bug of ours.
pub fn server(key: &NodeKey) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let resolver = AlwaysResolvesServerRawPublicKeys::new(certified(key)?);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyNode::new(provider)))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The settings of a client with `key` that talks to `expected` and nobody else.
///
/// # Errors
/// Only by a bug of ours.
pub fn client(key: &NodeKey, expected: NodeId) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let resolver = AlwaysResolvesClientRawPublicKeys::new(certified(key)?);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OneNode::new(provider, expected)))
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The name that a client hands to rustls, which asks for one and does not send it.
///
/// # Errors
/// Never: the name is a constant.
pub fn server_name() -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(NO_NAME).map_err(|error| TlsError::Setup(rustls::Error::General(error.to_string())))
}

/// Who is at the other end of a finished handshake.
///
/// # Errors
/// When the connection carries no ed25519 key; the verifiers let none such through.
pub fn peer_of(connection: &CommonState) -> Result<NodeId, TlsError> {
    let shown = connection.peer_certificates().and_then(<[_]>::first).map_or(&[][..], AsRef::as_ref);
    node_of(shown).ok_or(TlsError::NotANode { got_bytes: shown.len() })
}

/// The node whose raw public key is `der`.
fn node_of(der: &[u8]) -> Option<NodeId> {
    der.strip_prefix(&PUBLIC_KEY_PREFIX)?.try_into().ok().map(NodeId)
}

/// aws-lc-rs with TLS 1.3 suites only and the post-quantum key exchange first.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    Arc::new(provider)
}

fn certified(key: &NodeKey) -> Result<Arc<CertifiedKey>, TlsError> {
    let public = [&PUBLIC_KEY_PREFIX[..], &key.node_id().0].concat();
    let secret = PrivatePkcs8KeyDer::from([&PRIVATE_KEY_PREFIX[..], key.secret().as_slice()].concat());
    let signer = aws_lc_rs::sign::any_eddsa_type(&secret)?;
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], signer)))
}

#[cfg(test)]
mod tests;
