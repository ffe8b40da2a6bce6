//! Who is let through a handshake: one node, or any that proves its key.

use std::sync::Arc;

use neuro_primitives::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use super::node_of;

/// Node keys sign with nothing else.
const SCHEMES: [SignatureScheme; 1] = [SignatureScheme::ED25519];

/// A client's refusal of a node that it did not want.
#[derive(Debug, thiserror::Error)]
#[error("expected node {expected}, got {got}")]
pub(super) struct OtherNode {
    /// The node that the client wants.
    pub(super) expected: NodeId,
    /// The node that answered.
    pub(super) got: NodeId,
}

/// Lets one node through.
#[derive(Debug)]
pub(super) struct OneNode {
    provider: Arc<CryptoProvider>,
    expected: NodeId,
}

impl OneNode {
    pub(super) const fn new(provider: Arc<CryptoProvider>, expected: NodeId) -> Self {
        Self { provider, expected }
    }
}

impl ServerCertVerifier for OneNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (expected, got) = (self.expected, shown_node(end_entity)?);
        if got == expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::Other(OtherError(Arc::new(OtherNode { expected, got }))))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.provider, message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Lets every node through that proves its key, and nobody without one.
#[derive(Debug)]
pub(super) struct AnyNode {
    provider: Arc<CryptoProvider>,
}

impl AnyNode {
    pub(super) const fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ClientCertVerifier for AnyNode {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        shown_node(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.provider, message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn shown_node(key: &CertificateDer<'_>) -> Result<NodeId, Error> {
    node_of(key).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn verify(
    provider: &CryptoProvider,
    message: &[u8],
    key: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(key.as_ref());
    verify_tls13_signature_with_raw_key(message, &key, signature, &provider.signature_verification_algorithms)
}

/// Never asked for, because only TLS 1.3 is offered.
fn too_old() -> Error {
    Error::General("TLS 1.2 is not spoken here".into())
}
