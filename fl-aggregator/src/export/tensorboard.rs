//! TensorBoard's event file: records of TFRecord, each a `tensorflow.Event` in protobuf.
//!
//! A record is: length u64, masked CRC32C of these 8 bytes u32, the data, masked CRC32C of the data u32; little-endian.
//! An event has wall_time (1, double), step (2, varint), file_version (3, text, in the first event) or summary (5):
//! repeated value (1) of tag (1, text) and simple_value (2, float). A round has one event with all its numbers.
//! Sources: `tensorflow/core/lib/io/record_writer.h`, `tensorflow/core/util/event.proto`, `framework/summary.proto`.

use super::ended_ms;
use crate::checkpoint::RoundRecord;
use crate::report::values;

/// What the first event says.
const FILE_VERSION: &str = "brain.Event:2";
/// Castagnoli's polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Added by TFRecord, so that a CRC over data that holds CRCs stays telling.
const MASK_DELTA: u32 = 0xa282_ead8;

/// The name that TensorBoard looks for in a log folder; `began_ms` is when the task began.
#[must_use]
pub fn event_file_name(began_ms: u64, task: &str) -> String {
    let clean: String = task.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("events.out.tfevents.{:010}.{clean}", began_ms / 1000)
}

/// The whole event file of a history.
#[must_use]
pub fn tensorboard(history: &[RoundRecord]) -> Vec<u8> {
    let began = history.first().map_or(0, |record| record.began_unix_ms);
    let mut first = Vec::new();
    double(&mut first, 1, seconds(began));
    bytes(&mut first, 3, FILE_VERSION.as_bytes());
    let mut file = record_of(&first);
    for round in history {
        file.extend(record_of(&event(round)));
    }
    file
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn event(round: &RoundRecord) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, number) in values(round) {
        let mut value = Vec::new();
        bytes(&mut value, 1, name.as_bytes());
        value.push(2 << 3 | 5);
        value.extend((number as f32).to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    let mut event = Vec::new();
    double(&mut event, 1, seconds(ended_ms(round)));
    event.push(2 << 3);
    varint(&mut event, round.round);
    bytes(&mut event, 5, &summary);
    event
}

fn record_of(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let crc = |bytes: &[u8]| masked_crc32c(bytes).to_le_bytes();
    [length.as_slice(), &crc(&length), data, &crc(data)].concat()
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// CRC32C (RFC 3720, appendix B.4), rotated right by 15 bits and moved: the checksum of TFRecord.
#[must_use]
pub fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(MASK_DELTA)
}

/// Bit by bit: a history has kilobytes.
pub(super) fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ POLYNOMIAL & (crc & 1).wrapping_neg())
    })
}
