//! The canonical bytes of a configuration, field by field in the order of section 4.

use neuro_primitives::codec::{Reader, Writer};

use super::{
    Base, CONFIG_FORMAT, Deadlines, MOST_PRIVACY_BYTES, MOST_STRATEGY_BYTES, MOST_STRATEGY_NAME_BYTES, Privacy,
    PrivacyMode, RoundConfig, Strategy, rules,
};
use crate::error::DocumentError;
use crate::fields;
use crate::masks::Generator;

pub(super) fn write(config: &RoundConfig) -> Vec<u8> {
    let mut writer = Writer::with_capacity(512);
    writer.u8(CONFIG_FORMAT);
    writer.raw(&config.task.0);
    writer.u64(config.round);
    writer.u16(config.cohort);
    writer.u16(config.cohorts);
    writer.raw(&config.round_id);
    writer.u64(config.roster_version);
    writer.raw(&config.roster_hash.0);
    writer.count(config.batches.len());
    config.batches.iter().for_each(|&batch| writer.u16(batch));
    writer.u8(base_kind(&config.base));
    writer.raw(&config.base.hash().0);
    writer.raw(&config.layout.0);
    writer.u32(config.entries);
    writer.u32(config.vector_entries);
    writer.text(&config.strategy.name);
    writer.bytes(&config.strategy.settings);
    writer.u32(config.weight_cap);
    writer.u8(config.value_bits);
    fields::write_f64(&mut writer, config.scale);
    writer.u8(privacy_kind(config.privacy.mode));
    writer.bytes(&config.privacy.settings);
    writer.u8(generator_kind(config.generator));
    writer.u16(config.corrupt_bps);
    writer.u16(config.dropout_bps);
    writer.u8(config.security_bits);
    writer.u8(config.correctness_bits);
    writer.u16(config.least_members);
    writer.u16(config.most_members);
    config.deadlines.all().into_iter().for_each(|(_, ms)| writer.u32(ms));
    writer.flag(config.feldman);
    writer.finish()
}

/// Reads a configuration and checks every bound; what follows it is left in `reader`.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<RoundConfig, DocumentError> {
    fields::format(reader, "a round configuration", CONFIG_FORMAT)?;
    let config = RoundConfig {
        task: fields::hash(reader)?,
        round: reader.u64()?,
        cohort: reader.u16()?,
        cohorts: reader.u16()?,
        round_id: reader.array()?,
        roster_version: reader.u64()?,
        roster_hash: fields::hash(reader)?,
        batches: batches(reader)?,
        base: base(reader)?,
        layout: fields::hash(reader)?,
        entries: reader.u32()?,
        vector_entries: reader.u32()?,
        strategy: strategy(reader)?,
        weight_cap: reader.u32()?,
        value_bits: reader.u8()?,
        scale: fields::f64(reader)?,
        privacy: privacy(reader)?,
        generator: generator(reader)?,
        corrupt_bps: reader.u16()?,
        dropout_bps: reader.u16()?,
        security_bits: reader.u8()?,
        correctness_bits: reader.u8()?,
        least_members: reader.u16()?,
        most_members: reader.u16()?,
        deadlines: deadlines(reader)?,
        feldman: reader.flag()?,
    };
    rules::check(&config)?;
    Ok(config)
}

fn batches(reader: &mut Reader<'_>) -> Result<Vec<u16>, DocumentError> {
    let count = reader.count("batches", 1 << 16, 2)?;
    Ok(fields::arrays(reader, count)?.into_iter().map(u16::from_le_bytes).collect())
}

fn base_kind(base: &Base) -> u8 {
    match base {
        Base::Weights(_) => 0,
        Base::Versions(_) => 1,
    }
}

fn base(reader: &mut Reader<'_>) -> Result<Base, DocumentError> {
    let kind = reader.u8()?;
    let hash = fields::hash(reader)?;
    match kind {
        0 => Ok(Base::Weights(hash)),
        1 => Ok(Base::Versions(hash)),
        got => Err(DocumentError::Kind { what: "base", got }),
    }
}

fn strategy(reader: &mut Reader<'_>) -> Result<Strategy, DocumentError> {
    Ok(Strategy {
        name: reader.text("bytes of the strategy's name", MOST_STRATEGY_NAME_BYTES)?.to_owned(),
        settings: reader.bytes("bytes of the strategy's settings", MOST_STRATEGY_BYTES)?.to_vec(),
    })
}

fn privacy_kind(mode: PrivacyMode) -> u8 {
    match mode {
        PrivacyMode::None => 0,
        PrivacyMode::Distributed => 1,
        PrivacyMode::Central => 2,
    }
}

fn privacy(reader: &mut Reader<'_>) -> Result<Privacy, DocumentError> {
    let mode = match reader.u8()? {
        0 => PrivacyMode::None,
        1 => PrivacyMode::Distributed,
        2 => PrivacyMode::Central,
        got => return Err(DocumentError::Kind { what: "privacy mode", got }),
    };
    Ok(Privacy { mode, settings: reader.bytes("bytes of the privacy settings", MOST_PRIVACY_BYTES)?.to_vec() })
}

fn generator_kind(generator: Generator) -> u8 {
    match generator {
        Generator::Aes128Ctr => 1,
        Generator::ChaCha20 => 2,
    }
}

fn generator(reader: &mut Reader<'_>) -> Result<Generator, DocumentError> {
    match reader.u8()? {
        1 => Ok(Generator::Aes128Ctr),
        2 => Ok(Generator::ChaCha20),
        got => Err(DocumentError::Kind { what: "generator", got }),
    }
}

fn deadlines(reader: &mut Reader<'_>) -> Result<Deadlines, DocumentError> {
    Ok(Deadlines {
        join_ms: reader.u32()?,
        reveal_ms: reader.u32()?,
        shares_ms: reader.u32()?,
        received_ms: reader.u32()?,
        upload_ms: reader.u32()?,
        vote_ms: reader.u32()?,
        answer_ms: reader.u32()?,
    })
}

impl Deadlines {
    /// Each with its name, in the order in which they are written.
    pub(super) const fn all(&self) -> [(&'static str, u32); 7] {
        [
            ("ms to join", self.join_ms),
            ("ms to reveal", self.reveal_ms),
            ("ms to share", self.shares_ms),
            ("ms to receive", self.received_ms),
            ("ms to upload", self.upload_ms),
            ("ms to vote", self.vote_ms),
            ("ms to answer", self.answer_ms),
        ]
    }
}
