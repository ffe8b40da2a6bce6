//! Every screen, as a pure function of the state.

mod experts;
mod overview;
mod requests;
mod workers;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::app::{App, Page, Seen};

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, app: &App) {
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(tabs(app), top);
    let block = Block::bordered().title(format!(" {} ", app.page.title()));
    let inside = block.inner(body);
    frame.render_widget(block, body);
    match (&app.seen, app.page) {
        (Seen::Nothing, _) => frame.render_widget(Paragraph::new("asking the node …"), inside),
        (Seen::Absent(reason), page) => frame.render_widget(absent(reason, page), inside),
        (Seen::Status(status), Page::Overview) => overview::draw(frame, inside, status),
        (Seen::Status(status), Page::Experts) => experts::draw(frame, inside, status, app.scroll),
        (Seen::Status(status), Page::Workers) => workers::draw(frame, inside, status, app.scroll),
        (Seen::Status(status), Page::Requests) => requests::draw(frame, inside, status, app.scroll),
    }
    frame.render_widget(Line::from(" q leave  1-4 or Tab pages  ↑↓ scroll  ? keys").dim(), bottom);
    if app.help {
        draw_help(frame);
    }
}

/// The pages with the current one marked, and where the node is.
fn tabs(app: &App) -> Line<'static> {
    let mut spans = vec![Span::from(" neuro ").bold(), Span::from(" ")];
    for (number, page) in Page::ALL.into_iter().enumerate() {
        let text = format!(" {} {} ", number + 1, page.title());
        let style = if page == app.page { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

/// A page without a node: what it would show, and how to start one.
fn absent(reason: &str, page: Page) -> Paragraph<'static> {
    let shows = match page {
        Page::Overview => "the node, its model, tokens per second and totals",
        Page::Experts => "a heat map of layer × expert by use, and who holds each",
        Page::Workers => "each worker with its state, latency and load",
        Page::Requests => "live requests with their tokens per second",
    };
    Paragraph::new(vec![
        Line::from(reason.to_owned()).red(),
        Line::default(),
        Line::from(format!("Here you will see {shows}.")),
        Line::default(),
        Line::from("Start a network in another terminal:"),
        Line::from("  neuro up").cyan(),
        Line::from("or an orchestrator that others join:"),
        Line::from("  neuro serve").cyan(),
        Line::from("A node on another data folder: neuro dashboard --data-dir DIR").dim(),
    ])
    .wrap(ratatui::widgets::Wrap { trim: false })
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines = [
        "1 2 3 4      turn to a page",
        "Tab  ← →     next page, previous page",
        "↑ ↓  j k     scroll",
        "? h          show or hide this",
        "q Esc        leave",
    ];
    let area = centred(frame.area(), 46, lines.len() as u16 + 2);
    frame.render_widget(Clear, area);
    let text: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" Keys ")), area);
}

/// A box of at most this size in the middle of `area`.
fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// Microseconds, or a dash for what was not measured: unknown is never shown as zero.
fn latency(us: Option<u64>) -> String {
    us.map_or_else(|| "–".to_owned(), crate::output::microseconds)
}

/// A rate, or a dash.
fn rate(tokens_per_second: Option<f64>) -> String {
    tokens_per_second.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}"))
}

#[cfg(test)]
mod tests;
