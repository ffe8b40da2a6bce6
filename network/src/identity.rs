//! One ed25519 key, three names: [`NodeId`] everywhere in the program, `PeerId` inside libp2p, a raw public key in TLS.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use neuro_primitives::{NodeId, NodeKey};

/// The multihash code of "the bytes themselves": short public keys are not hashed in a peer id.
const IDENTITY_CODE: u64 = 0;

/// The libp2p key pair of a node key; `None` never happens for a key of ours.
pub(crate) fn key_pair(key: &NodeKey) -> Option<Keypair> {
    Keypair::ed25519_from_bytes(*key.secret()).ok()
}

/// The peer id of a node; `None` when the id is no point of the curve, so that nobody can hold its key.
pub(crate) fn peer_id(node: NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(PeerId::from_public_key(&PublicKey::from(key)))
}

/// The node of a peer id; `None` when the peer's key is of another kind.
pub(crate) fn node_id(peer: &PeerId) -> Option<NodeId> {
    let hash = peer.as_ref();
    let encoded = (hash.code() == IDENTITY_CODE).then(|| hash.digest())?;
    let key = PublicKey::try_decode_protobuf(encoded).ok()?.try_into_ed25519().ok()?;
    Some(NodeId(key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_its_peer_name_the_same_key() {
        let key = NodeKey::from_secret(&[5; 32]);
        let peer = key_pair(&key).unwrap().public().to_peer_id();
        assert_eq!(peer_id(key.node_id()), Some(peer));
        assert_eq!(node_id(&peer), Some(key.node_id()));
    }

    #[test]
    fn a_peer_of_another_kind_of_key_is_no_node() {
        assert_eq!(node_id(&PeerId::random()), None);
    }

    #[test]
    fn an_id_that_is_no_key_has_no_peer() {
        let mut outside = [0; 32];
        outside[0] = 2;
        assert_eq!(peer_id(NodeId(outside)), None);
    }
}
