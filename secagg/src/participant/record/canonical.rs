//! The record's bytes: `primitives::codec`, with one flag for each step that may still be ahead.

use std::sync::Arc;

use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Hash, NodeId};
use zeroize::Zeroizing;

use super::super::shared::{Shared, read_cohort};
use super::{Held, Record, Uploaded};
use crate::config::RoundConfig;
use crate::error::DocumentError;
use crate::fields;
use crate::floors::Floors;
use crate::group::decode_scalar;
use crate::identity::{Bitmap, Member};
use crate::kdf::RoundSecret;
use crate::messages::{Cohort, MOST_ANNOUNCEMENT_BYTES, MOST_MESSAGE_BYTES};
use crate::parameters::MOST_NEIGHBOURS;
use crate::seal::SharePair;

/// The format that this build writes.
const RECORD_FORMAT: u8 = 1;
/// The longest configuration: 65,536 batches, 4,352 bytes of settings, and some 300 bytes beside them.
const MOST_CONFIG_BYTES: usize = 1 << 18;

/// A record that cannot be read: its participant is out of the round.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// Fields that are not there, or outside their bounds.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A share that is no scalar.
    #[error("expected shares below the group's order, got a greater one")]
    Share,
}

impl From<CodecError> for RecordError {
    fn from(error: CodecError) -> Self {
        Self::Document(error.into())
    }
}

impl Record {
    /// The bytes to store. They hold secrets, and are wiped when dropped.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::with_capacity(4096);
        writer.u8(RECORD_FORMAT);
        writer.raw(&self.member.0);
        writer.raw(self.secret.as_bytes());
        writer.bytes(&self.config.encode());
        write_floors(&self.floors, &mut writer);
        writer.u8(self.attempt);
        optional(&mut writer, self.cohort.as_ref(), |writer, cohort| {
            writer.bytes(&cohort.unsigned());
        });
        optional(&mut writer, self.seed.as_ref(), |writer, seed| writer.raw(&seed.0));
        optional(&mut writer, self.held.as_ref(), |writer, held| write_held(held, writer));
        optional(&mut writer, self.upload.as_ref(), |writer, upload| {
            write_set(&upload.sharers, writer);
            writer.raw(&upload.payload.0);
            writer.u64(upload.bytes);
        });
        optional(&mut writer, self.vote.as_ref(), |writer, vote| write_set(vote, writer));
        optional(&mut writer, self.answer.as_ref(), |writer, answer| writer.bytes(answer));
        Zeroizing::new(writer.finish())
    }

    /// The record in `bytes`, as [`Self::encode`] wrote it. It comes from this machine's own disk: what is checked is that
    /// it is whole.
    ///
    /// # Errors
    /// When it is not. The participant is out of the round then.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::read(bytes, |cohort| read_cohort(cohort).map(Arc::new))
    }

    /// [`Self::decode`] with a cohort that another participant of this process may have read.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_shared(bytes: &[u8], shared: &Shared) -> Result<Self, RecordError> {
        Self::read(bytes, |cohort| shared.cohort(cohort))
    }

    fn read(
        bytes: &[u8],
        cohort: impl FnOnce(&[u8]) -> Result<Arc<Cohort>, DocumentError>,
    ) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        fields::format(&mut reader, "a record", RECORD_FORMAT)?;
        let record = Self {
            member: NodeId(reader.array()?),
            secret: RoundSecret::from_bytes(reader.array()?),
            config: RoundConfig::decode(reader.bytes("bytes of the configuration", MOST_CONFIG_BYTES)?)?,
            floors: read_floors(&mut reader)?,
            attempt: reader.u8()?,
            // This machine checked its signature before it was stored.
            cohort: read(&mut reader, |reader| {
                Ok(cohort(reader.bytes("bytes of the cohort", MOST_ANNOUNCEMENT_BYTES)?)?)
            })?,
            seed: read(&mut reader, |reader| Ok(Hash(reader.array()?)))?,
            held: read(&mut reader, read_held)?,
            upload: read(&mut reader, |reader| {
                let sharers = read_set(reader)?;
                Ok(Uploaded { sharers, payload: Hash(reader.array()?), bytes: reader.u64()? })
            })?,
            vote: read(&mut reader, read_set)?,
            answer: read(&mut reader, |reader| {
                Ok(Zeroizing::new(reader.bytes("bytes of the answer", MOST_MESSAGE_BYTES)?.to_vec()))
            })?,
        };
        reader.finish()?;
        Ok(record)
    }
}

fn optional<T>(writer: &mut Writer, value: Option<&T>, write: impl FnOnce(&mut Writer, &T)) {
    writer.flag(value.is_some());
    if let Some(value) = value {
        write(writer, value);
    }
}

fn read<T>(
    reader: &mut Reader<'_>,
    value: impl FnOnce(&mut Reader<'_>) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    if reader.flag()? { value(reader).map(Some) } else { Ok(None) }
}

/// What [`Floors::admit_cohort`] asks for. The rest was asked before joining.
fn write_floors(floors: &Floors, writer: &mut Writer) {
    writer.u16(floors.least_members);
    writer.u16(floors.least_turnout_bps);
    writer.u16(floors.least_alpha_bps);
    writer.u64(floors.most_upload_bytes);
}

fn read_floors(reader: &mut Reader<'_>) -> Result<Floors, RecordError> {
    Ok(Floors {
        least_members: reader.u16()?,
        least_turnout_bps: reader.u16()?,
        least_alpha_bps: reader.u16()?,
        most_upload_bytes: reader.u64()?,
        ..Floors::default()
    })
}

fn write_set(set: &Bitmap, writer: &mut Writer) {
    writer.u16(set.n());
    writer.raw(set.encode());
}

fn read_set(reader: &mut Reader<'_>) -> Result<Bitmap, RecordError> {
    let n = reader.u16()?;
    Ok(Bitmap::decode(n, reader.raw(Bitmap::byte_count(n))?)?)
}

fn write_held(held: &Held, writer: &mut Writer) {
    write_set(&held.stated, writer);
    write_set(&held.bad, writer);
    writer.count(held.shares.len());
    for (dealer, pair) in &held.shares {
        writer.u16(dealer.0);
        writer.raw(pair.mask_key.as_bytes());
        writer.raw(pair.self_mask.as_bytes());
    }
}

fn read_held(reader: &mut Reader<'_>) -> Result<Held, RecordError> {
    let (stated, bad) = (read_set(reader)?, read_set(reader)?);
    let count = reader.count("held shares", MOST_NEIGHBOURS.into(), 66)?;
    let scalar = |reader: &mut Reader<'_>| decode_scalar(&reader.array()?).map_err(|_| RecordError::Share);
    let share = |_| {
        let dealer = Member(reader.u16()?);
        Ok((dealer, SharePair { mask_key: scalar(reader)?, self_mask: scalar(reader)? }))
    };
    let shares = (0..count).map(share).collect::<Result<_, RecordError>>()?;
    Ok(Held { stated, bad, shares })
}
