//! The hidden states of a task: rows of f32, or rows of int8 in blocks with one scale each.
//!
//! A row in blocks is its scales and then its values, so that every row is one piece of
//! [`ActivationFormat::row_bytes`], and a row's bytes do not depend on the other rows of its task.

use neuro_primitives::{ACTIVATION_BLOCK, ActivationFormat, Activations, QuantisedRows, Rows};

use super::{DecodeError, sized};
use crate::codec::{Reader, Writer};
use crate::limits::MAX_D_MODEL;

pub(super) const fn encoded_len(hidden: &Activations) -> usize {
    hidden.count() * hidden.format().row_bytes(hidden.width())
}

pub(crate) fn write(writer: &mut Writer, hidden: &Activations) {
    match hidden {
        Activations::F32(rows) => writer.f32s(rows.values()),
        Activations::Q8(rows) => {
            for row in 0..rows.count() {
                writer.f32s(rows.row_scales(row));
                writer.i8s(rows.row(row));
            }
        }
    }
}

/// The width of the rows, which the format must be able to hold.
pub(crate) fn read_width(reader: &mut Reader<'_>, format: ActivationFormat) -> Result<usize, DecodeError> {
    let width = sized("values of a hidden state", MAX_D_MODEL, reader.u32()? as usize)?;
    match format {
        ActivationFormat::Q8 if !width.is_multiple_of(ACTIVATION_BLOCK) => Err(DecodeError::Blocks { width }),
        ActivationFormat::Q8 | ActivationFormat::F32 => Ok(width),
    }
}

/// `rows` rows of a `width` that [`read_width`] returned.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    format: ActivationFormat,
    rows: usize,
    width: usize,
) -> Result<Activations, DecodeError> {
    match format {
        ActivationFormat::F32 => read_floats(reader, rows, width).map(Activations::F32),
        ActivationFormat::Q8 => read_blocks(reader, rows, width).map(Activations::Q8),
    }
}

fn read_floats(reader: &mut Reader<'_>, rows: usize, width: usize) -> Result<Rows, DecodeError> {
    let values = reader.f32s(rows * width)?;
    match first_bad(&values, |value| value.is_finite()) {
        None => Ok(Rows::new(width, values)),
        Some(place) => Err(DecodeError::Hidden { row: place / width, column: place % width, value: values[place] }),
    }
}

fn read_blocks(reader: &mut Reader<'_>, rows: usize, width: usize) -> Result<QuantisedRows, DecodeError> {
    let (blocks, row_bytes) = (width / ACTIVATION_BLOCK, ActivationFormat::Q8.row_bytes(width));
    // Both lists are sized once, after it is known that their bytes are there.
    let payload = reader.raw(rows * row_bytes)?;
    let (mut values, mut scales) = (Vec::with_capacity(rows * width), Vec::with_capacity(rows * blocks));
    for row in payload.chunks_exact(row_bytes) {
        let (of_scales, of_values) = row.split_at(blocks * size_of::<f32>());
        scales.extend(of_scales.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        values.extend(of_values.iter().map(|byte| byte.cast_signed()));
    }
    if let Some(place) = first_bad(&scales, |scale| scale.is_finite() & scale.is_sign_positive()) {
        return Err(DecodeError::Scale { row: place / blocks, block: place % blocks, scale: scales[place] });
    }
    match first_bad(&values, |&value| value != i8::MIN) {
        None => Ok(QuantisedRows::new(width, values, scales)),
        Some(place) => Err(DecodeError::Quantised { row: place / width, column: place % width }),
    }
}

/// The place of the first value that is not `good`. The search for one has no way out of its loop: the compiler makes
/// it as fast as a copy, and almost always there is none.
fn first_bad<T>(values: &[T], good: impl Fn(&T) -> bool) -> Option<usize> {
    if values.iter().fold(true, |all, value| all & good(value)) {
        return None;
    }
    values.iter().position(|value| !good(value))
}
