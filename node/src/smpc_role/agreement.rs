//! What the three parties and the client must agree on before anything is shared.

mod lengths;

use std::fmt;

use neuro_network::smpc::SessionId;
use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId, NodeKey, Signature};
use neuro_smpc::computation::Security;

pub use self::lengths::{Lengths, MAX_PROMPTS};

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
    /// The range profile of the model: how large its values become. Zeros where there is none.
    pub ranges: Hash,
    /// How much is computed: what all parties learn of the text.
    pub lengths: Lengths,
    /// Whether the parties learn which experts each token meets.
    pub routes: Routes,
    /// Whether the client is told what each layer hands the next, to compare it with plaintext.
    pub tells_layers: bool,
    /// What the parties are held to.
    pub security: Security,
    /// The parties' keys, in order.
    pub parties: [NodeId; 3],
    /// The whole parties file: keys, and what operators say of themselves.
    pub registry: Hash,
}

/// Who learns which experts a token meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// Nobody.
    Hidden,
    /// The parties, since the client has signed [`Routes::CONSENT`].
    Revealed(Signature),
}

/// Signatures of consent.
const CONSENT_DOMAIN: Domain = Domain("neuro/smpc-consent/1");

impl Routes {
    /// What a client signs who lets routes be seen.
    pub const CONSENT: &str = "I know that the experts which each token meets tell the parties what the text is, \
                               and I disclose it to them.";

    /// Consent of `key`'s owner, for one session.
    #[must_use]
    pub fn revealed(key: &NodeKey, session: SessionId) -> Self {
        Self::Revealed(key.sign(CONSENT_DOMAIN, &Self::signed_text(session)))
    }

    fn signed_text(session: SessionId) -> Vec<u8> {
        [session.0.as_slice(), Self::CONSENT.as_bytes()].concat()
    }
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
    /// Terms between nobody, for a rehearsal of `program` on `model`.
    #[must_use]
    pub fn rehearsal(model: Hash, program: Hash, lengths: Lengths, security: Security) -> Self {
        let nobody = NodeId([0; 32]);
        Self {
            version: super::PROTOCOL_VERSION,
            session: SessionId([0; 16]),
            client: nobody,
            model,
            program,
            profile: Profile::DEFAULT,
            ranges: super::ranges::NO_RANGES,
            lengths,
            routes: Routes::Hidden,
            tells_layers: false,
            security,
            parties: [nobody; 3],
            registry: Hash([0; 32]),
        }
    }

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
        writer.raw(&self.ranges.0);
        writer.u32(self.lengths.prompts);
        writer.u32(self.lengths.rows);
        writer.u32(self.lengths.answered);
        writer.u32(self.lengths.tokens);
        writer.flag(matches!(self.routes, Routes::Revealed(_)));
        if let Routes::Revealed(consent) = &self.routes {
            writer.raw(&consent.0);
        }
        writer.flag(self.tells_layers);
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
            ranges: Hash(reader.array()?),
            lengths: Lengths {
                prompts: reader.u32()?,
                rows: reader.u32()?,
                answered: reader.u32()?,
                tokens: reader.u32()?,
            },
            routes: if reader.flag()? { Routes::Revealed(Signature(reader.array()?)) } else { Routes::Hidden },
            tells_layers: reader.flag()?,
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
        Hash::of(&[b"neuro smpc agreement 3".as_slice(), &self.encode()].concat())
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
            ("range profile", self.ranges.short(), other.ranges.short()),
            ("lengths", self.lengths.to_string(), other.lengths.to_string()),
            ("routes", self.routes.to_string(), other.routes.to_string()),
            ("layers told", self.tells_layers.to_string(), other.tells_layers.to_string()),
            ("security", format!("{:?}", self.security), format!("{:?}", other.security)),
            ("parties", shorts(&self.parties), shorts(&other.parties)),
            ("parties file", self.registry.short(), other.registry.short()),
        ];
        let differ = pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs);
        differ.map(|(what, ours, theirs)| format!("{what}: {ours} here, {theirs} there")).collect()
    }
}

impl Agreement {
    /// Whether the client has consented to what is revealed.
    #[must_use]
    pub fn is_consented(&self) -> bool {
        match &self.routes {
            Routes::Hidden => true,
            Routes::Revealed(consent) => {
                self.client.verifies(CONSENT_DOMAIN, &Routes::signed_text(self.session), consent)
            }
        }
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if matches!(self, Self::Hidden) { "hidden" } else { "revealed" })
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
            ranges: Hash([9; 32]),
            lengths: Lengths { prompts: 1, rows: 16, answered: 0, tokens: 8 },
            routes: Routes::Hidden,
            tells_layers: false,
            security: Security::Malicious,
            parties: [NodeId([5; 32]), NodeId([6; 32]), NodeId([7; 32])],
            registry: Hash([8; 32]),
        }
    }

    #[test]
    fn an_agreement_has_one_form() {
        let agreement = sample();
        assert_eq!(Agreement::decode(&agreement.encode()).unwrap(), agreement);
        assert_eq!(&agreement.hash().to_string()[..16], CONFORMANCE, "docs/spec/smpc-session.md");
        for length in 0..agreement.encode().len() {
            assert!(Agreement::decode(&agreement.encode()[..length]).is_err());
        }
    }

    #[test]
    fn what_differs_is_named() {
        let other = Agreement { model: Hash([9; 32]), lengths: Lengths { tokens: 9, ..sample().lengths }, ..sample() };
        let differences = sample().differences(&other);
        assert_eq!(
            differences,
            [
                "model: 03030303 here, 09090909 there",
                "lengths: 1 prompts of 16 rows, 8 tokens each here, 1 prompts of 16 rows, 9 tokens each there"
            ]
        );
        assert!(sample().differences(&sample()).is_empty());
    }

    #[test]
    fn lengths_are_padded_to_powers_of_two_and_then_to_multiples() {
        for (rows, bucket) in [
            (0, 16),
            (1, 16),
            (16, 16),
            (17, 32),
            (32, 32),
            (33, 64),
            (65, 128),
            (129, 256),
            (256, 256),
            (257, 512),
            (512, 512),
            (513, 768),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(Lengths::bucket(rows), bucket, "{rows} rows");
        }
    }

    #[test]
    fn lengths_that_no_session_has_are_refused() {
        let lengths = |prompts, rows, tokens| Lengths { prompts, rows, answered: 0, tokens };
        for admitted in [lengths(1, 16, 1), lengths(MAX_PROMPTS, 32, 512), lengths(1, 512, 1)] {
            assert_eq!(admitted.refusal(512), None, "{admitted}");
        }
        for (refused, reason) in [
            (lengths(1, 17, 1), "17 rows are not padded; 32 would be"),
            (lengths(1, 33, 1), "33 rows are not padded; 64 would be"),
            (lengths(1, 300, 1), "300 rows are not padded; 512 would be"),
            (lengths(0, 16, 1), "0 prompts"),
            (lengths(MAX_PROMPTS + 1, 16, 1), "65 prompts"),
            (lengths(1, 16, 0), "16 rows and 0 tokens do not fit"),
            (lengths(1, 16, 513), "16 rows and 513 tokens do not fit"),
            (lengths(1, 768, 1), "768 rows and 1 tokens do not fit"),
        ] {
            let said = refused.refusal(512).unwrap_or_default();
            assert!(said.contains(reason), "{refused}: {said}");
        }
    }

    /// The first digits of the hash of [`sample`].
    const CONFORMANCE: &str = "de68bcc509e4b3ed";
}
