//! Progress bars on stderr; nothing where stderr is no terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over bytes.
#[must_use]
pub fn bytes(what: &str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {bar:32} {bytes}/{total_bytes} {eta}")
}

/// A bar over countable things.
#[must_use]
pub fn items(what: &str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {bar:32} {pos}/{len} {eta}")
}

/// A bar over countable things, with words of its own behind it.
#[must_use]
pub fn told(what: &'static str, total: u64) -> ProgressBar {
    bar("", total, "{prefix} {bar:32} {pos}/{len} {msg}").with_prefix(what)
}

/// A spinner for a wait of unknown length.
#[must_use]
pub fn wait(what: &str) -> ProgressBar {
    let spinner = shown(ProgressBar::new_spinner()).with_message(what.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn bar(what: &str, total: u64, template: &str) -> ProgressBar {
    // A template that does not parse would be a bug of ours; the default style then still counts.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    shown(ProgressBar::new(total)).with_style(style.progress_chars("━╸ ")).with_message(what.to_owned())
}

fn shown(bar: ProgressBar) -> ProgressBar {
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}
