//! The task: rows of one layer, and the experts that each of them goes to.

pub use neuro_primitives::ActivationFormat;
use neuro_primitives::{Activations, Hash, ModelId, Route, Routes, TaskId};

use super::{DecodeError, hidden, sized};
use crate::codec::{Reader, Writer};
use crate::limits::{MAX_ROUTES_PER_ROW, MAX_ROWS_PER_TASK};

/// One message of work to one worker: up to 512 rows of one layer, each with the experts that this worker hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct MicroTask {
    /// The caller's number for it, never reused by that caller.
    pub task: TaskId,
    /// The model, so that a worker cannot answer with another one's experts.
    pub model: ModelId,
    /// The arithmetic that the answer must follow.
    pub engine_spec: u32,
    /// The layer of the experts.
    pub layer: u16,
    /// Time until the caller gives the task up, measured when it was sent: no clocks need agree.
    pub deadline_left_ms: u32,
    /// The experts and gates of each row, as many rows as `hidden` has; each row has 1 to 64, gates finite.
    pub routes: Routes,
    /// The hidden states. `[rows, d_model]`, in the format that the manifest names for the layer, finite.
    pub hidden: Activations,
}

impl MicroTask {
    pub(super) fn encoded_len(&self) -> usize {
        HEAD_BYTES
            + 2 * self.routes.count()
            + ROUTE_BYTES * self.routes.entries().len()
            + hidden::encoded_len(&self.hidden)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        debug_assert_eq!(self.routes.count(), self.hidden.count(), "rows of routes and of hidden states differ");
        writer.u64(self.task.0);
        writer.raw(&self.model.0.0);
        writer.u32(self.engine_spec);
        writer.u16(self.layer);
        writer.u32(self.deadline_left_ms);
        writer.u16(self.hidden.format().code());
        writer.u16(u16::try_from(self.hidden.count()).unwrap_or(u16::MAX));
        writer.count(self.hidden.width());
        for row in self.routes.iter() {
            write_routes(writer, row);
        }
        hidden::write(writer, &self.hidden);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let task = TaskId(reader.u64()?);
        let model = ModelId(Hash(reader.array()?));
        let engine_spec = reader.u32()?;
        let layer = reader.u16()?;
        let deadline_left_ms = reader.u32()?;
        let code = reader.u16()?;
        let format = ActivationFormat::from_code(code).ok_or(DecodeError::Activation { got: code })?;
        let rows = sized("rows", MAX_ROWS_PER_TASK, reader.u16()?.into())?;
        let width = hidden::read_width(reader, format)?;
        let routes = read_routes(reader, rows)?;
        let hidden = hidden::read(reader, format, rows, width)?;
        Ok(Self { task, model, engine_spec, layer, deadline_left_ms, routes, hidden })
    }
}

fn write_routes(writer: &mut Writer, row: &[Route]) {
    writer.u16(u16::try_from(row.len()).unwrap_or(u16::MAX));
    for route in row {
        writer.u16(route.expert);
        writer.f32(route.gate);
    }
}

fn read_routes(reader: &mut Reader<'_>, rows: usize) -> Result<Routes, DecodeError> {
    let mut routes = Routes::new();
    let mut of_row = [Route { expert: 0, gate: 0.0 }; MAX_ROUTES_PER_ROW];
    for row in 0..rows {
        let count = sized("routes of a row", MAX_ROUTES_PER_ROW, reader.u16()?.into())?;
        read_row(reader, row, &mut of_row[..count])?;
        routes.push_row(of_row[..count].iter().copied());
    }
    Ok(routes)
}

fn read_row(reader: &mut Reader<'_>, row: usize, routes: &mut [Route]) -> Result<(), DecodeError> {
    let mut previous = None;
    for route in routes {
        let (expert, gate) = (reader.u16()?, reader.f32()?);
        if let Some(previous) = previous.filter(|&previous| previous >= expert) {
            return Err(DecodeError::ExpertOrder { row, previous, got: expert });
        }
        if !gate.is_finite() {
            return Err(DecodeError::Gate { row, expert, gate });
        }
        previous = Some(expert);
        *route = Route { expert, gate };
    }
    Ok(())
}

/// Task, model, engine, layer, deadline, format, rows, width.
const HEAD_BYTES: usize = 8 + 32 + 4 + 2 + 4 + 2 + 2 + 4;

/// Expert and gate.
const ROUTE_BYTES: usize = 2 + 4;
