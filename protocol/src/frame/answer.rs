//! The answer: one partial sum per row of the task, and a digest of every contribution to them.

use neuro_primitives::contribution::{RANGE, from_fixed};
use neuro_primitives::{Hash, Routes, RowSum, TaskId};

use super::{DecodeError, sized};
use crate::codec::{Reader, Writer};
use crate::limits::{DIGEST_BYTES, MAX_D_MODEL, MAX_DIGESTS_PER_ANSWER, MAX_ROWS_PER_TASK};

/// What a worker computed for a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The task.
    pub task: TaskId,
    /// Time that the worker says it computed, without queueing.
    pub compute_us: u32,
    /// One sum per row of the task, all `[d_model]`; [`RowSum::One`] exactly where the row had one route.
    pub sums: Vec<RowSum>,
    /// One digest per route of the task, row after row, experts ascending: the worker's word on each contribution, by
    /// which answers compare whatever experts they were asked for together
    /// ([`neuro_primitives::contribution::digest`]).
    pub digests: Vec<Hash>,
}

/// An answer that does not fit its task. The worker that sent it is at fault: its task was well formed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// More or fewer rows than the task.
    #[error("expected {expected} rows, got {got}")]
    Rows {
        /// Rows of the task.
        expected: usize,
        /// Rows of the answer.
        got: usize,
    },
    /// Rows of another width than the model's.
    #[error("row {row}: expected {expected} values, got {got}")]
    Width {
        /// The row.
        row: usize,
        /// The model's width.
        expected: usize,
        /// The row's width.
        got: usize,
    },
    /// A single contribution where several were due, or the other way round.
    #[error("row {row}: {routes} routes cannot give this kind of sum")]
    Kind {
        /// The row.
        row: usize,
        /// How many routes the task gave it.
        routes: usize,
    },
    /// More or fewer digests than routes.
    #[error("expected {expected} digests, got {got}")]
    Digests {
        /// Routes of the task.
        expected: usize,
        /// Digests of the answer.
        got: usize,
    },
    /// NaN, an infinity, or beyond the share that the answer's experts have of ±2^23.
    #[error("row {row}: value {column} is {value}, outside ±{bound}")]
    Value {
        /// The row.
        row: usize,
        /// The place within the row.
        column: usize,
        /// The value.
        value: f32,
        /// What it must stay below.
        bound: f32,
    },
}

impl AnswerError {
    /// True: the task may be given to another worker. The caller knows which worker to blame.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        true
    }
}

impl Answer {
    /// Whether this answers a task with these routes on a model of this width. `whole`: how many experts each row has in the
    /// call, those of other tasks included; each may bring an equal share of what a sum holds, so that no answer that is good
    /// by itself makes a sum overflow and leaves nobody to blame. Digests are counted; whether they are true is found by
    /// comparing them with another worker's.
    ///
    /// # Errors
    /// The first way in which it does not.
    pub fn check(&self, routes: &Routes, whole: &[usize], d_model: usize) -> Result<(), AnswerError> {
        if self.sums.len() != routes.count() {
            return Err(AnswerError::Rows { expected: routes.count(), got: self.sums.len() });
        }
        let (expected, got) = (routes.entries().len(), self.digests.len());
        if expected != got {
            return Err(AnswerError::Digests { expected, got });
        }
        for (row, (sum, (routes, whole))) in self.sums.iter().zip(routes.iter().zip(whole)).enumerate() {
            check_row(row, sum, (routes.len(), *whole), d_model)?;
        }
        Ok(())
    }

    pub(super) fn encoded_len(&self) -> usize {
        HEAD_BYTES + self.sums.iter().map(row_bytes).sum::<usize>() + 2 + DIGEST_BYTES * self.digests.len()
    }

