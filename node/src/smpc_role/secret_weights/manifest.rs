//! What an owner says of a model's shares, signed.

use std::path::Path;

use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId, NodeKey, Signature};

use super::{MANIFEST, SecretWeightsError, read};

/// What an owner signs a manifest for.
const DOMAIN: Domain = Domain("neuro/smpc-secret-weights/1");

/// The first bytes of a manifest's file.
const MAGIC: &[u8] = b"neuro smpc secret weights 1\n";

/// The most logits of a token that an owner may tell: more than a sampler needs, and far from all.
pub const MAX_LARGEST: u32 = 64;

/// The largest input bound, 2^24 as a number: none of today's tables comes near it.
const MAX_INPUT_BOUND: u64 = 1 << 40;

/// Bytes of a document: it has a fixed size.
const MAX_DOCUMENT_BYTES: usize = 1 << 10;

/// What the owner lets out of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerLimits {
    /// Tokens that one client key may be told.
    pub queries: u64,
    /// How many of a token's largest logits are told; of one only its index.
    pub largest: u32,
}

/// A model's shares, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Who split it.
    pub owner: NodeId,
    /// Configuration, tokenizer, embedding table.
    pub public: Hash,
    /// The three components.
    pub components: [Hash; 3],
    /// The largest amount of an entry of the embedding table, with 16 fraction bits.
    pub input_bound: u64,
    /// What may be opened.
    pub limits: OwnerLimits,
    /// Whether the output matrix is the embedding table, and so public but for the last norm.
    pub tied: bool,
}

impl Manifest {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(&self.owner.0);
        writer.raw(&self.public.0);
        self.components.iter().for_each(|component| writer.raw(&component.0));
        writer.u64(self.input_bound);
        writer.u64(self.limits.queries);
        writer.u32(self.limits.largest);
        writer.flag(self.tied);
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let manifest = Self {
            owner: NodeId(reader.array()?),
            public: Hash(reader.array()?),
            components: [Hash(reader.array()?), Hash(reader.array()?), Hash(reader.array()?)],
            input_bound: reader.u64()?,
            limits: OwnerLimits { queries: reader.u64()?, largest: reader.u32()? },
            tied: reader.flag()?,
        };
        reader.finish()?;
        Ok(manifest)
    }

    /// The model's hash in an agreement.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[MAGIC, &self.encode()].concat())
    }

    /// The signed file.
    #[must_use]
    pub fn signed(&self, key: &NodeKey) -> Vec<u8> {
        let document = self.encode();
        let mut writer = Writer::new();
        writer.raw(MAGIC);
        writer.bytes(&document);
        writer.raw(&key.sign(DOMAIN, &document).0);
        writer.finish()
    }

    /// Reads the signed file of a folder.
    ///
    /// # Errors
    /// A file that is missing, is no manifest, is not signed by the owner that it names, or has limits that cannot be.
    pub fn read(folder: &Path) -> Result<Self, SecretWeightsError> {
        let path = folder.join(MANIFEST);
        Self::verified(&read(path.clone())?).map_err(|reason| SecretWeightsError::Manifest { path, reason })
    }

    /// Reads signed bytes.
    ///
    /// # Errors
    /// In words, as [`Manifest::read`].
    pub fn verified(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as one")?;
        let signed = |bytes| -> Result<(&[u8], Signature), CodecError> {
            let mut reader = Reader::new(bytes);
            let document = reader.bytes("bytes of a manifest", MAX_DOCUMENT_BYTES)?;
            let signature = Signature(reader.array()?);
            reader.finish()?;
            Ok((document, signature))
        };
        let (document, signature) = signed(rest).map_err(|error| error.to_string())?;
        let manifest = Self::decode(document).map_err(|error| error.to_string())?;
        if !manifest.owner.verifies(DOMAIN, document, &signature) {
            return Err("it is not signed by the owner that it names".to_owned());
        }
        let OwnerLimits { queries, largest } = manifest.limits;
        if queries == 0 || largest == 0 || largest > MAX_LARGEST || manifest.input_bound > MAX_INPUT_BOUND {
            return Err("its limits cannot be".to_owned());
        }
        Ok(manifest)
    }
}
