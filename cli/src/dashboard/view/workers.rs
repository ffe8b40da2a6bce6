//! The workers with their latency.

use neuro_protocol::control::{PathKind, Status, WorkerState, WorkerStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::latency;
use crate::output::bytes;

const HEADER: [&str; 10] = ["worker", "state", "experts", "memory", "p50", "p95", "busy", "tasks", "late", "faults"];

const WIDTHS: [Constraint; 10] = [
    Constraint::Min(10),
    Constraint::Length(7),
    Constraint::Length(7),
    Constraint::Length(9),
    Constraint::Length(8),
    Constraint::Length(8),
    Constraint::Length(4),
    Constraint::Length(7),
    Constraint::Length(4),
    Constraint::Length(6),
];

/// Draws the page.
pub fn draw(frame: &mut Frame<'_>, area: Rect, status: &Status, scroll: usize) {
    if status.workers.is_empty() {
        let text = format!(" no worker has joined yet; on another machine:\n\n {}", status.join_command);
        let text = Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: false });
        return frame.render_widget(text, area);
    }
    let rows = status.workers.iter().skip(scroll).map(row);
    let table = Table::new(rows, WIDTHS).header(Row::new(HEADER).dim());
    frame.render_widget(table, area);
}

fn row(worker: &WorkerStatus) -> Row<'static> {
    let (state, color) = state(worker.state());
    let name = if worker.name.is_empty() { worker.id.chars().take(8).collect() } else { worker.name.clone() };
    let relayed = if worker.path() == PathKind::Relayed { " (relay)" } else { "" };
    Row::new([
        Cell::from(format!("{name}{relayed}")),
        Cell::from(state).style(Style::new().fg(color)),
        Cell::from(worker.experts_held.to_string()),
        Cell::from(bytes(worker.resident_bytes)),
        Cell::from(latency(worker.rtt_us_p50)),
        Cell::from(latency(worker.rtt_us_p95)),
        Cell::from(worker.in_flight.to_string()),
        Cell::from(worker.tasks_done.to_string()),
        Cell::from(worker.tasks_late.to_string()),
        Cell::from(worker.faults.to_string()),
    ])
}

const fn state(state: WorkerState) -> (&'static str, Color) {
    match state {
        WorkerState::Unspecified => ("–", Color::DarkGray),
        WorkerState::Joining => ("joining", Color::Yellow),
        WorkerState::Loading => ("loading", Color::Yellow),
        WorkerState::Ready => ("ready", Color::Green),
        WorkerState::Gone => ("gone", Color::Red),
    }
}
