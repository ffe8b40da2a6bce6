//! The dashboard: state ([`app`]), what keys do to it, and views that are pure functions of it ([`view`]).

mod app;
mod source;
mod terminal;
mod view;

use std::pin::pin;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures::{Stream, StreamExt};
use neuro_node::data_dir::DataDir;
use neuro_protocol::control::Status;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::failure::CommandResult;
use app::{App, Flow};
use source::Source;
use terminal::Screen;

/// How often the node is asked. Twice a second is what eyes follow; the node's answer takes microseconds.
const REFRESH: Duration = Duration::from_millis(500);

/// Watches the node of `data_dir` until `q` or `stop`, also while the node does not answer.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn watch(data_dir: DataDir, stop: CancellationToken) -> CommandResult {
    let mut app = App::new();
    let mut screen = Screen::open()?;
    let mut keys = EventStream::new();
    let mut statuses = pin!(statuses(Source::new(data_dir)));
    loop {
        screen.draw(|frame| view::draw(frame, &app))?;
        tokio::select! {
            Some(status) = statuses.next() => app.take(status),
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind == KeyEventKind::Press => {
                    if app.press(key) == Flow::Leave {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// What the node of `source` answers, again and again. Never ends.
fn statuses(source: Source) -> impl Stream<Item = Result<Status, String>> {
    let mut refresh = tokio::time::interval(REFRESH);
    // A node that hung is not asked at once for all that it missed.
    refresh.set_missed_tick_behavior(MissedTickBehavior::Skip);
    futures::stream::unfold((source, refresh), async |(mut source, mut refresh)| {
        refresh.tick().await;
        Some((source.read().await, (source, refresh)))
    })
}

/// The status of the node of `data_dir`, once.
///
/// # Errors
/// When no node runs there or it does not answer.
pub async fn status_once(data_dir: DataDir) -> Result<Status, crate::failure::Failure> {
    Source::new(data_dir).read().await.map_err(|reason| {
        crate::failure::Failure::message(crate::exit_code::Outcome::Unreachable, reason)
            .hint("start a node with `neuro up` or `neuro serve`, or name its folder with --data-dir")
    })
}
