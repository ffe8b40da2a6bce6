//! Node, model and totals.

use neuro_protocol::control::{JobState, Status, Totals, WorkerState};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Stylize;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::rate;
use crate::output::bytes;

/// Draws the page.
pub fn draw(frame: &mut Frame<'_>, area: Rect, status: &Status) {
    let node = status.node.clone().unwrap_or_default();
    let totals = status.totals.unwrap_or_default();
    let ready = status.workers.iter().filter(|worker| worker.state() == WorkerState::Ready).count();
    let present = status.workers.iter().filter(|worker| worker.state() != WorkerState::Gone).count();
    let held = status.holders.iter().flat_map(|layer| &layer.counts).filter(|&&count| count > 0).count();
    let experts: usize = status.holders.iter().map(|layer| layer.counts.len()).sum();
    let running = status.jobs.iter().filter(|job| job.state() != JobState::Queued).count();
    let requests = format!("{running} running, {} waiting, {} slots", totals.queue_depth, totals.slots);
    let mut lines = vec![
        field("node", format!("{} {}", node.id.chars().take(8).collect::<String>(), node.role)),
        field("version", node.version),
        field("API", node.api),
        field("control", node.control),
        field("p2p", node.p2p.first().cloned().unwrap_or_default()),
        Line::default(),
    ];
    lines.extend(model_lines(status));
    lines.extend([
        Line::default(),
        field("workers", format!("{ready} ready of {present}")),
        covered(held, experts),
        field("requests", requests),
        field("cache", cache(&totals)),
        field("tokens/s", rate(totals.tokens_per_second)),
        field("tokens", totals.tokens.to_string()),
        field("answers", format!("{} done, {} failed", totals.jobs_done, totals.jobs_failed)),
        field("micro-tasks", format!("{} sent, {} of them again", totals.tasks, totals.reissues)),
        field("checks", format!("{} answers of workers, {} liars found", totals.checks, totals.liars)),
    ]);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

/// What keys and values take, and what they saved.
fn cache(totals: &Totals) -> String {
    let mut text = format!("{} of {}", bytes(totals.cache_bytes), bytes(totals.cache_limit_bytes));
    if totals.reused_tokens > 0 {
        text += &format!(", {} tokens reused", totals.reused_tokens);
    }
    if totals.preempted > 0 {
        text += &format!(", {} waiting for room", totals.preempted);
    }
    text
}

fn model_lines(status: &Status) -> Vec<Line<'static>> {
    let Some(model) = status.model.clone() else {
        return vec![field("model", "none yet".to_owned())];
    };
    let shape = format!(
        "{} layers, {} experts each, {} chosen, d_model {}",
        model.layers, model.experts, model.top_k, model.d_model
    );
    vec![
        field(
            "model",
            format!("{} ({}), {:.1} M parameters", model.name, model.architecture, model.parameters as f64 / 1e6),
        ),
        field("shape", shape),
        field("stored", format!("trunk {}, experts {}", bytes(model.trunk_bytes), bytes(model.expert_bytes))),
    ]
}

/// How many experts have a holder; a gap is said in words and in red.
fn covered(held: usize, experts: usize) -> Line<'static> {
    let text = format!("{held} of {experts} have a holder");
    let line = field("experts", text);
    if held < experts { line.red() } else { line }
}

fn field(name: &str, value: String) -> Line<'static> {
    Line::from(vec![Span::from(format!(" {name:<12}")).dim(), Span::from(value)])
}
