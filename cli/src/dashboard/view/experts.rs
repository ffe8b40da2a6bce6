//! A heat map of layer × expert by use.

use neuro_protocol::control::{LayerCounts, Status};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Shades from unused to the busiest expert of the model. Readable without colour.
const SHADES: [&str; 5] = ["·", "░", "▒", "▓", "█"];

/// Columns taken by the layer's name and the frame.
const MARGIN: u16 = 6;

/// Draws the page.
pub fn draw(frame: &mut Frame<'_>, area: Rect, status: &Status, scroll: usize) {
    let most = status.expert_use.iter().flat_map(|layer| &layer.counts).copied().max().unwrap_or(0);
    let experts = status.expert_use.iter().map(|layer| layer.counts.len()).max().unwrap_or(0);
    let cell = cell_width(area.width, experts);
    let shown = usize::from(area.width.saturating_sub(MARGIN)) / cell.max(1);
    let mut lines = vec![header(experts.min(shown), cell)];
    for layer in status.expert_use.iter().skip(scroll) {
        lines.extend(heat(layer, holders_of(status, layer.layer), most, shown.max(1), cell));
    }
    lines.truncate(usize::from(area.height.saturating_sub(2)));
    lines.push(Line::default());
    lines.push(legend(most));
    frame.render_widget(Paragraph::new(lines), area);
}

/// Columns an expert gets: as wide as fits, at most four.
fn cell_width(width: u16, experts: usize) -> usize {
    let room = usize::from(width.saturating_sub(MARGIN));
    (room / experts.max(1)).clamp(1, 4)
}

fn header(experts: usize, cell: usize) -> Line<'static> {
    let step = if cell >= 3 { 1 } else { 8 };
    let mut text = " ".repeat(usize::from(MARGIN));
    for expert in (0..experts).step_by(step) {
        text.push_str(&format!("{expert:<width$}", width = cell * step));
    }
    Line::from(text).dim()
}

/// One layer, on as many lines as its experts need.
fn heat(layer: &LayerCounts, holders: &[u64], most: u64, shown: usize, cell: usize) -> Vec<Line<'static>> {
    let experts: Vec<usize> = (0..layer.counts.len()).collect();
    let line = |experts: &[usize]| {
        let name = if experts.first() == Some(&0) { format!(" L{:<4}", layer.layer) } else { " ".repeat(6) };
        let held = |expert: usize| holders.get(expert).copied().unwrap_or(0);
        let cells = experts.iter().map(|&expert| shade(layer.counts[expert], most, held(expert), cell));
        Line::from_iter([Span::from(name).dim()].into_iter().chain(cells))
    };
    experts.chunks(shown).map(line).collect()
}

/// One expert: shaded by use, `!` where nobody holds it.
fn shade(count: u64, most: u64, holders: u64, cell: usize) -> Span<'static> {
    let width = cell.saturating_sub(usize::from(cell > 1)).max(1);
    let gap = " ".repeat(cell - width);
    if holders == 0 {
        return Span::from(format!("{}{gap}", "!".repeat(width))).red();
    }
    let step = if count == 0 || most == 0 { 0 } else { 1 + (count * 3 / most) as usize };
    let color = [Color::DarkGray, Color::Blue, Color::Cyan, Color::Yellow, Color::LightRed][step];
    Span::styled(format!("{}{gap}", SHADES[step].repeat(width)), Style::new().fg(color))
}

fn holders_of(status: &Status, layer: u32) -> &[u64] {
    status.holders.iter().find(|holders| holders.layer == layer).map_or(&[], |holders| holders.counts.as_slice())
}

fn legend(most: u64) -> Line<'static> {
    Line::from(format!(" · unused  ░ ▒ ▓ █ up to {most} rows  ! no holder")).dim()
}
