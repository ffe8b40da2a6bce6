//! What the dashboard knows, and what keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use neuro_protocol::control::Status;

/// The pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Node, model and totals.
    Overview,
    /// Layer × expert by use.
    Experts,
    /// The workers.
    Workers,
    /// The requests that run or wait.
    Requests,
}

impl Page {
    /// All pages, in the order of their keys 1 to 4.
    pub const ALL: [Self; 4] = [Self::Overview, Self::Experts, Self::Workers, Self::Requests];

    /// The page's name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Experts => "Experts",
            Self::Workers => "Workers",
            Self::Requests => "Requests",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// What the node said last.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Not asked yet.
    Nothing,
    /// Its status.
    Status(Box<Status>),
    /// Why there is none.
    Absent(String),
}

/// The dashboard's state.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// The page shown.
    pub page: Page,
    /// What the node said last.
    pub seen: Seen,
    /// The first line shown of a page longer than the screen.
    pub scroll: usize,
    /// Whether the keys are explained.
    pub help: bool,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Stay,
    /// Leave the dashboard.
    Leave,
}

impl App {
    /// The first screen.
    pub const fn new() -> Self {
        Self { page: Page::Overview, seen: Seen::Nothing, scroll: 0, help: false }
    }

    /// Takes the node's newest status, or why there is none.
    pub fn take(&mut self, read: Result<Status, String>) {
        self.seen = match read {
            Ok(status) => Seen::Status(Box::new(status)),
            Err(reason) => Seen::Absent(reason),
        };
    }

    /// The status, if there is one.
    pub fn status(&self) -> Option<&Status> {
        match &self.seen {
            Seen::Status(status) => Some(status),
            Seen::Nothing | Seen::Absent(_) => None,
        }
    }

    /// What a key does.
    pub fn press(&mut self, key: KeyEvent) -> Flow {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Flow::Leave,
            KeyCode::Char('q') => return Flow::Leave,
            KeyCode::Esc if !self.help => return Flow::Leave,
            KeyCode::Esc => self.help = false,
            KeyCode::Char('?') | KeyCode::Char('h') => self.help = !self.help,
            KeyCode::Char(digit @ '1'..='4') => self.turn_to(digit as usize - '1' as usize),
            KeyCode::Tab | KeyCode::Right => self.turn_to((self.page.index() + 1) % Page::ALL.len()),
            KeyCode::BackTab | KeyCode::Left => {
                self.turn_to((self.page.index() + Page::ALL.len() - 1) % Page::ALL.len());
            }
            KeyCode::Down | KeyCode::Char('j') => self.scroll = (self.scroll + 1).min(self.longest_scroll()),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            _ => {}
        }
        Flow::Stay
    }

    fn turn_to(&mut self, index: usize) {
        self.page = Page::ALL[index];
        self.scroll = 0;
    }

    /// The last line that may be scrolled to the top.
    fn longest_scroll(&self) -> usize {
        let Some(status) = self.status() else { return 0 };
        let lines = match self.page {
            Page::Overview => 0,
            Page::Experts => status.expert_use.len(),
            Page::Workers => status.workers.len(),
            Page::Requests => status.jobs.len(),
        };
        lines.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(app: &mut App, code: KeyCode) -> Flow {
        app.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn keys_turn_pages() {
        let mut app = App::new();
        for (code, page) in [
            (KeyCode::Char('3'), Page::Workers),
            (KeyCode::Tab, Page::Requests),
            (KeyCode::Tab, Page::Overview),
            (KeyCode::BackTab, Page::Requests),
            (KeyCode::Left, Page::Workers),
        ] {
            assert_eq!(press(&mut app, code), Flow::Stay);
            assert_eq!(app.page, page, "after {code:?}");
        }
    }

    #[test]
    fn q_escape_and_control_c_leave() {
        assert_eq!(press(&mut App::new(), KeyCode::Char('q')), Flow::Leave);
        assert_eq!(press(&mut App::new(), KeyCode::Esc), Flow::Leave);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(App::new().press(interrupt), Flow::Leave);
        assert_eq!(press(&mut App::new(), KeyCode::Char('c')), Flow::Stay);
    }

    #[test]
    fn escape_closes_the_help_first() {
        let mut app = App::new();
        press(&mut app, KeyCode::Char('?'));
        assert!(app.help);
        assert_eq!(press(&mut app, KeyCode::Esc), Flow::Stay);
        assert!(!app.help);
    }

    #[test]
    fn scrolling_stays_within_the_page() {
        let mut app = App::new();
        press(&mut app, KeyCode::Down);
        assert_eq!(app.scroll, 0, "nothing to scroll without a node");
        app.take(Ok(Status { workers: vec![Default::default(); 3], ..Status::default() }));
        press(&mut app, KeyCode::Char('3'));
        for _ in 0..9 {
            press(&mut app, KeyCode::Down);
        }
        assert_eq!(app.scroll, 2);
    }
}
