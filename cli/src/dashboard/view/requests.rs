//! Live requests with their speed.

use neuro_protocol::control::{JobState, JobStatus, Status};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Stylize;
use ratatui::widgets::{Paragraph, Row, Table};

use super::rate;

const HEADER: [&str; 7] = ["request", "state", "prompt", "answer", "tokens/s", "age", "through"];

const WIDTHS: [Constraint; 7] = [
    Constraint::Length(8),
    Constraint::Length(8),
    Constraint::Length(7),
    Constraint::Length(7),
    Constraint::Length(9),
    Constraint::Length(8),
    Constraint::Min(10),
];

/// Draws the page.
pub fn draw(frame: &mut Frame<'_>, area: Rect, status: &Status, scroll: usize) {
    if status.jobs.is_empty() {
        let totals = status.totals.unwrap_or_default();
        let text = format!(" nothing runs; {} answers so far, {} tokens", totals.jobs_done, totals.tokens);
        return frame.render_widget(Paragraph::new(text), area);
    }
    let rows = status.jobs.iter().skip(scroll).map(row);
    frame.render_widget(Table::new(rows, WIDTHS).header(Row::new(HEADER).dim()), area);
}

fn row(job: &JobStatus) -> Row<'static> {
    let state = match job.state() {
        JobState::Unspecified => "–",
        JobState::Queued => "queued",
        JobState::Prefill => "prefill",
        JobState::Decode => "decode",
    };
    Row::new([
        job.id.to_string(),
        state.to_owned(),
        job.prompt_tokens.to_string(),
        job.completion_tokens.to_string(),
        rate(job.tokens_per_second),
        format!("{:.1} s", job.age_ms as f64 / 1e3),
        job.endpoint.clone(),
    ])
}
