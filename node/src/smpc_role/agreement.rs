//! What the three parties and the client must agree on before anything is shared.

use neuro_network::smpc::SessionId;
use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Hash, NodeId};
use neuro_smpc::computation::Security;

/// The terms of a session. One canonical form; its hash goes into every seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Version of the messages.
    pub version: u16,
    /// Which session.
    pub session: SessionId,
    /// Who asks.
    pub client: NodeId,
    /// The weights: configuration and tensors.
    pub model: Hash,
    /// The program that is run on shares, with its version.
    pub program: Hash,
    /// How numbers are integers.
    pub profile: Profile,
    /// Rows of the prompt, padding included.
    pub prompt_rows: u32,
    /// The most tokens that are computed.
    pub max_tokens: u32,
    /// What the parties are held to.
    pub security: Security,
    /// The parties' keys, in order.
    pub parties: [NodeId; 3],
    /// The whole parties file: keys, and what operators say of themselves.
    pub registry: Hash,
}

/// Fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Bits of the ring.
    pub ring_bits: u8,
    /// Fraction bits of embeddings, and of what layers hand each other.
    pub fraction_bits: u8,
    /// Fraction bits of logits.
    pub logit_fraction_bits: u8,
}

impl Profile {
    /// The only profile so far.
    pub const DEFAULT: Self = Self { ring_bits: 64, fraction_bits: 16, logit_fraction_bits: 32 };
}

impl Agreement {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u16(self.version);
        writer.raw(&self.session.0);
        writer.raw(&self.client.0);
        writer.raw(&self.model.0);
        writer.raw(&self.program.0);
        writer.u8(self.profile.ring_bits);
        writer.u8(self.profile.fraction_bits);
        writer.u8(self.profile.logit_fraction_bits);
        writer.u32(self.prompt_rows);
        writer.u32(self.max_tokens);
        writer.flag(self.security == Security::Malicious);
        self.parties.iter().for_each(|node| writer.raw(&node.0));
        writer.raw(&self.registry.0);
        writer.finish()
    }

    /// Reads the canonical bytes.
    ///
    /// # Errors
    /// Bytes that are no agreement.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let agreement = Self {
            version: reader.u16()?,
            session: SessionId(reader.array()?),
            client: NodeId(reader.array()?),
            model: Hash(reader.array()?),
            program: Hash(reader.array()?),
            profile: Profile {
                ring_bits: reader.u8()?,
                fraction_bits: reader.u8()?,
                logit_fraction_bits: reader.u8()?,
            },
            prompt_rows: reader.u32()?,
            max_tokens: reader.u32()?,
            security: if reader.flag()? { Security::Malicious } else { Security::SemiHonest },
            parties: [NodeId(reader.array()?), NodeId(reader.array()?), NodeId(reader.array()?)],
            registry: Hash(reader.array()?),
        };
        reader.finish()?;
        Ok(agreement)
    }

    /// Names these terms.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[b"neuro smpc agreement 1".as_slice(), &self.encode()].concat())
    }

    /// What differs from `other`, in words; nothing where all is the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = [
            ("version", self.version.to_string(), other.version.to_string()),
            ("session", self.session.to_string(), other.session.to_string()),
            ("client", self.client.short(), other.client.short()),
            ("model", self.model.short(), other.model.short()),
            ("program", self.program.short(), other.program.short()),
            ("fixed-point profile", format!("{:?}", self.profile), format!("{:?}", other.profile)),
            ("prompt rows", self.prompt_rows.to_string(), other.prompt_rows.to_string()),
            ("most tokens", self.max_tokens.to_string(), other.max_tokens.to_string()),
            ("security", format!("{:?}", self.security), format!("{:?}", other.security)),
            ("parties", shorts(&self.parties), shorts(&other.parties)),
            ("parties file", self.registry.short(), other.registry.short()),
        ];
        let differ = pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs);
        differ.map(|(what, ours, theirs)| format!("{what}: {ours} here, {theirs} there")).collect()
    }
}

fn shorts(nodes: &[NodeId; 3]) -> String {
    nodes.map(|node| node.short()).join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn sample() -> Agreement {
        Agreement {
            version: crate::smpc_role::PROTOCOL_VERSION,
            session: SessionId([1; 16]),
            client: NodeId([2; 32]),
            model: Hash([3; 32]),
            program: Hash([4; 32]),
            profile: Profile::DEFAULT,
            prompt_rows: 16,
            max_tokens: 8,
            security: Security::Malicious,
            parties: [NodeId([5; 32]), NodeId([6; 32]), NodeId([7; 32])],
            registry: Hash([8; 32]),
        }
    }

    #[test]
    fn an_agreement_has_one_form() {
        let agreement = sample();
        assert_eq!(Agreement::decode(&agreement.encode()).unwrap(), agreement);
        assert_eq!(agreement.hash().to_string()[..16], *CONFORMANCE, "docs/spec/smpc-session.md");
        for length in 0..agreement.encode().len() {
            assert!(Agreement::decode(&agreement.encode()[..length]).is_err());
        }
    }

    #[test]
    fn what_differs_is_named() {
        let other = Agreement { model: Hash([9; 32]), max_tokens: 9, ..sample() };
        let differences = sample().differences(&other);
        assert_eq!(differences, ["model: 03030303 here, 09090909 there", "most tokens: 8 here, 9 there"]);
        assert!(sample().differences(&sample()).is_empty());
    }

    /// The first digits of the hash of [`sample`].
    const CONFORMANCE: &str = "0000000000000000";
}