    /// The width of all rows is written once: rows of different widths are a bug of ours.
    pub(super) fn write(&self, writer: &mut Writer) {
        let width = self.sums.first().map_or(0, row_width);
        debug_assert!(self.sums.iter().all(|sum| row_width(sum) == width), "an answer with rows of different widths");
        writer.u64(self.task.0);
        writer.u32(self.compute_us);
        writer.u16(u16::try_from(self.sums.len()).unwrap_or(u16::MAX));
        writer.count(width);
        for sum in &self.sums {
            write_row(writer, sum);
        }
        writer.u16(u16::try_from(self.digests.len()).unwrap_or(u16::MAX));
        self.digests.iter().for_each(|digest| writer.raw(&digest.0));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let task = TaskId(reader.u64()?);
        let compute_us = reader.u32()?;
        let rows = sized("rows", MAX_ROWS_PER_TASK, reader.u16()?.into())?;
        let width = sized("values of a row", MAX_D_MODEL, reader.u32()? as usize)?;
        // A row takes at least its kind and four bytes per value: no room is made for rows that cannot be there.
        let mut sums = Vec::with_capacity(rows.min(reader.left() / (1 + 4 * width)));
        for row in 0..rows {
            sums.push(read_row(reader, row, width)?);
        }
        Ok(Self { task, compute_us, sums, digests: read_digests(reader)? })
    }
}

fn check_row(row: usize, sum: &RowSum, (routes, whole): (usize, usize), d_model: usize) -> Result<(), AnswerError> {
    let got = row_width(sum);
    if got != d_model {
        return Err(AnswerError::Width { row, expected: d_model, got });
    }
    let bound = RANGE * routes as f32 / whole as f32;
    let beyond = match sum {
        RowSum::One(values) if routes == 1 => beyond(values, |value| value.abs() < bound, |value| value),
        RowSum::Many(values) if routes > 1 => {
            let most = i64::MAX.unsigned_abs() / whole as u64 * routes as u64;
            beyond(values, |value| value.unsigned_abs() <= most, from_fixed)
        }
        RowSum::One(_) | RowSum::Many(_) => return Err(AnswerError::Kind { row, routes }),
    };
    beyond.map_or(Ok(()), |(column, value)| Err(AnswerError::Value { row, column, value, bound }))
}

/// The first value that is not inside, and where it stands.
fn beyond<T: Copy>(values: &[T], inside: impl Fn(T) -> bool, shown: impl Fn(T) -> f32) -> Option<(usize, f32)> {
    // No way out of the loop, so that it runs at the speed of memory.
    if values.iter().fold(true, |all, value| all & inside(*value)) {
        return None;
    }
    let column = values.iter().position(|value| !inside(*value))?;
    Some((column, shown(values[column])))
}

const fn row_width(sum: &RowSum) -> usize {
    match sum {
        RowSum::One(values) => values.len(),
        RowSum::Many(values) => values.len(),
    }
}

const fn row_bytes(sum: &RowSum) -> usize {
    match sum {
        RowSum::One(values) => 1 + 4 * values.len(),
        RowSum::Many(values) => 1 + 8 * values.len(),
    }
}

fn write_row(writer: &mut Writer, sum: &RowSum) {
    match sum {
        RowSum::One(values) => {
            writer.u8(ROW_ONE);
            writer.f32s(values);
        }
        RowSum::Many(values) => {
            writer.u8(ROW_MANY);
            writer.i64s(values);
        }
    }
}

fn read_row(reader: &mut Reader<'_>, row: usize, width: usize) -> Result<RowSum, DecodeError> {
    match reader.u8()? {
        ROW_ONE => Ok(RowSum::One(reader.f32s(width)?)),
        ROW_MANY => Ok(RowSum::Many(reader.i64s(width)?)),
        got => Err(DecodeError::RowKind { row, got }),
    }
}

fn read_digests(reader: &mut Reader<'_>) -> Result<Vec<Hash>, DecodeError> {
    let count = sized("digests", MAX_DIGESTS_PER_ANSWER, reader.u16()?.into())?;
    let mut digests = Vec::with_capacity(count.min(reader.left() / DIGEST_BYTES));
    for _ in 0..count {
        digests.push(Hash(reader.array()?));
    }
    Ok(digests)
}

/// Task, compute time, rows, width.
const HEAD_BYTES: usize = 8 + 4 + 2 + 4;

const ROW_ONE: u8 = 1;
const ROW_MANY: u8 = 2;
